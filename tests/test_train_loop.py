"""train.loop: one loop for every stage. A toy stage says what it does; each real one is interrupted and resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from accelerate import Accelerator
from processes import logged, reached, same
from stages import ALL, NET, SMALL, STEPS, classifier, critics, distil, sharpen, write_classifiers
from tiny import LATENT, write_tiny_weights
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from lc.classifier import ClassifierConfig
from lc.errors import LatentConstraintsError
from lc.generator import register
from lc.vae import VAE, VAEConfig
from lc.weights import load_classifier
from train.classifier import ClassifierStage, ClassifierTraining, Kind
from train.critics import CriticsStage, CriticsTraining
from train.data import Crops, save_packed
from train.distil import Distillation, DistilTraining
from train.engine import RunConfig
from train.loop import Stage, cosine, follow, train
from train.sharpen import Sharpening, SharpenTraining
from train.vae import VAEStage, VAETraining


@dataclass(frozen=True)
class Settings(RunConfig):
    batch: int = 4
    device: str = "cpu"
    bf16: bool = False  # accelerate has one precision in a process
    log_steps: int = 1


class Toy(Stage[Settings]):
    """Two nets with momentum, dropout and an average; the first is updated twice a step."""

    title = "toy"
    unit = "rows"

    def __init__(self, config: Settings, engine: Accelerator) -> None:
        super().__init__(config, engine)
        torch.manual_seed(self.seed)
        self.steps = STEPS
        for name in ("first", "second"):
            net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1), nn.Flatten(0))
            task = Squared(net)
            rate = cosine(self.steps, 0.1, 0.0, 2)
            self.add(name, net, torch.optim.Adam(net.parameters()), rate, task=task, average=follow(0.9))
        self.kept = {"drawn": torch.zeros(())}

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        x = torch.randn(self.config.batch, 3, generator=chance)
        self.kept["drawn"] += x.mean()
        self.update("first", x)
        return {"first": self.update("first", x)[0], "second": self.update("second", x)[0], "step_again": float(step)}

    def measure(self, done: int) -> Mapping[str, float]:
        return {"measured": 7.0} if done % 4 == 0 else {}

    def finish(self) -> str:
        torch.save(self.averaged("second").state_dict(), self.config.out / "second.pt")
        return f"finished after {self.steps} steps"


class Squared(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        error = (self.net(x) - 1).square().mean()
        return torch.stack([error, error.detach().sqrt()])


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


def interrupt(monkeypatch: pytest.MonkeyPatch, kind: Any, config: Any, step: int) -> None:
    """Run a stage, with a checkpoint after every step, until one of its steps is half done."""
    take = kind.step

    def stop(self: Any, chance: torch.Generator, now: int) -> Mapping[str, Tensor | float]:
        found: Mapping[str, Tensor | float] = take(self, chance, now)
        if now == step:
            raise Killed
        return found

    with monkeypatch.context() as patch:
        patch.setattr(kind, "step", stop)
        with pytest.raises(Killed):
            train(kind, replace(config, save_minutes=0.0))
    assert reached(config.out)["step"] == step


# --- the loop itself -----------------------------------------------------------------------------------------------


def test_an_interrupted_run_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = Settings(tmp_path / "whole"), Settings(tmp_path / "cut")
    train(Toy, whole)
    interrupt(monkeypatch, Toy, cut, 5)
    train(Toy, replace(cut, resume=True))
    assert same(reached(whole.out), reached(cut.out))
    assert logged(whole.out) == logged(cut.out)
    assert same(*(torch.load(run.out / "second.pt", weights_only=True) for run in (whole, cut)))


def test_the_log_has_a_line_of_json_for_each_tick(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(Toy, Settings(tmp_path, log_steps=3))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6, 8]  # the last step, too
    names = {"step", "first", "second", "step_again", "lr_first", "lr_second", "rows_per_second", "seconds"}
    assert [set(line) - names for line in lines] == [set(), set(), {"measured"}]
    assert lines[0]["lr_first"] == pytest.approx(cosine(STEPS, 0.1, 0.0, 2)(2))
    assert all(line["rows_per_second"] > 0 for line in lines)
    assert 0 < lines[0]["seconds"] < lines[2]["seconds"]
    assert capsys.readouterr().out == "finished after 8 steps\n"


def test_elapsed_time_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Settings(tmp_path)
    interrupt(monkeypatch, Toy, config, 5)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    torch.save({**state, "seconds": 1000.0}, tmp_path / "checkpoint.pt")
    train(Toy, replace(config, resume=True))
    seconds = [json.loads(line)["seconds"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert seconds[4] < 1000 < seconds[5] < 1100


def test_the_average_follows_faster_at_first_and_holds_buffers() -> None:
    net = nn.BatchNorm1d(2)
    average = AveragedModel(net, multi_avg_fn=follow(0.8), use_buffers=True)
    expected, count = torch.ones(2), 0
    for step in range(40):
        with torch.no_grad():
            net.weight.fill_(step)
            net.running_mean.fill_(-step)  # type: ignore[union-attr]
            net.num_batches_tracked.fill_(step)  # type: ignore[union-attr]
        average.n_averaged.fill_(step + 1)
        average.update_parameters(net)
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        count = step
    assert torch.allclose(average.module.get_parameter("weight"), expected)
    assert average.module.num_batches_tracked == count
    assert average.module.get_buffer("running_mean")[0] < -30


def test_a_frozen_net_has_no_part_in_anothers_update(tmp_path: Path) -> None:
    stage = Toy(Settings(tmp_path), Accelerator(cpu=True))
    before = {name: [p.clone() for p in net.module.parameters()] for name, net in stage.nets.items()}
    stage.begin(0)
    stage.update("second", torch.randn(4, 3))
    changed = {
        name: any(not torch.equal(*pair) for pair in zip(before[name], net.module.parameters(), strict=True))
        for name, net in stage.nets.items()
    }
    assert changed == {"first": False, "second": True}
    assert all(p.requires_grad for net in stage.nets.values() for p in net.module.parameters())


# --- every stage ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifiers(tmp_path_factory.mktemp("classifiers"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".safetensors", ".json")}


@pytest.mark.slow
@pytest.mark.parametrize("made", ALL, ids=lambda made: made.__name__)
def test_every_stage_goes_on_as_if_nothing_had_happened(
    celeba: Path, classifiers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Any
) -> None:
    kind, config, weights = made(celeba, tmp_path / "whole", classifiers)
    train(kind, config)
    kind, cut, others = made(celeba, tmp_path / "cut", classifiers)
    interrupt(monkeypatch, kind, cut, 4)
    train(kind, replace(cut, resume=True))
    assert same(reached(config.out), reached(cut.out))
    assert logged(config.out) == logged(cut.out)
    assert contents(weights) == contents(others)


@pytest.mark.slow
@pytest.mark.parametrize("made", ALL, ids=lambda made: made.__name__)
def test_a_kill_after_the_last_checkpoint_costs_no_nets(
    celeba: Path, classifiers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Any
) -> None:
    kind, config, weights = made(celeba, tmp_path, classifiers)
    before = contents(weights) if weights.exists() else {}

    def stop(self: Any) -> str:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(kind, "finish", stop)
        with pytest.raises(Killed):
            train(kind, config)
    assert (contents(weights) if weights.exists() else {}) == before  # nothing is written along the way
    train(kind, replace(config, resume=True))
    first = contents(weights)
    assert first != before
    train(kind, replace(config, resume=True))  # and once more changes nothing
    assert contents(weights) == first


# --- what stages start from ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    latent: int = LATENT


@register("Linear without encoder", Sizes, parts=("layer",))
class Linear(nn.Module):
    def __init__(self, config: Sizes) -> None:
        super().__init__()
        self.config, self.latent, self.image_size = config, config.latent, 64
        self.layer = nn.Linear(config.latent, 3 * 64 * 64)

    def decode(self, z: Tensor) -> Tensor:
        return self.layer(z).sigmoid().unflatten(1, (3, 64, 64))


@pytest.mark.parametrize("made", [classifier, sharpen, critics], ids=lambda made: made.__name__)
def test_stages_that_encode_want_an_encoder(celeba: Path, classifiers: Path, tmp_path: Path, made: Any) -> None:
    kind, config, _ = made(celeba, tmp_path, classifiers)
    blind = write_tiny_weights(tmp_path / "blind", Linear(Sizes()))
    with pytest.raises(
        LatentConstraintsError, match=r"^The generator in .*blind (has no encoder|is a Linear)[,:] .*\.$"
    ):
        train(kind, replace(config, vae=blind))


def test_edits_are_searched_for_without_an_encoder(celeba: Path, classifiers: Path, tmp_path: Path) -> None:
    kind, config, _ = distil(celeba, tmp_path, classifiers)
    blind = write_tiny_weights(tmp_path / "blind", Linear(Sizes()))
    train(kind, replace(config, weights=blind, photos=12, searches=20, steps=1))
    assert len(logged(config.out)) == 1


@pytest.mark.slow
def test_128_pixels_go_through_every_stage(celeba: Path, tmp_path: Path) -> None:
    size: dict[str, Any] = {**SMALL, "margin": 4, "celeba": celeba}
    sizes = ClassifierConfig(widths=(8, 8, 8, 8), patch=4)
    classifiers, more = tmp_path / "classifiers", tmp_path / "more.safetensors"
    save_packed(more, Crops(torch.randint(255, (6, 3, 136, 136)).byte(), None, ["?"] * 6))
    for name in get_args(Kind):
        options: dict[str, Any] = {"model": sizes, "epochs": 1, "batch": 8, "weights": classifiers}
        train(ClassifierStage, ClassifierTraining(tmp_path / name, kind=name, **options, **size))
    assert load_classifier(classifiers, "guide").config.image_size == 128
    model = VAEConfig(latent=LATENT, widths=(8, 8, 8, 8), bottleneck=8, patch=4)
    start = write_tiny_weights(tmp_path / "start", VAE(model))
    options = {"model": model, "images": 16, "batch": 4, "perceptual": classifiers, "extra": (more,), "init": start}
    train(VAEStage, VAETraining(tmp_path / "vae", **options, **size))
    weights = write_tiny_weights(tmp_path / "weights", VAE(model))
    options = {"vae": weights, "weights": weights, "images": 16, "batch": 4, "width": 8, "extra": (more,)}
    train(Sharpening, SharpenTraining(tmp_path / "sharpen", imagined=4, editor=weights, **options, **size))
    options = {"vae": weights, "guidance": (classifiers,), "extra": (more,), "steps": 2, "batch": 12, "actor": NET}
    train(CriticsStage, CriticsTraining(tmp_path / "critics", critic=NET, attribute_critic=NET, **options, **size))
    options = {
        "weights": weights,
        "teachers": (classifiers,),
        "photos": 4,
        "searches": 2,
        "rows": 2,
        "steps": 2,
        "correction_steps": 1,
    }
    train(
        Distillation, DistilTraining(tmp_path / "distil", found=(tmp_path / "found",), extra=(more,), **options, **size)
    )
    options = {"kind": "guidance", "model": sizes, "epochs": 1, "batch": 8, "vae": weights, "teachers": (classifiers,)}
    train(ClassifierStage, ClassifierTraining(tmp_path / "taught", **options, **size))


def test_a_classifier_of_another_size_is_refused(celeba: Path, classifiers: Path, tmp_path: Path) -> None:
    model = VAEConfig(latent=LATENT, widths=(8, 8, 8, 8), bottleneck=8, patch=4)
    weights = write_tiny_weights(tmp_path / "weights", VAE(model))
    options: dict[str, Any] = {"celeba": celeba, "margin": 4, **SMALL}
    nets: dict[str, Any] = {"actor": NET, "critic": NET, "attribute_critic": NET}
    for kind, config in (
        (VAEStage, VAETraining(tmp_path / "a", model=model, perceptual=classifiers, **options)),
        (CriticsStage, CriticsTraining(tmp_path / "b", vae=weights, guidance=(classifiers,), **nets, **options)),
        (ClassifierStage, ClassifierTraining(tmp_path / "c", kind="guidance", vae=weights, **options)),
    ):
        run: Any = kind
        with pytest.raises(LatentConstraintsError, match=r"is for pictures of 64 .* 128: train .*patch 4\.$"):
            train(run, config)
    nets["critic"] = replace(NET, latent=7)
    with pytest.raises(LatentConstraintsError, match=r"have 24 dimensions, and not 7: give --critic\.latent 24\.$"):
        train(CriticsStage, CriticsTraining(tmp_path / "d", vae=weights, guidance=(), **nets, **options))
