"""config.json of a weights folder, and the SHA-256 that it holds of every other file which is loaded from there.

A file is read once, and what is checked is what is used. config.json is written last: a folder whose writing was
interrupted is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from lc.errors import WeightsError
from lc.files import write_bytes, write_json

__all__ = [
    "FORMAT",
    "digest",
    "forget_missing",
    "is_listed",
    "load_config",
    "parse_json",
    "read_file",
    "save_config",
    "save_files",
]

FORMAT = 1


def load_config(folder: Path) -> dict[str, Any]:
    """Read config.json.

    Raises:
        WeightsError: missing, unreadable, or of another format.
    """
    try:
        config = parse_json((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder / 'config.json'} is missing or damaged: fetch the weights again.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise WeightsError(f"{folder} holds weights of another format: update the program or fetch matching weights.")
    return config


def save_config(folder: Path, **sections: Any) -> None:
    """Write sections into config.json, keeping the others that are there.

    Raises:
        WeightsError: the one that is there is damaged.
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    known = load_config(folder) if path.exists() else {}
    write_json(path, {"format": FORMAT, **known, **sections})


def save_files(folder: Path, contents: Mapping[str, bytes], stale: Iterable[str] = (), **sections: Any) -> None:
    """Write files, each whole, and then their checksums and sections into config.json; see `save_config` for errors.

    Args:
        folder: made where it is not there.
        contents: file name -> bytes.
        stale: names of files that these replace, which are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = load_config(folder).get("files", {}) if (folder / "config.json").exists() else {}
    for name, data in contents.items():
        write_bytes(folder / name, data)
    gone = set(stale) - contents.keys()
    files = {name: value for name, value in known.items() if name not in gone}
    files |= {name: digest(data) for name, data in contents.items()}
    save_config(folder, **sections, files=dict(sorted(files.items())))
    for name in gone:
        (folder / name).unlink(missing_ok=True)


def forget_missing(folder: Path, name: str) -> None:
    """Take a file that somebody removed out of config.json, to do without it."""
    files = load_config(folder).get("files", {})
    if name in files and not (folder / name).exists():
        save_config(folder, files={other: value for other, value in files.items() if other != name})


def is_listed(folder: Path, name: str) -> bool:
    """Whether config.json speaks of a file, or the file is there: `read_file` is to decide then."""
    files = load_config(folder).get("files") if (folder / "config.json").exists() else None
    return (folder / name).exists() or (isinstance(files, dict) and name in files)


def read_file(folder: Path, name: str) -> bytes:
    """A file of a weights folder.

    Raises:
        WeightsError: it is missing, has no checksum, or another one.
    """
    path, files = folder / name, load_config(folder).get("files")
    if not isinstance(files, dict):
        raise WeightsError(
            f"{folder} has no checksums: if you trust it, run python -m train.migrate {folder} NEW_FOLDER and use that."
        )
    if name not in files or Path(name).name != name:
        raise WeightsError(
            f"{path} has no checksum in config.json: fetch the folder again, or run python -m train.migrate {folder} "
            "NEW_FOLDER if you trust it."
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} is missing or cannot be read: fetch the folder again.") from error
    if digest(data) != files[name]:
        raise WeightsError(f"{path} is not the file whose checksum is in config.json: fetch the folder again.")
    return data


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def parse_json(data: bytes) -> Any:
    """JSON, in which no number is NaN or infinite.

    Raises:
        ValueError: it is none.
    """

    def refuse(text: str) -> NoReturn:
        raise ValueError(f"{text} is no number")

    def finite(text: str) -> float:
        value = float(text)
        return value if math.isfinite(value) else refuse(text)

    return json.loads(data, parse_constant=refuse, parse_float=finite)
