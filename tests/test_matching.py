"""Learning from photos that have a change: who is compared with whom, and pseudo-labels of the parser."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lc.classifier import Classifier, ClassifierConfig
from train.attributes import ATTRIBUTES
from train.latents import DIRECTIONS
from train.matching import ALONGSIDE, DiscriminatorTask, Draws, discriminator_of, shaken
from train.pseudo import UNKNOWN, pseudo_labels

CHANGES = ("Male=1", "Young=0", "Smiling=0")


def labels(count: int = 400) -> torch.Tensor:
    return (torch.rand(count, len(ATTRIBUTES), generator=torch.Generator().manual_seed(0)) < 0.5).float()


def test_edits_are_compared_with_people_who_are_alike_otherwise() -> None:
    known = labels()
    draws = Draws(known, CHANGES)
    which, photos, shown = draws.draw(200, torch.Generator().manual_seed(1))
    assert len(set(which.tolist())) == len(CHANGES)
    for k, row, other in zip(which.tolist(), photos.tolist(), shown.tolist(), strict=True):
        name, wanted = DIRECTIONS[draws.directions[k]]
        column = ATTRIBUTES.index(name)
        assert known[row, column] != float(wanted)
        assert known[other, column] == float(wanted)
        for same in ALONGSIDE[name]:
            assert known[row, ATTRIBUTES.index(same)] == known[other, ATTRIBUTES.index(same)]


def test_nobody_is_edited_who_has_no_counterpart() -> None:
    known = labels()
    male, beard = ATTRIBUTES.index("Male"), ATTRIBUTES.index("No_Beard")
    known[known[:, male] == 0, beard] = 1  # no woman has a beard
    draws = Draws(known, ("No_Beard=0",))
    _, photos, _ = draws.draw(100, torch.Generator().manual_seed(1))
    assert known[photos, male].all()


def test_a_shift_moves_all_pictures_alike() -> None:
    x = torch.rand(3, 3, 16, 16)
    alike = shaken(x, torch.Generator().manual_seed(3))
    torch.testing.assert_close(alike[:1], shaken(x[:1], torch.Generator().manual_seed(3)))


def test_a_discriminator_learns_with_its_first_layers_frozen() -> None:
    torch.manual_seed(0)
    classifier = Classifier(ClassifierConfig(widths=(4, 4, 8, 8)))
    frozen, learns = discriminator_of(classifier, 2)
    optimiser = torch.optim.Adam(learns.parameters(), lr=1e-2)
    task = DiscriminatorTask(learns, 0.5, 0.1)
    change = torch.tensor([0, 1] * 4)
    with torch.no_grad():
        shown, edited = frozen(torch.ones(8, 3, 64, 64)), frozen(-torch.ones(8, 3, 64, 64))
    first = task(shown, edited, edited[:2], change, True)
    for step in range(40):
        loss = task(shown.detach(), edited, edited[:2], change, step % 4 == 0)
        optimiser.zero_grad()
        loss[0].backward()
        optimiser.step()
    assert loss[0] < 0.5 * first[0]
    assert loss[1] == loss[2] == 1
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


@given(st.integers(0, 2**31), st.booleans(), st.booleans())
def test_pseudo_labels_never_contradict_what_is_known(seed: int, glasses: bool, hat: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    found = torch.softmax(4 * torch.randn(1, 9, 6, 6, generator=generator), 1)
    worn = torch.tensor([[glasses, hat]])
    known = pseudo_labels(found, (3, 4), worn)
    assert (known == 3).any() <= glasses
    assert (known == 4).any() <= hat
    assert set(known.unique().tolist()) <= {*range(9), UNKNOWN}


@pytest.mark.parametrize(("worn", "wanted"), [(True, 4), (False, 2)])
def test_what_a_label_affirms_decides_doubt(worn: bool, wanted: int) -> None:
    found = torch.zeros(1, 9, 1, 1)
    found[0, 4], found[0, 2] = 0.55, 0.45  # perhaps a hat, perhaps hair
    assert pseudo_labels(found, (3, 4), torch.tensor([[False, worn]])).item() == wanted
