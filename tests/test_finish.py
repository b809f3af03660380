"""lc.finish and train.finish: what is painted onto photos becomes what photos show, and the rest of them stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import write_tiny_weights

from lc.editor import DEFAULT_WEIGHTS, FaceEditor
from lc.faces.composites import Face, Floats
from lc.faces.tone import to_lab
from lc.finish import bearded, finished, painted, with_layer, without_beard, without_glasses, worn
from lc.laid import Laid
from lc.parser import CLASSES
from lc.upsampler import Upsampler, UpsamplerConfig
from lc.weights import load_model, load_parser, load_upsampler, save_upsampler
from train.attributes import ATTRIBUTES
from train.data import DataError
from train.finish import FinishTraining
from train.painter import Painter, drawn, without_beards
from train.painter import without_glasses as in_glasses_drawn

SIDE = 192  # of a photo's wide crop, whose middle is the crop of 128
EVERYWHERE = np.ones((SIDE, SIDE), np.float32)


def net() -> Upsampler:
    """One that changes what it is shown."""
    torch.manual_seed(0)
    found = Upsampler(UpsamplerConfig(width=8, blocks=1, fine=4)).eval().requires_grad_(False)
    found.last.bias.fill_(0.2)
    return found


def person(inner: float = 2 / 3) -> Face:
    rgb = np.random.default_rng(0).uniform(90, 110, (SIDE, SIDE, 3)).astype(np.float32)
    return Face(rgb, {}, inner)


def patch(side: int, left: int, top: int, size: int) -> Floats:
    """A red square."""
    layer = np.zeros((side, side, 4), np.float32)
    layer[top : top + size, left : left + size] = (200, 40, 40, 1)
    return layer


def laid_on(rgb: Floats, layer: Floats) -> Floats:
    return np.asarray(rgb + layer[..., 3:4] * (layer[..., :3] - rgb) + layer[..., 4:])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 150), st.integers(0, 150), st.integers(4, 40))
def test_only_what_is_painted_is_finished_and_only_within_the_crop(left: int, top: int, size: int) -> None:
    onto, layer = person(), patch(SIDE, left, top, size)
    found = finished(net(), onto, layer, EVERYWHERE)
    assert found.shape == (SIDE, SIDE, 7)
    assert np.array_equal(found[..., :4], layer)
    _, missing = painted(onto.rgb, layer)
    assert not found[missing == 0, 4:].any()
    for side in (slice(0, 32), slice(160, 192)):
        assert not found[side, :, 4:].any()
        assert not found[:, side, 4:].any()


def test_what_is_finished_is_what_the_net_says_but_no_redder_than_paint_and_skin() -> None:
    onto, layer, finish = person(), patch(SIDE, 80, 80, 24), net()
    picture, missing = painted(onto.rgb, layer)
    box = slice(32, 160), slice(32, 160)
    said = finish.completed(picture[box], onto.rgb[box], missing[box])
    result = laid_on(onto.rgb, finished(finish, onto, layer, EVERYWHERE))
    inner = slice(50, 70), slice(50, 70)
    red, most = to_lab(said)[inner][..., 1], np.maximum(*(to_lab(x[box])[inner][..., 1] for x in (picture, onto.rgb)))
    as_said = red < most + 2
    assert as_said.mean() > 0.5
    assert np.abs(result[box] - said)[inner][as_said].max() < 1e-3
    assert (to_lab(result[box])[inner][..., 1] < most + 3).all()
    assert np.abs(result - picture).max() > 10


def test_a_finer_layer_stays_as_fine() -> None:
    found = finished(net(), person(), patch(2 * SIDE, 160, 160, 48), EVERYWHERE)
    assert found.shape == (2 * SIDE, 2 * SIDE, 7)
    assert np.abs(found[170:200, 170:200, 4:]).mean() > 5


def test_crops_of_another_resolution_are_left_as_they_are_painted() -> None:
    layer = patch(SIDE, 80, 80, 24)
    assert finished(net(), person(inner=0.5), layer, EVERYWHERE) is layer


def in_glasses() -> Face:
    """A flat face with two dark bars before it."""
    onto = person()
    worn_there = np.zeros((SIDE, SIDE), np.float32)
    worn_there[88:96, 60:90] = worn_there[88:96, 102:132] = 1
    maps = {name: np.zeros_like(worn_there) for name in CLASSES}
    maps["eyes"][96:100, 70:76] = 1
    maps["glasses"], maps["skin"] = worn_there, 1 - worn_there
    return Face(np.where(worn_there[..., None] > 0, 20, onto.rgb).astype(np.float32), maps, onto.inner)


def test_glasses_are_lifted_off_and_nothing_else_changes() -> None:
    onto = in_glasses()
    layer = without_glasses(net(), onto)
    assert layer is not None
    change = np.abs(laid_on(onto.rgb, layer) - onto.rgb).mean(2)
    assert change[90:94, 64:86].min() > 5
    assert change[worn(onto) == 0].max() == 0


def test_where_there_are_no_glasses_or_no_eyes_behind_them_none_are_lifted() -> None:
    maps, nothing = in_glasses().maps, np.zeros((SIDE, SIDE), np.float32)
    assert without_glasses(net(), replace(in_glasses(), maps={**maps, "glasses": nothing})) is None
    assert without_glasses(net(), replace(in_glasses(), maps={**maps, "eyes": nothing})) is None  # dark lenses
    coarse = replace(in_glasses(), inner=0.5)  # a net sees crops of one resolution only
    assert without_glasses(net(), coarse) is None


class Lifter(Upsampler):
    """One that sees what is behind lenses, and something of one tone where dark frames have been."""

    tone: float

    def completed(self, picture: Floats, photo: Floats, missing: Floats, *, hidden: bool = True) -> Floats:
        return np.where(photo < 50, np.float32(self.tone), photo)


@pytest.mark.parametrize("tone", [150.0, 230.0])
@pytest.mark.parametrize("beside", ["skin", "background"])
def test_what_is_left_of_dark_frames_is_no_lighter_than_what_is_behind_them(beside: str, tone: float) -> None:
    onto, lifter = in_glasses(), Lifter(UpsamplerConfig(width=8, blocks=1, fine=4))
    lifter.tone = tone
    behind, maps = np.full((SIDE, SIDE, 3), 150, np.float32), dict(onto.maps)
    if beside == "background":  # frames stick out beyond a cheek
        behind[:, 150:] = 60
        maps["skin"][:, 150:], maps["background"][:, 150:] = 0, 1
    frames = np.zeros((SIDE, SIDE), bool)
    frames[84:87, 60:158] = True
    maps["glasses"][frames], maps["skin"][frames], maps["background"][frames] = 1, 0, 0
    rgb = np.where(frames[..., None], np.float32(20), behind)
    layer = without_glasses(lifter, replace(onto, rgb=rgb, maps=maps))
    assert layer is not None
    wrong = np.abs(with_layer(rgb, layer) - behind).mean(2)
    assert wrong[frames].mean() < 8
    assert np.percentile(wrong[frames], 90) < 16
    assert wrong[~frames].max() < 40  # all of it is where skin and background meet


def test_it_is_kept_in_weights_folders(tmp_path: Path) -> None:
    weights = write_tiny_weights(tmp_path / "weights")
    assert load_upsampler(weights, "finisher") is None
    save_upsampler(weights, net(), "finisher")
    kept = load_model(weights, "cpu").finishers["finisher"]
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(kept(x), net()(x), atol=1e-2, rtol=0)  # in half precision


@pytest.fixture(scope="module")
def crops(editor: FaceEditor) -> torch.Tensor:
    """Two photos, (2, 3, 144, 144)."""
    wide = editor.read("lc/ui/examples/astronaut.jpg").wide
    assert wide is not None
    one = torch.from_numpy(wide).permute(2, 0, 1)[None, :, 24:168, 24:168]
    return torch.cat([one, one.flip(3)])


def painter(crops: torch.Tensor) -> Painter:
    parser = load_parser(DEFAULT_WEIGHTS)
    assert parser is not None
    return Painter(parser, crops)


@torch.inference_mode()
def test_under_anothers_hair_is_who_it_is_to_become_again(crops: torch.Tensor) -> None:
    paints = painter(crops)
    wig = paints.wig([1], np.random.default_rng(0))
    made = paints.bald(0, wig)
    assert made is not None
    worn, picture, wanted, missing = made
    assert np.array_equal(wanted, paints.photo(0))
    hair = wig[1] > 0.9
    assert hair.mean() > 0.1
    assert np.abs(worn - wig[0])[hair].max() < 26  # the other's hair
    assert np.abs(worn - wanted)[wig[1] < 1e-3].max() < 1
    assert np.abs(picture - worn)[missing == 0].max() == 0
    assert missing[24:40, 60:84].min() > 0.9  # hair over the forehead is painted away


@torch.inference_mode()
def test_glasses_are_put_on_to_be_lifted_off_again(crops: torch.Tensor) -> None:
    paints = painter(crops)
    made = paints.in_glasses(0, 0)
    assert made is not None
    photo, shown, wanted, missing = made
    assert photo is shown
    assert np.array_equal(wanted, paints.photo(0))
    change = np.abs(photo - wanted).mean(2)
    assert change.max() > 60
    assert change[missing > 0.5].sum() > 0.8 * change.sum()
    assert paints.wearer(1) is None
    labels = torch.zeros(2, len(ATTRIBUTES))
    with pytest.raises(DataError, match="No face with glasses is found"):
        in_glasses_drawn(paints, labels, FinishTraining(what="glasses", glasses=4, others=2))


@torch.inference_mode()
def test_beards_are_put_on_to_be_lifted_off_again(crops: torch.Tensor) -> None:
    paints = painter(crops)
    for style in range(5):
        made = paints.in_a_beard(0, style, net())
        assert made is not None
        photo, _, wanted, missing = made
        assert np.array_equal(wanted, paints.photo(0))
        change = np.abs(photo - wanted).mean(2)
        assert (change.max() > 20) == (style < 4)  # the last is none
        assert change[missing == 0].sum() < 0.02 * change.sum() + 1e-6
    labels = torch.ones(2, len(ATTRIBUTES))
    config = FinishTraining(what="beards", glasses=3, others=2)
    with pytest.raises(DataError, match="No face with a beard is found"):
        without_beards(paints, labels, config, net())
    labels[1, ATTRIBUTES.index("No_Beard")] = 0
    held_out, known, others = without_beards(paints, labels, config, net())
    assert len(held_out) == len(known) == 3
    assert (others.photos == others.wanted).all()


def test_a_beard_is_lifted_off_where_one_may_be(editor: FaceEditor) -> None:
    onto = Laid(editor.model)._onto(editor.read("lc/ui/examples/astronaut.jpg"))
    layer = without_beard(net(), onto)
    assert layer is not None
    change = np.abs(with_layer(onto.rgb, layer) - onto.rgb).mean(2)
    assert change[bearded(onto) > 0.9].mean() > 3
    assert change[bearded(onto) == 0].max() == 0
    assert without_beard(net(), replace(onto, maps={**onto.maps, "mouth": 0 * onto.maps["mouth"]})) is None


def test_a_beard_is_lifted_below_what_is_drawn_of_a_mouth(editor: FaceEditor) -> None:
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    man = replace(reading, attributes={**reading.attributes, "Male": 0.9})
    mouths = []
    for nets, names in (({"shaver": net()}, ["Male no beard"]), ({}, [])):
        (layers,) = Laid(replace(editor.model, finishers=nets)).on([man], {"Male": False})
        assert list(layers) == [*names, "Male mouth", "Male eyes"]
        mouths.append(layers["Male mouth"].pixels)
    assert np.abs(mouths[0] - mouths[1]).max() > 1  # it goes on from what is shaven
    (layers,) = Laid(replace(editor.model, finishers={"shaver": net()})).on([reading], {"Male": False})
    assert "Male no beard" not in layers  # a woman has none


@torch.inference_mode()
def test_what_has_no_photo_is_painted_too_and_without_faces_that_is_said(crops: torch.Tensor) -> None:
    labels = torch.zeros(2, len(ATTRIBUTES))
    labels[0, ATTRIBUTES.index("Bald")] = labels[1, ATTRIBUTES.index("No_Beard")] = 1
    config = FinishTraining(bald=2, bearded=2, others=2)
    paints = painter(crops)
    # The same two people are bald, and wear a beard as dark as that which is painted.
    paints.bare = lambda row: True  # type: ignore[method-assign]
    paints.as_bearded = paints.bearded  # type: ignore[method-assign]
    held_out, known, others = drawn(paints, labels, config)
    assert len(held_out) > 0
    assert len(known) == 4
    assert 2 <= len(others) <= 4
    assert (others.photos == others.wanted).all()
    with pytest.raises(DataError, match="No face with a beard is found"):
        drawn(painter(torch.zeros_like(crops)), labels, config)
