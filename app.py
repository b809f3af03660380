"""Serve the page: `python app.py`, then open the address it prints. Also what a Hugging Face Space runs."""

from __future__ import annotations

import os
import signal
import sys
import tempfile

from lc.errors import LatentConstraintsError
from lc.ui.settings import Settings, parse

# Before gradio is imported, which reads it then: nothing about visitors leaves this machine.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"


def serve(settings: Settings) -> int:
    """Build the page and serve it until it is interrupted; the exit code."""
    # Late, so that --help and a mistyped flag answer at once.
    from lc.editor import FaceEditor
    from lc.ui.layout import build_page
    from lc.ui.theme import CSS, NAMES, theme
    from lc.weights import locate

    try:
        weights = locate(settings.weights)
        page = build_page(FaceEditor.load(weights, settings.device), weights, settings)
    except LatentConstraintsError as error:
        print(error, file=sys.stderr)
        return 2
    page.queue(max_size=64)
    try:
        _, address, public = page.launch(
            server_name=settings.host,
            server_port=settings.port or None,
            share=settings.share,
            root_path=settings.root_path or None,
            max_file_size=settings.max_upload_size,
            state_session_capacity=200,
            theme=theme(),
            css_paths=CSS,
            js=NAMES,
            footer_links=["api"],
            ssr_mode=False,
            prevent_thread_lock=True,
            quiet=True,
        )
    except OSError:
        where = f"{settings.host}:{settings.port}"
        print(f"{where} is taken or not this machine's: choose another with --port and --host.", file=sys.stderr)
        return 1
    print(f"The page is at {public or address}", flush=True)
    page.block_thread()
    return 0


def main() -> int:
    """Keep what visitors upload in a folder of its own, which goes when the program does."""
    settings = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="latent-constraints-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
