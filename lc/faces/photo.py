"""Read any picture file as one upright sRGB image, or say in a sentence why not.

>>> photo = read_photo(Image.new("LA", (64, 48), (0, 0)))
>>> photo.rgb.mode, photo.rgb.getpixel((0, 0)), photo.alpha is None
('RGB', (255, 255, 255), False)
"""

from __future__ import annotations

import io
import os
import stat
import threading
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageCms, UnidentifiedImageError

from lc.errors import PhotoError
from lc.faces.pixels import Decoded, decoded, is_srgb, sideways

__all__ = ["MIN_SIDE", "Photo", "open_photo", "read_photo"]

MIN_SIDE = 24  # pixels; below this there is no face to speak of
MAX_PIXELS = 120_000_000  # half a gigabyte once decoded

# Pillow hands EPS files to Ghostscript: an upload must not start another program.
_REFUSED_FORMATS = frozenset({"EPS"})

# `warnings.catch_warnings` swaps process-wide state, so only one thread may be inside it.
_WARNINGS_LOCK = threading.Lock()


class Photo:
    """A photo: its file as it came, and its pixels whenever they are asked for.

    Decoded pixels take many times the room of the file, so they are not held on to: the photos used last keep theirs
    while all of those fit into 128 MB, the others are decoded anew. Whoever needs them more than once in a row
    says `with photo.held():`.

    Attributes:
        name: the file's name, or "photo" where there is none.
        size: width and height in pixels, upright; known before anything is decoded.
        format: Pillow's name of the file format ("JPEG", "PNG", ...); None for an image from memory.
        encoded: the bytes of the file; empty for an image from memory, whose pixels are kept.
    """

    def __init__(
        self,
        pixels: Image.Image | Decoded | None,
        name: str = "photo",
        *,
        encoded: bytes = b"",
        size: tuple[int, int] | None = None,
        format: str | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Prefer `read_photo` and `open_photo`.

        Args:
            pixels: mode RGB, sRGB and upright, or all that is known of it; None: decode `encoded`.
            name, encoded, size, format: see above.
            max_pixels: see `open_photo`.
        """
        self._fixed = Decoded(pixels) if isinstance(pixels, Image.Image) else pixels
        self.name, self.encoded, self.format = name, encoded, format
        self.size = self._fixed.rgb.size if self._fixed else size or (0, 0)
        self._max_pixels = max_pixels
        self._lock = threading.Lock()  # so that two threads that ask at once do not decode twice
        self._recent: Decoded | None = None
        self._alive: weakref.ref[Decoded] | None = None
        self._facts: tuple[bytes | None, bytes] | None = None

    @property
    def decoded(self) -> Decoded:
        """All pixels, decoded now unless they still are in memory.

        Raises:
            PhotoError: the file is damaged.
        """
        if self._fixed is not None:
            return self._fixed
        with self._lock:
            found = self._recent or (self._alive and self._alive())
            if not found:
                found = decoded(_load(_header(self.encoded, self.name, self._max_pixels), self.name, self._max_pixels))
                self.size, self._facts = found.rgb.size, (found.icc_profile, found.exif)
                self._alive = weakref.ref(found)
        _RECENT.used(self, found)
        return found

    @contextmanager
    def held(self) -> Iterator[Decoded]:
        """Keep the pixels decoded for the length of a `with` block."""
        pixels = self.decoded  # a name, for what a frame has no name for goes at once
        yield pixels

    @property
    def rgb(self) -> Image.Image:
        """Mode RGB, sRGB colours, upright; transparent pixels are composited onto white."""
        return self.decoded.rgb

    @property
    def alpha(self) -> Image.Image | None:
        """Mode L, the photo's size, 255 = opaque; None if the file has no transparency."""
        return self.decoded.alpha

    @property
    def pixels(self) -> Image.Image:
        """Mode RGB, upright, in the file's own colours, whatever the transparency: where edits go, so that the rest
        stays as it was bit for bit. The same as `rgb` for an opaque sRGB photo."""
        return self.decoded.own or self.decoded.rgb

    @property
    def icc_profile(self) -> bytes | None:
        """The profile that `pixels` are in; None if the file has none, or not a usable one for RGB, which then counts
        as sRGB."""
        return self._facts[0] if self._facts else self.decoded.icc_profile

    @property
    def exif(self) -> bytes:
        """The file's EXIF block without orientation and thumbnail; empty if it has none."""
        return self._facts[1] if self._facts else self.decoded.exif

    @property
    def nbytes(self) -> int:
        """Memory that this photo takes as long as it is there, in bytes."""
        return len(self.encoded) + (self._fixed.nbytes if self._fixed else 0)

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
        if is_srgb(own):
            return picture
        source, target = (srgb, own) if to_own else (own, srgb)
        return ImageCms.buildTransform(source, target, "RGB", "RGB").apply(picture)


class _Recent:
    """Keeps the pixels of the photos used last, up to so many bytes in all."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self._photos: OrderedDict[int, tuple[weakref.ref[Photo], int]] = OrderedDict()

    def used(self, photo: Photo, pixels: Decoded) -> None:
        with self._lock:
            for key in [key for key, (other, _) in self._photos.items() if other() in (None, photo)]:
                del self._photos[key]
            if pixels.nbytes > self._limit:
                return
            photo._recent = pixels
            self._photos[id(photo)] = weakref.ref(photo), pixels.nbytes
            while sum(size for _, size in self._photos.values()) > self._limit:
                _, (other, _) = self._photos.popitem(last=False)
                if (found := other()) is not None:
                    found._recent = None


_RECENT = _Recent(128_000_000)


def read_photo(source: str | Path | bytes | BinaryIO | Image.Image, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode a picture: first frame, upright, 8 bits, sRGB.

    Args:
        source, max_pixels: see `open_photo`.

    Raises:
        PhotoError: see `open_photo`; also where the picture is damaged or cut short.
    """
    photo = open_photo(source, max_pixels=max_pixels)
    photo.decoded  # noqa: B018, raises what is wrong with it
    return photo


def open_photo(source: str | Path | bytes | BinaryIO | Image.Image, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a picture file and its header, so that its size is known; the pixels are decoded when they are asked for.

    Args:
        source: a path, the bytes of a file, an open binary file, or a Pillow image (left unchanged).
        max_pixels: the most pixels accepted; judged by the header, before anything is decoded. Pillow's own
            ceiling, twice `PIL.Image.MAX_IMAGE_PIXELS`, stays in force above it.

    Raises:
        PhotoError: not a picture, empty, missing, a folder, a pipe or device, too many pixels, or too small.
    """
    if isinstance(source, Image.Image):
        name = Path(getattr(source, "filename", "") or "photo").name
        _check_size(source, name, max_pixels)
        return Photo(decoded(_load(source, name, max_pixels)), name, format=source.format)
    data, name = _read(source)
    image = _header(data, name, max_pixels)
    width, height = image.size
    size = (height, width) if sideways(image) else (width, height)
    return Photo(None, name, encoded=data, size=size, format=image.format, max_pixels=max_pixels)


def _read(source: str | Path | bytes | BinaryIO) -> tuple[bytes, str]:
    """The bytes of a picture file and the name to call it in messages."""
    if isinstance(source, (str, Path)):
        data, name = _read_file(Path(source)), Path(source).name
    elif isinstance(source, bytes):
        data, name = source, "photo"
    else:
        data, name = source.read(), Path(str(getattr(source, "name", "photo"))).name
        if not isinstance(data, bytes):
            raise PhotoError("{name} is open as text; open it in binary mode ('rb').", name=name)
    if not data:
        raise PhotoError("{name} is empty; export or download it again.", name=name)
    return data, name


def _read_file(path: Path) -> bytes:
    """A regular file's bytes: a pipe would never end, and a device might not either."""
    try:
        # Opening a pipe would wait for who writes to it.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PhotoError("{path} is not a file but a pipe or a device; choose a picture.", path=path)
            return file.read()
    except IsADirectoryError as error:
        raise PhotoError("{path} is a folder; choose a picture inside it.", path=path) from error
    except FileNotFoundError as error:
        raise PhotoError("{path} does not exist; check the path.", path=path) from error
    except PhotoError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL inside the path
        raise PhotoError("{path} cannot be read; check the path and its permissions.", path=path) from error


def _header(data: bytes, name: str, max_pixels: int) -> Image.Image:
    image = _open_image(io.BytesIO(data), name, max_pixels)
    _check_size(image, name, max_pixels)
    return image


def _load(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    try:
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(name, max_pixels) from error
    except Exception as error:  # a broken file leads decoders into anything: SyntaxError, IndexError, ...
        raise PhotoError("{name} is damaged or cut short; export or download it again.", name=name) from error
    return image


def _open_image(file: BinaryIO, name: str, max_pixels: int) -> Image.Image:
    """Read the header only, by the file's content and not by its name."""
    Image.init()
    formats = [name for name in Image.OPEN if name not in _REFUSED_FORMATS]
    try:
        with _WARNINGS_LOCK, warnings.catch_warnings():
            # Pillow warns from 89 megapixels on; the limit here is `max_pixels`, an error and not a warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(file, formats=formats)
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(name, max_pixels) from error
    except UnidentifiedImageError as error:
        raise PhotoError("{name} is not a picture this program can read; save it as JPEG or PNG.", name=name) from error
    except Exception as error:  # see _load
        raise PhotoError("{name} is damaged or cut short; export or download it again.", name=name) from error


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise _too_many_pixels(name, max_pixels)
    if min(width, height) < MIN_SIDE:
        raise PhotoError(
            "{name} is only {width}x{height} pixels; use a photo of at least {least} pixels each way.",
            name=name,
            width=width,
            height=height,
            least=MIN_SIDE,
        )


def _too_many_pixels(name: str, max_pixels: int) -> PhotoError:
    return PhotoError(
        "{name} has too many pixels; scale it down to under {most:g} megapixels.", name=name, most=max_pixels / 1e6
    )
