"""Training data: the same framing as the app's, at any resolution."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from processes import finish_here

from lc.faces import align, detector, frame_crop, read_photo
from train import data, prepare
from train.attributes import ATTRIBUTES
from train.data import MARGIN, Crops, DataError, augment, centre, load_celeba, load_packed, save_packed


def grey_levels(a: torch.Tensor, b: Image.Image) -> float:
    """Mean difference between a crop (3, 64, 64) in [0, 1] and a picture, in grey levels."""
    return float(np.abs(a.permute(1, 2, 0).numpy() * 255 - np.asarray(b, float)).mean())


def test_training_sees_what_the_app_sees(celeba: Path) -> None:
    crops = load_celeba(celeba, "validation")
    for name, image in zip(crops.names, centre(crops.images), strict=True):
        with Image.open(celeba / "img_align_celeba" / name) as photo:
            assert grey_levels(image, frame_crop(photo.convert("RGB"), 64).crop) < 1.5


def test_full_size_celeba_is_framed_like_half_size(celeba: Path, tmp_path: Path) -> None:
    shutil.copytree(celeba, tmp_path / "full")
    for path in (tmp_path / "full" / "img_align_celeba").iterdir():
        with Image.open(path) as photo:
            photo.resize((178, 218), Image.Resampling.BICUBIC).save(path, quality=95)
    half, full = (centre(load_celeba(folder, "train").images) for folder in (celeba, tmp_path / "full"))
    assert (half - full).abs().mean() < 3 / 255


def test_labels_and_parts_are_celebas(celeba: Path) -> None:
    parts = {part: load_celeba(celeba, part) for part in ("train", "validation", "test")}
    assert {part: len(crops) for part, crops in parts.items()} == {"train": 30, "validation": 6, "test": 4}
    lines = (celeba / "list_attr_celeba.txt").read_text().splitlines()
    columns, last = lines[1].split(), lines[-1].split()
    labels = parts["test"].labels
    assert labels is not None
    assert labels[-1].tolist() == [float(int(last[columns.index(name) + 1]) > 0) for name in ATTRIBUTES]


def test_augmenting_flips_and_shifts_and_nothing_else() -> None:
    size = 64 + 2 * MARGIN
    across = torch.arange(size, dtype=torch.uint8).expand(40, 3, size, size)
    x = augment(across, torch.Generator().manual_seed(0)) * 255
    assert x.shape == (40, 3, 64, 64)
    steps = x.diff(dim=3).round()
    flipped = (steps == -1).flatten(1).all(1)
    assert ((steps == 1).flatten(1).all(1) | flipped).all()
    assert 5 < int(flipped.sum()) < 35
    starts = torch.where(flipped, x[:, 0, 0, -1], x[:, 0, 0, 0]).round().unique().tolist()
    assert starts == list(range(2 * MARGIN + 1))
    assert torch.equal(x, augment(across, torch.Generator().manual_seed(0)) * 255)


def test_augmenting_can_vary_colour_and_scale_within_bounds() -> None:
    size = 64 + 2 * MARGIN
    grey = torch.full((50, 3, size, size), 128, dtype=torch.uint8)
    x = augment(grey, torch.Generator().manual_seed(0), colour=0.09)
    change = x.mean((2, 3)) / (128 / 255) - 1
    assert 0.05 < change.abs().max() <= 0.09 * 4 / 3
    assert (change.max(1).values - change.min(1).values).max() <= 0.06 + 1e-6
    across = torch.arange(size, dtype=torch.uint8).expand(8, 3, size, size)
    scales = set()
    for seed in range(40):
        x = augment(across, torch.Generator().manual_seed(seed), zoom=0.5) * 255
        slopes = x[:, 0, 32].diff(dim=1)[:, 10:50].abs().mean(1)
        assert torch.allclose(slopes[4:], torch.ones(4), atol=1e-3)
        scales.add(round(float(slopes[0]) * 32) - 32)
    assert scales == {-2, -1, 0, 1, 2}


def test_packed_crops_come_back(tmp_path: Path) -> None:
    crops = Crops(torch.randint(0, 256, (3, 3, 68, 68), dtype=torch.uint8), None, ["a.jpg", "b/c d.jpg", "e.png"])
    save_packed(tmp_path / "deep" / "crops.safetensors", crops)
    loaded = load_packed(tmp_path / "deep" / "crops.safetensors")
    assert torch.equal(loaded.images, crops.images)
    assert loaded.names == crops.names


def test_preparing_a_folder_aligns_as_the_app_does_and_names_what_it_leaves_out(
    astronaut: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    shutil.copy(astronaut, photos / "more" / "astronaut.jpg")
    Image.new("RGB", (200, 200), "grey").save(photos / "wall.png")
    (photos / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "crops.safetensors"
    assert "1 crops in" in finish_here(["train.prepare", "--photos", str(photos), "--out", str(out)])
    crops = load_packed(out)
    assert crops.names == ["more/astronaut.jpg"]
    rgb = read_photo(astronaut).rgb
    expected = align(rgb, detector().detect(rgb)[0].landmarks, 64).crop
    assert grey_levels(centre(crops.images)[0], expected) < 1.5


def test_a_folder_without_a_usable_photo_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "wall.png")
    (tmp_path / "phone.heic").write_bytes(b"anything")
    command = ["train.prepare", "--photos", str(tmp_path), "--out", str(tmp_path / "out.safetensors")]
    with mock.patch.object(sys, "argv", command), pytest.raises(SystemExit) as ended:
        prepare.main()
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert "phone.heic: HEIC files cannot be read here" in printed.out
    assert "There is no photo in" in printed.err
    assert "Traceback" not in printed.err
    assert not (tmp_path / "out.safetensors").exists()


def official(root: Path, made: Path) -> None:
    shutil.copytree(made, root)


def png_variant(root: Path, made: Path) -> None:
    """Pictures are .png, the lists still say .jpg."""
    official(root, made)
    photos = (root / "img_align_celeba").rename(root / "img_align_celeba_png")
    for path in sorted(photos.iterdir()):
        with Image.open(path) as photo:
            photo.save(path.with_suffix(".png"))
        path.unlink()


def download(root: Path, made: Path) -> None:
    """The folders Anno, Eval and Img of the original download."""
    for name, pattern in (("Anno", "list_attr*"), ("Eval", "list_eval*"), ("Img", "img_*")):
        (root / name).mkdir(parents=True)
        for path in made.glob(pattern):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, root / name / path.name)


def kaggle(root: Path, made: Path) -> None:
    """Commas, a header that names every column, and the folder of pictures twice."""
    official(root, made)
    for name, header in (("list_attr_celeba", ""), ("list_eval_partition", "image_id,partition")):
        lines = (root / f"{name}.txt").read_text().splitlines()
        if not header:
            header, lines = "image_id," + ",".join(lines[1].split()), lines[2:]
        rows = [header, *(",".join(line.split()) for line in lines)]
        (root / f"{name}.csv").write_text("\n".join(rows) + "\n")
        (root / f"{name}.txt").unlink()
    photos = (root / "img_align_celeba").rename(root / "photos")
    (root / "img_align_celeba").mkdir()
    photos.rename(root / "img_align_celeba" / "img_align_celeba")


def no_count_line(root: Path, made: Path) -> None:
    official(root, made)
    labels = root / "list_attr_celeba.txt"
    labels.write_text(labels.read_text().partition("\n")[2])


@pytest.mark.parametrize("lay", [official, png_variant, download, kaggle, no_count_line])
def test_every_layout_gives_the_same_photos_and_labels(
    celeba: Path, tmp_path: Path, lay: Callable[[Path, Path], None]
) -> None:
    lay(tmp_path / "data", celeba)
    for part in ("train", "validation", "test"):
        expected, found = load_celeba(celeba, part), load_celeba(tmp_path / "data", part)
        assert torch.equal(expected.images, found.images)
        assert expected.labels is not None
        assert found.labels is not None
        assert torch.equal(expected.labels, found.labels)
        assert [Path(name).stem for name in found.names] == [Path(name).stem for name in expected.names]


@pytest.mark.parametrize("identities", [True, False])
def test_without_a_list_of_parts_people_or_photos_are_held_out(
    celeba: Path, tmp_path: Path, identities: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data"
    shutil.copytree(celeba, root)
    (root / "list_eval_partition.txt").unlink()
    people = {f"{i + 1:06}": str(i // 2) for i in range(40)}
    if identities:
        (root / "identity_CelebA.txt").write_text("".join(f"{n}.jpg {p}\n" for n, p in people.items()))
    train, held_out = ({Path(n).stem for n in load_celeba(root, part).names} for part in ("train", "validation"))
    assert len(train) + len(held_out) == 40
    assert 0 < len(held_out) < 8
    assert not train & held_out
    if identities:
        assert not {people[name] for name in train} & {people[name] for name in held_out}
    assert f"every twentieth {'person' if identities else 'photo'} is held out" in capsys.readouterr().err
    assert {Path(n).stem for n in load_celeba(root, "train").names} == train


def test_missing_and_broken_photos_are_counted_and_named(
    celeba: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(celeba, tmp_path / "data")
    photos = tmp_path / "data" / "img_align_celeba"
    (photos / "000002.jpg").unlink()
    (photos / "000004.jpg").write_bytes((photos / "000004.jpg").read_bytes()[:300])
    (photos / "000005.jpg").write_bytes(b"no picture")
    expected, found = load_celeba(celeba, "train"), load_celeba(tmp_path / "data", "train")
    assert found.names == [n for n in expected.names if n not in ("000002.jpg", "000004.jpg", "000005.jpg")]
    rows = [expected.names.index(name) for name in found.names]
    assert torch.equal(found.images, expected.images[rows])
    assert expected.labels is not None
    assert found.labels is not None
    assert torch.equal(found.labels, expected.labels[rows])
    said = capsys.readouterr().err
    assert "1 of 30 photos listed as train are missing" in said
    assert "2 of 29 photos" in said
    assert "000004.jpg, 000005.jpg" in said


def squares(root: Path, celeba: Path, folder: str, side: int) -> Path:
    """The same photos as squares that show 144/128 of the product's square."""
    (root / folder).mkdir(parents=True)
    for path in (celeba / "img_align_celeba").iterdir():
        with Image.open(path) as photo:
            edge = 74 * 144 / 128
            box = (44.5 - edge / 2, 54.5 - edge / 2, 44.5 + edge / 2, 54.5 + edge / 2)
            crop = photo.resize((side, side), Image.Resampling.BICUBIC, box=box)
            crop.save(root / folder / f"{path.stem}.webp", lossless=True, quality=0, method=0)  # fast, not small
    for path in celeba.glob("*.txt"):
        shutil.copy(path, root)
    return root


@pytest.mark.parametrize(("folder", "side"), [("crops", 144), ("crops", 288), ("img_align_celeba", 144)])
def test_square_crops_are_cut_as_the_product_frames_them(
    celeba: Path, tmp_path: Path, folder: str, side: int, capsys: pytest.CaptureFixture[str]
) -> None:
    root = squares(tmp_path / "data", celeba, folder, side)
    photos, crops = (centre(load_celeba(where, "train").images) for where in (celeba, root))
    assert (photos - crops).abs().mean() < 3 / 255
    assert ("squares of 144x144" in capsys.readouterr().err) == (folder != "crops")
    whole = load_celeba(root, "train", image_size=128, margin=8).images
    assert whole.shape == (30, 3, 144, 144)
    with Image.open(root / folder / "000001.webp") as image:
        assert side != 144 or np.array_equal(whole[0].permute(1, 2, 0), np.asarray(image.convert("RGB")))


def test_pictures_of_another_framing_are_refused(celeba: Path, tmp_path: Path) -> None:
    root = squares(tmp_path / "data", celeba, "img_align_celeba", 256)
    with pytest.raises(DataError, match="256x256 is framed neither"):
        load_celeba(root, "train")
    with pytest.raises(DataError, match="take 12 at most"):
        load_celeba(celeba, "train", image_size=128, margin=16)


@pytest.mark.parametrize(
    ("part", "attributes", "remove", "message"),
    [
        ("holdout", ATTRIBUTES, (), "no part 'holdout'"),
        ("train", ("Freckles",), (), "no column Freckles"),
        ("train", ATTRIBUTES, ("list_attr_celeba.txt",), r"list_attr_celeba.txt or .csv"),
        ("train", ATTRIBUTES, ("img_align_celeba",), "holds no folder"),
    ],
)
def test_what_is_not_there_is_named(
    celeba: Path, tmp_path: Path, part: str, attributes: tuple[str, ...], remove: tuple[str, ...], message: str
) -> None:
    shutil.copytree(celeba, tmp_path / "data")
    for name in remove:
        (tmp_path / "data" / name).rename(tmp_path / name)
    with pytest.raises(DataError, match=message):
        load_celeba(tmp_path / "data", part, attributes=attributes)


def test_any_of_the_forty_attributes_can_be_asked_for(celeba: Path) -> None:
    some = load_celeba(celeba, "train", attributes=("Young", "Other_3", "Bald"))
    ten = load_celeba(celeba, "train").labels
    assert some.labels is not None
    assert ten is not None
    assert some.labels.shape == (30, 3)
    assert torch.equal(some.labels[:, [2, 0]], ten[:, [ATTRIBUTES.index("Bald"), ATTRIBUTES.index("Young")]])


def test_a_large_set_is_cut_once_into_a_file(celeba: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(celeba, tmp_path / "data")
    (tmp_path / "data" / "img_align_celeba" / "000003.jpg").write_bytes(b"no picture")
    expected = load_celeba(tmp_path / "data", "train")
    monkeypatch.setattr(data, "LARGE", 0)
    cache = tmp_path / "cache"
    first = load_celeba(tmp_path / "data", "train", cache=cache)
    monkeypatch.setattr(data, "_fill", lambda *_: pytest.fail("photos were read again"))
    again = load_celeba(tmp_path / "data", "train", cache=cache)
    for found in (first, again):
        assert torch.equal(found.images, expected.images)
        assert found.names == expected.names
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]
    monkeypatch.undo()
    monkeypatch.setattr(data, "LARGE", 0)
    (tmp_path / "data" / "img_align_celeba" / "000003.jpg").write_bytes(
        (celeba / "img_align_celeba" / "000003.jpg").read_bytes()
    )
    assert len(load_celeba(tmp_path / "data", "train", cache=cache)) == 30


def test_augmenting_works_at_any_size_and_margin() -> None:
    across = torch.arange(144, dtype=torch.uint8).expand(60, 3, 144, 144)
    x = augment(across, torch.Generator().manual_seed(0), image_size=128) * 255
    assert x.shape == (60, 3, 128, 128)
    assert set(x[:, 0, 0].amin(1).round().int().tolist()) <= set(range(17))
    assert x[:, 0, 0].amin(1).max() > 12
    assert torch.equal(centre(across, 128)[0, 0, 0] * 255, torch.arange(8, 136).float())
    assert augment(across, torch.Generator().manual_seed(0), zoom=1.0, image_size=128).shape == (60, 3, 128, 128)
    assert torch.equal(centre(across, 144), across / 255)
    with pytest.raises(DataError, match="no even margin"):
        centre(across, 160)


def test_preparing_takes_any_size_and_refuses_a_folder_without_faces(
    astronaut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "crops.safetensors"
    photos.mkdir()
    Image.new("RGB", (200, 200), "grey").save(photos / "wall \u2603.png")
    options = ["train.prepare", "--photos", str(photos), "--out", str(out), "--image-size", "128", "--margin", "8"]
    with pytest.raises(SystemExit, match="2"):
        finish_here(options)
    assert "that can be used" in capsys.readouterr().err
    shutil.copy(astronaut, photos)
    finish_here(options)
    assert load_packed(out).images.shape == (1, 3, 144, 144)
