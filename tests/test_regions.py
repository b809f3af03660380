"""lc.regions and lc.redrawn: a region of a face is drawn anew, and the photo about it goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lc.editor import FaceEditor
from lc.faces.composites import Face, Floats
from lc.faces.layers import LAYERS
from lc.faces.tone import to_lab
from lc.parser import CLASSES
from lc.redrawn import cleared, middle_of, redrawn
from lc.regions import PATCH, REGIONS, RegionConfig, RegionVAE, hidden
from train.attributes import ATTRIBUTES
from train.regions import accuracy, fitted, middles, patches

SIDE, INNER = 192, 2 / 3  # of a photo's wide crop, whose middle is the crop of 128


def small(*attributes: str, region: str = "mouth") -> RegionVAE:
    """An untrained net, whose critics are one dimension of the code each."""
    torch.manual_seed(0)
    config = RegionConfig(region, code=4, attributes=attributes, pull=0.0, widths=(8, 8, 8, 8), fine=4)
    net = RegionVAE(config).eval().requires_grad_(False)
    for row in range(len(attributes)):
        net.critics[row, row] = net.moves[row, row] = 1
        net.levels[row] = torch.tensor([-3.0, 3.0])
    return net


def person(mouth: tuple[int, int] | None = (96, 132)) -> Face:
    """A flat face with a mouth about a place, from the left and from above."""
    rgb = np.random.default_rng(0).uniform(90, 110, (SIDE, SIDE, 3)).astype(np.float32)
    maps = {name: np.zeros((SIDE, SIDE), np.float32) for name in CLASSES}
    maps["skin"][:] = 1
    if mouth:
        box = slice(mouth[1] - 5, mouth[1] + 5), slice(mouth[0] - 14, mouth[0] + 14)
        maps["mouth"][box], maps["skin"][box] = 1, 0
        rgb[box] = (150, 60, 60)
    return Face(rgb, maps, INNER)


def laid_on(onto: Face, layer: Floats | None) -> Floats:
    assert layer is not None
    return np.asarray(onto.rgb + layer[..., 3:4] * (layer[..., :3] - onto.rgb) + layer[..., 4:])


@pytest.mark.parametrize("region", REGIONS)
def test_what_is_hidden_is_not_looked_at_and_what_is_seen_stays(region: str) -> None:
    net, x, missing, codes = small(region=region), torch.rand(2, 3, PATCH, PATCH), hidden(2, region), torch.randn(2, 4)
    first = net.draw(x, missing, codes)
    assert first.min() >= 0
    assert first.max() <= 1
    seen = (missing == 0).expand_as(x)
    assert torch.equal(first[seen], x[seen])
    other = torch.where(missing == 1, torch.rand_like(x), x)
    torch.testing.assert_close(net.draw(other, missing, codes), first)
    assert (net.draw(x, missing, codes + 1) - first).abs().max() > 1e-3


@settings(max_examples=25, deadline=None)
@given(st.floats(0.9, 1.1), st.floats(0.9, 1.1), st.floats(-2, 2), st.floats(-2, 2))
def test_hidden_is_a_mouth_and_no_nose(across: float, down: float, right: float, below: float) -> None:
    (missing,) = hidden(1, "mouth", torch.tensor([[across, down]]), torch.tensor([[right, below]]))
    assert missing.min() >= 0
    assert missing.max() <= 1
    assert missing[0, 32:40, 20:44].min() > 0.9
    assert missing[0, :10, 28:36].max() < 0.1
    assert missing[0, [0, 0, -1, -1], [0, -1, 0, -1]].max() == 0


def test_hidden_are_two_eyes_and_their_brows() -> None:
    (missing,) = hidden(1, "eyes")
    assert missing[0, 20:38, 13:51].min() > 0.9
    assert missing[0, 52:].max() == 0


@settings(max_examples=50, deadline=None)
@given(st.floats(-8, 8), st.floats(0, 1), st.floats(0, 1.5))
def test_a_move_goes_as_far_as_it_is_told_and_never_back(logit: float, wanted: float, far: float) -> None:
    net, codes = small("Smiling"), torch.zeros(1, 4)
    codes[0, 0] = logit
    moved = net.moved(codes, {"Smiling": wanted}, far)
    assert torch.equal(moved[:, 1:], codes[:, 1:])
    target, found = 6 * wanted - 3, float(moved[0, 0])
    if wanted == 1:
        target = max(target, logit)  # who smiles more than people do goes on
    if wanted == 0:
        target = min(target, logit)
    assert found == pytest.approx(logit + far * (target - logit), abs=1e-4)


def test_moved_codes_are_drawn_to_what_is_usual() -> None:
    net, codes = small("Smiling"), torch.tensor([[0.0, 4.0, 0.0, 0.0], [5.0, 4.0, 0.0, 0.0]])
    net.config = replace(net.config, pull=0.5)
    moved = net.moved(codes, {"Smiling": 1.0})
    assert moved.tolist() == [[3.0, 2.0, 0.0, 0.0], [5.0, 4.0, 0.0, 0.0]]  # who smiles enough stays
    assert net.moved(codes, {"Smiling": 0.5})[0].tolist() == [0.0, 4.0, 0.0, 0.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-6, 6), min_size=4, max_size=4), st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1.5))
def test_who_smiles_keeps_the_beard(code: list[float], wanted: float, far: float) -> None:
    net = small("Smiling", "No_Beard", "Male")
    net.config, net.centres[:] = replace(net.config, pull=0.5), 1  # to where people of all kinds are
    # A man's code without a beard is a woman's, and the other way round.
    net.moves[1, 2] = net.moves[2, 1] = 0.7
    net.moves[0, 1] = 0.3
    codes = torch.tensor([code])
    smiling = net.moved(codes, {"Smiling": wanted}, far)
    torch.testing.assert_close(smiling[:, 1:3], codes[:, 1:3], atol=1e-4, rtol=0)
    shaven = net.moved(codes, {"No_Beard": wanted}, far)
    torch.testing.assert_close(shaven[:, 0], codes[:, 0], atol=1e-4, rtol=0)
    if (shaven - codes)[0, 1].abs() > 1e-2:
        assert (shaven - codes)[0, 2].abs() > 1e-3


def test_codes_of_people_with_it_are_told_from_those_without_and_moved_along_it_alone() -> None:
    chance = torch.Generator().manual_seed(0)
    labels = (torch.rand(4_000, len(ATTRIBUTES), generator=chance) < 0.5).float()
    smiles, men = (labels[:, ATTRIBUTES.index(name)] for name in ("Smiling", "Male"))
    # Men smile less here: their dimension is not to move with smiles.
    labels[:, ATTRIBUTES.index("Smiling")] = smiles = smiles * (torch.rand(4_000, generator=chance) < 1 - 0.7 * men)
    codes = 0.3 * torch.randn(4_000, 4, generator=chance)
    codes[:, 0] += 2 * smiles
    codes[:, 1] += 2 * men
    net = fitted(small(), codes, labels, ["Smiling"], [1.0])
    assert accuracy(net, codes, labels)[0] > 0.98
    move = net.moves[0] / net.moves[0].norm()
    assert move[0] > 0.99
    moved = net.moved(codes[smiles == 0], {"Smiling": 1.0})
    assert (moved @ net.critics[0] + net.biases[0] > 0).all()


def test_a_mouth_is_drawn_where_it_is_and_nothing_else_changes() -> None:
    net = small("Smiling")
    for place in ((96, 132), (84, 124), (104, 150)):
        onto = person(place)
        change = np.abs(laid_on(onto, redrawn(net, onto, {"Smiling": 1.0}, 1.0, ["Smiling"])) - onto.rgb).mean(2)
        rows, columns = (slice(max(at - 34, 0), at + 34) for at in place[::-1])
        assert change[rows, columns].max() > 1
        change[rows, columns] = 0
        assert change.max() == 0


@pytest.mark.parametrize(
    ("region", "axis", "colour"),
    [("mouth", 2, (0.5, 0.4, 0.1)), ("eyes", 2, (0.5, 0.4, 0.1)), ("eyes", 1, (0.6, 0.2, 0.2))],
)
def test_nothing_that_is_drawn_goes_beyond_the_colours_of_skin(
    region: str, axis: int, colour: tuple[float, ...]
) -> None:
    class Coloured(RegionVAE):
        """One that draws patches of a colour where people are to smile."""

        def draw(self, patches: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
            drawn = torch.tensor(colour)[:, None, None] * (codes[:, :1, None, None] > 1)
            return patches + missing * (drawn - patches) * (drawn > 0)

    made, onto = small("Smiling", region=region), person()
    net = Coloured(made.config)
    net.load_state_dict(made.state_dict())
    layer = redrawn(net, onto, {"Smiling": 1.0}, 1.0, ["Smiling"])
    shown = to_lab(laid_on(onto, layer))
    before = to_lab(onto.rgb)
    assert np.abs(shown - before).max() > 2
    assert shown[onto.maps["skin"] > 0][:, axis].max() < before[onto.maps["skin"] > 0][:, axis].max() + 6


def test_where_it_is_so_already_nothing_changes() -> None:
    net, onto = small("Smiling"), person()
    net.levels[:] = torch.tensor([-300.0, -299.0])
    net.centres[:] = 5
    layer = redrawn(net, onto, {"Smiling": 1.0}, 1.0)
    assert layer is not None
    assert not layer.any()


def test_a_mouth_that_is_drawn_much_unlike_is_left_but_for_what_needs_it() -> None:
    net = small("Smiling", "Male")
    onto = person()
    onto.rgb[124:140, 70:122] = 250  # no code of an untrained net says so
    moves = {"Smiling": 1.0, "Male": 1.0}
    layers = [redrawn(net, onto, moves, 1.0, needed) for needed in ((), ("Smiling",), ("Male",), tuple(moves))]
    assert [bool(one.any()) for one in layers if one is not None] == [False, True, True, True]
    alone = redrawn(net, onto, {"Smiling": 1.0}, 1.0, ("Smiling",))
    assert alone is not None
    assert layers[1] is not None
    assert np.array_equal(layers[1], alone)
    like = person()
    like.rgb[:] = 100  # as its surroundings
    some, all_of_it = (redrawn(net, like, moves, 1.0, needed) for needed in ((), tuple(moves)))
    assert some is not None
    assert all_of_it is not None
    assert np.array_equal(some, all_of_it)


@pytest.mark.parametrize("onto", [person(None), Face(person().rgb, person().maps, 0.5)])
def test_without_a_mouth_or_at_another_resolution_none_is_drawn(onto: Face) -> None:
    assert redrawn(small("Smiling"), onto, {"Smiling": 1.0}, 1.0) is None


def test_specks_elsewhere_are_no_part_of_a_mouth() -> None:
    onto = person((96, 132))
    onto.maps["mouth"][180:186, 20:40] = 1
    assert middle_of(onto, "mouth") == pytest.approx((96, 132), abs=0.01)
    assert middle_of(onto, "eyes") == pytest.approx((96, 98.3), abs=0.01)


def test_two_changes_of_one_region_are_one_layer_that_shows_both() -> None:
    net, onto = small("Smiling", "Male"), person()
    both, smile = (
        redrawn(net, onto, {"Smiling": 1.0} | more, 1.0, ["Smiling", "Male"]) for more in ({"Male": 1.0}, {})
    )
    assert np.abs(laid_on(onto, both) - laid_on(onto, smile)).max() > 0.5


def test_patches_are_cut_about_mouths_and_mirrored() -> None:
    images = torch.randint(0, 256, (2, 3, 144, 144), dtype=torch.uint8)
    places = torch.tensor([[72.0, 100.0], [60.0, 110.0]])
    x = patches(images, places, torch.tensor([False, True]))
    assert torch.equal((255 * x[0]).round(), images[0, :, 68:132, 40:104].float())
    assert torch.equal((255 * x[1]).round(), images[1, :, 78:142, 28:92].flip(2).float())


def test_mouths_are_looked_for_by_the_parser(editor: FaceEditor) -> None:
    parser = editor.model.parser
    assert parser is not None
    crop = editor.read("lc/ui/examples/astronaut.jpg").wide
    assert crop is not None
    images = torch.from_numpy(crop).permute(2, 0, 1)[None, :, 24:168, 24:168].contiguous()
    ((x, y),) = middles(parser, images, "mouth").tolist()
    assert 60 < x < 84
    assert 95 < y < 118


def test_a_smile_is_laid_on_and_a_little_of_one_is_less(editor: FaceEditor) -> None:
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    assert reading.wide is not None
    photo = Face(reading.wide.astype(np.float32), {})
    changes = []
    for wanted, identity in ((0.8, 0.5), (0.5, 0.5), (False, 1.0), (False, 0.5), (False, 0.0)):
        (layers,) = editor.steerer.layers([reading], {"Smiling": wanted}, identity=identity)
        assert list(layers) == ["Smiling mouth"]
        changes.append(np.abs(laid_on(photo, layers["Smiling mouth"].pixels) - photo.rgb).mean())
    assert sorted(changes) == changes
    assert changes[0] < changes[-1]


def test_two_changes_of_a_mouth_draw_it_once_below_hair_that_grows_about_it(editor: FaceEditor) -> None:
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    (layers,) = editor.steerer.layers([reading], {"Male": True, "Smiling": False})
    assert list(layers) == ["Male mouth", "Male eyes", "Male stubble"]
    assert all(layer.over for layer in layers.values())
    (alone,) = editor.steerer.layers([reading], {"Smiling": False})
    assert np.abs(layers["Male mouth"].pixels - alone["Smiling mouth"].pixels).max() > 5


def test_what_nets_draw_is_no_part_of_what_a_hat_stands_for(editor: FaceEditor) -> None:
    reading = editor.read("lc/ui/examples/astronaut.jpg")
    shifts = [
        editor.steerer.layers([reading], changes)[0]["Eyeglasses"].shift
        for changes in ({"Eyeglasses": True}, {"Eyeglasses": True, "Smiling": False})
    ]
    assert (shifts[0] - shifts[1]).norm() < 0.3 * shifts[0].norm()


def test_where_hair_lay_over_eyes_they_are_drawn_anew_and_nowhere_else() -> None:
    onto, net = person(), small("Smiling", region="eyes")
    hair = np.zeros(onto.rgb.shape[:2], np.float32)
    hair[60:90, 60:90] = 1
    bald = np.zeros((*hair.shape, 4), np.float32)
    bald[:86, :, 3], bald[:86, :, :3] = 1, 150
    in_hair = replace(onto, maps={**onto.maps, "hair": hair})
    assert LAYERS["scalp"].clears is not None
    where = LAYERS["scalp"].clears[1]

    def bare(face: Face) -> Floats:
        return cleared(net, face, bald, where(face, bald))

    change = np.abs(laid_on(onto, bare(in_hair)) - laid_on(onto, np.pad(bald, [(0, 0)] * 2 + [(0, 3)])))
    assert change[76:88, 72:88].max() > 1
    assert not change[:, 108:].any()
    assert not change[112:].any()
    in_glasses = replace(in_hair, maps={**in_hair.maps, "glasses": np.ones_like(hair)})
    for face in (onto, in_glasses, replace(in_hair, inner=0.5)):
        assert bare(face) is bald
