"""Edit face photos, or generate faces, by latent constraints. The public API, and nothing else.

Names are imported on first use: torch takes seconds to import, and `python -m lc --help` needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lc.attributes import AttributeSet
    from lc.constraints import And, Attribute, Constraint, Distance, Not, Or, Realism, Rule, Taught
    from lc.editor import Edit, FaceEditor, Reading, Sample
    from lc.errors import LatentConstraintsError, NoFaceError, PhotoError, UnknownAttributeError, WeightsError
    from lc.generator import Generator, Posterior
    from lc.taught import TaughtAttribute, load_taught
    from lc.vae import VAE
    from lc.weights import load_model

__all__ = [
    "VAE",
    "And",
    "Attribute",
    "AttributeSet",
    "Constraint",
    "Distance",
    "Edit",
    "FaceEditor",
    "Generator",
    "LatentConstraintsError",
    "NoFaceError",
    "Not",
    "Or",
    "PhotoError",
    "Posterior",
    "Reading",
    "Realism",
    "Rule",
    "Sample",
    "Taught",
    "TaughtAttribute",
    "UnknownAttributeError",
    "WeightsError",
    "load_model",
    "load_taught",
]

_ROOMS = ("errors", "attributes", "constraints", "generator", "vae", "weights", "taught", "editor")


def __getattr__(name: str) -> object:
    if name in __all__:
        for room in _ROOMS:
            module = import_module(f"lc.{room}")
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module 'lc' has no attribute {name!r}")
