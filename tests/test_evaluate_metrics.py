"""train.evaluate.metrics and finished: what masks measure of an edit, on faces whose parts are painted by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import with_edited
from torch import Tensor, nn

from lc.classifier import Classifier, ClassifierConfig
from lc.editor import Edit, FaceEditor, Reading
from lc.faces import Aligned, read_photo
from lc.parser import CLASSES, ParserConfig
from lc.results import Located

pytest.importorskip("train.identity", exc_type=ImportError)

from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.evaluate import edits as editing
from train.evaluate import finished
from train.evaluate.metrics import COLOURS, Parsed, Ranges, compare, parse_faces
from train.evaluate.readers import Roles, classifier_reader
from train.evaluate.summary import by_group, pooled, reach, summary

SIZE, MARGIN = 64, 16
HAIR = {"Black_Hair": (25, 22, 20), "Blond_Hair": (205, 175, 120), "Brown_Hair": (95, 62, 40)}
GLASSES, HAT = (255, 0, 255), (0, 255, 0)


class Painted(nn.Module):
    """Stands in for a parser: parts by their place, glasses, hats and bald scalps by their colour."""

    def __init__(self) -> None:
        super().__init__()
        self.config = ParserConfig(image_size=SIZE)
        self.place = nn.Parameter(torch.zeros(1))

    def parse(self, images: Tensor, *, resample: bool = True) -> Tensor:
        assert not resample
        side, found = images.shape[-1], torch.zeros(images.shape[0], *images.shape[2:], dtype=torch.long)
        inner = slice(MARGIN + 8, side - MARGIN - 8)
        found[:, MARGIN + 16 :, inner] = CLASSES.index("skin")
        found[:, MARGIN : MARGIN + 16, inner] = CLASSES.index("hair")
        found[:, MARGIN + 52 : MARGIN + 56, MARGIN + 24 : MARGIN + 40] = CLASSES.index("mouth")
        for colour, name in ((GLASSES, "glasses"), (HAT, "hat"), (SKIN, "skin")):
            near = (images * 255 - torch.tensor(colour).float().view(1, 3, 1, 1)).abs().amax(1) < 30
            only = near & (found == CLASSES.index("hair")) if name == "skin" else near
            found[only] = CLASSES.index(name)
        return nn.functional.one_hot(found, len(CLASSES)).permute(0, 3, 1, 2).float()


SKIN = (190, 140, 120)


def face(hair: tuple[int, int, int] = HAIR["Brown_Hair"], skin: tuple[int, int, int] = SKIN) -> np.ndarray:
    side = SIZE + 2 * MARGIN
    picture = np.full((side, side, 3), 90, dtype=np.uint8)
    picture[MARGIN + 16 :, MARGIN + 8 : side - MARGIN - 8] = skin
    picture[MARGIN : MARGIN + 16, MARGIN + 8 : side - MARGIN - 8] = hair
    picture[MARGIN + 52 : MARGIN + 56, MARGIN + 24 : MARGIN + 40] = (150, 60, 70)
    return picture


def wearing(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    worn = picture.copy()
    top = MARGIN + 28 if colour == GLASSES else MARGIN
    worn[top : top + 8, MARGIN + 12 : MARGIN + 52] = colour
    return worn


def placed(picture: np.ndarray) -> tuple[Image.Image, Aligned]:
    image = Image.fromarray(picture)
    matrix = np.array([[1.0, 0.0, MARGIN], [0.0, 1.0, MARGIN]])
    return image, Aligned(image.crop((MARGIN, MARGIN, MARGIN + SIZE, MARGIN + SIZE)), matrix, 1.0)


def parsed(*pictures: np.ndarray) -> list[Parsed]:
    return parse_faces(Painted(), [placed(picture) for picture in pictures])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ranges() -> Ranges:
    """Learned from people of every hair colour, some with glasses, a hat or no hair, each a little different."""
    draw, pictures, labels = np.random.default_rng(0), [], {name: [] for name in (*COLOURS, "Eyeglasses")}
    labels |= {"Wearing_Hat": [], "Bald": []}
    for i in range(48):
        name = COLOURS[i % 3]
        hair = tuple(int(v) for v in np.array(HAIR[name]) + draw.integers(-12, 12))
        picture, kind = face(SKIN if i % 8 == 7 else hair), i % 8  # type: ignore[arg-type]
        picture = wearing(picture, GLASSES) if kind == 5 else wearing(picture, HAT) if kind == 6 else picture
        pictures.append(picture)
        for colour in COLOURS:
            labels[colour].append(colour == name and kind != 7)
        for other, of in (("Eyeglasses", 5), ("Wearing_Hat", 6), ("Bald", 7)):
            labels[other].append(kind == of)
    return Ranges.fit(parsed(*pictures), labels)


def test_ranges_agree_with_the_labels_they_were_learned_from(ranges: Ranges) -> None:
    assert set(ranges.agreement) == {*COLOURS, "Eyeglasses", "Wearing_Hat", "Bald"}
    for name, (has, lacks) in ranges.agreement.items():
        assert has >= 0.85, name
        assert lacks >= 0.95, name


def test_what_too_few_have_is_not_learned() -> None:
    pictures = parsed(*[face() for _ in range(4)])
    learned = Ranges.fit(pictures, {"Eyeglasses": [True, False, False, False], "Brown_Hair": [True] * 4})
    assert not learned.area
    assert not learned.mean
    assert learned.has(pictures[0], "Eyeglasses") is None


@pytest.mark.parametrize(
    ("name", "after", "found"),
    [
        ("Blond_Hair", face(HAIR["Blond_Hair"]), 1.0),
        ("Blond_Hair", face(), 0.0),
        ("Blond_Hair", face((60, 90, 220)), 0.0),  # blue is nearest to something, and no colour of hair
        ("Black_Hair", face(HAIR["Blond_Hair"]), 0.0),
        ("Eyeglasses", wearing(face(), GLASSES), 1.0),
        ("Eyeglasses", wearing(face(), HAT), 0.0),
        ("Wearing_Hat", wearing(face(), HAT), 1.0),
        ("Bald", face(SKIN), 1.0),
        ("Bald", face(HAIR["Black_Hair"]), 0.0),
    ],
)
def test_masks_see_what_an_edit_put_on(name: str, after: np.ndarray, found: float, ranges: Ranges) -> None:
    old, new = parsed(face(), after)
    assert compare(old, new, name, True, ranges)["masks"] == found


def test_masks_see_what_an_edit_took_off(ranges: Ranges) -> None:
    worn, without = parsed(wearing(face(), GLASSES), face())
    assert compare(worn, without, "Eyeglasses", False, ranges)["masks"] == 1
    assert compare(worn, worn, "Eyeglasses", False, ranges)["masks"] == 0
    bald, hairy = parsed(face(SKIN), face())
    assert compare(bald, hairy, "Bald", False, ranges)["masks"] == 1


def test_who_has_it_already_is_not_counted(ranges: Ranges) -> None:
    old, new = parsed(wearing(face(), GLASSES), wearing(face(), GLASSES))
    assert np.isnan(compare(old, new, "Eyeglasses", True, ranges)["masks"])
    assert np.isnan(compare(old, new, "Smiling", True, ranges)["masks"])  # masks do not say


def test_half_a_bald_head_is_none(ranges: Ranges) -> None:
    half, third = face(), face()
    half[MARGIN : MARGIN + 8, MARGIN + 8 : -MARGIN - 8] = SKIN
    third[MARGIN : MARGIN + 12, MARGIN + 8 : -MARGIN - 8] = SKIN
    old, a, b = parsed(face(), half, third)
    assert compare(old, a, "Bald", True, ranges)["masks"] == 0
    assert compare(old, b, "Bald", True, ranges)["masks"] == 1
    assert compare(old, a, "Bald", True, ranges)["hair"] == pytest.approx(0.5)


def test_bleached_cheeks_a_cloud_and_a_lost_mouth_are_seen(ranges: Ranges) -> None:
    bleached, cloudy = face(skin=(230, 190, 175)), face()
    cloudy[:, : MARGIN + 8] += 20  # a part of the background
    old, a, b = parsed(face(), bleached, cloudy)
    row = compare(old, a, "Blond_Hair", True, ranges)
    assert row["cheek"] == pytest.approx(a.tone() - old.tone())
    assert row["cheek"] > 12
    assert row["background"] == 0
    assert row["mouth"] == 1
    cloud = compare(old, b, "Blond_Hair", True, ranges)
    assert 5 < cloud["background"] < 15
    assert cloud["cheek"] == 0
    lost = dataclasses.replace(old, found=np.where(old.mask("mouth"), CLASSES.index("skin"), old.found))
    assert compare(old, lost, "Smiling", False, ranges)["mouth"] == 0


def test_only_a_grey_photo_has_a_chroma_to_keep(ranges: Ranges) -> None:
    grey = np.repeat(np.asarray(Image.fromarray(face()).convert("L"))[..., None], 3, 2)
    lips = grey.copy()
    lips[MARGIN + 52 : MARGIN + 56, MARGIN + 24 : MARGIN + 40] = (150, 60, 120)
    old, tinted, coloured = parsed(grey, lips, face())
    assert compare(old, old, "Smiling", True, ranges)["chroma"] < 0.1
    assert compare(old, tinted, "Smiling", True, ranges)["chroma"] > 0.2
    assert np.isnan(compare(coloured, tinted, "Smiling", True, ranges)["chroma"])


# --- the table -------------------------------------------------------------------------------------------------------


def fake(reading: Reading, result: np.ndarray, editor: FaceEditor, **changes: bool) -> Edit:
    """An edit whose finished photo is given."""
    edit = with_edited(editor.edit(reading, changes), reading.reconstruction)
    photo = read_photo(Image.fromarray(result))
    aligned = dataclasses.replace(reading.aligned)
    return dataclasses.replace(edit, reading=dataclasses.replace(reading, photo=photo, aligned=aligned))


@pytest.fixture(scope="module")
def photos(tiny_editor: FaceEditor, ranges: Ranges) -> Any:
    """Six people, three of them of light skin, before masks and an untrained reader."""
    torch.manual_seed(3)
    reader = classifier_reader("reader", "evaluation", Classifier(ClassifierConfig(widths=(8, 8, 8, 8))).eval())
    located = []
    for i in range(6):
        image, aligned = placed(face(skin=(120, 80, 65) if i < 3 else (225, 185, 170)))
        located.append(Located(read_photo(image), [], None, aligned))
    panel = finished.Panel(Roles((reader,), None, None), Painted(), ranges)  # type: ignore[arg-type]
    return finished.Photos(tiny_editor, tiny_editor.read_located(located), panel)


def test_a_fake_edit_of_hair_is_seen_by_masks_and_counted_by_skin(photos: Any, tiny_editor: FaceEditor) -> None:
    dark, light = photos.groups["dark"], photos.groups["light"]
    assert dark.tolist() == [True] * 3 + [False] * 3
    assert (dark != light).all()
    edits = []
    for row, reading in enumerate(photos.readings):
        skin = (120, 80, 65) if row < 3 else (225, 185, 170)
        hair = HAIR["Blond_Hair"] if row >= 2 else HAIR["Brown_Hair"]  # two of the dark ones stay brown
        edits.append(fake(reading, face(hair, skin), tiny_editor, Blond_Hair=True))
    batch = editing.Batch(("Blond_Hair", True), list(range(6)), edits)
    columns = photos.measure(batch)
    assert columns["masks"].tolist() == [0, 0, 1, 1, 1, 1]
    figures = by_group(columns, batch.rows, photos.groups)
    assert figures["all"]["masks"] == pytest.approx(4 / 6)
    assert figures["gap_tone"]["masks"] == pytest.approx(1 - 1 / 3)
    both = pooled({batch.direction: columns}, {batch.direction: batch.rows}, photos.groups)
    assert both["cheeks"]["all"]["cheek_size"] == 0
    assert reach({"directions": {"Blond_Hair=1": figures}, **both})["masks_Blond_Hair_1"] == figures["all"]["masks"]


def test_grey_copies_have_no_colour_and_the_same_faces(photos: Any, tiny_editor: FaceEditor) -> None:
    copies = finished.grey_copies(tiny_editor, photos.readings[:2])
    for copy, reading in zip(copies, photos.readings, strict=False):
        pixels = np.asarray(copy.photo.rgb)
        assert (pixels[..., 0] == pixels[..., 2]).all()
        assert np.array_equal(copy.aligned.matrix, reading.aligned.matrix)


def test_photos_are_measured_in_every_direction_that_they_lack(photos: Any) -> None:
    figures = finished.measure(photos, 0.5, most=1, grey=1)
    assert set(figures["directions"]) == {editing.key(direction) for direction in editing.lacking(photos.has)}
    for groups in figures["directions"].values():
        assert groups["all"]["edits"] == 1
        assert 0 <= groups["all"]["evaluation"] <= 1
        assert "outside" not in groups["all"]
        assert "background" in groups["all"]
    assert figures["reach"]["grey_chroma"] >= 0
    assert set(figures["grey"]) <= set(figures["directions"])


def test_a_summary_says_of_how_many_it_speaks() -> None:
    nan = float("nan")
    row = summary({"masks": torch.tensor([1.0, 0.0, nan, 1.0]), "years": torch.tensor([1.0, 2.0, 30.0, 3.0])})
    assert row == {"edits": 4, "of": {"masks": 3}, "masks": pytest.approx(2 / 3), "years": 2.5}
    assert "masks" not in summary({"masks": torch.tensor([nan]), "held": torch.tensor([1.0])})


def test_nobody_to_measure_is_a_sentence(tiny_editor: FaceEditor, tmp_path: Path) -> None:
    with pytest.raises(finished.DataError, match="None of the photos"):
        finished.Photos(tiny_editor, [], finished.Panel(Roles((), None, None)))
    with pytest.raises(finished.DataError, match="holds no photos"):
        editing.paths_of(tmp_path)
    assert len(ATTRIBUTES) == len(ATTRIBUTE_SET)
