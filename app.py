"""Serve the page: `python app.py`, then open the address it prints. Also what a Hugging Face Space runs."""

from __future__ import annotations

import gc
import os
import signal
import sys

from lc.errors import LatentConstraintsError
from lc.memory import trim
from lc.ui import desktop
from lc.ui.settings import Settings, parse
from lc.ui.storage import Folder, every

# Before gradio is imported, which reads them then: nothing about visitors leaves this machine.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Where matplotlib is installed, Gradio asks it for its backend at each call; unless told, it takes a second to find it.
os.environ.setdefault("MPLBACKEND", "agg")
# Before torch is imported: its threads otherwise spin while they wait, and take the processor from the browser and from
# other visitors' edits. With two at once an edit took three times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def serve(settings: Settings, folder: Folder) -> int:
    """Build the page and serve it until it is interrupted; the exit code.

    Args:
        settings: see settings.py.
        folder: for uploads and results.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder.path)
    # Late, so that --help and a mistyped flag answer at once.
    from lc.editor import FaceEditor
    from lc.ui.launch import launch
    from lc.ui.layout import build_page
    from lc.weights import locate

    try:
        if settings.desktop:
            desktop.check()
        weights = locate(settings.weights)
        page, visitors = build_page(FaceEditor.load(weights, settings.device), weights, settings, folder)
    except LatentConstraintsError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        address = launch(page, folder, settings)
    except OSError:
        where = f"{settings.host}:{settings.port}"
        print(f"{where} is taken or not this machine's: choose another with --port and --host.", file=sys.stderr)
        return 1
    if not settings.desktop:
        print(f"The page is at {address}", flush=True)
    stop_sweeping = every(min(600.0, settings.file_age / 5), folder.sweep, visitors.sweep, gc.collect, trim)
    try:
        if settings.desktop:
            desktop.show(address)
        else:
            page.block_thread()
    except LatentConstraintsError as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        stop_sweeping()
    return 0


def main() -> int:
    """Keep what visitors upload in a folder of its own, which goes when the program does."""
    settings = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Folder(settings.file_age) as folder:
        code = serve(settings, folder)
    if settings.desktop:
        # A window is closed while tiles are still being made: their threads would abort the interpreter as it ends.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
