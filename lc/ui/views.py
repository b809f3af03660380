"""Small pieces of HTML and the pictures in them. Plain functions of what the editor returns.

Small pictures travel inside the page as data; large ones as files of Gradio's folder, which it clears on schedule.
"""

from __future__ import annotations

import base64
import hashlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from gradio.utils import get_upload_folder
from PIL import Image, ImageDraw

from lc.attributes import ATTRIBUTES, DISPLAY_NAMES, Strength
from lc.editor import Edit, Reading, Sample
from lc.faces import EDITED, MADE_UP, Face, PictureFormat, encode_picture
from lc.results import animated
from lc.ui.session import SHOWN, Moment, changes_of, enlarge

__all__ = [
    "bars",
    "edited_file",
    "face_at",
    "fault",
    "film_file",
    "jpeg_file",
    "made",
    "made_file",
    "outlined",
    "stages",
    "status",
    "trace",
    "walking",
]

_ENDINGS: dict[PictureFormat, str] = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
MINUS = "\N{MINUS SIGN}"

_OUTLINE = "#0d9488"
_OTHERS = "#f8fafc"
_LINES = ("var(--lc-after)", "var(--lc-second)", "var(--lc-third)")


def stages(reading: Reading, edited: Image.Image | None) -> str:
    """The way of the photo: input, aligned, reconstruction, edited."""
    crop = enlarge(reading.aligned.crop)
    steps = [
        ("Input", "the photo", _thumbnail(reading)),
        ("Aligned", "64\N{MULTIPLICATION SIGN}64, what the model sees", crop),
        ("Reconstruction", "what its latent holds of it", enlarge(reading.reconstruction)),
        ("Edited", "the latent, moved", enlarge(edited or reading.reconstruction)),
    ]
    figures = "".join(
        f'<figure><img src="{_data(image)}" alt="{escape(name)}: {escape(note)}" width="{SHOWN}" height="{SHOWN}">'
        f"<figcaption><b>{escape(name)}</b><span>{escape(note)}</span></figcaption></figure>"
        for name, note, image in steps
    )
    return f'<div class="lc-strip" role="group" aria-label="The stages of the edit">{figures}</div>'


def bars(before: Mapping[str, float], after: Mapping[str, float], wanted: Mapping[str, Strength]) -> str:
    """What the attribute critic says before and after, as a table whose cells are drawn as bars."""
    rows = []
    for name in ATTRIBUTES:
        old, new = before[name], after[name]
        note = ""
        if name in wanted:
            note = f"<small>{'+' if wanted[name] >= 0.5 else MINUS} asked</small>"
        rows.append(
            f'<tr><th scope="row">{escape(DISPLAY_NAMES[name])}{note}</th>'
            f'<td class="lc-bar" aria-hidden="true"><i style="width:{old:.0%}"></i><b style="width:{new:.0%}"></b></td>'
            f"<td>{old:.0%}</td><td>{new:.0%}</td></tr>"
        )
    return (
        '<table class="lc-bars"><caption>What the attribute critic sees</caption>'
        '<thead><tr><th scope="col">Attribute</th><th aria-hidden="true"></th>'
        '<th scope="col" class="lc-old">before</th><th scope="col" class="lc-new">after</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def status(moment: Moment) -> str:
    """One line on how the edit went."""
    edit = moment.edit
    wanted = changes_of(edit.reading, moment.boxes)
    if not wanted:
        return _line("", "This is the photo as it is. Tick a box to change it.")
    way = "Actor" if moment.method == "actor" else f"Optimiser, {edit.steps} steps"
    facts = f"{way} \N{MIDDLE DOT} moved {edit.z_distance:.2f} \N{GREEK SMALL LETTER SIGMA}\N{COMBINING MACRON}"
    if edit.similarity is not None:
        facts += f" \N{MIDDLE DOT} likeness {edit.similarity:.2f} (1 the same picture, 0 a stranger)"
    facts += f" \N{MIDDLE DOT} {_seconds(edit.seconds)}"
    if edit.warning:
        return _line("warn", edit.warning, facts)
    if not edit.converged:
        hint = "move the slider to the left, or try the optimiser"
        if moment.method == "optimise":
            hint = "move the slider to the left"
        return _line("warn", f"The critics do not yet see everything that was asked for: {hint}.", facts)
    return _line("ok", "The critics see what was asked for.", facts)


def walking(index: int) -> str:
    """One line while the optimiser runs."""
    return _line("", f"Walking: step {index}. Stop keeps the face as it is.")


def made(samples: Sequence[Sample], wanted: Mapping[str, Strength]) -> str:
    """One line on made-up faces: how many of them the critic sees as wanted."""
    if not wanted:
        return _line("ok", f"{len(samples)} faces that nobody has.")
    agree = sum(all((sample.attributes[name] >= 0.5) == value for name, value in wanted.items()) for sample in samples)
    asked = ", ".join(f"{'' if value else 'not '}{DISPLAY_NAMES[name].lower()}" for name, value in wanted.items())
    return _line("ok", f"The attribute critic sees {agree} of {len(samples)} faces as asked: {asked}.")


def fault(sentence: str) -> str:
    """One line on what went wrong."""
    return _line("error", sentence)


def trace(energies: Sequence[Mapping[str, float]]) -> str:
    """The energies of a walk so far, one line each, every line on its own scale."""
    if not energies:
        return ""
    width, height = 120, 32
    parts = []
    for colour, name in zip(_LINES, energies[0], strict=False):
        values = [step[name] for step in energies]
        low, high = min(values), max(values)
        span = (high - low) or 1.0
        points = " ".join(
            f"{width * i / max(1, len(values) - 1):.1f},{2 + (height - 4) * (high - value) / span:.1f}"
            for i, value in enumerate(values)
        )
        parts.append(
            f"<div><span>{escape(name)}</span><output>{values[-1]:.3g}</output>"
            f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
            f'<polyline points="{points}" style="stroke:{colour}"/></svg></div>'
        )
    steps = len(energies) - 1
    return f'<div class="lc-trace" aria-label="Energies after {steps} steps">{"".join(parts)}</div>'


def outlined(reading: Reading, side: int = 640) -> tuple[Image.Image, float]:
    """The photo with every face outlined and numbered, no larger than `side`, and photo pixels per pixel of it."""
    picture = reading.photo.rgb.copy()
    picture.thumbnail((side, side))
    ratio = reading.photo.rgb.width / picture.width
    draw = ImageDraw.Draw(picture)
    for number, face in enumerate(reading.faces, 1):
        box = [value / ratio for value in face.box]
        taken = face is reading.face
        _frame(draw, box, taken)
        draw.text((box[0] + 5, box[1] + 3), str(number), "white", font_size=18, stroke_width=2, stroke_fill="black")
    return picture, ratio


def face_at(faces: Sequence[Face], x: float, y: float) -> int:
    """The face whose box is nearest to a point of the photo, and smallest where boxes overlap."""

    def far(face: Face) -> tuple[float, float]:
        left, top, right, bottom = face.box
        outside = max(left - x, x - right, 0.0) + max(top - y, y - bottom, 0.0)
        return outside, (right - left) * (bottom - top)

    return min(range(len(faces)), key=lambda i: far(faces[i]))


def jpeg_file(image: Image.Image) -> str:
    """Save for display: at 12 megapixels 60 ms, where Gradio's own WebP takes over a second."""
    return _file(_encoded(image, "JPEG", quality=92), "picture.jpg")


def edited_file(edit: Edit, kind: PictureFormat = "PNG") -> str:
    """Save to keep, marked as edited for whoever finds it later."""
    photo, file = edit.reading.photo, io.BytesIO()
    encode_picture(edit.result, file, kind, EDITED, photo)
    return _file(file.getvalue(), f"{Path(photo.name).stem}-edited.{_ENDINGS[kind]}")


def made_file(sample: Sample) -> str:
    """Save a made-up face to keep."""
    file = io.BytesIO()
    encode_picture(sample.image, file, "PNG", MADE_UP)
    return _file(file.getvalue(), "face.png")


def film_file(faces: Sequence[Image.Image], name: str) -> str:
    """Save a walk as an animated WebP."""
    return _file(animated(faces), f"{Path(name).stem}-walk.webp")


def _file(data: bytes, name: str) -> str:
    folder = Path(get_upload_folder()) / hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    # The same picture may be on its way to a browser from this very file: put a whole one in its place.
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as partial:
        partial.write(data)
    return str(Path(partial.name).replace(folder / name))


def _data(image: Image.Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(_encoded(image, "JPEG", quality=88)).decode()


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _thumbnail(reading: Reading) -> Image.Image:
    """The photo's middle square, or as much of it as shows the face, with the face outlined."""
    photo = reading.photo.rgb
    side = min(photo.size)
    if reading.face is None:
        return photo.resize((SHOWN, SHOWN), Image.Resampling.BICUBIC, reducing_gap=2.0)
    left, top, right, bottom = reading.face.box
    x = min(max((left + right - side) / 2, 0), photo.width - side)
    y = min(max((top + bottom - side) / 2, 0), photo.height - side)
    square = photo.resize((SHOWN, SHOWN), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side), reducing_gap=2.0)
    ratio = side / SHOWN
    _frame(
        ImageDraw.Draw(square), [(left - x) / ratio, (top - y) / ratio, (right - x) / ratio, (bottom - y) / ratio], True
    )
    return square


def _frame(draw: ImageDraw.ImageDraw, box: Sequence[float], taken: bool) -> None:
    left, top, right, bottom = box
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline="black", width=1)
    draw.rectangle((left, top, right, bottom), outline=_OUTLINE if taken else _OTHERS, width=3 if taken else 2)


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _line(kind: str, sentence: str, facts: str = "") -> str:
    small = f"<small>{escape(facts)}</small>" if facts else ""
    return f'<p class="lc-status {kind}" role="status">{escape(sentence)}{small}</p>'
