"""Read any picture file as one upright sRGB image, or say in a sentence why not. What that leaves out is kept
beside it: the pixels in the file's own colours, its transparency, profile and EXIF, so that an edit can go back there.

>>> photo = read_photo(Image.new("LA", (64, 48), (0, 0)))
>>> photo.rgb.mode, photo.rgb.getpixel((0, 0)), photo.alpha is None
('RGB', (255, 255, 255), False)
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from lc.errors import PhotoError

__all__ = ["MIN_SIDE", "Photo", "read_photo"]

MIN_SIDE = 24  # pixels; below this there is no face to speak of

# Pillow hands EPS files to Ghostscript: an upload must not start another program.
_REFUSED_FORMATS = frozenset({"EPS"})

# `warnings.catch_warnings` swaps process-wide state, so only one thread may be inside it.
_WARNINGS_LOCK = threading.Lock()


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes:
        rgb: mode RGB, sRGB colours, upright; transparent pixels are composited onto white.
        alpha: mode L, the size of `rgb`, 255 = opaque; None if the file has no transparency.
        name: the file's name, or "photo" where there is none.
        icc_profile: the profile that `pixels` are in; None if the file has none, or not a usable one for RGB, which
            then counts as sRGB.
        format: Pillow's name of the file format ("JPEG", "PNG", ...); None for an image from memory.
        exif: the file's EXIF block without orientation and thumbnail; empty if it has none.
        own: see `pixels`.
    """

    rgb: Image.Image
    alpha: Image.Image | None
    name: str
    icc_profile: bytes | None
    format: str | None
    exif: bytes = b""
    own: Image.Image | None = None

    @property
    def pixels(self) -> Image.Image:
        """Mode RGB, upright, in the file's own colours, whatever the transparency: where edits go, so that the rest
        stays as it was bit for bit. The same as `rgb` for an opaque sRGB photo."""
        return self.own or self.rgb

    def to_own(self, picture: Image.Image) -> Image.Image:
        """A picture in sRGB, in the colours of `pixels`."""
        return self._converted(picture, to_own=True)

    def to_srgb(self, picture: Image.Image) -> Image.Image:
        """A picture in the colours of `pixels`, in sRGB."""
        return self._converted(picture, to_own=False)

    def _converted(self, picture: Image.Image, *, to_own: bool) -> Image.Image:
        if not self.icc_profile:
            return picture
        own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(self.icc_profile)), ImageCms.createProfile("sRGB")
        if _is_srgb(own):
            return picture
        source, target = (srgb, own) if to_own else (own, srgb)
        return ImageCms.buildTransform(source, target, "RGB", "RGB").apply(picture)


def read_photo(source: str | Path | bytes | BinaryIO | Image.Image, *, max_pixels: int = 120_000_000) -> Photo:
    """Decode a picture: first frame, upright, 8 bits, sRGB.

    Args:
        source: a path, the bytes of a file, an open binary file, or a Pillow image (left unchanged).
        max_pixels: the most pixels accepted; judged by the header, before anything is decoded. Pillow's own
            ceiling, twice `PIL.Image.MAX_IMAGE_PIXELS`, stays in force above it.

    Raises:
        PhotoError: not a picture, empty, truncated, missing, a folder, too many pixels, or too small.
    """
    if isinstance(source, Image.Image):
        # A copy, because decoding a lazily opened image or turning it upright must not touch the caller's.
        image, name = source, Path(getattr(source, "filename", "") or "photo").name
    else:
        file, name = _open_source(source)
        image = _open_image(file, name, max_pixels)
    _check_size(image, name, max_pixels)
    try:
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(_too_many_pixels(name, max_pixels)) from error
    except Exception as error:  # a broken file leads decoders into anything: SyntaxError, IndexError, ...
        raise PhotoError(f"{name} is damaged or cut short; export or download it again.") from error
    file_format, profile = image.format, image.info.get("icc_profile")
    image = _upright(image)
    exif = _exif(image)
    if image.mode == "La":  # the one mode that Pillow cannot take to RGBA in one step
        image = image.convert("LA")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    own, rgb, profile = _to_srgb(image, profile)
    if alpha is not None:
        white = Image.new("RGB", rgb.size, "white")
        white.paste(rgb, mask=alpha)
        rgb = white
    for picture in (own, rgb):
        picture.info = {}  # else Pillow would write a profile or a transparent colour into a file saved from it
    return Photo(rgb, alpha, name, profile, file_format, exif, None if own is rgb else own)


def _open_source(source: str | Path | bytes | BinaryIO) -> tuple[BinaryIO, str]:
    """A seekable binary file and the name to call it in messages."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        if path.is_dir():
            raise PhotoError(f"{path} is a folder; choose a picture inside it.")
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise PhotoError(f"{path} does not exist; check the path.") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL inside the path
            raise PhotoError(f"{path} cannot be read; check the path and its permissions.") from error
        name = path.name
    elif isinstance(source, bytes):
        data, name = source, "photo"
    else:
        data, name = source.read(), Path(str(getattr(source, "name", "photo"))).name
        if not isinstance(data, bytes):
            raise PhotoError(f"{name} is open as text; open it in binary mode ('rb').")
    if not data:
        raise PhotoError(f"{name} is empty; export or download it again.")
    return io.BytesIO(data), name


def _open_image(file: BinaryIO, name: str, max_pixels: int) -> Image.Image:
    """Read the header only."""
    Image.init()
    formats = [name for name in Image.OPEN if name not in _REFUSED_FORMATS]
    try:
        with _WARNINGS_LOCK, warnings.catch_warnings():
            # Pillow warns from 89 megapixels on; the limit here is `max_pixels`, an error and not a warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(file, formats=formats)
    except Image.DecompressionBombError as error:
        raise PhotoError(_too_many_pixels(name, max_pixels)) from error
    except UnidentifiedImageError as error:
        raise PhotoError(f"{name} is not a picture this program can read; save it as JPEG or PNG.") from error
    except Exception as error:  # see read_photo
        raise PhotoError(f"{name} is damaged or cut short; export or download it again.") from error


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise PhotoError(_too_many_pixels(name, max_pixels))
    if min(width, height) < MIN_SIDE:
        raise PhotoError(f"{name} is only {width}x{height} pixels; use a photo of at least {MIN_SIDE} pixels each way.")


def _too_many_pixels(name: str, max_pixels: int) -> str:
    return f"{name} has too many pixels; scale it down to under {max_pixels / 1e6:g} megapixels."


# What a damaged EXIF block leads Pillow into.
_EXIF_ERRORS = (ArithmeticError, AttributeError, KeyError, OSError, SyntaxError, TypeError, ValueError, struct.error)


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation to a copy; a damaged EXIF block counts as none."""
    try:
        return ImageOps.exif_transpose(image)
    except _EXIF_ERRORS:
        return image.copy()


def _exif(upright: Image.Image) -> bytes:
    """The EXIF block, less what an edited, upright picture makes wrong: orientation, sizes, and the thumbnail, which
    Pillow does not write."""
    try:
        exif = upright.getexif()
        for tag in (ExifTags.Base.Orientation, ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength):
            exif.pop(tag, None)
        details = exif.get_ifd(ExifTags.IFD.Exif)
        for tag in (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight):
            details.pop(tag, None)
        return exif.tobytes() if len(exif) else b""
    except _EXIF_ERRORS:
        return b""


def _to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, Image.Image, bytes | None]:
    """Any mode to RGB; transparency is ignored here.

    Returns:
        The picture in its file's own colours, the same in sRGB (the same object where nothing differs), and the profile
        of the first. What has no RGB of its own (grey, CMYK, LAB) or no usable profile counts as sRGB.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_8_bits(image)
    elif image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        rgb = ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(image)
        return rgb, rgb, None
    elif image.mode == "LA":
        image = image.getchannel("L")
    elif image.mode not in ("RGB", "L", "CMYK"):
        # Through RGBA, because a palette with transparency converts to RGB with a warning.
        image = image.convert("RGBA").convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if _is_srgb(source):
                rgb = image.convert("RGB")
                return rgb, rgb, profile if image.mode == "RGB" else None
            srgb = ImageCms.createProfile("sRGB")
            rgb = ImageCms.buildTransform(source, srgb, image.mode, "RGB").apply(image)
            if image.mode != "RGB":
                return rgb, rgb, None
            ImageCms.buildTransform(srgb, source, "RGB", "RGB")  # fails for profiles that lead one way only
            return image, rgb, profile
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a damaged profile, or one for another colour space: the plain conversion is the best guess
    rgb = image.convert("RGB")
    return rgb, rgb, None


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Most profiles are sRGB's own: skipping them saves time and a rounding."""
    return "srgb" in ImageCms.getProfileDescription(profile).lower()


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale integers and floats into 0..255, where Pillow's own conversion would clip them."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    low, high = float(values.min()), float(values.max())
    if image.mode.startswith("I;16"):
        low, high = 0.0, 65535.0
    elif low >= 0:
        # The file does not say what white is: the smallest of the usual whites that holds every pixel.
        whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        low, high = 0.0, next((white for white in whites if high <= white), high)
    scaled = (values - low) * (255.0 / max(high - low, 1e-12))
    return Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8))
