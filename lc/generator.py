"""What a generator must offer, and which generators there are: a registry by the name in config.json.

Any decoder with a latent will do. One with an encoder says more quickly where a photo lies; without it, descent finds
the place (see `lc.invert`). A new generator is one module:

    >>> from torch import nn
    >>> @dataclass(frozen=True)
    ... class Sizes:
    ...     latent: int = 3
    >>> @register("Linear", Sizes, parts=("layer",))
    ... class Linear(nn.Module):
    ...     def __init__(self, config: Sizes) -> None:
    ...         super().__init__()
    ...         self.config, self.latent, self.image_size = config, config.latent, 2
    ...         self.layer = nn.Linear(config.latent, 12)
    ...     def decode(self, z: Tensor) -> Tensor:
    ...         return self.layer(z).sigmoid().unflatten(1, (3, 2, 2))
    >>> build = registered("Linear").build
    >>> build(Sizes()).decode(torch.zeros(5, 3)).shape, isinstance(build(Sizes()), EncodingGenerator)
    (torch.Size([5, 3, 2, 2]), False)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

__all__ = [
    "EncodingGenerator",
    "Generator",
    "Posterior",
    "PriorGenerator",
    "Registered",
    "from_prior",
    "name_of",
    "register",
    "registered",
    "to_noise",
]

_Class = TypeVar("_Class", bound=type[Any])


class Posterior(NamedTuple):
    """q(z|x) = N(mean, std^2), a diagonal Gaussian. Both (B, latent); std > 0."""

    mean: Tensor
    std: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One reparameterised draw per row, (B, latent)."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + self.std * noise


@runtime_checkable
class Generator(Protocol):
    """Any decoder with a latent, the only thing that critics, actor and optimiser build on. Its prior is N(0, I).

    Attributes:
        latent: dimensions of z.
        image_size: side S of the square pictures, in pixels.
    """

    latent: int
    image_size: int

    def decode(self, z: Tensor) -> Tensor:
        """(B, latent) -> (B, 3, S, S) in [0, 1], differentiable."""


@runtime_checkable
class EncodingGenerator(Generator, Protocol):
    """A generator with an encoder."""

    def encode(self, images: Tensor) -> Posterior:
        """(B, 3, S, S) in [0, 1] -> q(z|x)."""


@runtime_checkable
class PriorGenerator(Generator, Protocol):
    """A generator whose prior is another diagonal Gaussian than N(0, I)."""

    @property
    def prior(self) -> Posterior:
        """p(z): mean and std, (latent,) each."""


def from_prior(generator: Generator, noise: Tensor) -> Tensor:
    """Draws from the generator's prior, (B, latent), made of draws from N(0, I) of the same shape."""
    return generator.prior.mean + generator.prior.std * noise if isinstance(generator, PriorGenerator) else noise


def to_noise(generator: Generator, z: Tensor) -> Tensor:
    """The inverse of `from_prior`."""
    return (z - generator.prior.mean) / generator.prior.std if isinstance(generator, PriorGenerator) else z


@dataclass(frozen=True)
class Registered:
    """How to build and to store a class of generators.

    Attributes:
        build: the class, an nn.Module that implements `Generator`, built from its `config`, which it keeps.
        config: a dataclass of sizes, a section of config.json.
        parts: names of the submodules that hold the weights, each a file of a weights folder.
    """

    build: Callable[[Any], Any]
    config: type[Any]
    parts: tuple[str, ...]


_REGISTRY: dict[str, Registered] = {}


def register(name: str, config: type[Any], parts: tuple[str, ...]) -> Callable[[_Class], _Class]:
    """A class decorator: generators of this class are called `name` in config.json. See `Registered`."""

    def add(kind: _Class) -> _Class:
        _REGISTRY[name] = Registered(kind, config, parts)
        return kind

    return add


def registered(name: str) -> Registered:
    """The class of generators of this name. One that is not known yet is looked for in the module lc.NAME, lower case.

    Raises:
        LookupError: there is none; the message names those that there are.
    """
    if name not in _REGISTRY and isinstance(name, str) and name.isidentifier():
        with contextlib.suppress(ModuleNotFoundError):
            import_module(f"lc.{name.lower()}")
    if name not in _REGISTRY:
        raise LookupError(f"no generator is called {name!r}, there are {', '.join(sorted(_REGISTRY))}")
    return _REGISTRY[name]


def name_of(generator: Generator) -> str:
    """The name that a generator's class was registered by.

    Raises:
        LookupError: it was not.
    """
    for name, entry in _REGISTRY.items():
        if entry.build is type(generator):
            return name
    raise LookupError(f"{type(generator).__name__} is no registered generator")
