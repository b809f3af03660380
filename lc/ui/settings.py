"""What can be set about the page: each by a flag, or by an environment variable where there is no command line.

>>> parse(["--port", "8000"], {"LC_HOST": "0.0.0.0"}).host
'0.0.0.0'
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lc.errors import LatentConstraintsError
from lc.paths import DEFAULT_WEIGHTS
from lc.ui.texts import ENGLISH, languages, texts

__all__ = ["Settings", "bytes_of", "parse"]


@dataclass(frozen=True)
class Settings:
    """How the page is served.

    Attributes:
        host: the address to listen on; 0.0.0.0 lets other machines in.
        port: 0 takes any free one.
        weights: a folder, or a Hub repository's name.
        device: auto, cpu, cuda or mps.
        share: ask gradio.live for a public link. The only setting that lets the page reach outside.
        root_path: where a reverse proxy puts the page, such as /faces.
        concurrency: how many requests the model works on at once, and how many visitors' tiles, which make way.
        max_upload_size: of one photo, as gradio takes it, such as 20mb.
        session_memory: for what is remembered of all visitors, written likewise; the latest visitors are kept.
        file_age: seconds after which uploads and results are deleted.
        allow_host: further names that the server answers to, * for any part of one.
        language: what the page speaks, see texts.py.
        desktop: show the page in a window of its own, on a free port of this machine alone.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    weights: str = str(DEFAULT_WEIGHTS)
    device: str = "auto"
    share: bool = False
    root_path: str = ""
    concurrency: int = 2
    max_upload_size: str = "30mb"
    session_memory: str = "1gb"
    file_age: int = 3000
    allow_host: tuple[str, ...] = ()
    language: str = ENGLISH
    desktop: bool = False


def parse(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Flags win over variables, variables over defaults. Leaves with a usage message where a value does not fit.

    Args:
        arguments: the command line; None takes the program's own.
        environment: LC_HOST, LC_PORT, LC_WEIGHTS, LC_DEVICE, LC_SHARE, LC_ROOT_PATH, LC_CONCURRENCY,
            LC_MAX_UPLOAD_SIZE, LC_SESSION_MEMORY, LC_FILE_AGE, LC_ALLOW_HOST (names with spaces between them),
            LC_LANGUAGE; for the first two and the root path Gradio's own GRADIO_SERVER_NAME, GRADIO_SERVER_PORT and
            GRADIO_ROOT_PATH are taken too.
    """

    def preset(name: str, default: object, gradio: str = "") -> str:
        return environment.get(f"LC_{name}") or environment.get(gradio) or str(default)

    parser = argparse.ArgumentParser(
        prog="app.py",
        description="Serve the page that edits face photos, on this machine.",
        epilog="Each flag also is an environment variable: --max-upload-size is LC_MAX_UPLOAD_SIZE.",
    )
    known = Settings()
    _add_serving(parser.add_argument, preset, known)
    _add_limits(parser.add_argument, preset, known)
    _add_others(parser.add_argument, preset, known)
    values = vars(parser.parse_args(arguments))
    if values["desktop"]:
        if values["share"]:
            parser.error("--desktop is for this machine alone: leave --share off")
        values |= {"host": known.host, "port": 0, "root_path": ""}
    values["allow_host"] = tuple(values["allow_host"] or preset("ALLOW_HOST", "").split())
    return Settings(**values)


def _add_serving(add: Callable[..., object], preset: Callable[..., str], known: Settings) -> None:
    """Where the page is served, and what serves it."""
    host, port = preset("HOST", known.host, "GRADIO_SERVER_NAME"), preset("PORT", known.port, "GRADIO_SERVER_PORT")
    add("--host", default=host, help="address to listen on, 0.0.0.0 for every network (default: %(default)s)")
    add("--port", type=_port, default=port, help="port, 0 for any free one (default: %(default)s)")
    add("--weights", default=preset("WEIGHTS", known.weights), help="folder or Hub repository (default: %(default)s)")
    add("--device", default=preset("DEVICE", known.device), help="auto, cpu, cuda or mps (default: %(default)s)")
    add(
        "--share",
        action=argparse.BooleanOptionalAction,
        default=preset("SHARE", "").strip().lower() in ("1", "true", "yes", "on"),
        help="also open a public link through gradio.live",
    )
    root_path = preset("ROOT_PATH", "", "GRADIO_ROOT_PATH")
    add("--root-path", default=root_path, help="the page's path behind a reverse proxy, such as /faces")


def _add_limits(add: Callable[..., object], preset: Callable[..., str], known: Settings) -> None:
    """What visitors may take up."""
    add(
        "--concurrency",
        type=_positive,
        default=preset("CONCURRENCY", known.concurrency),
        help="requests that the model works on at once (default: %(default)s)",
    )
    add(
        "--max-upload-size",
        type=_size,
        default=preset("MAX_UPLOAD_SIZE", known.max_upload_size),
        help="largest photo taken, such as 500kb or 30mb (default: %(default)s)",
    )
    add(
        "--session-memory",
        type=_size,
        default=preset("SESSION_MEMORY", known.session_memory),
        help="for photos and edits of all visitors, the latest are kept (default: %(default)s)",
    )
    add(
        "--file-age",
        type=_positive,
        default=preset("FILE_AGE", known.file_age),
        help="seconds after which uploads and results are deleted (default: %(default)s)",
    )


def _add_others(add: Callable[..., object], preset: Callable[..., str], known: Settings) -> None:
    """Who may ask for the page, in which language it answers, and where it is shown."""
    add(
        "--allow-host",
        action="append",
        metavar="NAME",
        help="another name that the page is asked for by, such as faces.example.org or *.example.org; may be repeated",
    )
    add(
        "--language",
        type=_language,
        default=preset("LANGUAGE", known.language),
        help=f"what the page speaks: {', '.join(languages())} (default: %(default)s)",
    )
    add("--desktop", action="store_true", help="a window of its own instead of a browser's, on this machine alone")


def bytes_of(size: str) -> int:
    """The number of bytes in a size as `parse` lets it through.

    >>> bytes_of("30mb")
    31457280
    """
    digits, unit = size.removesuffix("b").rstrip("kmg "), size.removesuffix("b")[-1:]
    return int(digits) * {"k": 2**10, "m": 2**20, "g": 2**30}.get(unit, 1)


def _port(text: str) -> int:
    if not (text.strip().isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: choose a number from 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not (text.strip().isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _language(text: str) -> str:
    try:
        texts(text)
    except LatentConstraintsError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _size(text: str) -> str:
    if not re.fullmatch(r"\d+\s*[kmg]?b", text.strip().lower()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write it as 500kb or 30mb")
    return text.strip().lower()
