"""Modules <-> safetensors files of a weights folder: fp16, split so that each stays under 9 MB, and checked.

What is read is what its checksum says, see `lc.checksums`, and no number in it is NaN or infinite.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lc.checksums import is_listed, parse_json, read_file, save_files
from lc.errors import WeightsError

__all__ = ["Unfilled", "check_finite", "load_module", "parse_tensors", "save_module", "save_modules"]


def save_module(folder: Path, name: str, module: nn.Module) -> None:
    """Write a module's weights as fp16, in one NAME.safetensors or several with an index."""
    save_modules(folder, {name: module})


def save_modules(folder: Path, modules: Mapping[str, nn.Module], **sections: Any) -> None:
    """Write modules under these names, and then what config.json says of them."""
    contents: dict[str, bytes] = {}
    for name, module in modules.items():
        contents |= _encoded(name, module)
    there = (path.name for path in folder.glob("*.safetensors*"))
    parts = "|".join(map(re.escape, modules))
    shards = re.compile(rf"({parts})(-\d{{5}}-of-\d{{5}})?\.safetensors(\.index\.json)?")
    save_files(folder, contents, stale=[name for name in there if shards.fullmatch(name)], **sections)


def _encoded(name: str, module: nn.Module) -> dict[str, bytes]:
    """The files of a module, by name."""
    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in module.state_dict().items()
    }
    pattern = f"{name}{{suffix}}.safetensors"
    split = split_torch_state_dict_into_shards(state, filename_pattern=pattern, max_shard_size="9MB")
    files = {
        file: safetensors.torch.save({key: state[key] for key in keys}, {"format": "pt"})
        for file, keys in split.filename_to_tensors.items()
    }
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        files[f"{name}.safetensors.index.json"] = json.dumps(index, indent=2).encode()
    return files


def load_module(folder: Path, name: str, module: nn.Module) -> None:
    """Read what `save_module` wrote into a module of the same shape.

    Raises:
        WeightsError: a file is missing, damaged, not the one that config.json describes, or made for other sizes.
    """
    state: dict[str, Tensor] = {}
    files: dict[str, Path] = {}
    for file in _shards(folder, name):
        tensors = parse_tensors(read_file(folder, file), folder / file)
        state |= tensors
        files |= dict.fromkeys(tensors, folder / file)
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsError(
            f"The weights of the {name.replace('_', ' ')} in {folder} were made for another config.json: fetch the "
            "folder again."
        ) from error
    for key, value in module.state_dict().items():  # float32, which is quicker to check than fp16
        check_finite(value, f"{files[key]} ({key})")


def _shards(folder: Path, name: str) -> list[str]:
    """The files that a module lies in."""
    index = f"{name}.safetensors.index.json"
    if not is_listed(folder, index):
        return [f"{name}.safetensors"]
    try:
        return sorted({str(file) for file in parse_json(read_file(folder, index))["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{folder / index} is damaged: fetch the folder again.") from error


def parse_tensors(data: bytes, path: str | Path) -> dict[str, Tensor]:
    """The tensors in the bytes of a safetensors file; `path` is for messages.

    Raises:
        WeightsError: damaged.
    """
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is damaged: fetch it again.") from error


class Unfilled(TorchFunctionMode):
    """Nets that are built under it draw no random weights: a file has them, and drawing takes a third of loading."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def check_finite(tensor: Tensor, name: str) -> None:
    """Refuse NaN and infinity in a tensor; `name` says in which file.

    Raises:
        WeightsError: there are some.
    """
    # A sum is NaN or infinite where a number is, and takes a twentieth of the time.
    if not tensor.sum(dtype=torch.float32).isfinite() and not tensor.isfinite().all():
        raise WeightsError(f"{name} holds NaN or infinity: fetch it again, or train it anew.")
