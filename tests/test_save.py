"""lc.faces.save: an edit is saved as its photo came, with a note."""

from __future__ import annotations

import io
import resource
from pathlib import Path

import numpy as np
import pytest
from astronauts import gray
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms
from test_faces import STORED, encode, quarters

from lc.errors import PhotoError
from lc.faces import EDITED, GENERATED, SUFFIXES, encode_picture, read_photo, save_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Not sRGB's by name, and red and green exchanged: in this profile's colours, the file's red means green.
SWAPPED = SRGB.replace(b"\0s\0R\0G\0B", b"\0t\0e\0s\0t")
SWAPPED = SWAPPED.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")

LOSSLESS = ("PNG", "TIFF")


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def saved(image: Image.Image, file_format: str, *arguments: object) -> Image.Image:
    file = io.BytesIO()
    encode_picture(image, file, file_format, *arguments)  # type: ignore[arg-type]
    return opened(file.getvalue())


def camera_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    exif[ExifTags.Base.Orientation] = orientation
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 400
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] = 48
    return exif.tobytes()


@given(
    orientation=st.integers(1, 8),
    profile=st.sampled_from([None, SRGB, SWAPPED]),
    kind=st.sampled_from(["PNG", "JPEG", "WEBP"]),
    target=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF"]),
)
@settings(deadline=None, max_examples=60)
def test_a_photo_comes_back_as_it_came(orientation: int, profile: bytes | None, kind: str, target: str) -> None:
    stored = STORED[orientation - 1]
    image = quarters() if stored is None else quarters().transpose(stored)
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    if profile:
        options["icc_profile"] = profile
    photo = read_photo(encode(image, kind, exif=camera_exif(orientation), **options))
    back = saved(photo.pixels, target, EDITED, photo)
    assert back.size == quarters().size  # upright as it stands: viewers that ignore the orientation show it right
    exif = back.getexif()
    assert exif.get(ExifTags.Base.Orientation, 1) == 1
    assert exif[ExifTags.Base.Make] == "Camera"
    assert dict(exif.get_ifd(ExifTags.IFD.Exif))[ExifTags.Base.ISOSpeedRatings] == 400
    assert ExifTags.Base.ExifImageWidth not in exif.get_ifd(ExifTags.IFD.Exif)
    assert back.info.get("icc_profile") == profile
    difference = np.abs(gray(back) - gray(photo.pixels))
    assert difference.max() == 0 if target in LOSSLESS else difference.mean() < 6  # WebP thins out colours
    again = read_photo(encode(back, "PNG", icc_profile=profile) if profile else encode(back, "PNG"))
    assert np.abs(gray(again.rgb) - gray(photo.rgb)).mean() < 6  # the same colours to a viewer


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_kept_and_so_are_the_colours_under_it(kind: str) -> None:
    image = quarters("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    photo = read_photo(encode(image, "PNG"))
    assert photo.alpha is not None
    assert np.array_equal(gray(photo.pixels), gray(image.convert("RGB")))
    result = photo.pixels.copy()
    result.putalpha(photo.alpha)
    back = saved(result, kind, EDITED, photo)
    assert np.array_equal(gray(back.getchannel("A")), gray(image.getchannel("A")))
    assert kind == "WEBP" or np.array_equal(gray(back), gray(image))


@pytest.mark.parametrize("kind", ["JPEG", "BMP"])
def test_where_there_is_no_transparency_it_is_white(kind: str) -> None:
    back = saved(Image.new("RGBA", (32, 32), (255, 0, 0, 0)), kind, EDITED)
    assert np.abs(gray(back) - 255).max() < 2


def test_a_format_without_profiles_gets_converted_colours() -> None:
    photo = read_photo(encode(Image.new("RGB", (32, 32), "red"), "PNG", icc_profile=SWAPPED))
    back = saved(photo.pixels, "BMP", EDITED, photo)
    assert np.abs(gray(back)[5, 5] - (0, 255, 0)).max() < 3


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("note", "source"), [(EDITED, "composite"), (GENERATED, "trained"), (None, "")])
def test_the_file_says_where_it_comes_from(tmp_path: Path, suffix: str, note: str | None, source: str) -> None:
    path = tmp_path / f"picture{suffix}"
    save_picture(quarters(), path, note)
    data = path.read_bytes()
    opened(data)
    if suffix == ".bmp":  # holds no metadata
        return
    assert (b"DigitalSourceType" in data) == (note is not None)
    if note:
        assert note.encode() in data
        assert f"digitalsourcetype/{source}".encode() in data
        assert b"rdf:RDF" in opened(data).info["xmp"]


def test_another_suffix_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"end it with .*\.$"):
        save_picture(quarters(), tmp_path / "picture.xyz", None)


# --- the target is safe --------------------------------------------------------------------------------------------


def test_what_cannot_be_encoded_leaves_the_photo(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    quarters().save(path)
    before = path.read_bytes()
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = bytes(70_000)
    photo = read_photo(encode(quarters(), "PNG", exif=exif.tobytes()))
    with pytest.raises(PhotoError, match=r"68 kB, and a JPEG holds 64.*\.$"):
        save_picture(photo.pixels, path, EDITED, photo)
    with pytest.raises(PhotoError, match=r"17000x24 pixels.*\.$"):
        save_picture(Image.new("RGB", (17_000, 24)), path.with_suffix(".webp"), EDITED)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    save_picture(photo.pixels, tmp_path / "photo.png", EDITED, photo)  # holds any EXIF
    with Image.open(tmp_path / "photo.png") as back:
        assert len(back.info["exif"]) > 70_000


def test_how_a_tiff_lay_on_the_disk_is_not_told_in_a_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Scanner"
    exif[ExifTags.Base.StripOffsets] = tuple(range(20_000))
    photo = read_photo(encode(quarters(), "PNG", exif=exif.tobytes()))
    save_picture(photo.pixels, tmp_path / "photo.jpg", EDITED, photo)
    with Image.open(tmp_path / "photo.jpg") as back:
        assert back.getexif()[ExifTags.Base.Make] == "Scanner"


def test_a_full_disk_leaves_the_photo(tmp_path: Path) -> None:
    """What libraries write of a picture they write to the end, or say so: JPEG's writer counts no bytes by itself."""
    path = tmp_path / "photo.jpg"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = Image.effect_noise((400, 300), 90).convert("RGB")
    save_picture(noise, path, None)
    before = path.read_bytes()
    for room in (0, 1000, len(before) - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            with pytest.raises(OSError, match=r"photo\.jpg"):
                save_picture(noise, path, EDITED)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]
