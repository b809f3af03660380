"""Copy a weights folder that was written before there were checksums, and put them into the copy's config.json.

    python -m train.migrate OLD NEW

The tensors stay as they are, to the bit. Only do this with a folder whose origin you trust: a checksum says that a file
is the one which was there when it was made, and nothing about who made it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from lc.checksums import load_config, save_files
from lc.errors import WeightsError
from lc.files import write_bytes
from lc.identity import FILE
from lc.tensors import check_finite, parse_tensors
from train.engine import parse, program


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
        WeightsError: `old` is damaged, or `new` is there already.
        OSError: a file cannot be read or written.
    """
    if new.exists():
        raise WeightsError(f"{new} is there already: name a new folder.")
    config, loaded = load_config(old), {}
    new.mkdir(parents=True)
    for path in sorted(path for path in old.rglob("*") if path.is_file() and path != old / "config.json"):
        data, name = path.read_bytes(), path.relative_to(old)
        if path.suffix == ".safetensors":
            for tensor in parse_tensors(data, path).values():
                check_finite(tensor, str(path))
        if path.parent == old and path.name.endswith((".safetensors", ".safetensors.index.json", FILE)):
            loaded[path.name] = data
        else:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(new / name, data)
    save_files(new, loaded, **{name: value for name, value in config.items() if name not in ("format", "files")})
    return len(loaded)


@program
def main() -> None:
    config = parse(MigrateConfig)
    print(f"{migrate(config.old, config.new)} files of {config.new} have a checksum.")


if __name__ == "__main__":
    main()
