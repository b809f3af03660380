"""train.evaluate.edits, readers and grid: edits made once, the finished photo's face, roles kept apart."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from processes import finish_here

from lc.classifier import Classifier, ClassifierConfig
from lc.editor import FaceEditor
from lc.faces import frame_crop
from lc.identity import Calibration
from lc.weights import save_classifier

pytest.importorskip("train.identity", exc_type=ImportError)

from train.attributes import ATTRIBUTES
from train.calibrate import CalibrateConfig, Measurement
from train.data import DataError, framed_crop
from train.evaluate import edits as editing
from train.evaluate.grid import around, sheet
from train.evaluate.readers import Reader, RoleError, Roles, check_calibration, check_roles, load_roles
from train.latents import DIRECTIONS


def net(seed: int, patch: int = 2) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(ClassifierConfig(widths=(8, 8, 8, 8), patch=patch)).eval()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_photos_that_lack_it_in_every_direction() -> None:
    has = torch.zeros(3, len(ATTRIBUTES), dtype=torch.bool)
    has[1, 0] = True
    found = editing.lacking(has)
    assert found[ATTRIBUTES[0], True] == [0, 2]
    assert found[ATTRIBUTES[0], False] == [1]
    assert (ATTRIBUTES[1], False) not in found  # nobody has it
    assert editing.lacking(has, most=1)[ATTRIBUTES[1], True] == [0]
    assert [direction for direction in DIRECTIONS if direction in found] == list(found)


@pytest.mark.parametrize("size", [(178, 218), (89, 109)])
def test_a_framed_photo_is_cut_as_the_product_cuts_it(size: tuple[int, int]) -> None:
    ours, product = framed_crop(noise(*size), "img_align_celeba", 64), frame_crop(noise(*size), 64)
    assert np.array_equal(ours.crop, product.crop)
    assert np.array_equal(ours.matrix, product.matrix)


def test_a_square_crop_is_cut_without_its_margin() -> None:
    picture = noise(144, 144)
    found = framed_crop(picture, "crops", 128)
    assert np.array_equal(found.crop, picture.crop((8, 8, 136, 136)))
    assert found.matrix.tolist() == [[1, 0, 8], [0, 1, 8]]
    with pytest.raises(DataError, match="framed neither"):
        framed_crop(noise(256, 256), "photos", 128)


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory, celeba: Path) -> Path:
    """The made-up photos as square crops of 144 pixels."""
    root = tmp_path_factory.mktemp("squares")
    (root / "crops").mkdir()
    for i, path in enumerate(sorted((celeba / "img_align_celeba").iterdir())):
        noise(144, 144, i).save(root / "crops" / path.name)
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        shutil.copy(celeba / name, root / name)
    return root


def test_square_crops_are_read_edited_and_cut_again(squares: Path, tiny_editor: FaceEditor) -> None:
    (reading,) = editing.read_framed(tiny_editor, squares, ["000001.jpg"])
    with Image.open(squares / "crops" / "000001.jpg") as image:
        expected = image.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC, box=(8, 8, 136, 136))
    assert np.array_equal(reading.aligned.crop, expected)
    untouched = tiny_editor.edit(reading, {})
    assert np.array_equal(editing.recut(untouched), expected)


def test_calibrate_takes_square_crops(squares: Path, tiny_weights: Path) -> None:
    config = CalibrateConfig(tiny_weights, squares, skip=0, edits=3, device="cpu")
    measurement = Measurement(config)
    assert len(measurement.readings) == 6  # the validation part
    distance, similarity, _ = measurement.at(Calibration(), "actor")
    assert len(distance) == len(similarity) == sum(map(len, measurement.chosen.values()))
    assert (distance > 0).all()
    assert (similarity < 1).all()


def test_every_direction_is_made_of_its_photos(celeba: Path, tiny_editor: FaceEditor) -> None:
    readings = editing.read_framed(tiny_editor, celeba, ["000001.jpg", "000002.jpg"])
    rows = {("Smiling", True): [1], ("Bald", False): [0, 1]}
    batches = list(editing.make(tiny_editor, readings, rows, 0.5, "actor"))
    assert [batch.direction for batch in batches] == list(rows)
    assert batches[0].edits[0].reading is readings[1]
    assert batches[0].edits[0].changes == {"Smiling": True}
    alone = tiny_editor.edit(readings[1], {"Smiling": True})
    torch.testing.assert_close(batches[0].edits[0].z_edited, alone.z_edited, rtol=1e-4, atol=1e-4)


def test_the_face_is_found_again_in_the_finished_photo(astronaut: Path, tiny_editor: FaceEditor) -> None:
    reading = tiny_editor.read(astronaut)
    again = editing.Finished(reading.photo.rgb, reading, redetect=True)
    assert again.face is not None
    assert np.abs(again.face.matrix - reading.aligned.matrix).max() < 0.5
    assert again.crop(96).size == (96, 96)
    assert not again.lost
    blank = Image.new("RGB", reading.photo.rgb.size, "grey")
    assert editing.Finished(blank, reading, redetect=True).lost
    assert not editing.Finished(blank, reading, redetect=False).lost
    aside = Image.new("RGB", (2 * reading.photo.rgb.width, reading.photo.rgb.height), "grey")
    aside.paste(reading.photo.rgb, (reading.photo.rgb.width, 0))
    assert editing.Finished(aside, reading, redetect=True).lost  # a face elsewhere is another one


def test_whole_photos_are_drawn_by_chance_and_the_refused_named(
    astronaut: Path, tiny_editor: FaceEditor, tmp_path: Path
) -> None:
    shutil.copy(astronaut, tmp_path / "face.jpg")
    noise(120, 120).save(tmp_path / "none.png")
    readings, refused = editing.read_photos(tiny_editor, tmp_path, 5)
    assert [reading.photo.name for reading in readings] == ["face.jpg"]
    assert len(refused) == 1
    assert "No face" in refused[0]


def test_a_list_of_parts_is_kept_to(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for name in ("1", "2", "3"):
        noise(8, 8).save(tmp_path / "images" / f"{name}.png")
        noise(8, 8).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "list_eval_partition.txt").write_text("1 0\n2 1\n3 1\n")
    assert [path.stem for path in editing.paths_of(tmp_path)] == ["2", "3"]
    assert [path.parent.name for path in editing.paths_of(tmp_path, "train")] == ["images"]


# --- roles -----------------------------------------------------------------------------------------------------------


def test_one_net_in_two_roles_is_refused() -> None:
    check_roles([("guidance", "a", net(0)), ("evaluation", "b", net(1)), ("evaluation", "c", net(1))])
    with pytest.raises(RoleError, match=r"b is the same net as a.*guidance"):
        check_roles([("guidance", "a", net(0)), ("evaluation", "b", net(0))])


def test_other_thresholds_make_no_other_net() -> None:
    other = net(0)
    other.thresholds.fill_(0.2)
    with pytest.raises(RoleError):
        check_roles([("calibration", "a", net(0)), ("evaluation", "b", other)])


@pytest.fixture
def guided(tiny_editor: FaceEditor, tmp_path: Path) -> FaceEditor:
    """A model with a guidance classifier."""
    return FaceEditor(dataclasses.replace(tiny_editor.model, guidance=net(0)))


def evaluators(folder: Path, reader: int, realism: int) -> Path:
    save_classifier(folder, "reader", net(reader))
    save_classifier(folder, "realism", net(realism))
    return folder


def test_guidance_is_refused_for_evaluation(guided: FaceEditor, tmp_path: Path) -> None:
    roles = load_roles(guided.model, evaluators(tmp_path / "good", 1, 2), outside=False)
    assert {role: len(titles) for role, titles in roles.titles().items()} == {
        "guidance": 1,
        "calibration": 0,
        "evaluation": 1,
        "outside": 0,
    }
    for reader, realism in ((0, 2), (1, 0)):
        with pytest.raises(RoleError, match="same net as the guidance classifier"):
            load_roles(guided.model, evaluators(tmp_path / f"{reader}{realism}", reader, realism), outside=False)


def test_guidance_and_evaluation_are_refused_for_calibration(guided: FaceEditor, tmp_path: Path) -> None:
    check_calibration(guided.model, [tmp_path], [net(5)])
    with pytest.raises(RoleError, match="for calibration must be another"):
        check_calibration(guided.model, [tmp_path], [net(0)])
    save_classifier(tmp_path / "guide", "guide", net(1))
    with pytest.raises(RoleError, match="same net as The classifier of"):
        load_roles(guided.model, evaluators(tmp_path / "evaluators", 1, 2), [tmp_path / "guide"], outside=False)


def test_a_reader_says_nothing_of_what_it_does_not_know() -> None:
    reader = Reader("smile", "outside", ("Smiling",), 8, lambda x: x.mean((1, 2, 3))[:, None] > 0.5)
    found = reader.read(torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)]))
    assert found[:, ATTRIBUTES.index("Smiling")].tolist() == [0, 1]
    assert found.isnan().sum() == 2 * (len(ATTRIBUTES) - 1)
    assert Roles((reader,), None, None).of("outside") == [reader]


# --- to be looked at -------------------------------------------------------------------------------------------------


def test_a_face_is_shown_with_its_surroundings_and_never_enlarged(astronaut: Path, tiny_editor: FaceEditor) -> None:
    reading = tiny_editor.read(astronaut)
    shown = around(reading.photo.rgb, reading, 320)
    assert max(shown.size) <= 320
    assert max(around(reading.photo.rgb, reading, 5000).size) <= 512
    page = sheet([("one", shown), ("two", shown), ("three", shown)], columns=2)
    assert page.size == (2 * shown.width, 2 * (shown.height + 18))


def test_the_command_lays_out_a_sheet_for_each_person(astronaut: Path, tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    shutil.copy(astronaut, tmp_path / "photos" / "face.jpg")
    out = tmp_path / "grid"
    options = ["--photos", str(tmp_path / "photos"), "--weights", str(tiny_weights), "--out", str(out)]
    finish_here(["train.evaluate.grid", *options, "--device", "cpu", "--threads", "1"])
    (path,) = out.iterdir()
    assert path.name == "00-face.png"
    with Image.open(path) as picture:
        assert picture.width > 4 * 100
