"""Attributes that are fitted to labels, and how taught ones are measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError
from lc.few_shot import fit_labelled
from lc.taught import load_taught
from tests.conftest import LATENT
from train.data import DataError
from train.evaluate.taught import draw
from train.further import main, read_labels


def labelled(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents, and labels that follow from their first two dimensions."""
    z = torch.randn(600, LATENT, generator=torch.Generator().manual_seed(seed))
    return z, torch.stack([z[:, 0] > 0.5, z[:, 1] > 0.0], 1)


def test_what_labels_tell_is_learned(contrasted_editor: FaceEditor) -> None:
    z, labels = labelled()
    found = fit_labelled(contrasted_editor.space, ["Bangs", "Dimples"], z, labels)
    others, expected = labelled(1)
    for column, one in enumerate(found):
        right = (one.probability(others) > 0.5) == expected[:, column]
        assert right.float().mean() > 0.85
        assert one.report.accuracy > 0.85
        moved = one.constraint().propose(others)
        assert one.probability(moved).mean() > one.probability(others).mean() + 0.2


def test_a_label_that_nobody_has_is_refused(contrasted_editor: FaceEditor) -> None:
    z, labels = labelled()
    with pytest.raises(LatentConstraintsError, match="Too few photos have Bangs"):
        fit_labelled(contrasted_editor.space, ["Bangs"], z, torch.zeros_like(labels[:, :1]))


def csv(folder: Path, text: str) -> Path:
    (folder / "mine.csv").write_text(text)
    return folder / "mine.csv"


def test_own_labels_are_read(tmp_path: Path) -> None:
    names, paths, labels = read_labels(csv(tmp_path, "photo,Bangs,Dimples\na.jpg,1,0\nb.jpg,-1,1\n"))
    assert names == ["Bangs", "Dimples"]
    assert paths == [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    assert labels.tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize(
    "text", ["", "photo\na.jpg\n", "Bangs\n1\n", "photo,Bangs\na.jpg\n", "photo,Bangs\na.jpg,yes\n"]
)
def test_a_csv_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError):
        read_labels(csv(tmp_path, text))


def test_an_add_on_is_written(
    contrasted_weights: Path, celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--weights", str(contrasted_weights), "--celeba", str(celeba), "--attributes", "Other_0", "Other_1"]
    monkeypatch.setattr(sys, "argv", ["further", *arguments, "--out", str(tmp_path), "--device", "cpu"])
    main()
    model = FaceEditor.load(contrasted_weights, "cpu").model
    assert {load_taught(path, model).name for path in tmp_path.iterdir()} == {"Other_0", "Other_1"}


def test_photos_that_teach_are_not_edited() -> None:
    has = [i % 3 == 0 for i in range(300)]
    drawn = draw(has, 20, 20, 60, seed=1)
    taught = {*drawn.positives, *drawn.negatives}
    assert not taught & set(drawn.others)
    assert len(set(drawn.others)) == 60
    assert sum(has[i] for i in drawn.others) == 30
    assert all(has[i] for i in drawn.positives)
    assert not any(has[i] for i in drawn.negatives)
