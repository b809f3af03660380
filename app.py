"""Serve the page: `python app.py`, then open the address it prints. Also what a Hugging Face Space runs."""

from __future__ import annotations

import gc
import os
import signal
import sys

from lc.errors import LatentConstraintsError
from lc.memory import trim
from lc.ui.settings import Settings, bytes_of, parse
from lc.ui.storage import Folder, every

# Before gradio is imported, which reads them then: nothing about visitors leaves this machine.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def serve(settings: Settings, folder: Folder) -> int:
    """Build the page and serve it until it is interrupted; the exit code.

    Args:
        settings: see settings.py.
        folder: for uploads and results.
    """
    os.environ["GRADIO_TEMP_DIR"] = str(folder.path)
    # Late, so that --help and a mistyped flag answer at once.
    from starlette.middleware import Middleware

    from lc.editor import FaceEditor
    from lc.ui.door import Door
    from lc.ui.hosts import Hosts
    from lc.ui.layout import build_page
    from lc.ui.theme import CSS, names, theme
    from lc.weights import locate

    try:
        weights = locate(settings.weights)
        page, visitors = build_page(FaceEditor.load(weights, settings.device), weights, settings, folder)
    except LatentConstraintsError as error:
        print(error, file=sys.stderr)
        return 2
    hosts = Hosts(settings.host, settings.allow_host, settings.root_path, settings.share)
    most = bytes_of(settings.max_upload_size)
    page.queue(max_size=64, api_open=False)
    try:
        _, address, public = page.launch(
            server_name=settings.host,
            server_port=settings.port or None,
            share=settings.share,
            root_path=settings.root_path or None,
            max_file_size=most,
            state_session_capacity=200,  # what Gradio itself remembers of each page
            app_kwargs={"middleware": [Middleware(Door, page=page, folder=folder, hosts=hosts, max_upload=most)]},
            # What this page does not use, and what would lend the host's token or ask other servers.
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            pwa=False,
            theme=theme(),
            css_paths=CSS,
            js=names(),
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
    stop_sweeping = every(min(600.0, settings.file_age / 5), folder.sweep, visitors.sweep, gc.collect, trim)
    page.block_thread()
    stop_sweeping()
    return 0


def main() -> int:
    """Keep what visitors upload in a folder of its own, which goes when the program does."""
    settings = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Folder(settings.file_age) as folder:
        return serve(settings, folder)


if __name__ == "__main__":
    sys.exit(main())
