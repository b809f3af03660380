"""The kinds of stages a recipe may have: which program each is, what it writes, and how settings become its flags."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from lc.errors import LatentConstraintsError

__all__ = ["KINDS", "Kind", "RecipeError", "build", "flags", "paths"]


class RecipeError(LatentConstraintsError):
    """The recipe cannot be run as it is; the message, one sentence, says what to do."""


@dataclass(frozen=True)
class Kind:
    """A program that a stage runs.

    Attributes:
        module: started as `python -m MODULE`; of a package its `__main__`, which holds the settings.
        config: name of the frozen dataclass in it that its command line fills.
        out: the setting that says where it writes; the recipe's engine fills it in. Empty: it has none.
        file: the file below the stage's folder that `out` names; empty: the folder itself.
        copies: the setting that names a folder that the program writes into: it is given a copy of the folder, so that
            no stage changes what another made. Empty: none.
        result: what "@STAGE" stands for, below the stage's folder.
    """

    module: str
    config: str
    out: str = "out"
    file: str = ""
    copies: str = ""
    result: str = "weights"

    def type(self) -> type[Any]:
        """The dataclass of its settings."""
        found: type[Any] = getattr(importlib.import_module(self.module), self.config)
        return found


KINDS: dict[str, Kind] = {
    "toys": Kind("train.toys", "ToysConfig", result=""),
    "prepare": Kind("train.prepare", "PrepareConfig", file="crops.safetensors", result="crops.safetensors"),
    "linear": Kind("train.linear", "LinearConfig"),
    "vae": Kind("train.vae", "VAETraining"),
    "gan": Kind("train.gan", "GANTraining"),
    "decoded": Kind("train.decoded", "DecodedConfig", copies="weights"),
    "classifier": Kind("train.classifier", "ClassifierTraining", copies="weights"),
    "sharpen": Kind("train.sharpen", "SharpenTraining", copies="weights"),
    "critics": Kind("train.critics", "CriticsTraining", copies="vae"),
    "flow": Kind("train.flow", "FlowTraining", copies="weights"),
    "distil": Kind("train.distil", "DistilTraining", copies="weights"),
    "scenes": Kind("train.scenes", "ScenesMaking", file="scenes.safetensors", result="scenes.safetensors"),
    "matching": Kind("train.matching", "MatchingTraining", copies="weights"),
    "inherit": Kind("train.inherit", "InheritTraining", copies="weights"),
    "calibrate": Kind("train.calibrate", "CalibrateConfig", out="", copies="weights"),
    "parser": Kind("train.parser", "ParserTraining"),
    "upsampler": Kind("train.upsampler", "UpsamplerTraining"),
    "region": Kind("train.regions", "RegionTraining"),
    "finish": Kind("train.finish", "FinishTraining"),
    "adopt": Kind("train.adopt", "AdoptConfig", out="", copies="weights"),
    "colours": Kind("train.colours", "ColoursConfig", out="", copies="weights"),
    "evidence": Kind("train.evidence", "EvidenceConfig", out="", copies="weights"),
    "pairs": Kind("train.pairs", "PairsTraining", copies="weights"),
    "contrast": Kind("train.contrast", "ContrastConfig", out="", copies="weights"),
    "rules": Kind("train.rules", "RulesLearning", out="", copies="weights"),
    "further": Kind("train.further", "FurtherConfig", result=""),
    "evaluate": Kind("train.evaluate.__main__", "EvaluateConfig", out="", copies="weights"),
    "evaluate_photos": Kind("train.evaluate.photos", "PhotosConfig", file="photos.json", copies="weights"),
    "reliability": Kind("train.evaluate.reliability", "ReliabilityConfig", file="reliability.json", copies="weights"),
    "report": Kind("train.evaluate.report", "ReportConfig", out="", copies="weights"),
    "compare": Kind("train.compare", "CompareConfig", result=""),
}


def build(stage: str, config: type[Any], settings: Mapping[str, Any]) -> Any:
    """Settings as the program's own dataclass.

    Args:
        stage: its name, for messages.
        config: a frozen dataclass.
        settings: its fields, nested ones as mappings; what is not given keeps its default.

    Raises:
        RecipeError: a field is unknown, missing, or of another type.
    """
    _check_names(stage, config, settings, "")
    try:
        return TypeAdapter(config).validate_json(json.dumps(settings), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        found = "" if first["type"] == "missing" else f", not {first['input']!r}"
        message = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise RecipeError(f"Stage {stage!r}: {place or config.__name__}: {message}{found}.") from error


def _check_names(stage: str, config: type[Any], settings: Mapping[str, Any], prefix: str) -> None:
    hints = get_type_hints(config)
    for name, value in settings.items():
        if name not in hints:
            near = difflib.get_close_matches(name, hints, 1) or sorted(hints)
            raise RecipeError(f"Stage {stage!r} has no setting {prefix}{name}: did you mean {', '.join(near)}?")
        if dataclasses.is_dataclass(hints[name]) and isinstance(value, Mapping):
            _check_names(stage, hints[name], value, f"{prefix}{name}.")


def flags(settings: Mapping[str, Any], prefix: str = "--") -> list[str]:
    """Settings as tyro reads them on a command line.

    >>> flags({"images": 64, "bf16": False, "model": {"encoder_blocks": 2}, "extra": ["a b", "c"]})
    ['--images', '64', '--no-bf16', '--model.encoder-blocks', '2', '--extra', 'a b', 'c']
    """
    found: list[str] = []
    for name, value in settings.items():
        flag = prefix + name.replace("_", "-")
        if isinstance(value, Mapping):
            found += flags(value, f"{flag}.")
        elif isinstance(value, bool):
            head, dot, last = flag.removeprefix("--").rpartition(".")
            found.append(flag if value else f"--{head}{dot}no-{last}")
        else:
            found += [flag, *map(str, _flat(value))]
    return found


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def paths(config: Any, name: str = "") -> Iterator[tuple[str, Path]]:
    """Every path among the settings, by the setting's name."""
    if isinstance(config, Path):
        yield name, config
    elif isinstance(config, tuple):
        for part in config:
            yield from paths(part, name)
    elif dataclasses.is_dataclass(config):
        for field in dataclasses.fields(config):
            yield from paths(getattr(config, field.name), f"{name}.{field.name}".lstrip("."))
