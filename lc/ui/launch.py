"""How the page is launched: behind its door, and without what Gradio would otherwise offer or ask of other servers."""

from __future__ import annotations

import contextlib
from importlib import import_module

import gradio as gr
from starlette.middleware import Middleware

from lc.ui.door import Door
from lc.ui.first_paint import FirstPaint
from lc.ui.hosts import Hosts
from lc.ui.icons import HEAD
from lc.ui.settings import Settings, bytes_of
from lc.ui.storage import Folder
from lc.ui.theme import CSS, names, theme

__all__ = ["launch"]


def launch(page: gr.Blocks, folder: Folder, settings: Settings) -> str:
    """Serve a page in threads of its own; returns its address.

    Args:
        page: see layout.py.
        folder: the one that the page was built with.
        settings: see settings.py.

    Raises:
        OSError: the host or port cannot be had.
    """
    most = bytes_of(settings.max_upload_size)
    hosts = Hosts(settings.host, settings.allow_host, settings.root_path, settings.share)
    door = Middleware(Door, page=page, folder=folder, hosts=hosts, max_upload=most)
    # Gradio imports it at the first call of all, where it is installed, and somebody would wait for that.
    with contextlib.suppress(ImportError):
        import_module("matplotlib")
    page.queue(max_size=64, api_open=False)
    _, address, public = page.launch(
        server_name=settings.host,
        server_port=settings.port or None,
        share=settings.share,
        root_path=settings.root_path or None,
        max_file_size=most,
        state_session_capacity=200,  # what Gradio itself remembers of each page
        app_kwargs={"middleware": [door, Middleware(FirstPaint, page=page)]},
        # Run history lends the host's saved Hub token to callers, and makes buckets for whoever asks.
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,  # the door has a manifest and icons of its own: Gradio draws icons of any size asked for
        ssr_mode=False,
        theme=theme(),
        css_paths=CSS,
        head=HEAD,
        js=names(),
        footer_links=["api"],
        prevent_thread_lock=True,
        quiet=True,
    )
    return public or address
