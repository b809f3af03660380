"""Where the weights that ship are. Nothing heavy is imported: `--help` needs this too."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DEFAULT_WEIGHTS"]

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED, _CHECKOUT = _PACKAGE / "shipped" / "celeba-64", _PACKAGE.parent / "weights" / "celeba-64"

#: The weights folder that ships: inside an installed package, or at the top of a checkout.
DEFAULT_WEIGHTS = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
