"""train.engine and train.folder: what every stage shares."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from processes import ROOT, environment
from torch import nn

from lc.errors import LatentConstraintsError
from lc.vae import VAEConfig
from lc.weights import to_device
from train.engine import RunConfig, accelerator, native_bf16, save_grid
from train.folder import RunFolder
from train.vae import VAETraining


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [({"avx2": True, "amx_bf16": False}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)],
)
def test_bfloat16_is_for_processors_that_multiply_in_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], native: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert native_bf16("cpu") is native


# --- the device ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cuda", "mps", "tpu", "cuda:1", "CPU", ""])
def test_a_device_that_is_not_there_is_refused(tmp_path: Path, device: str) -> None:
    if device in ("cuda", "mps") and device == to_device("auto").type:
        pytest.skip("it is there")
    with pytest.raises(LatentConstraintsError, match=r"^There is no device .*\.$"):
        accelerator(RunConfig(out=tmp_path, device=device))


@pytest.mark.slow
def test_a_program_says_what_is_wrong_in_a_sentence(tmp_path: Path, celeba: Path) -> None:
    out = ["--out", str(tmp_path / "run")]
    for options, sentence in (
        ([*out, "--device", "tpu"], "There is no device 'tpu'"),
        ([*out, "--resume"], "holds no run to resume"),
        ([*out, "--celeba", str(tmp_path)], "holds no folder img_align_celeba"),
    ):
        command = [sys.executable, "-m", "train.vae", "--threads", "1", *options]
        done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120)
        assert done.returncode == 2
        assert sentence in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


# --- the run folder ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> Accelerator:
    return Accelerator(cpu=True)


def begun(folder: Path, engine: Accelerator, **changes: Any) -> RunFolder:
    return RunFolder(RunConfig(out=folder, save_minutes=0, **changes), engine)


def sized(size: int) -> tuple[nn.Linear, torch.optim.Optimizer]:
    net = nn.Linear(size, size)
    return net, torch.optim.Adam(net.parameters())


def trained(folder: Path, engine: Accelerator) -> RunFolder:
    """A run of nine steps, each with a line and the checkpoint of step six."""
    run, (net, optimiser) = begun(folder, engine), sized(4)
    for step in range(1, 10):
        run.log({"step": step, "loss": step / 10})
        if step == 6:
            run.save(step, 60.0, lambda: {"net": net.state_dict(), "optimiser": optimiser.state_dict()})
    return run


def steps(run: RunFolder) -> list[int]:
    return [json.loads(line)["step"] for line in run.log_file.read_text().splitlines()]


def resume(folder: Path, engine: Accelerator, size: int = 4) -> int:
    net, optimiser = sized(size)

    def put(state: dict[str, Any]) -> None:
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])

    step, seconds = begun(folder, engine, resume=True).restore(put)
    assert seconds == 10 * step
    return step


def test_a_run_goes_on_where_it_was(tmp_path: Path, engine: Accelerator) -> None:
    run = trained(tmp_path / "run", engine)
    assert resume(run.path, engine) == 6
    assert steps(run) == [1, 2, 3, 4, 5, 6]
    run.log({"step": 7, "loss": 0.7})
    assert run.log_file.read_text().splitlines()[-1] == '{"step": 7, "loss": 0.7}'


def test_a_new_run_overwrites_none(tmp_path: Path, engine: Accelerator) -> None:
    run = trained(tmp_path / "run", engine)
    files = {path: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(LatentConstraintsError, match=r"holds a run already: go on with it by --resume.*--out\.$"):
        begun(run.path, engine)
    assert files == {path: path.read_bytes() for path in run.path.iterdir()}
    run.checkpoint.unlink()
    with pytest.raises(LatentConstraintsError, match="holds a run already"):
        begun(run.path, engine)


@pytest.mark.parametrize("there", [False, True])
def test_a_mistyped_folder_is_not_begun_afresh(tmp_path: Path, engine: Accelerator, there: bool) -> None:
    if there:
        (tmp_path / "rnu").mkdir()
    with pytest.raises(LatentConstraintsError, match=r"rnu holds no run to resume.*\.$"):
        resume(tmp_path / "rnu", engine)
    assert list(tmp_path.rglob("*")) == [tmp_path / "rnu"] * there


def test_a_run_without_a_checkpoint_yet_begins_anew(tmp_path: Path, engine: Accelerator) -> None:
    run = trained(tmp_path / "run", engine)
    run.checkpoint.unlink()
    (run.path / "config.json").write_text('{"out": "run", "see')
    assert resume(run.path, engine) == 0
    assert json.loads((run.path / "config.json").read_text())["seed"] == 0
    assert not run.log_file.exists()


@pytest.mark.parametrize(
    "log", ["", "{}\n", "step", "[1]\n3", '{"step": 1}\n{"step": 2, "lo', "\0\n\n,,\n", '{"step": "a"}\n{"step": 1}\n']
)
def test_a_log_that_was_cut_short_stops_nobody(tmp_path: Path, engine: Accelerator, log: str) -> None:
    run = trained(tmp_path / "run", engine)
    run.log_file.write_text(log)
    assert resume(run.path, engine) == 6
    run.log({"step": 7})
    assert steps(run) == ([1, 7] if '{"step": 1}\n' in log else [7])


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other object", "folder"])
def test_a_damaged_checkpoint_is_a_sentence(tmp_path: Path, engine: Accelerator, damage: str) -> None:
    run = trained(tmp_path / "run", engine)
    data = run.checkpoint.read_bytes()
    run.checkpoint.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "text": b"not found\n"}.get(damage, data))
    if damage == "other object":
        torch.save([1, 2], run.checkpoint)
    if damage == "folder":
        run.checkpoint.unlink()
        run.checkpoint.mkdir()
    with pytest.raises((LatentConstraintsError, OSError), match=r"checkpoint\.pt"):
        resume(run.path, engine)
    assert len(run.log_file.read_text().splitlines()) == 9  # nothing is lost for who puts the checkpoint back


def test_a_checkpoint_of_other_sizes_is_a_sentence(tmp_path: Path, engine: Accelerator) -> None:
    run = trained(tmp_path / "run", engine)
    with pytest.raises(LatentConstraintsError, match=r"of a run of other sizes: give the settings.*\.$"):
        resume(run.path, engine, size=5)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path, engine: Accelerator) -> None:
    run = trained(tmp_path / "run", engine)
    files = {path: path.read_bytes() for path in run.path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match=r"checkpoint\.pt"):
            run.save(7, 0.0, lambda: {"net": sized(400)[0].state_dict()})
        with pytest.raises(OSError, match=r"samples\.png"):
            save_grid(torch.rand(4, 3, 64, 64), run.path / "samples.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files == {path: path.read_bytes() for path in run.path.iterdir()}


# --- the settings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lr": 1.0}, r"holds a run with lr 0\.0008, and not 1\.0: give the settings"),
        ({"images": 500_000}, r"images 384000, on which its learning rate's schedule depends, and not 500000"),
        ({"model": VAEConfig(widths=(64, 128, 256, 500))}, r"model\.widths \[64, 128, 256, 512\], and not \(64"),
        ({"celeba": Path("elsewhere")}, "celeba data/celeba, and not elsewhere"),
        ({"extra": (Path("more"),)}, r"extra \[\], and not"),
        ({"perceptual": Path("other")}, "perceptual None, and not other"),
        ({"bf16": False, "seed": 3}, "seed 0, and not 3"),  # the first that differs
    ],
)
def test_another_run_is_not_resumed(
    tmp_path: Path, engine: Accelerator, changes: dict[str, Any], sentence: str
) -> None:
    RunFolder(VAETraining(out=tmp_path), engine)
    with pytest.raises(LatentConstraintsError, match=sentence) as caught:
        RunFolder(VAETraining(out=tmp_path, resume=True, **changes), engine)
    assert "\n" not in str(caught.value)


def test_how_a_run_runs_may_change(tmp_path: Path, engine: Accelerator) -> None:
    RunFolder(VAETraining(out=tmp_path, init=Path("small")), engine)
    written = (tmp_path / "config.json").read_bytes()
    same_place = {"init": Path("small").resolve()}
    changes: dict[str, Any] = {"threads": 7, "device": "cpu", "save_minutes": 1.0, "log_steps": 3, **same_place}
    RunFolder(VAETraining(out=tmp_path / ".", resume=True, **changes), engine)
    assert (tmp_path / "config.json").read_bytes() == written


def test_damaged_settings_are_a_sentence(tmp_path: Path, engine: Accelerator) -> None:
    run = trained(tmp_path / "run", engine)
    (run.path / "config.json").write_text('{"out": "run", "see')
    with pytest.raises(LatentConstraintsError, match=r"config\.json is damaged: put back a copy"):
        resume(run.path, engine)
