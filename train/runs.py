"""Run a recipe's stages, or say which would run.

A stage's folder holds unfinished.json while it runs and stage.json, written last, when it is done: fingerprint, how it
was made, on what. The fingerprint's parts are code, settings, data, and for each input the identity of the run that
made it; a stage whose parts are unchanged is skipped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lc.files import write_json
from train import provenance
from train.kinds import RecipeError
from train.recipe import Job, Recipe

try:
    import fcntl
except ImportError:  # Windows: two runs at once are not noticed there
    fcntl = None  # type: ignore[assignment]

__all__ = ["Plan", "check_data", "plan", "run"]

RECORD, STARTED = "stage.json", "unfinished.json"
PROVENANCE = "provenance.json"
BEFORE = ".before"  # what a stage made the last time, until it is made once more

Action = Literal["run", "resume", "skip"]


@dataclass(frozen=True)
class Plan:
    """What is to be done with a stage, why, and the parts of its fingerprint (None while an input is still to run)."""

    job: Job
    action: Action
    reason: str
    parts: dict[str, Any] | None


def check_data(recipe: Recipe, stages: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Count and hash the data that stages start from; see `train.provenance.data`.

    Raises:
        RecipeError: a folder is missing or holds fewer photos than the recipe wants.
    """
    found = {}
    for name in dict.fromkeys(name for stage in stages for name in recipe.stages[stage].data):
        data = recipe.data[name]
        if not data.path.exists():
            raise RecipeError(f"There is no {data.path}: put {name!r} there, or name the folder above it with --data.")
        found[name] = provenance.data(data.path)
        if data.photos is not None and found[name]["photos"] < data.photos:
            raise RecipeError(
                f"{data.path} holds {found[name]['photos']:,} photos and the recipe wants {data.photos:,}: fetch the "
                "rest, or change the number in the recipe."
            )
    return found


def chosen(recipe: Recipe, start: str | None, only: str | None) -> tuple[list[str], set[str]]:
    """The stages to look at, in order, and those that run even if nothing has changed.

    Raises:
        RecipeError: no such stage, or an input of `only` was never made.
    """
    for name in (start, only):
        if name is not None and name not in recipe.stages:
            raise RecipeError(f"{recipe.source} has no stage {name!r}: it has {', '.join(recipe.stages)}.")
    forced = recipe.downstream(start) if start else set[str]()
    if only is None:
        return list(recipe.stages), forced
    for name in recipe.stages[only].inputs:
        if not (recipe.folder / name / RECORD).exists():
            raise RecipeError(f"Stage {only!r} needs {name!r}, which was not run yet: leave --only out.")
    return [only], forced & {only}


def plan(recipe: Recipe, name: str, data: dict[str, dict[str, Any]], pending: set[str], forced: bool) -> Plan:
    """What is to be done with a stage.

    Args:
        data: of `check_data`.
        pending: stages that are still to run.
        forced: run it in any case, from its beginning.

    Raises:
        RecipeError: its folder holds an unfinished run of something else, or what no recipe made.
    """
    stage = recipe.stages[name]
    job, parts = recipe.job(stage), None
    if not (waiting := [other for other in stage.inputs if other in pending]):
        inputs = {other: _read(recipe.folder / other / RECORD)["identity"] for other in stage.inputs}
        hashes = {key: str(value["sha256"]) for key, value in data.items()}
        parts = recipe.parts(stage, inputs, hashes)
    done, started = _read(job.folder / RECORD), _read(job.folder / STARTED)
    if not done and not started and job.folder.exists() and any(job.folder.iterdir()):
        raise RecipeError(f"{job.folder} holds files that no recipe made: move them, or choose another --out.")
    if forced:
        return Plan(job, "run", "asked for", parts)
    if done:
        reasons = [f"{other} runs" for other in waiting] or _changes(done["parts"], parts or {})
        if not reasons and not job.result.exists():
            reasons = [f"{job.result} is gone"]
        return Plan(job, "run" if reasons else "skip", ", ".join(reasons) or "up to date", parts)
    if not started or not (job.folder / "checkpoint.pt").exists():
        return Plan(job, "run", "was not run yet", parts)
    if waiting or _changes(started["parts"], parts or {}):
        changed = ", ".join(waiting) or ", ".join(_changes(started["parts"], parts or {}))
        raise RecipeError(
            f"{job.folder} holds an unfinished run, and since then there changed: {changed}; undo that to go on with "
            f"it, or begin it again with --from {name}."
        )
    return Plan(job, "resume", "was interrupted", parts)


def run(recipe: Recipe, *, start: str | None = None, only: str | None = None, dry: bool = False) -> None:
    """Run what is not up to date.

    Args:
        start: this stage and all that depend on it run in any case.
        only: leave all other stages alone.
        dry: only say what would run.

    Raises:
        RecipeError: something is wrong that a person can put right; the stages before it are done then.
    """
    names, forced = chosen(recipe, start, only)
    data = check_data(recipe, names)
    for name, found in data.items():
        print(f"data {name}: {recipe.data[name].path}, {found['photos']:,} photos, list {found['sha256'][:12]}")
    pending: set[str] = set()
    for name in names:  # all of them before the first runs: what is to be refused is refused now
        found_plan = plan(recipe, name, data, pending, name in forced)
        if found_plan.action != "skip":
            pending.add(name)
        if dry:
            _say(found_plan)
    if dry:
        return
    with _alone(recipe.folder) as lock:
        for name in names:
            now = plan(recipe, name, data, set(), name in forced)
            _say(now)
            if now.action != "skip":
                _execute(recipe, now, data, lock)


def _say(plan: Plan) -> None:
    job = plan.job
    print(f"{job.stage.name}: {plan.action}, {plan.reason}", flush=True)
    if plan.action == "skip":
        return
    if job.copy and plan.action == "run":
        print(f"    mkdir -p {shlex.quote(str(job.folder))}")
        print(f"    cp -r {shlex.join([str(job.copy), str(job.folder / 'weights')])}")
    print(f"    python -m {shlex.join(_command(plan))}", flush=True)


def _command(plan: Plan) -> list[str]:
    return [*plan.job.command, *(["--resume"] if plan.action == "resume" else [])]


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two fingerprints' parts, in words."""
    if not now:
        return []
    found = ["code"] if before["code"] != now["code"] else []
    for part in ("settings", "inputs", "data"):
        names = before[part].keys() | now[part].keys()
        found += sorted(name for name in names if before[part].get(name) != now[part].get(name))
    return found


def _execute(recipe: Recipe, plan: Plan, data: dict[str, dict[str, Any]], lock: int | None) -> None:
    """Run a stage, and say in its folder how it was made."""
    job, began, busy = plan.job, time.time(), _cpu()
    spent = _begin(job, plan)
    command = [sys.executable, "-m", *_command(plan)]
    paths = [str(provenance.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    # The lock is handed on: should this program be killed, the stage goes on, and nobody may begin it a second time.
    handed = () if lock is None else (lock,)
    code, name = subprocess.run(command, env=environment, pass_fds=handed).returncode, job.stage.name
    if code != 0:
        raise RecipeError(f"Stage {name!r} ended with code {code}: mend what it says above, and run this again.")
    if not job.result.exists():
        raise RecipeError(f"Stage {name!r} ended without making {job.result}: look at what it says above.")
    assert plan.parts is not None
    fingerprint = _hash(plan.parts)
    record = {
        "recipe": str(recipe.source),
        "stage": job.stage.name,
        "fingerprint": fingerprint,
        "identity": _hash([fingerprint, began]),
        "parts": plan.parts,
        "settings": dataclasses.asdict(job.config),
        "command": ["python", "-m", *job.command],
        "data": {name: {"path": recipe.data[name].path, **data[name]} for name in job.stage.data},
        "git": provenance.git(),
        "versions": provenance.versions(),
        "machine": provenance.machine(),
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(began)),
        "minutes": round(spent + (time.time() - began) / 60, 2),
        "cpu_minutes": round((_cpu() - busy) / 60, 2),  # of the last go, where it was interrupted
    }
    if job.stage.kind.result == "weights":
        others = [_read(recipe.folder / name / RECORD) for name in recipe.upstream(job.stage.name)[:-1]]
        # Weights travel: where their maker keeps photos is nobody's business.
        places = {str(data.path): f"@{title}" for title, data in recipe.data.items()}
        places |= {str(recipe.source): recipe.source.name, str(recipe.folder): f"runs/{recipe.folder.name}"}
        write_json(job.result / PROVENANCE, _renamed({"stages": [*others, record]}, places))
    write_json(job.folder / RECORD, record)
    (job.folder / STARTED).unlink()
    print(f"{name}: done in {record['minutes']:.2f} minutes, {record['cpu_minutes']:.2f} of a core", flush=True)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """JSON in which paths, and those of what is in them, have other names."""
    if isinstance(value, dict):
        return {key: _renamed(one, names) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(one, names) for one in value]
    if not isinstance(value, str | Path):
        return value
    text = str(value)
    return next((new + text[len(old) :] for old, new in names.items() if f"{text}/".startswith(f"{old}/")), value)


def _begin(job: Job, plan: Plan) -> float:
    """Make a stage's folder ready; returns the minutes that an interrupted run of it took."""
    started, spent = _read(job.folder / STARTED), 0.0
    if plan.action == "resume":
        saved = (job.folder / "checkpoint.pt").stat().st_mtime
        spent = started["spent"] + max(0.0, saved - started["began"]) / 60
    elif job.folder.exists():
        before = job.folder.parent / BEFORE / job.folder.name
        if (job.folder / RECORD).exists():  # hours of work, perhaps: kept until the next time
            shutil.rmtree(before, ignore_errors=True)
            before.parent.mkdir(exist_ok=True)
            job.folder.replace(before)
        else:
            shutil.rmtree(job.folder)
    job.folder.mkdir(parents=True, exist_ok=True)
    began = {"parts": plan.parts, "began": time.time(), "spent": spent}
    write_json(job.folder / STARTED, began)
    weights = job.folder / "weights"
    if job.copy and not weights.exists():
        draft = job.folder / ".weights"
        shutil.rmtree(draft, ignore_errors=True)
        # Copies, not links: programs write into files that are there.
        shutil.copytree(job.copy, draft, ignore=shutil.ignore_patterns(PROVENANCE))
        draft.replace(weights)
    return spent


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[int | None]:
    """Hold a recipe's folder; yields the lock's file descriptor."""
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield None
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RecipeError(f"Another run is busy in {folder}: wait for it, or choose another --out.") from error
        yield file.fileno()


def _cpu() -> float:
    """Seconds that the stages so far have computed."""
    times = os.times()
    return times.children_user + times.children_system


def _read(path: Path) -> dict[str, Any]:
    """A JSON file, or an empty dictionary where there is none that is whole."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
