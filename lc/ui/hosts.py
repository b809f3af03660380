"""Under which names the page may be asked for, and from which pages.

A foreign page that a visitor has open can send requests to a server on the visitor's own machine: directly, which its
`Origin` tells, or under a name of its own that it has meanwhile let point here (DNS rebinding), which `Host` tells.
An address in figures is no name that could be pointed elsewhere, so a server that listens on every address answers to
any of them; a page that was itself loaded from such an address is foreign all the same.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

__all__ = ["Hosts"]

_ALWAYS = ("localhost", "*.localhost", "*.hf.space", "huggingface.co")
_EVERYWHERE = ("", "0.0.0.0", "::")


class Hosts:
    """The allow-list.

    Args:
        host: the address that the server listens on.
        allowed: further names, with * for any part of one: "faces.example.org", "*.example.org", "*".
        root_path: where a proxy puts the page; the name in it counts where it is a whole address.
        share: whether there is a link on gradio.live.
    """

    def __init__(self, host: str, allowed: Iterable[str] = (), root_path: str = "", share: bool = False) -> None:
        self._everywhere = host in _EVERYWHERE
        names = {*_ALWAYS, *(name.lower() for name in allowed), host.strip("[]").lower()}
        if self._everywhere:
            own = socket.gethostname().lower()
            names |= {own, f"{own}.local"}
        if "://" in root_path:
            names.add(_name(root_path))
        if share:
            names.add("*.gradio.live")
        self._names = tuple(name for name in names if name)

    def allows_host(self, header: str) -> bool:
        """Whether a `Host` header, such as "localhost:7860", names this server."""
        name = _name(f"//{header}")
        return self._known(name) or (self._everywhere and _address(name) is not None)

    def allows_origin(self, origin: str, host: str) -> bool:
        """Whether a page from `origin`, such as "https://example.org", may send requests here.

        Args:
            origin: the header.
            host: the `Host` header of the same request.
        """
        name = _name(origin)
        return self._known(name) or (name != "" and name == _name(f"//{host}"))

    def _known(self, name: str) -> bool:
        address = _address(name)
        loopback = address is not None and address.is_loopback
        return name != "" and (loopback or any(fnmatchcase(name, known) for known in self._names))


def _name(address: str) -> str:
    """The host in an address, lower case; empty where there is none to be read."""
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
