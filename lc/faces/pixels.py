"""Decode a picture into upright 8-bit sRGB, and keep beside it what that leaves out: the pixels in the file's own
colours, its transparency, profile and EXIF, so that an edit can go back there."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps

__all__ = ["Decoded", "decoded", "is_srgb", "sideways"]


@dataclass(frozen=True, eq=False)
class Decoded:
    """A photo's pixels, four bytes each and more: hold on to them only while they are needed.

    Attributes:
        rgb: mode RGB, sRGB colours, upright; transparent pixels are composited onto white.
        alpha: mode L, the size of `rgb`, 255 = opaque; None if the file has no transparency.
        own: mode RGB, upright, in the file's own colours, whatever the transparency; None where it is `rgb`.
        icc_profile: the profile that `own` is in; None if the file has none, or not a usable one for RGB, which then
            counts as sRGB.
        exif: the file's EXIF block without orientation and thumbnail; empty if it has none.
    """

    rgb: Image.Image
    alpha: Image.Image | None = None
    own: Image.Image | None = None
    icc_profile: bytes | None = None
    exif: bytes = b""

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes: Pillow keeps four for each pixel of mode RGB."""
        width, height = self.rgb.size
        return width * height * (4 + (self.alpha is not None) + 4 * (self.own is not None))


def decoded(image: Image.Image) -> Decoded:
    """The first frame of a loaded picture of any mode; the picture itself is left as it is."""
    profile = image.info.get("icc_profile")
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
    return Decoded(rgb, alpha, None if own is rgb else own, profile, exif)


def sideways(image: Image.Image) -> bool:
    """Whether the EXIF block says that width and height change places; nothing is decoded."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    except _EXIF_ERRORS:
        return False


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
            if is_srgb(source):
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


def is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
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
