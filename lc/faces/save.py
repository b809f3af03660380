"""Write a picture so that it opens as the photo it was made from does, and says that it was edited.

The note is the IPTC's: XMP's `DigitalSourceType` (https://cv.iptc.org/newscodes/digitalsourcetype/), which photo
libraries and news agencies read; PNG files say it in plain text too.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO, Literal

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from lc.errors import PhotoError
from lc.faces.photo import Photo
from lc.files import whole

__all__ = ["EDITED", "GENERATED", "SUFFIXES", "PictureFormat", "encode_picture", "on_white", "save_picture"]

EDITED, GENERATED = "Edited with Latent Constraints", "Made up with Latent Constraints"

#: What a file can be called.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")

_SOURCES = {EDITED: "compositeWithTrainedAlgorithmicMedia", GENERATED: "trainedAlgorithmicMedia"}
_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmp:CreatorTool="Latent Constraints"
 photoshop:Instructions="{note}"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{source}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""
_XMP_TAG = 700  # TIFF's

_JPEG_EXIF = 65_533  # bytes that fit into a JPEG's segment

# TIFF's tags for where strips and tiles lie, and those that Pillow writes elsewhere.
_LAYOUT = (
    ExifTags.Base.StripOffsets,
    ExifTags.Base.StripByteCounts,
    ExifTags.Base.TileOffsets,
    ExifTags.Base.TileByteCounts,
    ExifTags.Base.InterColorProfile,
)

PictureFormat = Literal["PNG", "JPEG", "WEBP", "TIFF", "BMP"]
_FORMATS: dict[str, PictureFormat] = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"}


def save_picture(image: Image.Image, path: Path, note: str | None, photo: Photo | None = None) -> None:
    """Write a picture whole, see `lc.files.whole`; the format follows the file's suffix, one of `SUFFIXES`.

    Arguments are those of `encode_picture`.

    Raises:
        PhotoError: another suffix, or more than the format holds.
        OSError: the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise PhotoError(f"{path} does not name a picture: end it with {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    with whole(path) as file:
        encode_picture(image, file, _FORMATS.get(path.suffix.lower(), "TIFF"), note, photo)


def encode_picture(
    image: Image.Image, file: BinaryIO, format: PictureFormat, note: str | None, photo: Photo | None = None
) -> None:
    """Write a picture with a note of where it comes from.

    PNG, TIFF and BMP keep every pixel; JPEG and WebP are written at quality 95, JPEG without thinning out colours.
    Transparency goes onto white where the format has none (JPEG, BMP).

    Args:
        image: mode RGB or RGBA, in the colours of `photo.pixels` if there is a photo.
        file: open for writing.
        format: Pillow's name.
        note: `EDITED`, `GENERATED`, or None for none.
        photo: the photo that the picture was made from, for its EXIF and colour profile.

    Raises:
        PhotoError: the format cannot hold it: too many pixels on a side, too much EXIF.
        OSError: the file cannot be written.
    """
    options: dict[str, Any] = {}
    if photo is not None and photo.icc_profile:
        options["icc_profile"] = photo.icc_profile
    if photo is not None and photo.exif:
        options["exif"] = _fitting(photo, format)
    if note:
        xmp = _XMP.format(note=note, source=_SOURCES[note])
        if format == "PNG":
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_text("Comment", note)
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)
        elif format == "TIFF":
            exif = Image.Exif()  # uncompressed, for libtiff loses what is nested in it
            exif.load(options.get("exif", b""))
            exif[_XMP_TAG] = xmp.encode()
            options["exif"] = exif
        else:
            options["xmp"] = xmp.encode()
    if format == "PNG":
        options["compress_level"] = 1  # a fifth of the time, a tenth more bytes
    elif format == "JPEG":
        options |= {"quality": 95, "subsampling": 0}
    elif format == "WEBP":
        options |= {"quality": 95, "method": 2}
    if format in ("JPEG", "BMP"):
        image = on_white(image)
    if format == "BMP" and photo is not None:
        image = photo.to_srgb(image)  # BMP holds no profile
    try:
        image.save(file, format, **options)
    except OSError as error:
        if error.errno is not None:  # the disk's
            raise
        raise _unfit(image, format) from error
    except (ValueError, OverflowError, SystemError, struct.error) as error:
        raise _unfit(image, format) from error


def _unfit(image: Image.Image, format: PictureFormat) -> PhotoError:
    """The sentence for what Pillow's encoder refuses."""
    width, height = image.size
    return PhotoError(
        "A {format} file cannot hold this picture of {width}x{height} pixels: write a PNG or TIFF instead.",
        format=format,
        width=width,
        height=height,
    )


def _fitting(photo: Photo, format: PictureFormat) -> bytes:
    """The photo's EXIF, for JPEG without the tags that only say how a TIFF file lies on the disk where it is too long.

    Raises:
        PhotoError: it still is: nothing that tells of the photo is left out in silence.
    """
    if format != "JPEG" or len(photo.exif) <= _JPEG_EXIF:
        return photo.exif
    exif = Image.Exif()
    exif.load(photo.exif)
    for tag in _LAYOUT:
        exif.pop(tag, None)
    fitting = exif.tobytes()
    if len(fitting) > _JPEG_EXIF:
        raise PhotoError(
            "The EXIF of {name} takes {size:.0f} kB, and a JPEG holds 64: write a PNG, WebP or TIFF instead, or remove "
            "some of it.",
            name=photo.name,
            size=len(fitting) / 1024,
        )
    return fitting


def on_white(image: Image.Image) -> Image.Image:
    """Mode RGBA -> RGB; other modes as they are."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white
