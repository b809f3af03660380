"""Measuring generated faces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from processes import finish_here

from lc.classifier import Classifier, ClassifierConfig
from lc.weights import save_classifier
from train.attributes import ATTRIBUTES
from train.evaluate.generated import GeneratedConfig, measure, tables


@pytest.fixture(scope="module")
def evaluators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Judges of which one says that everybody has everything."""
    folder = tmp_path_factory.mktemp("evaluators")
    torch.manual_seed(0)
    for name in ("reader", "realism"):
        classifier = Classifier(ClassifierConfig((8, 8, 8, 8)))
        classifier.thresholds.zero_()
        save_classifier(folder, name, classifier)
    return folder


@pytest.mark.slow
def test_faces_are_judged_by_what_was_asked_for(
    celeba: Path, tiny_weights: Path, evaluators: Path, tmp_path: Path
) -> None:
    config = GeneratedConfig(tiny_weights, evaluators, celeba, seeds=(0, 1), device="cpu", out=tmp_path / "found.json")
    figures = measure(config)
    for row in ("photos", "actor", "prior"):  # who calls everything true is right as often as it is
        scores = figures[row]
        assert scores["recall"] == 1
        assert scores["precision"] == pytest.approx(figures["photos"]["precision"])
    assert figures["photos"]["frechet"] == pytest.approx(0, abs=1e-3)
    assert figures["actor"]["frechet"] > 0
    assert figures["prior"]["frechet_spread"] > 0  # the seeds are of different faces
    printed = tables(figures)
    assert all(name in printed for name in ATTRIBUTES)


def test_the_command_writes_what_it_prints(celeba: Path, tiny_weights: Path, evaluators: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "found.json"
    where = [
        "--weights",
        str(tiny_weights),
        "--evaluators",
        str(evaluators),
        "--celeba",
        str(celeba),
        "--out",
        str(out),
    ]
    printed = finish_here(["train.evaluate.generated", *where, "--seeds", "0", "--device", "cpu"])
    assert "faces by the actor" in printed
    assert '"accuracy"' in out.read_text()
