"""Edit face photos, or make faces up, by latent constraints. The public API, and nothing else."""

from lc.attributes import ATTRIBUTES
from lc.editor import Edit, FaceEditor, Reading, Sample
from lc.errors import LatentConstraintsError, NoFaceError, PhotoError, UnknownAttributeError, WeightsError
from lc.generator import VAE, Generator, Posterior
from lc.weights import load_model

__all__ = [
    "ATTRIBUTES",
    "VAE",
    "Edit",
    "FaceEditor",
    "Generator",
    "LatentConstraintsError",
    "NoFaceError",
    "PhotoError",
    "Posterior",
    "Reading",
    "Sample",
    "UnknownAttributeError",
    "WeightsError",
    "load_model",
]
