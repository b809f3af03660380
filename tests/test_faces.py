"""lc.faces: read a photo, find its faces, align one, paste it back."""

from __future__ import annotations

import importlib.util
import io
import json
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from astronauts import ASTRONAUT, BICUBIC, EYES, gray, turned_back
from PIL import Image, ImageCms

from lc.errors import PhotoError, WeightsError
from lc.faces import Face, FaceDetector, align, detector, iter_photos, read_photo, refusal

Flip = Image.Transpose


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return read_photo(ASTRONAUT).rgb


@pytest.fixture(scope="module")
def face(astronaut: Image.Image) -> Face:
    return detector().detect(astronaut)[0]


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds no pixels."""
    data = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT"):
        data += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data


def quarters(mode: str = "RGB") -> Image.Image:
    """Four colours, so that no two orientations look alike; 48 x 32."""
    image = Image.new("RGB", (48, 32), "red")
    image.paste("lime", (24, 0, 48, 16))
    image.paste("blue", (0, 16, 24, 32))
    image.paste("yellow", (24, 16, 48, 32))
    return image.convert(mode)


# How a camera held in each EXIF orientation, 1 to 8, stores an upright picture.
STORED = [None, Flip.FLIP_LEFT_RIGHT, Flip.ROTATE_180, Flip.FLIP_TOP_BOTTOM]
STORED += [Flip.TRANSPOSE, Flip.ROTATE_90, Flip.TRANSVERSE, Flip.ROTATE_270]


@pytest.mark.parametrize(("orientation", "stored"), list(enumerate(STORED, 1)))
def test_exif_orientation_applies_to_colours_and_alpha(orientation: int, stored: Flip | None) -> None:
    upright = quarters("RGBA")
    upright.putalpha(Image.new("L", upright.size, 255))
    upright.putpixel((3, 5), (0, 0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = upright if stored is None else upright.transpose(stored)
    photo = read_photo(encode(image, "PNG", exif=exif.tobytes()))
    assert photo.alpha is not None
    assert np.argwhere(gray(photo.alpha) < 255).tolist() == [[5, 3]]
    upright.putpixel((3, 5), (255, 255, 255, 255))
    assert np.array_equal(gray(photo.rgb), gray(upright.convert("RGB")))


@pytest.mark.parametrize("mode", [*Image.MODES, "PA", "La", "RGBa", "RGBX"])
def test_every_mode_of_pillow_comes_out_as_rgb(mode: str) -> None:
    rgb = read_photo(Image.new(mode, (40, 30))).rgb
    assert (rgb.mode, rgb.size) == ("RGB", (40, 30))


def test_one_bit() -> None:
    assert sorted(set(gray(read_photo(encode(quarters("1"), "PNG")).rgb).ravel())) == [0, 255]


def test_cmyk_jpeg_keeps_its_colours() -> None:
    photo = read_photo(encode(quarters("CMYK"), "JPEG", quality=95))
    assert np.abs(gray(photo.rgb)[8, 8] - (255, 0, 0)).max() < 12
    assert np.abs(gray(photo.rgb)[24, 8] - (0, 0, 255)).max() < 12


@pytest.mark.parametrize(("dtype", "white"), [("u2", 65535), ("i4", 65535), ("i4", 4e6), ("f4", 1), ("f4", 255)])
def test_deep_modes_are_scaled_not_clipped(dtype: str, white: float) -> None:
    values = np.linspace(0, white, 64 * 64).reshape(64, 64).astype(dtype)
    image = Image.fromarray(values)
    files = [encode(image, name) for name in ("PNG", "TIFF") if dtype == "u2"]
    for source in (image, *files):
        assert np.abs(gray(read_photo(source).rgb)[..., 1] - values / white * 255).max() <= 0.51


def test_a_transparent_palette_colour_is_white_to_the_networks_and_kept_as_alpha() -> None:
    image = quarters().quantize(4)
    photo = read_photo(encode(image, "PNG", transparency=image.getpixel((0, 0))))
    assert photo.alpha is not None
    assert (photo.alpha.getpixel((2, 2)), photo.alpha.getpixel((40, 2))) == (0, 255)
    assert photo.rgb.getpixel((2, 2)) == (255, 255, 255)
    assert np.abs(gray(photo.rgb)[2, 40] - (0, 255, 0)).max() < 8
    assert "transparency" not in photo.rgb.info  # Pillow would write it into a file saved from rgb


def test_gray_with_alpha_is_blended_onto_white() -> None:
    photo = read_photo(encode(Image.new("LA", (32, 32), (100, 51)), "PNG"))
    assert photo.rgb.getpixel((5, 5)) == (224, 224, 224)  # 0.2 * 100 + 0.8 * 255


@pytest.mark.parametrize("file_format", ["GIF", "WEBP"])
def test_the_first_frame_of_an_animation(file_format: str) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], lossless=True)
    assert read_photo(data).rgb.getpixel((9, 9)) == (255, 0, 0)


def test_an_icc_profile_is_converted_to_srgb_and_a_broken_one_ignored() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # Another name, and red and green exchanged: in this profile's colours, the file's red means green.
    swapped = srgb.replace(b"\0s\0R\0G\0B", b"\0t\0e\0s\0t")
    swapped = swapped.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    red = Image.new("RGB", (32, 32), "red")
    photo = read_photo(encode(red, "PNG", icc_profile=swapped))
    assert np.abs(gray(photo.rgb)[5, 5] - (0, 255, 0)).max() < 3
    assert (photo.icc_profile, photo.rgb.info) == (swapped, {})
    assert photo.pixels.getpixel((5, 5)) == (255, 0, 0)  # the file's own
    assert np.abs(gray(photo.to_own(photo.rgb))[5, 5] - (255, 0, 0)).max() < 3
    for profile in (srgb, b"not a profile", swapped[:200]):
        assert read_photo(encode(red, "PNG", icc_profile=profile)).rgb.getpixel((5, 5)) == (255, 0, 0)


def test_sources_of_every_kind_give_the_same_photo(astronaut: Image.Image) -> None:
    with ASTRONAUT.open("rb") as file:
        photos = [read_photo(str(ASTRONAUT)), read_photo(ASTRONAUT.read_bytes()), read_photo(file)]
    photos.append(read_photo(astronaut))
    assert all(np.array_equal(gray(photo.rgb), gray(astronaut)) for photo in photos)
    assert [photo.name for photo in photos] == ["astronaut.jpg", "photo", "astronaut.jpg", "photo"]
    assert photos[-1].rgb is not astronaut


def test_too_many_pixels_are_refused_from_the_header() -> None:
    for side in (20_000, 12_000):  # above Pillow's own limit, and between its warning and its limit
        with pytest.raises(PhotoError, match="too many pixels; scale it down to under 120 megapixels"):
            read_photo(png_header(side, side))
    for source in (ASTRONAUT, Image.new("L", (512, 512))):
        with pytest.raises(PhotoError, match="too many pixels"):
            read_photo(source, max_pixels=512 * 511)


def test_a_photo_that_pillow_only_warns_about_is_read_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200_000)  # the astronaut has 262,144
    assert read_photo(ASTRONAUT).rgb.size == (512, 512)
    assert not any(issubclass(warning.category, Image.DecompressionBombWarning) for warning in recwarn)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"My holidays, by me.\n" * 50, "not a picture"),
        (ASTRONAUT.read_bytes()[:20_000], "damaged or cut short"),
        (encode(quarters(), "PNG")[:-40], "damaged or cut short"),
        (png_header(100, 100), "damaged or cut short"),
        (encode(Image.new("RGB", (23, 90)), "PNG"), "only 23x90 pixels"),
        (encode(quarters(), "EPS"), "not a picture"),
    ],
)
def test_unusable_files_say_what_to_do(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(data)
    for source in (path, data):
        with pytest.raises(PhotoError, match=rf"{message}.*\.$"):
            read_photo(source)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    wrong = {
        tmp_path / "nothing.jpg": "does not exist",
        tmp_path: "is a folder",
        "a\0b.jpg": "cannot be read",
    }
    for source, message in wrong.items():
        with pytest.raises(PhotoError, match=message):
            read_photo(source)


def test_iter_photos(tmp_path: Path) -> None:
    names = ["b.JPG", "a.png", "sub/deep/c.webp", "notes.txt", "._a.png", "scan.eps"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = [tmp_path / name for name in ("a.png", "b.JPG", "sub/deep/c.webp")]
    assert iter_photos([tmp_path]) == expected
    assert iter_photos([tmp_path / "notes.txt", str(tmp_path)]) == [tmp_path / "notes.txt", *expected]
    with pytest.raises(PhotoError, match="does not exist"):
        iter_photos([tmp_path / "missing"])


def test_the_astronaut_is_found(face: Face) -> None:
    assert np.abs(face.landmarks[:2] - EYES).max() < 2
    left, top, right, bottom = face.box
    assert ((face.landmarks > (left, top)) & (face.landmarks < (right, bottom))).all()
    assert 0.9 < face.score <= 1
    assert json.loads(json.dumps(face.to_dict()))["landmarks"][0] == face.landmarks[0].tolist()
    assert not {"mtcnn", "tensorflow"} & set(sys.modules)  # the wheel is read, its code never run


@pytest.mark.parametrize("degrees", [-90, -45, -30, 30, 45, 90])
def test_turned_faces_are_found(astronaut: Image.Image, degrees: int) -> None:
    turned = astronaut.rotate(degrees, BICUBIC, expand=True)
    (found,) = detector().detect(turned)
    eyes = turned_back(found.landmarks[:2], turned, astronaut, degrees)
    assert np.abs(eyes - EYES).max() < 3


def test_several_faces_come_largest_first(astronaut: Image.Image) -> None:
    canvas = Image.new("RGB", (900, 600), (120, 130, 140))
    canvas.paste(astronaut.resize((300, 300)), (0, 0))
    canvas.paste(astronaut, (330, 40))
    large, small = detector().detect(canvas)
    assert np.abs(large.landmarks[:2] - EYES - [330, 40]).max() < 3
    assert np.abs(small.landmarks[:2] - EYES * 300 / 512).max() < 3


@pytest.mark.parametrize(
    ("part", "zoom", "size"),
    [
        ((0, 0, 512, 512), 187 / 512, (1024, 768)),  # a face of 40 pixels in a larger picture
        ((204, 94, 252, 142), 9, (432, 432)),  # a face that overflows the photo
        ((0, 0, 512, 512), 5, (2560, 2560)),  # a photo that is searched at a smaller size and mapped back
    ],
)
def test_any_size(astronaut: Image.Image, part: tuple[int, ...], zoom: float, size: tuple[int, ...]) -> None:
    photo = Image.new("RGB", size, (120, 140, 120))
    inner = astronaut.crop(part)
    photo.paste(inner.resize((round(inner.width * zoom), round(inner.height * zoom)), BICUBIC))
    faces = detector().detect(photo)
    assert np.abs(faces[0].landmarks[:2] - (EYES - part[:2]) * zoom).max() < 2 * max(zoom, 1)


def test_a_large_photo_of_small_faces_is_searched_finely(astronaut: Image.Image) -> None:
    photo = Image.new("RGB", (4000, 3000), (120, 140, 120))
    for x in (100, 2000):
        photo.paste(astronaut.resize((460, 460)), (x, 1500))  # faces of 98 pixels: 25 at the first search's size
    faces = detector().detect(photo)
    assert len(faces) == 2
    assert all(
        min(np.abs(face.landmarks[:2] - EYES * 460 / 512 - (x, 1500)).max() for x in (100, 2000)) < 3 for face in faces
    )


@pytest.mark.parametrize("size", [(320, 240), (24, 24), (24, 700)])
def test_no_face(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    assert detector().detect(Image.fromarray(noise)) == []
    assert detector().detect(Image.new("RGB", size, (200, 160, 130))) == []


def test_threads_share_a_detector(astronaut: Image.Image, face: Face) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(detector().detect, [astronaut] * 6))
    assert all(np.allclose(faces[0].landmarks, face.landmarks, atol=1e-3) for faces in found)


def test_missing_weights_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = ModuleSpec("mtcnn", None)
    elsewhere.submodule_search_locations = ["/nowhere"]
    for spec, command in ((None, "pip install mtcnn"), (elsewhere, "pip install --force-reinstall mtcnn")):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, spec=spec: spec)
        with pytest.raises(WeightsError, match=command):
            FaceDetector()


def test_a_face_is_refused_for_what_the_model_cannot_do(astronaut: Image.Image, face: Face) -> None:
    aligned = align(astronaut, face.landmarks, 64)
    assert refusal(face, aligned) is None
    # Her head turned until the nose is beyond an eye; then until the eyes are one behind the other.
    beyond, narrow = face.landmarks.copy(), face.landmarks.copy()
    beyond[2] = beyond[1] + (9, 20)
    narrow[:2] = narrow[:2].mean(0) + (narrow[:2] - narrow[:2].mean(0)) * 0.4
    narrow[2] = narrow[:2].mean(0)
    narrow[2, 1] += 20
    for landmarks in (beyond, narrow):
        reason = refusal(Face(face.box, landmarks, face.score), aligned)
        assert reason is not None
        assert "to the side" in reason
    dark = astronaut.point(lambda value: value // 40)
    assert "better light" in str(refusal(face, align(dark, face.landmarks, 64)))
