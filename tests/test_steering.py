"""lc.faces.steering and blend: an edit acts on the parts that it is about, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapped import AFTER, ALIGNED, BEFORE, MATRIX, PHOTO, SIDE, WIDE, maps
from PIL import Image, ImageFilter

from lc.attributes import Attribute, AttributeSet
from lc.colour import Colour
from lc.faces import Aligned, paste
from lc.faces.steering import Steering, beyond, wide_crop
from lc.parser import CLASSES
from lc.steer import steering_of


def edited(steering: Steering, new: np.ndarray, old: np.ndarray | None = None) -> np.ndarray:
    """The change of every pixel of the photo, (96, 96, 3)."""
    old = np.asarray(ALIGNED.crop) if old is None else old
    result = paste(PHOTO, Image.fromarray(new), ALIGNED, Image.fromarray(old), steering)
    return np.asarray(result, np.int32) - np.asarray(PHOTO, np.int32)


def test_the_wide_crop_is_the_crop_and_what_is_around_it() -> None:
    wide = wide_crop(PHOTO, ALIGNED, SIDE)
    assert wide.size == (WIDE, WIDE)
    assert np.array_equal(np.asarray(wide)[16:80, 16:80], np.asarray(ALIGNED.crop))


def test_beyond_the_photo_is_what_its_border_continues() -> None:
    white = Image.new("RGB", (60, 96), "white")
    aligned = Aligned(white.crop((16, 16, 80, 80)), MATRIX, 1.0)  # the crop's right goes past the photo
    outside = beyond(white.size, aligned, SIDE)
    assert outside.shape == (WIDE, WIDE)
    assert outside[:, 60:].all()
    assert not outside[:, :60].any()
    assert np.asarray(wide_crop(white, aligned, SIDE)).min() > 250


def test_an_edit_of_hair_leaves_face_and_background() -> None:
    brighter = np.clip(np.asarray(ALIGNED.crop).astype(int) + 70, 0, 255).astype(np.uint8)
    change = edited(Steering(CLASSES, BEFORE, AFTER, {"hair"}), brighter)
    assert np.abs(change[24:36, 34:62]).mean() > 30
    assert np.abs(change[50:, :]).max() <= 3  # face and below
    assert np.abs(change[:, :22]).max() <= 3  # background


def test_recoloured_hair_takes_the_colour_of_the_edit_beyond_the_crop_too() -> None:
    before = maps(WIDE, hair=(30, 2, 66, 40), skin=(34, 40, 62, 80))  # hair that the crop cuts off
    red = np.asarray(ALIGNED.crop).copy()
    red[4:24, 14:50] = (170, 60, 50)
    change = edited(Steering(CLASSES, before, AFTER, {"hair"}, "hair"), red)
    assert change[26:36, 36:60, 0].mean() > 25
    assert change[8:14, 38:58, 0].mean() > 15  # above the crop, which begins at 16
    assert np.abs(change[52:]).max() <= 3


def test_a_new_colour_of_hair_is_all_that_changes() -> None:
    noise = np.random.default_rng(4).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)  # a face that changes everywhere
    noise[4:24, 14:50] = (170, 60, 50)
    change = edited(Steering(CLASSES, BEFORE, AFTER, {"hair"}, "hair"), noise)
    assert change[26:34, 36:60, 0].mean() > 25
    assert np.abs(change[48:]).max() <= 3


def test_a_wall_that_may_be_hair_gets_no_tint_of_it() -> None:
    picture = np.full((96, 96, 3), (120, 130, 170), np.uint8)
    picture[20:40, 30:66], picture[40:80, 34:62] = (180, 150, 100), (230, 180, 160)
    photo = Image.fromarray(picture)
    aligned = Aligned(photo.crop((16, 16, 80, 80)), MATRIX, 1.0)
    before = BEFORE.copy()
    wall = slice(20, 40), slice(68, 90)
    before[0][wall], before[CLASSES.index("hair")][wall] = 100, 155
    black = Colour((8.0, 1.0, 2.0), (4.0, 2.0, 2.0), 6.0)
    steering = Steering(CLASSES, before, before[:, 16:80, 16:80], {"hair"}, "hair", black, alone=True)
    result = paste(photo, aligned.crop, aligned, aligned.crop, steering)
    change = np.abs(np.asarray(result, np.int32) - picture)
    assert change[24:36, 36:60].mean() > 60
    assert change[24:36, 72:88].mean() < 4


def test_glasses_are_laid_over_a_face_that_changes_too() -> None:
    after = maps(SIDE, hair=(14, 4, 50, 24), skin=(18, 24, 46, 64), glasses=(20, 30, 44, 38))
    new = np.asarray(ALIGNED.crop).astype(int)
    new[30:38, 20:44] = 15  # frames
    new[50:60, 22:42] += 70  # and lighter lips
    new = np.clip(new, 0, 255).astype(np.uint8)
    change = edited(Steering(CLASSES, BEFORE, after, {"skin", "glasses"}, shades="glasses"), new)
    assert change[48:52, 40:56].mean() < -50
    assert change[68:74, 42:54].mean() > 20
    assert change[46:54, 36:60].max() <= 6  # nothing of the model's face is seen through them


def test_skin_keeps_its_tone() -> None:
    pale = np.asarray(ALIGNED.crop).astype(int)
    pale[24:, 18:46] += 30  # all of the skin alike
    pale[40:46, 24:40] += 60  # and a mouth
    change = edited(Steering(CLASSES, BEFORE, AFTER, {"skin", "mouth"}), np.clip(pale, 0, 255).astype(np.uint8))
    assert np.abs(change[44:52, 36:58].mean()) < 6
    assert change[57:61, 42:54].mean() > 25


@given(seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_what_is_laid_over_a_face_only_darkens_it(seed: int) -> None:
    new = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    change = edited(Steering(CLASSES, BEFORE, AFTER, {"skin"}, shades="glasses", alone=True), new)
    assert change.max() <= 4  # a little of the grain is kept
    assert change.min() < -10


def test_a_layer_is_laid_where_it_covers_and_alone() -> None:
    layer = np.zeros((WIDE, WIDE, 4), np.float32)
    layer[20:44, 30:66] = (250, 10, 10, 1)
    noise = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    change = edited(Steering(CLASSES, BEFORE, AFTER, {"hair"}, laid=(layer,), alone=True), noise)
    assert change[28:38, 38:60, 0].mean() > 100
    assert np.abs(change[56:]).max() <= 1


def test_the_upper_of_two_layers_hides_the_lower_at_any_resolution() -> None:
    lower, upper = np.zeros((WIDE, WIDE, 4), np.float32), np.zeros((4 * WIDE, 4 * WIDE, 4), np.float32)
    lower[20:44, 30:66] = (250, 10, 10, 1)
    upper[80:176, 120:192] = (10, 10, 250, 1)  # the left half of that
    same = np.asarray(ALIGNED.crop)
    change = edited(Steering(CLASSES, BEFORE, AFTER, {"hair"}, laid=(lower, upper), alone=True), same)
    assert change[26:38, 34:45, 2].mean() > 100 > change[26:38, 34:45, 0].mean()
    assert change[26:38, 52:62, 0].mean() > 100
    assert np.abs(change[56:]).max() <= 1


@pytest.mark.parametrize(
    ("changes", "acts_on", "recolours", "shades"),
    [
        ({"Blond": True}, {"hair"}, "hair", None),
        ({"Glasses": True}, {"glasses"}, None, "glasses"),
        ({"Glasses": False}, {"glasses"}, None, None),
        ({"Glasses": True, "Blond": True}, {"glasses", "hair"}, "hair", "glasses"),
        ({"Other": True}, set(CLASSES) - {"background"}, None, None),
        ({}, set(CLASSES) - {"background"}, None, None),
    ],
)
def test_what_the_attributes_say_steers(
    changes: dict[str, bool], acts_on: set[str], recolours: str | None, shades: str | None
) -> None:
    attributes = AttributeSet(
        (
            Attribute("Blond", "Blond", acts_on=("hair",), recolours="hair"),
            Attribute("Glasses", "Glasses", acts_on=("glasses",), part="glasses", shades=True),
            Attribute("Other", "Other"),
        )
    )
    found = steering_of(attributes, CLASSES, changes, (BEFORE, AFTER, None), {})
    assert (set(found.acts_on), found.recolours, found.shades) == (acts_on, recolours, shades)


def test_a_rule_on_the_background_changes_that_and_a_taught_attribute_all_of_the_person() -> None:
    attributes = AttributeSet((Attribute("Hair", "Hair", acts_on=("hair",)),))
    person = set(CLASSES) - {"background"}

    def acts_on(changes: dict[str, bool], others: frozenset[str] | None) -> set[str]:
        return set(steering_of(attributes, CLASSES, changes, (BEFORE, AFTER, None), {}, others).acts_on)

    assert acts_on({}, frozenset({"background"})) == {"background"}
    assert acts_on({"Hair": True}, frozenset({"background"})) == {"hair", "background"}
    assert acts_on({"Hair": True}, frozenset()) == person
    assert acts_on({"Hair": True}, None) == {"hair"}


def test_a_colour_keeps_clear_of_the_next_darker_one() -> None:
    attributes = AttributeSet(
        tuple(
            Attribute(name, name, acts_on=("hair",), recolours="hair", colour=Colour((light, 5, 5), (8, 3, 3), 9))
            for name, light in (("Black", 8.0), ("Brown", 20.0), ("Blond", 60.0))
        ),
        one_of=(("Black", "Brown", "Blond"),),
    )
    lightness = {}
    for changes in ({"Black": True}, {"Brown": True}, {"Blond": True}, {"Black": False}, {"Blond": False}):
        colour = steering_of(attributes, CLASSES, changes, (BEFORE, AFTER, None), {}).colour
        assert colour is not None
        lightness[next(iter(changes.items()))] = colour.mean[0] - colour.spread[0]
    assert lightness["Black", True] < 8
    assert min(lightness["Brown", True], lightness["Black", False]) >= 8 + 2 * 8
    assert max(lightness["Brown", True], lightness["Blond", False]) < lightness["Blond", True]


def test_a_face_that_only_changes_keeps_the_heads_outline() -> None:
    """A narrower face, or one that is drawn a little beside the photo's, is no reason to touch the background."""
    narrower = maps(SIDE, hair=(14, 4, 50, 24), skin=(22, 24, 42, 64))
    wider = maps(SIDE, hair=(14, 4, 50, 24), skin=(10, 24, 56, 64))
    brighter = np.clip(np.asarray(ALIGNED.crop).astype(int) + 70, 0, 255).astype(np.uint8)
    # In the photo's pixels: skin between columns 34 and 62 of rows 40 to 80, background to either side.
    for after in (narrower, wider):
        face = edited(Steering(CLASSES, BEFORE, after, {"skin", "mouth"}), brighter)
        assert np.abs(face[46:74, :30]).max() <= 3
        assert np.abs(face[46:74, 66:]).max() <= 3
    unveiled = edited(Steering(CLASSES, BEFORE, wider, {"skin", "hat"}), brighter)  # a hat may have hidden some
    assert np.abs(unveiled[46:74, 27:31]).mean() > 20


def test_what_the_generator_misplaces_anyhow_is_no_part_of_an_edit() -> None:
    misplaced = maps(SIDE, hair=(4, 4, 60, 34), skin=(18, 34, 46, 64))
    brighter = np.clip(np.asarray(ALIGNED.crop).astype(int) + 70, 0, 255).astype(np.uint8)
    blamed = edited(Steering(CLASSES, BEFORE, misplaced, {"hair"}), brighter)
    known = edited(Steering(CLASSES, BEFORE, misplaced, {"hair"}, without=misplaced), brighter)
    assert np.abs(blamed[26:34, 22:28]).mean() > 20
    assert np.abs(known[26:34, 22:28]).max() <= 3
    assert np.abs(known[24:34, 36:60]).mean() > 20  # the hair there was


def test_what_is_laid_on_is_as_far_out_of_focus_as_the_photo() -> None:
    blocks = np.kron(np.random.default_rng(0).integers(0, 2, (12, 12)), np.ones((64, 64))) * 190 + 30
    sharp = Image.fromarray(np.repeat(blocks[..., None], 3, 2).astype(np.uint8))  # 768 pixels
    matrix = np.array([[8.0, 0, 128], [0, 8.0, 128]])
    layer = np.zeros((4 * WIDE, 4 * WIDE, 4), np.float32)
    layer[192:, :, 3] = 1  # its upper edge is a straight line
    widths = []
    for deviation in (0, 3, 6):
        photo = sharp.filter(ImageFilter.GaussianBlur(deviation))
        aligned = Aligned(photo.crop((128, 128, 640, 640)).resize((64, 64)), matrix, 8.0)
        steering = Steering(CLASSES, BEFORE, AFTER, {"hair"}, laid=(layer,), alone=True)
        result = np.asarray(paste(photo, aligned.crop, aligned, aligned.crop, steering), np.float32)[..., 0]
        columns = np.asarray(photo, np.float32)[384, :, 0] > 200  # where the photo is bright about the edge
        profile = result[330:440, columns].mean(1)
        widths.append(int(((profile > 0.1 * profile.max()) & (profile < 0.9 * profile.max())).sum()))
    assert widths[0] <= 4
    assert widths[0] + 3 <= widths[1] < widths[2]


def test_dark_hair_that_is_lightened_shows_strands_along_what_it_has() -> None:
    """Black hair is flat in photos: moved to a lighter colour and no more, it would look like felt."""
    chance = np.random.default_rng(0)
    dark = np.full((512, 512, 3), (120.0, 90.0, 75.0))
    lines = np.kron(chance.normal(0, 1.5, (1, 128, 1)), np.ones((512, 4, 1)))  # faint ones, from top to bottom
    dark[:180] = 14 + lines[:180]
    photo = Image.fromarray(dark.clip(0, 255).astype(np.uint8))
    aligned = Aligned(photo.resize((64, 64)), np.array([[8.0, 0, 0], [0, 8, 0]]), 8.0)
    before = maps(WIDE, hair=(0, 0, WIDE, 38), skin=(0, 38, WIDE, WIDE))
    after = maps(SIDE, hair=(0, 0, SIDE, 22), skin=(0, 22, SIDE, SIDE))
    blond = Colour((60.0, 5.0, 25.0), (8.0, 3.0, 3.0), 12.0)
    new = np.asarray(aligned.crop).copy()
    new[:22] = (190, 160, 100)

    def lightness(colour: Colour, picture: np.ndarray) -> np.ndarray:
        steering = Steering(CLASSES, before, after, {"hair"}, "hair", colour)
        result = paste(photo, Image.fromarray(picture), aligned, aligned.crop, steering)
        assert np.abs(np.asarray(result, np.int32) - np.asarray(photo, np.int32))[240:].max() <= 3
        return np.asarray(result.convert("L"), np.float32)[20:140, 60:450]

    hair = lightness(blond, new)
    assert hair.mean() > 110
    strand, way = hair.mean(0).std(), hair.mean(1).std()
    assert strand > 6
    assert strand > 2 * way  # they go from top to bottom
    assert hair.tobytes() == lightness(blond, new).tobytes()
    black = lightness(Colour((8.0, 0.0, 0.0), (4.0, 2.0, 2.0), 3.0), np.asarray(aligned.crop) + np.uint8(1))
    assert black.std() < 4  # nothing is put into hair that stays as dark


def test_eyes_behind_glasses_that_are_taken_off_stay_the_photos_own() -> None:
    worn = maps(WIDE, skin=(30, 20, 66, 80), glasses=(32, 40, 64, 52), eyes=(38, 44, 46, 48))
    bare = maps(SIDE, skin=(14, 4, 50, 64), eyes=(22, 28, 30, 32))
    hidden = maps(WIDE, skin=(30, 20, 66, 80), glasses=(32, 40, 64, 52))
    new = np.asarray(ALIGNED.crop).copy()
    new[24:36, 16:48] = 200
    acts_on = {"glasses", "skin", "eyes"}
    through = np.abs(edited(Steering(CLASSES, worn, bare, acts_on), new))
    assert through[45:47, 40:44].max() <= 6  # the middle of the eye, in the photo's pixels
    assert through[41:51, 52:60].mean() > 30  # the rest of the lenses
    assert np.abs(edited(Steering(CLASSES, hidden, bare, acts_on), new))[45:47, 40:44].mean() > 30


def test_a_smile_leaves_what_is_above_the_mouth() -> None:
    checks = np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((4, 4)))[..., None] * 120 - 60
    checked = np.clip(np.asarray(ALIGNED.crop).astype(int) + checks, 0, 255).astype(np.uint8)
    attributes = AttributeSet((Attribute("Smile", "Smile", acts_on=("skin", "mouth"), begins=0.5), Attribute("A", "A")))
    face = maps(WIDE, skin=(30, 20, 66, 80))
    smile = steering_of(attributes, CLASSES, {"Smile": True}, (face, maps(SIDE, skin=(14, 4, 50, 64)), None), {})
    change = np.abs(edited(smile, checked))
    assert change[:46].max() <= 3  # half of the crop is the photo's row 48
    assert change[56:76, 36:60].mean() > 30
    both = steering_of(attributes, CLASSES, {"Smile": True, "A": True}, (face, face[:, 16:80, 16:80], None), {})
    assert (smile.begins, both.begins) == (0.5, 0.0)


def test_hair_that_stays_keeps_its_strands() -> None:
    """Older or younger, hair takes on a tone and no blots."""
    pixels = np.random.default_rng(0).normal(110, 2, (512, 512, 3))
    pixels[:, ::8] += 60
    photo = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    aligned = Aligned(photo.resize((64, 64)), np.array([[8.0, 0, 0], [0, 8, 0]]), 8.0)
    before, after = maps(WIDE, hair=(0, 0, WIDE, 58)), maps(SIDE, hair=(0, 0, SIDE, 42))
    blot = np.asarray(aligned.crop).copy()
    blot[12:30, 20:44] = np.kron(np.indices((6, 8)).sum(0) % 2, np.ones((3, 3)))[..., None] * 120 + 60

    def contrast(acts_on: set[str]) -> float:
        result = paste(photo, Image.fromarray(blot), aligned, aligned.crop, Steering(CLASSES, before, after, acts_on))
        return float(np.diff(np.asarray(result.convert("L"), np.float32)[120:220, 180:330], axis=1).std())

    own = float(np.diff(np.asarray(photo.convert("L"), np.float32), axis=1).std())
    assert contrast({"skin", "hair"}) > 0.7 * own
    assert contrast({"hair"}) < 0.5 * own


@pytest.mark.parametrize("recolours", [None, "hair"])
def test_skin_goes_no_redder_than_the_photos_own(recolours: str | None) -> None:
    """Blots of red and blue are the generator's; lips may be painted. Hair that changes colour too is no beard."""
    pixels = np.random.default_rng(0).normal((205, 160, 135), 3, (96, 96, 3))
    pixels[70:] = np.random.default_rng(1).integers(0, 255, (26, 96, 3))  # a motley coat: not a photo of one tint
    face = Image.fromarray(pixels.astype(np.uint8))
    aligned = Aligned(face.crop((16, 16, 80, 80)), MATRIX, 1.0)
    before = maps(WIDE, skin=(10, 10, 86, 70), cloth=(10, 70, 86, 86))
    before[:, 50:58, 30:50] = 0
    before[CLASSES.index("mouth"), 50:58, 30:50] = 255
    red = np.asarray(aligned.crop).copy()
    red[20:46, 10:50] = (235, 60, 60)
    after = before[:, 16:80, 16:80]
    acts_on = {"skin", "mouth"} | ({recolours} if recolours else set())
    steering = Steering(CLASSES, before, after, acts_on, recolours, begins=0.01)
    result = paste(face, Image.fromarray(red), aligned, aligned.crop, steering)
    spread = (
        np.asarray(result, np.int32)[..., 0] - np.asarray(result, np.int32)[..., 2]
    )  # red over blue: 70 in the photo
    assert spread[38:46, 30:60].mean() < 105
    assert spread[51:56, 33:47].mean() > 130


def test_finishing_adds_texture_to_skin_and_no_spots() -> None:
    face, after = maps(WIDE, skin=(30, 20, 66, 80)), maps(SIDE, skin=(14, 4, 50, 64), mouth=(26, 36, 38, 42))
    checks = np.kron(np.indices((16, 16)).sum(0) % 2, np.ones((4, 4)))[..., None] * 120 - 60
    checked = np.clip(np.asarray(ALIGNED.crop).astype(int) + checks, 0, 255).astype(np.uint8)
    steering = Steering(CLASSES, face, after, {"skin", "mouth"})

    def added(by: float) -> np.ndarray:
        """What finishing by so many grey levels changes, (96, 96)."""

        def lighter(by: float) -> Image.Image:
            new = Image.fromarray(checked)
            return paste(PHOTO, new, ALIGNED, ALIGNED.crop, steering, lambda picture, _, __: picture + by)

        plain, finished = lighter(0.0), lighter(by)
        return np.asarray(finished, np.float32).mean(2) - np.asarray(plain, np.float32).mean(2)

    mouth, cheek = (slice(54, 57), slice(44, 52)), (slice(62, 74), slice(36, 44))
    assert added(-60)[mouth].mean() == pytest.approx(-20, abs=4)
    assert added(60)[mouth].mean() > 35
    for by in (-60.0, 60.0):
        assert np.abs(added(by)[cheek]).max() <= 10
        assert np.abs(added(by)[cheek]).mean() > 5
