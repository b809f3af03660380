"""A training's folder: config.json, the settings it was begun with; log.jsonl; checkpoint.pt."""

from __future__ import annotations

import dataclasses
import json
import pickle
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from lc.errors import LatentConstraintsError
from lc.files import append_text, whole, write_json, write_text
from train.engine import OPERATIONAL, RunConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["RunFolder", "first_difference"]

#: Settings that a run may be gone on with by other values of.
_FREE = OPERATIONAL | {"out", "resume"}
#: Settings of a run's length, which the learning rate's schedule is laid over.
_LENGTHS = ("images", "steps", "epochs")


class Difference(NamedTuple):
    """A setting, nested ones with dots, and its two values."""

    name: str
    before: Any
    now: Any


class RunFolder:
    """The folder of a run. Only the main process writes.

    Raises:
        LatentConstraintsError: a new run would overwrite another, there is none to go on with, or it is another run.
    """

    def __init__(self, config: RunConfig, engine: Accelerator) -> None:
        self.config, self.engine, self.path = config, engine, config.out
        self.last_save = time.monotonic()
        settings = self._settings() if config.resume else None
        begun = self.checkpoint.exists() or (self.log_file.exists() and self.log_file.stat().st_size)
        if not config.resume and begun:
            raise LatentConstraintsError(
                f"{self.path} holds a run already: go on with it by --resume, or name another folder with --out."
            )
        engine.wait_for_everyone()  # before the main process makes of this what another would refuse
        if engine.is_main_process and settings is None:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.path / "config.json", dataclasses.asdict(config))

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.pt"

    @property
    def log_file(self) -> Path:
        return self.path / "log.jsonl"

    def _settings(self) -> dict[str, Any] | None:
        """Those that the run was begun with; None where they cannot be read and nothing would be lost."""
        file = self.path / "config.json"
        if not file.exists():
            raise LatentConstraintsError(f"{self.path} holds no run to resume: check --out, or leave --resume out.")
        try:
            settings: dict[str, Any] = dict(json.loads(file.read_bytes()))
        except (ValueError, TypeError) as error:
            if not self.checkpoint.exists():
                return None
            raise LatentConstraintsError(
                f"{file} is damaged: put back a copy of the file, or delete {self.path} and start anew."
            ) from error
        found = first_difference(settings, dataclasses.asdict(self.config), _FREE)
        if found:
            why = ", on which its learning rate's schedule depends" if found.name in _LENGTHS else ""
            raise LatentConstraintsError(
                f"{self.path} holds a run with {found.name} {found.before}{why}, and not {found.now}: give the "
                "settings that it was begun with, or name another folder with --out."
            )
        return settings

    def restore(self, put: Callable[[dict[str, Any]], object]) -> tuple[int, float]:
        """Hand the checkpoint's state to `put`; without one, in a new run, do nothing.

        Returns:
            The step to go on from, and the seconds that the run has taken so far.

        Raises:
            LatentConstraintsError: the checkpoint is damaged, or of nets of other sizes.
        """
        if not self.config.resume or not self.checkpoint.exists():
            if self.engine.is_main_process:
                self._forget_lines_after(0)
            return 0, 0.0
        try:
            state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            step, seconds = int(state["step"]), float(state["seconds"])
        except (RuntimeError, EOFError, ValueError, TypeError, LookupError, pickle.UnpicklingError) as error:
            raise LatentConstraintsError(
                f"{self.checkpoint} is damaged: delete {self.path} and start anew, or put back a copy of the file."
            ) from error
        try:
            put(state)
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise LatentConstraintsError(
                f"{self.checkpoint} is of a run of other sizes: give the settings that it was begun with, or name "
                "another folder with --out."
            ) from error
        if self.engine.is_main_process:
            self._forget_lines_after(step)
        return step, seconds

    def save(self, step: int, seconds: float, state: Callable[[], Mapping[str, Any]], *, force: bool = False) -> None:
        """Write the checkpoint when it is due. A kill at any moment leaves the old or the new one whole."""
        due = force or time.monotonic() - self.last_save > 60 * self.config.save_minutes
        if not due or not self.engine.is_main_process:
            return
        with whole(self.checkpoint) as file:
            torch.save({"step": step, "seconds": seconds, **state()}, file)
        self.last_save = time.monotonic()

    def log(self, line: Mapping[str, float]) -> None:
        """Append a line to log.jsonl."""
        if self.engine.is_main_process:
            append_text(self.log_file, json.dumps(line) + "\n")

    def _forget_lines_after(self, step: int) -> None:
        """Leave the lines up to a step, and none that was cut short."""
        if not self.log_file.exists():
            return
        lines = self.log_file.read_bytes().decode(errors="replace").splitlines(keepends=True)
        kept = "".join(line for line in lines if line.endswith("\n") and _step(line) <= step)
        if kept:
            write_text(self.log_file, kept)
        else:
            self.log_file.unlink()


def _step(line: str) -> float:
    """The step of a log's line, infinite where it says none."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, LookupError):
        return float("inf")


def first_difference(before: Any, now: Any, free: frozenset[str] = frozenset(), name: str = "") -> Difference | None:
    """The first setting that differs between what JSON gave back and a dataclass as a dictionary.

    Paths are the same where they lead to the same place.

    >>> first_difference({"lr": 0.1, "model": {"widths": [8, 8]}}, {"lr": 0.1, "model": {"widths": (8, 4)}})
    Difference(name='model.widths', before=[8, 8], now=(8, 4))
    """
    if isinstance(now, Mapping) and isinstance(before, Mapping):
        for key in now:
            found = first_difference(before.get(key, "none"), now[key], name=f"{name}.{key}".lstrip("."))
            if found and key not in free:
                return found
        return None
    if isinstance(now, tuple) and isinstance(before, list) and len(now) == len(before):
        same = not any(first_difference(*pair) for pair in zip(before, now, strict=True))
    elif isinstance(now, Path) and isinstance(before, str):
        same = Path(before).resolve() == now.resolve()
    else:
        same = before == now
    return None if same else Difference(name, before, now)
