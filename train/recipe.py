"""A recipe: the stages of a training in one TOML file, as a graph, each reading folders and writing a new one.

    [data]                          # folders, below the root that --data names
    root = "data"
    celeba = { path = "celeba", photos = 8_999 }

    [all]                           # settings of every stage that has them
    threads = 1

    [stages.vae]
    run = "vae"                     # see train.kinds
    celeba = "@celeba"              # a folder of [data], or what a stage made; "@vae/log.jsonl": a file of it
    images = 384_000

    [stages.vae2]
    like = "vae"                    # the same settings, but for those that follow
    init = "@vae"
    seed = 1

    [scale.smoke.vae]               # with --scale smoke; [scale.smoke.all] for all
    images = 640

The order comes from graphlib. DVC, Snakemake and Prefect would add a daemon, a cache or a language of their own, and
none of them checks settings against a program's dataclass, goes on from its checkpoint or hands it a copy of its
input; what is left of their work here is a sort and a comparison of hashes, a few dozen lines. Every stage runs as the
command that --dry-run prints: memory is clean after it, and a stage can be repeated by hand.
"""

from __future__ import annotations

import dataclasses
import graphlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train import provenance
from train.engine import OPERATIONAL
from train.kinds import KINDS, Kind, RecipeError, build, flags, paths

__all__ = ["Data", "Job", "Recipe", "RecipeError", "Stage", "locate", "read"]

FOLDER = Path(__file__).parent / "recipes"
_REFERENCE = re.compile(r"@([\w-]+)(?:/(.+))?")
_NAME = re.compile(r"[A-Za-z0-9][\w-]*")


@dataclass(frozen=True)
class Data:
    """A folder that the recipe starts from; `photos` is how many pictures there must be at least, or None."""

    path: Path
    photos: int | None


@dataclass(frozen=True)
class Stage:
    """One program with its settings, references not yet resolved.

    Attributes:
        inputs, data: names of the stages and of the data that its settings refer to.
    """

    name: str
    kind: Kind
    settings: dict[str, Any]
    inputs: tuple[str, ...]
    data: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """A stage ready to run.

    Attributes:
        folder: where it writes.
        config: its settings, resolved.
        command: what is run, after "python -m".
        copy: the folder that is copied to `folder`/weights first, or None.
    """

    stage: Stage
    folder: Path
    config: Any
    command: list[str]
    copy: Path | None

    @property
    def result(self) -> Path:
        """What the stage leaves for others."""
        return self.folder / self.stage.kind.result


@dataclass(frozen=True)
class Recipe:
    """Stages in an order in which they can run.

    Attributes:
        source: the file it was read from.
        folder: where its stages write, each into a folder of its own.
    """

    name: str
    source: Path
    folder: Path
    stages: dict[str, Stage]
    data: dict[str, Data]

    def job(self, stage: Stage) -> Job:
        """A stage with its references resolved.

        Raises:
            RecipeError: a setting does not fit the program, or names a path that is no reference.
        """
        kind, folder = stage.kind, self.folder / stage.name
        settings = _substituted(stage.settings, lambda text: str(self._place(stage, text)))
        copy = None
        if kind.copies and kind.copies in settings:
            copy = Path(settings[kind.copies])
            settings[kind.copies] = str(folder / "weights")
        if kind.out:
            settings[kind.out] = str(folder / kind.file)
        config = build(stage.name, kind.type(), settings)
        known = {str(Path(text)) for text in _texts(settings)}
        given = {text for text in _texts(stage.settings) if not text.startswith("@")}
        for name, path in paths(config):
            if str(path) in given or str(path) not in known:
                raise RecipeError(
                    f"Stage {stage.name!r}: {name} is {path}, which its folder says nothing of: list it under [data], "
                    f'or name a stage, and write {name} = "@NAME".'
                )
        module = kind.module.removesuffix(".__main__")
        return Job(stage, folder, config, [module, *flags(settings)], copy)

    def _place(self, stage: Stage, reference: str) -> Path:
        name, below = _parsed(reference)
        if name == "self":
            return self.folder / stage.name / (below or "")
        if name in self.data:
            return self.data[name].path / (below or "")
        return self.folder / name / (self.stages[name].kind.result if below is None else below)

    def downstream(self, name: str) -> set[str]:
        """A stage and all that depend on it."""
        found = {name}
        for stage in self.stages.values():  # in order, so that one pass is enough
            if found.intersection(stage.inputs):
                found.add(stage.name)
        return found

    def upstream(self, name: str) -> list[str]:
        """All stages that a stage depends on, in order, and itself."""
        found = {name}
        for stage in reversed(self.stages.values()):
            if stage.name in found:
                found.update(stage.inputs)
        return [stage for stage in self.stages if stage in found]

    def parts(self, stage: Stage, inputs: Mapping[str, str], data: Mapping[str, str]) -> dict[str, Any]:
        """What decides whether a stage that ran once would give the same again: its fingerprint's parts."""
        return {
            "code": provenance.code(stage.kind.module),
            "settings": {name: value for name, value in stage.settings.items() if name not in OPERATIONAL},
            "inputs": {name: inputs[name] for name in stage.inputs},
            "data": {name: data[name] for name in stage.data},
        }


def locate(text: str) -> Path:
    """The file of a recipe, given as a path or as the name of one in train/recipes.

    Raises:
        RecipeError: there is none; the message lists those that there are.
    """
    for path in (Path(text), FOLDER / text, FOLDER / f"{text}.toml", FOLDER.parent / text):
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in FOLDER.glob("*.toml")))
    raise RecipeError(f"There is no recipe {text!r}: give a TOML file, or one of {names}.")


def read(path: Path, scale: str | None = None, root: Path | None = None, out: Path = Path("runs")) -> Recipe:
    """Read and check a recipe; nothing is run.

    Args:
        path: the TOML file.
        scale: the table of overrides under [scale] to use, whose runs have a folder of their own.
        root: the folder that [data]'s are below, instead of the recipe's own.
        out: the folder for what recipes make.

    Raises:
        RecipeError: the file, a stage, a setting or a reference is wrong.
    """
    try:
        text = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read as TOML: {error}.") from error
    if unknown := set(text) - {"data", "all", "stages", "scale"}:
        raise RecipeError(f"{path} has a table {min(unknown)!r}: a recipe has data, all, stages and scale.")
    scales = text.get("scale", {})
    if scale is not None and scale not in scales:
        raise RecipeError(f"{path} has no [scale.{scale}]: it has {', '.join(scales) or 'none'}.")
    tables, over = text.get("stages", {}), scales.get(scale, {})
    if bad := [name for name, table in [*tables.items(), *over.items()] if not isinstance(table, dict)]:
        raise RecipeError(f"{path}: {bad[0]} must be a table of settings.")
    if unknown := set(over) - {"all"} - set(tables):
        raise RecipeError(f"[scale.{scale}.{min(unknown)}] names no stage of {path}.")
    data = _data(text.get("data", {}), root)
    chosen = {name: _stage(path, name, tables, text.get("all", {}), over, data) for name in tables}
    _check_all(path, {**text.get("all", {}), **over.get("all", {})}, chosen.values())
    order = _sorted(chosen)
    folder = out / (path.stem if scale is None else f"{path.stem}-{scale}")
    recipe = Recipe(path.stem, path, folder, {name: chosen[name] for name in order}, data)
    for stage in recipe.stages.values():
        recipe.job(stage)
    return recipe


def _data(table: Mapping[str, Any], root: Path | None) -> dict[str, Data]:
    """[data]: each entry a path, or a table of path and photos. "./..." is below the working folder, not the root."""
    base, found = root or Path(table.get("root", ".")), {}
    for name, value in table.items():
        if name == "root":
            continue
        entry: dict[str, Any] = {"path": value} if isinstance(value, str) else value
        try:
            text, photos = entry.pop("path"), entry.pop("photos", None)
            if entry or not isinstance(text, str) or not isinstance(photos, int | None):
                raise TypeError
        except (AttributeError, KeyError, TypeError) as error:
            raise RecipeError(f"[data] {name} must be a path, or a table of path and photos, a number.") from error
        found[name] = Data(Path(text) if text.startswith("./") else base / text, photos)
    return found


def _stage(
    path: Path,
    name: str,
    tables: Mapping[str, Any],
    everyone: Mapping[str, Any],
    scale: Mapping[str, Any],
    data: Mapping[str, Data],
) -> Stage:
    """One stage of the file, with what it takes from [all], from the stage it is like, and from the scale."""
    if not _NAME.fullmatch(name) or name in ("self", "all") or name in data:
        raise RecipeError(f"{path}: {name!r} cannot be a stage's name: take letters and digits, and no name of [data].")
    chain = [name]
    while like := tables[chain[-1]].get("like"):
        if like not in tables or like in chain:
            raise RecipeError(f"Stage {chain[-1]!r} is like {like!r}, which is no other stage.")
        chain.append(like)
    title = next((tables[link]["run"] for link in chain if "run" in tables[link]), None)
    if title not in KINDS:
        raise RecipeError(f"Stage {name!r} runs {title!r}: write run = and one of {', '.join(KINDS)}.")
    kind = KINDS[title]
    fields = {field.name for field in dataclasses.fields(kind.type())}
    settings: dict[str, Any] = {}
    for shared, own in ((everyone, tables), (scale.get("all", {}), scale)):
        settings = _merged(settings, {key: value for key, value in shared.items() if key in fields})
        for link in reversed(chain):
            settings = _merged(settings, own.get(link, {}))
    settings = {key: value for key, value in settings.items() if key not in ("like", "run")}
    for engine in {kind.out, "resume"} & set(settings):
        raise RecipeError(f"Stage {name!r} sets {engine}, which the recipe's engine does: leave it out.")
    named = [_parsed(text)[0] for text in _texts(settings) if text.startswith("@")]
    for other in named:
        if other not in {"self", *tables, *data}:
            known = ", ".join([*tables, *data])
            raise RecipeError(f"Stage {name!r} refers to @{other}, which is no stage and no data: there are {known}.")
    inputs = tuple(dict.fromkeys(other for other in named if other in tables))
    return Stage(name, kind, settings, inputs, tuple(dict.fromkeys(other for other in named if other in data)))


def _check_all(path: Path, settings: Mapping[str, Any], stages: Any) -> None:
    """A mistyped setting for all would reach nobody."""
    known = {field.name for stage in stages for field in dataclasses.fields(stage.kind.type())}
    if unknown := set(settings) - known:
        raise RecipeError(f"{path}: no stage has the setting {min(unknown)} of [all].")


def _sorted(stages: Mapping[str, Stage]) -> Iterator[str]:
    """Names in an order in which each stage follows its inputs, otherwise as in the file."""
    sorter = graphlib.TopologicalSorter({name: stage.inputs for name, stage in stages.items()})
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        raise RecipeError(f"The stages {' <- '.join(error.args[1])} wait for one another: break the circle.") from error
    position, ready = {name: i for i, name in enumerate(stages)}, list[str]()
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=position.__getitem__)
        yield ready[0]
        sorter.done(ready.pop(0))


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the settings of `over` in place of its own, tables within tables alike."""
    merged = {**base, **over}
    for name, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping):
            merged[name] = _merged(base[name], value)
    return merged


def _parsed(reference: str) -> tuple[str, str | None]:
    match = _REFERENCE.fullmatch(reference)
    if not match:
        raise RecipeError(f"{reference!r} is no reference: write @STAGE or @STAGE/FILE.")
    return match[1], match[2]


def _texts(value: Any) -> Iterator[str]:
    """Every string in nested tables and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def _substituted(value: Any, place: Any) -> Any:
    """Nested tables and lists with each reference replaced."""
    if isinstance(value, Mapping):
        return {name: _substituted(part, place) for name, part in value.items()}
    if isinstance(value, list):
        return [_substituted(part, place) for part in value]
    return place(value) if isinstance(value, str) and value.startswith("@") else value
