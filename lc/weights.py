"""A folder or a Hugging Face Hub repository <-> modules: config.json and safetensors, never pickle.

Files stay under 9 MB, which a Space takes in plain git, see `lc.tensors`; their checksums are in config.json, see
`lc.checksums`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from torch import Tensor, nn

from lc.actor import Actor
from lc.attributes import AttributeSet
from lc.checksums import load_config, read_file, save_config, save_files
from lc.classifier import Classifier, ClassifierConfig
from lc.contrast import load_contrast
from lc.critics import AttributeCritic, Critic, LatentStatistics, NetConfig
from lc.errors import WeightsError
from lc.exemplars import Exemplars, ExemplarsConfig
from lc.finish import FINISHERS
from lc.flow import Flow, FlowConfig
from lc.generator import name_of, registered
from lc.identity import load_calibration
from lc.learned import load_rules
from lc.model import Model
from lc.parser import Parser, ParserConfig
from lc.regions import REGIONS, RegionConfig, RegionVAE
from lc.reliability import load_reliability
from lc.tensors import Unfilled, check_finite, load_module, parse_tensors, save_module, save_modules
from lc.tuning import Tuning
from lc.upsampler import Upsampler, UpsamplerConfig

__all__ = [
    "Model",
    "bundled_classifier",
    "load_attributes",
    "load_classifier",
    "load_config",
    "load_flow",
    "load_generator",
    "load_model",
    "load_module",
    "load_parser",
    "load_regions",
    "load_statistics",
    "load_tuning",
    "load_upsampler",
    "locate",
    "save_classifier",
    "save_config",
    "save_editing_nets",
    "save_flow",
    "save_generator",
    "save_module",
    "save_region",
    "save_statistics",
    "save_tuning",
    "save_upsampler",
    "to_device",
]

_Net = TypeVar("_Net", bound=nn.Module)


def locate(folder_or_repo: str | Path) -> Path:
    """The local folder of the weights; a Hub repository ("owner/name") is downloaded once and cached.

    Raises:
        WeightsError: no such folder, no such repository, or no way to reach the Hub.
    """
    folder = Path(folder_or_repo)
    if folder.is_dir():
        return folder
    try:
        return Path(snapshot_download(str(folder_or_repo), allow_patterns=["*.json", "*.safetensors", "*.md", "*.png"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise WeightsError(
            f"There are no weights at {str(folder_or_repo)!r}: give a folder with a config.json, or the name of a "
            "Hub repository that can be reached."
        ) from error


def save_statistics(folder: Path, statistics: LatentStatistics) -> None:
    """Write statistics.safetensors (float32: small, and everything is measured in it)."""
    tensors = {name: value.float().contiguous() for name, value in statistics._asdict().items()}
    save_files(folder, {"statistics.safetensors": safetensors.torch.save(tensors)})


def load_statistics(folder: Path) -> LatentStatistics:
    """Read statistics.safetensors.

    Raises:
        WeightsError: missing or damaged.
    """
    name = "statistics.safetensors"
    tensors = parse_tensors(read_file(folder, name), folder / name)
    for tensor in tensors.values():
        check_finite(tensor, str(folder / name))
    try:
        return LatentStatistics(**tensors)
    except TypeError as error:
        raise WeightsError(f"{folder / name} is damaged: fetch it again.") from error


def save_generator(folder: Path, generator: Any) -> None:
    """Write a generator: its section of config.json, and a file per part (see `lc.generator.Registered`)."""
    name = name_of(generator)
    modules = {part: getattr(generator, part) for part in registered(name).parts}
    save_modules(folder, modules, generator={"class": name, **dataclasses.asdict(generator.config)})


def save_tuning(folder: Path, tuning: Tuning) -> None:
    """Write the section "tuning" of config.json."""
    save_config(folder, tuning=tuning.to_dict())


def section(config: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    """Build the dataclass `kind` from a section of config.json.

    Raises:
        WeightsError: the section is missing or does not fit.
    """
    try:
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in config[name].items() if key != "class"}
        return kind(**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"The section {name!r} of config.json does not fit this program: {error}.") from error


def _build(net: Callable[[Any], _Net], config: Mapping[str, Any], name: str, sizes: type[Any]) -> _Net:
    """A net of the sizes that config.json gives, whose weights are to be loaded."""
    try:
        with Unfilled():
            return net(section(config, name, sizes))
    except (TypeError, RuntimeError) as error:  # a size that is no whole number, or more than memory holds
        raise WeightsError(f"The sizes in section {name!r} of config.json cannot be built: fetch it again.") from error


def load_generator(folder: Path) -> Any:
    """Read the generator of a weights folder, an nn.Module that implements `Generator`, in evaluation mode.

    Raises:
        WeightsError: see `load_config` and `load_module`; also a class of generators that this program does not have.
    """
    config = load_config(folder)
    try:
        entry = registered(config["generator"]["class"])
    except (LookupError, TypeError) as error:
        raise WeightsError(f"The section 'generator' of config.json does not fit this program: {error}.") from error
    generator = _build(entry.build, config, "generator", entry.config)
    for part in entry.parts:
        load_module(folder, part, getattr(generator, part))
    return _frozen(generator)


def load_tuning(folder: Path) -> Tuning:
    """Read the section "tuning" of config.json.

    Raises:
        WeightsError: it is missing or does not fit.
    """
    config = load_config(folder)
    if "tuning" not in config:
        raise WeightsError(
            f"{folder} was made for an earlier version of this program: run python -m train.migrate {folder} NEW."
        )
    return Tuning.from_dict(config["tuning"])


def save_classifier(folder: Path, name: str, classifier: Classifier) -> None:
    """Write NAME.safetensors and its section of config.json."""
    save_modules(folder, {name: classifier}, **{name: dataclasses.asdict(classifier.config)})


def load_classifier(folder: Path, name: str) -> Classifier:
    """Read what `save_classifier` wrote, frozen and in evaluation mode.

    Raises:
        WeightsError: missing or damaged.
    """
    classifier = _build(Classifier, load_config(folder), name, ClassifierConfig)
    load_module(folder, name, classifier)
    return _frozen(classifier)


def _frozen(net: _Net) -> _Net:
    # Transposed convolutions of a few places are twice as fast so, and the others in batches a tenth: oneDNN need not
    # rearrange megabytes at every call.
    net.to(memory_format=torch.channels_last)
    return net.eval().requires_grad_(False)


def bundled_classifier(folder: Path, name: str) -> Classifier | None:
    """The classifier of this name that a weights folder has, see `Model`, or None where it has none.

    Raises:
        WeightsError: see `load_classifier`.
    """
    return _optional(folder, Classifier, name, ClassifierConfig)


def load_parser(folder: Path) -> Parser | None:
    """The face parser of a weights folder, or None where it has none. Raises as `load_classifier` does."""
    return _optional(folder, Parser, "parser", ParserConfig)


def save_upsampler(folder: Path, upsampler: Upsampler, name: str = "upsampler") -> None:
    """Write a super-resolution, or what finishes layers in its way, under its name, and its section of config.json."""
    save_modules(folder, {name: upsampler}, **{name: dataclasses.asdict(upsampler.config)})


def save_region(folder: Path, net: RegionVAE) -> None:
    """Write a region's net under its name, and its section of config.json."""
    name = net.config.region
    save_modules(folder, {name: net}, **{name: dataclasses.asdict(net.config)})


def load_regions(folder: Path) -> dict[str, RegionVAE]:
    """The nets of regions that a weights folder has, by region. Raises as `load_classifier` does."""
    found = {name: _optional(folder, RegionVAE, name, RegionConfig) for name in REGIONS}
    return {name: net for name, net in found.items() if net}


def load_upsampler(folder: Path, name: str = "upsampler") -> Upsampler | None:
    """What `save_upsampler` wrote, or None where a weights folder has none. Raises as `load_classifier` does."""
    return _optional(folder, Upsampler, name, UpsamplerConfig)


def save_flow(folder: Path, flow: Flow) -> None:
    """Write a flow and its section of config.json."""
    save_modules(folder, {"flow": flow}, flow=dataclasses.asdict(flow.config))


def load_flow(folder: Path) -> Flow | None:
    """The flow of a weights folder, or None where it has none. Raises as `load_classifier` does."""
    return _optional(folder, Flow, "flow", FlowConfig)


def load_exemplars(folder: Path) -> Exemplars | None:
    """The moves learned from pairs of a weights folder, or None where it has none. Raises as `load_classifier` does."""
    return _optional(folder, Exemplars, "exemplars", ExemplarsConfig)


def _optional(folder: Path, net: Callable[[Any], _Net], name: str, sizes: type[Any]) -> _Net | None:
    """A net that a weights folder may have, frozen and in evaluation mode."""
    config = load_config(folder)
    if name not in config:
        return None
    module = _build(net, config, name, sizes)
    load_module(folder, name, module)
    return _frozen(module)


def to_device(name: str) -> torch.device:
    """ "auto", "cpu", "cuda", "mps" -> a torch device; auto takes the fastest there is.

    Raises:
        WeightsError: the device is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there.get(name.partition(":")[0], False):
        raise WeightsError(f"There is no device {name!r} here: use auto or cpu.")
    return torch.device(name)


def save_editing_nets(
    folder: Path,
    actor: Actor,
    critic: Critic,
    attribute_critic: AttributeCritic,
    labels: Tensor,
    lambda_dist: tuple[float, float],
    attributes: AttributeSet,
) -> None:
    """Write the nets that constrain and move latents, beside a generator that is already there.

    Args:
        labels: (N, A) in {0, 1}, the training photos'; only how often each vector occurs is kept.
        attributes: which they are, in the order of the labels' columns.
    """
    vectors, counts = labels.int().unique(dim=0, return_counts=True)
    texts = ["".join(map(str, row)) for row in vectors.tolist()]
    nets: dict[str, Actor | Critic | AttributeCritic] = {
        "actor": actor,
        "critic": critic,
        "attribute_critic": attribute_critic,
    }
    save_modules(
        folder,
        nets,
        **{name: dataclasses.asdict(net.config) for name, net in nets.items()},
        attributes=attributes.as_json(),
        lambda_dist=list(lambda_dist),
        label_vectors=dict(zip(texts, counts.tolist(), strict=True)),
    )


def load_attributes(folder_or_repo: str | Path) -> AttributeSet:
    """Which attributes a weights folder knows, without loading its networks.

    Raises:
        WeightsError: see `locate` and `AttributeSet.of`.
    """
    return AttributeSet.of(load_config(locate(folder_or_repo)).get("attributes"))


def load_model(folder_or_repo: str | Path, device: str = "auto") -> Model:
    """Read a whole weights folder, frozen and in evaluation mode.

    Args:
        folder_or_repo: a folder, or a Hub repository's name.
        device: auto, cpu, cuda or mps.

    Raises:
        WeightsError: anything is missing, damaged or does not fit.
    """
    folder, place = locate(folder_or_repo), to_device(device)
    config = load_config(folder)
    if "generator" in config and "actor" not in config:
        raise WeightsError(
            f"{folder} holds a generator and nothing that edits with it: train that by python -m train.critics or "
            "python -m train.inherit, or name another folder."
        )
    attributes, tuning = AttributeSet.of(config.get("attributes")), load_tuning(folder)
    nets: dict[str, Any] = {}
    for name, kind in (("actor", Actor), ("critic", Critic), ("attribute_critic", AttributeCritic)):
        nets[name] = _build(kind, config, name, NetConfig)
        load_module(folder, name, nets[name])
        nets[name].eval().requires_grad_(False).to(place)
    generator, statistics = load_generator(folder).to(place), load_statistics(folder)
    sizes = {(net.config.latent, net.config.attributes) for net in nets.values()}
    if sizes != {(generator.latent, len(attributes))} or {len(value) for value in statistics} != {generator.latent}:
        raise WeightsError(f"The networks in {folder} do not belong together: fetch the folder again.")
    parser, exemplars = load_parser(folder), load_exemplars(folder)
    flow = load_flow(folder)
    if flow is not None and (flow.config.latent, flow.config.attributes) != (generator.latent, len(attributes)):
        raise WeightsError(f"The flow in {folder} was made for another generator: fetch the folder again.")
    upsampler, finishers = load_upsampler(folder), {name: load_upsampler(folder, name) for name in FINISHERS}
    enlarger = load_upsampler(folder, "enlarger") or upsampler
    contrast = load_contrast(folder, statistics)
    vectors, counts, lambda_dist = _facts(folder, config, len(attributes))
    perceptual, guidance, witness = (
        classifier.to(place) if (classifier := bundled_classifier(folder, name)) else None
        for name in ("perceptual", "guide", "witness")
    )
    return Model(
        attributes=attributes,
        generator=generator,
        **nets,
        statistics=LatentStatistics(*(value.to(place) for value in statistics)),
        label_vectors=vectors,
        label_counts=counts,
        lambda_dist=lambda_dist,
        calibration=load_calibration(folder),
        reliability=load_reliability(folder),
        tuning=tuning,
        config=config,
        perceptual=perceptual,
        guidance=guidance or perceptual,
        witness=witness,
        parser=parser.fused().to(place) if parser else None,
        flow=flow.to(place) if flow else None,
        upsampler=upsampler.to(place) if upsampler else None,
        enlarger=enlarger.to(place) if enlarger else None,
        finishers={name: net.to(place) for name, net in finishers.items() if net},
        regions={name: net.to(place) for name, net in load_regions(folder).items()},
        contrast=None if contrast is None else contrast.to(place),
        exemplars=exemplars.to(place) if exemplars else None,
        rules={name: one.to(place) for name, one in load_rules(folder, generator.latent).items()},
    )


def _facts(folder: Path, config: Mapping[str, Any], attributes: int) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """Label vectors (K, A), their counts (K,), and the ends of the identity slider, out of config.json."""
    try:
        vectors = torch.tensor([[("0", "1").index(bit) for bit in text] for text in config["label_vectors"]]).float()
        counts = torch.tensor(list(config["label_vectors"].values()), dtype=torch.float32)
        low, high = map(float, config["lambda_dist"])
        fits = vectors.shape == (len(counts), attributes) and counts.min() >= 0 and counts.sum() > 0
        if not fits or not 0 < low <= high < math.inf:
            raise ValueError("out of range")
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"{folder / 'config.json'} is damaged: fetch the weights again.") from error
    return vectors, counts, (low, high)
