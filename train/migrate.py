"""Copy a weights folder of an earlier format, and bring the copy's config.json up to date.

    python -m train.migrate OLD NEW

What a folder lacks is put in: checksums of its files, the attributes' titles and rules for a folder that lists names
only (those of train.attributes, which must have the same names), and the tuning that its program had in its code.
Tables of calibration.json get their present names.

The tensors stay as they are, to the bit. Only do this with a folder whose origin you trust: a checksum says that a file
is the one which was there when it was made, and nothing about who made it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from lc.checksums import load_config, parse_json, save_files
from lc.errors import WeightsError
from lc.files import write_bytes
from lc.identity import FILE
from lc.tensors import check_finite, parse_tensors
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.engine import parse, program
from train.tuning import LEGACY_TUNING

# What tables of calibration.json were called, and what they are called now.
_TABLES = {"lengths": "step_scales", "shown": "target_margins"}


@dataclass(frozen=True)
class MigrateConfig:
    """Put checksums into a copy of a weights folder."""

    old: Positional[Path]
    """The folder as it is."""
    new: Positional[Path]
    """The folder to write, which must not be there."""


def migrate(old: Path, new: Path) -> int:
    """Write `new`, and return how many of its files have a checksum.

    Raises:
        WeightsError: `old` is damaged, or of attributes that `train.attributes` does not have, or `new` is there.
        OSError: a file cannot be read or written.
    """
    if new.exists():
        raise WeightsError(f"{new} is there already: name a new folder.")
    config, loaded = up_to_date(load_config(old), old), {}
    new.mkdir(parents=True)
    for path in sorted(path for path in old.rglob("*") if path.is_file() and path != old / "config.json"):
        data, name = path.read_bytes(), path.relative_to(old)
        if path.suffix == ".safetensors":
            for tensor in parse_tensors(data, path).values():
                check_finite(tensor, str(path))
        if path.parent == old and path.name.endswith((".safetensors", ".safetensors.index.json", FILE)):
            loaded[path.name] = _renamed(data, path) if path.name == FILE else data
        else:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(new / name, data)
    save_files(new, loaded, **{name: value for name, value in config.items() if name not in ("format", "files")})
    return len(loaded)


def up_to_date(config: dict[str, Any], old: Path) -> dict[str, Any]:
    """config.json of today's form, for a whole model; a folder of classifiers only stays as it is."""
    if "attributes" not in config:
        return config
    attributes = config["attributes"]
    if isinstance(attributes, list):
        if attributes != list(ATTRIBUTES):
            raise WeightsError(
                f"{old} knows other attributes than {', '.join(ATTRIBUTES)}: name a file that describes them in "
                "LC_ATTRIBUTES, see train/attributes.py."
            )
        attributes = ATTRIBUTE_SET.as_json()
    return {**config, "attributes": attributes, "tuning": config.get("tuning", LEGACY_TUNING)}


def _renamed(data: bytes, path: Path) -> bytes:
    """calibration.json with the present names of its tables; the same bytes where it has them already."""
    try:
        tables = parse_json(data)
        names = [_TABLES.get(name, name) for name in tables]
    except (ValueError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged: fetch the folder again.") from error
    if names == list(tables):
        return data
    return f"{json.dumps(dict(zip(names, tables.values(), strict=True)), indent=2)}\n".encode()


@program
def main() -> None:
    config = parse(MigrateConfig)
    print(f"{migrate(config.old, config.new)} files of {config.new} have a checksum.")


if __name__ == "__main__":
    main()
