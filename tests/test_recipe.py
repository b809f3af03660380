"""The recipe's engine on two toy stages, and the recipes that ship: their settings are what the programs take."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tyro
from processes import ROOT, environment, finish_here

from lc.editor import FaceEditor
from train import provenance
from train.kinds import KINDS, Kind, RecipeError
from train.recipe import FOLDER, Recipe, locate, read
from train.runs import run

SOURCE = """
'''A program that counts.'''
import json, sys, time
from dataclasses import dataclass, field
from pathlib import Path
import tyro
from toy_stages import helper

@dataclass(frozen=True)
class Sizes:
    width: int = 1

@dataclass(frozen=True)
class Counting:
    out: Path
    source: Path = Path("nowhere")
    into: Path | None = None
    steps: int = 2
    sizes: Sizes = field(default_factory=Sizes)
    threads: int = 0
    wait: float = 0.0
    resume: bool = False

if __name__ == "__main__":
    config = tyro.cli(Counting)
    folder, file = config.out, config.out / "checkpoint.pt"
    start = int(file.read_text()) if config.resume else 0
    for step in range(start, config.steps):
        file.write_text(str(step + 1))
        time.sleep(0 if config.resume else config.wait)
    text = config.source.read_text() if config.source.is_file() else (config.source / "made").read_text()
    weights = config.into or folder / "weights"
    weights.mkdir(exist_ok=True)
    (weights / "made").write_text(f"{text}{start}-{config.steps} ")
"""
RECIPE = """
[data]
root = "DATA"
text = { path = "text.txt" }

[all]
threads = 1

[stages.last]
run = "count"
source = "@first"
steps = 3

[stages.first]
run = "count"
source = "@text"
sizes.width = 2

[scale.smoke.first]
steps = 7
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe of two stages, their data and their program."""
    program = tmp_path / "toy_stages"
    program.mkdir()
    for name, text in (("__init__", ""), ("count", SOURCE), ("helper", "value = 1  # a comment\n")):
        (program / f"{name}.py").write_text(text)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "text.txt").write_text("data ")
    (tmp_path / "toy.toml").write_text(RECIPE.replace("DATA", str(tmp_path / "data")))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("toy_stages", "toy_stages.count", "toy_stages.helper"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(KINDS, "count", Kind("toy_stages.count", "Counting", copies="into"))
    provenance.code.cache_clear()
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def recipe(bench: Path, **options: Any) -> Recipe:
    return read(bench / "toy.toml", out=bench / "runs", **options)


def made(bench: Path, stage: str, folder: str = "toy") -> str:
    return (bench / "runs" / folder / stage / "weights" / "made").read_text()


Actions = Callable[..., dict[str, str]]


@pytest.fixture
def go(bench: Path, capfd: pytest.CaptureFixture[str]) -> Actions:
    """Run the recipe; returns what was done with each stage."""

    def run_it(scale: str | None = None, **options: Any) -> dict[str, str]:
        provenance.code.cache_clear()
        run(recipe(bench, scale=scale), **options)
        lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith(("first: ", "last: "))]
        return {line.partition(":")[0]: line.partition(": ")[2] for line in lines if ": done" not in line}

    return run_it


def test_stages_run_in_order_and_are_skipped_until_something_changes(bench: Path, go: Actions) -> None:
    assert list(go()) == ["first", "last"]
    assert made(bench, "last") == "data 0-2 0-3 "
    assert set(go().values()) == {"skip, up to date"}
    change(bench / "toy.toml", "steps = 3", "steps = 4")
    assert go() == {"first": "skip, up to date", "last": "run, steps"}
    change(bench / "toy.toml", "width = 2", "width = 3")
    assert go() == {"first": "run, sizes", "last": "run, first"}
    (bench / "data" / "text.txt").write_text("else ")
    assert go() == {"first": "run, text", "last": "run, first"}
    assert made(bench, "last") == "else 0-2 0-4 "
    (bench / "toy_stages" / "helper.py").write_text("# other words\nvalue = 1\n")
    change(bench / "toy.toml", "threads = 1", "threads = 2")  # neither changes what is made
    assert set(go().values()) == {"skip, up to date"}
    (bench / "toy_stages" / "helper.py").write_text("value = 2\n")
    assert go() == {"first": "run, code", "last": "run, code, first"}


def test_from_only_and_dry_run(bench: Path, go: Actions) -> None:
    with pytest.raises(RecipeError, match="'last' needs 'first', which was not run yet"):
        go(only="last")
    assert go(dry=True) == {"first": "run, was not run yet", "last": "run, was not run yet"}
    assert not (bench / "runs").exists()
    assert go(only="first") == {"first": "run, was not run yet"}
    assert go() == {"first": "skip, up to date", "last": "run, was not run yet"}
    assert go(start="last") == {"first": "skip, up to date", "last": "run, asked for"}
    assert go(start="first", dry=True) == {"first": "run, asked for", "last": "run, asked for"}
    assert go(start="first", only="first") == {"first": "run, asked for"}
    assert go() == {"first": "skip, up to date", "last": "run, first"}  # what it was made from is another run's now
    with pytest.raises(RecipeError, match="no stage 'lats': it has first, last"):
        go(start="lats")


def test_a_scale_overrides_and_has_a_folder_of_its_own(bench: Path, go: Actions) -> None:
    go()
    go(scale="smoke")
    assert made(bench, "first") == "data 0-2 "
    assert made(bench, "first", "toy-smoke") == "data 0-7 "
    with pytest.raises(RecipeError, match=r"no \[scale.gpu\]: it has smoke"):
        go(scale="gpu")


def interrupt(bench: Path) -> None:
    """Kill the engine and its stage in the middle of the first stage."""
    change(bench / "toy.toml", "sizes.width", "wait = 0.3\nsteps = 200\nsizes.width")
    code = f"""
        import sys; sys.path[:0] = [{str(bench)!r}, {str(ROOT)!r}]
        from pathlib import Path
        from train.kinds import KINDS, Kind
        from train.recipe import read
        from train.runs import run
        KINDS["count"] = Kind("toy_stages.count", "Counting", copies="into")
        run(read(Path({str(bench / "toy.toml")!r}), out=Path({str(bench / "runs")!r})))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    env = {**environment(), "PYTHONPATH": str(bench)}
    process = subprocess.Popen(command, env=env, start_new_session=True, stdout=subprocess.DEVNULL)
    checkpoint = bench / "runs" / "toy" / "first" / "checkpoint.pt"
    deadline = time.monotonic() + 300
    while not (checkpoint.exists() and checkpoint.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(RecipeError, match="Another run is busy"):
        run(recipe(bench))
    os.killpg(process.pid, 9)
    process.wait()
    assert not (bench / "runs" / "toy" / "first" / "weights").exists()


def test_an_interrupted_stage_goes_on_or_is_refused(bench: Path, go: Actions) -> None:
    interrupt(bench)
    change(bench / "toy.toml", "steps = 200", "steps = 4")
    with pytest.raises(RecipeError, match=r"since then there changed: steps; undo that .* with --from first"):
        go()
    change(bench / "toy.toml", "steps = 4", "steps = 200")
    reached = int((bench / "runs" / "toy" / "first" / "checkpoint.pt").read_text())
    assert 0 < reached < 200
    assert go()["first"] == "resume, was interrupted"
    assert made(bench, "first") == f"data {reached}-200 "
    assert set(go().values()) == {"skip, up to date"}


def test_from_begins_an_interrupted_stage_again(bench: Path, go: Actions) -> None:
    interrupt(bench)
    change(bench / "toy.toml", "wait = 0.3\nsteps = 200", "steps = 4")
    assert go(start="first")["first"] == "run, asked for"
    assert made(bench, "first") == "data 0-4 "


def test_what_a_stage_writes_into_is_a_copy_and_what_it_made_before_is_kept(bench: Path, go: Actions) -> None:
    change(bench / "toy.toml", "steps = 3", 'steps = 3\ninto = "@first"')
    go()
    assert made(bench, "first") == "data 0-2 "
    assert made(bench, "last") == "data 0-2 0-3 "
    go(start="last")
    assert made(bench, "last") == "data 0-2 0-3 "
    assert made(bench, "last", "toy/.before") == "data 0-2 0-3 "


def test_a_stage_says_how_it_was_made(bench: Path, go: Actions) -> None:
    go()
    record = json.loads((bench / "runs" / "toy" / "last" / "stage.json").read_text())
    assert record["settings"]["steps"] == 3
    assert record["settings"]["sizes"] == {"width": 1}
    assert record["command"][:3] == ["python", "-m", "toy_stages.count"]
    assert record["versions"].keys() == {"python", "torch", "numpy"}
    assert record["machine"]["cores"]
    assert len(record["git"]["commit"]) == 40
    assert record["minutes"] >= 0
    weights = json.loads((bench / "runs" / "toy" / "last" / "weights" / "provenance.json").read_text())
    assert [stage["stage"] for stage in weights["stages"]] == ["first", "last"]
    assert list(weights["stages"][0]["data"]) == ["text"]
    assert weights["stages"][0]["data"]["text"]["path"] == "@text"
    assert str(bench) not in json.dumps(weights)  # what travels does not say where its maker keeps things


def test_a_stage_that_fails_stops_the_recipe(bench: Path, go: Actions) -> None:
    change(bench / "toy.toml", "@first", "@first/nothing")
    with pytest.raises(RecipeError, match="Stage 'last' ended with code 1"):
        go()
    assert not (bench / "runs" / "toy" / "last" / "stage.json").exists()


def test_files_of_others_are_left_alone(bench: Path, go: Actions) -> None:
    (bench / "runs" / "toy" / "last").mkdir(parents=True)
    (bench / "runs" / "toy" / "last" / "thesis.txt").write_text("mine")
    with pytest.raises(RecipeError, match="holds files that no recipe made"):
        go(start="first")
    assert not (bench / "runs" / "toy" / "first").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 3", "stepz = 3", "'last' has no setting stepz: did you mean steps"),
        ("sizes.width", "sizes.widht", "'first' has no setting sizes.widht: did you mean width"),
        ("steps = 3", 'steps = "3"', "'last': steps: Input should be a valid integer, not '3'"),
        ("steps = 3", "steps = 3.5", "'last': steps: Input should be a valid integer"),
        ("@first", "@frist", "'last' refers to @frist, which is no stage and no data: there are last, first"),
        ("@text", "@last", "last <- first <- last wait for one another|first <- last <- first wait"),
        ('run = "count"\nsource = "@text"', 'run = "cuont"\nsource = "@text"', "'first' runs 'cuont'"),
        ('source = "@first"\n', "", "'last': source is nowhere, which its folder says nothing of"),
        ("@first", "/etc", "'last': source is /etc, which its folder says nothing of"),
        ("steps = 3", 'out = "x"', "'last' sets out, which the recipe's engine does"),
        ("threads = 1", "thraeds = 1", r"no stage has the setting thraeds of \[all\]"),
        ("[scale.smoke.first]", "[scale.smoke.fisrt]", r"\[scale.smoke.fisrt\] names no stage"),
        ("[all]", "[al]", "has a table 'al'"),
        ("[stages.last]", "[stages.text]", "'text' cannot be a stage's name"),
        ("steps = 3", "steps = ", "cannot be read as TOML"),
        ("steps = 3", 'like = "last"', "'last' is like 'last', which is no other stage"),
        ('{ path = "text.txt" }', '{ path = "text.txt", photo = 3 }', "text must be a path, or a table"),
    ],
)
def test_mistakes_are_named_before_anything_runs(bench: Path, old: str, new: str, message: str) -> None:
    change(bench / "toy.toml", old, new)
    with pytest.raises(RecipeError, match=message) as caught:
        recipe(bench, scale="smoke")
    assert "\n" not in str(caught.value)


def test_data_are_checked_first(bench: Path, go: Actions) -> None:
    with pytest.raises(RecipeError, match=r"There is no .*elsewhere/text\.txt: put 'text' there, or name .* --data"):
        run(recipe(bench, root=bench / "elsewhere"), dry=True)
    change(bench / "toy.toml", '"text.txt" }', '"text.txt", photos = 2 }')
    with pytest.raises(RecipeError, match="holds 0 photos and the recipe wants 2"):
        go(dry=True)


def test_a_recipe_is_found_by_name_or_path() -> None:
    for text in ("smoke", "smoke.toml", "recipes/smoke.toml", str(FOLDER / "smoke.toml")):
        assert locate(text) == FOLDER / "smoke.toml"
    with pytest.raises(
        RecipeError,
        match=r"There is no recipe 'smok': .* one of celeba-128, celeba-64, celeba-64-more, gan-64, smoke",
    ):
        locate("smok")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_the_programs_read_the_commands_as_the_recipe_means_them(path: Path) -> None:
    shipped = read(path)
    for stage in shipped.stages.values():
        job = shipped.job(stage)
        assert tyro.cli(type(job.config), args=job.command[1:]) == job.config


def test_the_shipped_weights_recipe_can_be_looked_at_with_data_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = read(FOLDER / "celeba-64.toml", root=tmp_path, out=tmp_path / "runs")
    for name in shipped.data:
        (tmp_path / name).mkdir()
    places = {name: tmp_path / name for name in shipped.data}
    some = {name: dataclasses.replace(data, path=places[name], photos=0) for name, data in shipped.data.items()}
    run(dataclasses.replace(shipped, data=some), dry=True)
    printed = capsys.readouterr().out
    assert printed.count(": run, was not run yet") == len(shipped.stages) > 40
    assert f"python -m train.vae --celeba {tmp_path / 'celeba'} " in printed
    assert not (tmp_path / "runs").exists()


def test_the_command_line_ends_with_a_sentence(tmp_path: Path) -> None:
    folders = ["--data", str(tmp_path), "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        finish_here(["train.__main__", "celeba-64", *folders, "--dry-run"])
    assert str(ended.value.code).startswith("There is no ")
    assert "\n" not in str(ended.value.code)


@pytest.mark.slow
def test_toys_become_an_evaluated_weights_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "train", "smoke", "--out", str(tmp_path)]
    for expected in ("evaluate: done", "evaluate: skip, up to date"):
        done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=1800)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    weights = tmp_path / "smoke" / "evaluate" / "weights"
    figures = json.loads((weights / "evaluation.json").read_text())
    assert figures["real"]["accuracy"] > 0.75  # the reader has learned to see toys
    assert "(evaluation.md)" in (weights / "README.md").read_text()
    assert (weights / "evaluation.md").read_text().count("\n") > 50
    stages = json.loads((weights / "provenance.json").read_text())["stages"]
    assert [stages[0]["stage"], stages[-1]["stage"]] == ["toys", "evaluate"]
    assert len(FaceEditor.load(weights, device="cpu").sample(2)) == 2
