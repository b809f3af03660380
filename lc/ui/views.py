"""Small pieces of HTML and the pictures in them. Plain functions of what the editor returns.

Small pictures travel inside the page as data; for large ones see pictures.py.
"""

from __future__ import annotations

import base64
import weakref
from collections.abc import Mapping, Sequence
from html import escape

from PIL import Image, ImageDraw

from lc.attributes import AttributeSet, Strength
from lc.editor import Reading, Sample
from lc.faces import Face
from lc.ui.pictures import encoded
from lc.ui.session import SHOWN, Moment, enlarge
from lc.ui.texts import text

__all__ = [
    "bars",
    "face_at",
    "fault",
    "made",
    "outline_ratio",
    "outlined",
    "stages",
    "status",
    "trace",
    "walking",
]

MINUS = "\N{MINUS SIGN}"

_OUTLINED = 640  # pixels of the longer side
_OUTLINE = "#0d9488"
_OTHERS = "#f8fafc"
_THUMBNAILS: weakref.WeakKeyDictionary[Reading, str] = weakref.WeakKeyDictionary()
_LINES = ("var(--lc-after)", "var(--lc-second)", "var(--lc-third)")


def stages(reading: Reading, edited: Image.Image | None) -> str:
    """The way of the photo: input, aligned, reconstruction, edited."""
    crop = enlarge(reading.aligned.crop)
    steps = [
        (text("stages.input"), text("stages.input_note"), _input(reading)),
        (text("stages.aligned"), text("stages.aligned_note"), _data(crop)),
        (text("stages.reconstruction"), text("stages.reconstruction_note"), _data(enlarge(reading.reconstruction))),
        (text("stages.edited"), text("stages.edited_note"), _data(enlarge(edited or reading.reconstruction))),
    ]
    figures = "".join(
        f'<figure><img src="{image}" alt="{escape(name)}: {escape(note)}" width="{SHOWN}" height="{SHOWN}">'
        f"<figcaption><b>{escape(name)}</b><span>{escape(note)}</span></figcaption></figure>"
        for name, note, image in steps
    )
    return f'<div class="lc-strip" role="group" aria-label="{escape(text("stages.group"))}">{figures}</div>'


def bars(
    attributes: AttributeSet, before: Mapping[str, float], after: Mapping[str, float], wanted: Mapping[str, Strength]
) -> str:
    """What the attribute critic says before and after, as a table whose cells are drawn as bars."""
    rows = []
    for name in attributes.names:
        was, now = (f"{attributes.title_probability(name, read[name]):.0%}" for read in (before, after))
        note = ""
        if name in wanted:
            sign = "+" if attributes.title_probability(name, wanted[name]) >= 0.5 else MINUS
            note = f"<small>{escape(text('bars.asked', sign=sign))}</small>"
        rows.append(
            f'<tr><th scope="row">{escape(attributes[name].title)}{note}</th>'
            f'<td class="lc-bar" aria-hidden="true"><i style="width:{was}"></i><b style="width:{now}"></b></td>'
            f"<td>{was}</td><td>{now}</td></tr>"
        )
    caption, attribute = escape(text("bars.caption")), escape(text("bars.attribute"))
    old, new = escape(text("bars.before")), escape(text("bars.after"))
    return (
        f'<table class="lc-bars"><caption>{caption}</caption>'
        f'<thead><tr><th scope="col">{attribute}</th><th aria-hidden="true"></th>'
        f'<th scope="col" class="lc-old">{old}</th><th scope="col" class="lc-new">{new}</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def status(moment: Moment, wanted: bool) -> str:
    """One line on how the edit went."""
    edit = moment.edit
    if not wanted:
        return _line("", text("status.plain"))
    acted = moment.method == "actor"
    known = [
        text("status.actor") if acted else text("status.optimiser", steps=edit.steps),
        text("status.moved", distance=edit.z_distance),
    ]
    if edit.similarity is not None:
        known.append(text("status.likeness", similarity=edit.similarity))
    facts = " \N{MIDDLE DOT} ".join([*known, _seconds(edit.seconds)])
    if edit.warning:
        return _line("warn", edit.warning, facts)
    if not edit.converged:
        return _line("warn", text("status.actor_short") if acted else text("status.optimiser_short"), facts)
    return _line("ok", text("status.agreed"), facts)


def walking(index: int) -> str:
    """One line while the optimiser runs."""
    return _line("", text("status.walking", step=index))


def made(samples: Sequence[Sample], wanted: Mapping[str, Strength], shown: Mapping[str, bool]) -> str:
    """One line on generated faces: how many of them the critic sees as wanted, which `shown` says by title."""
    if not wanted:
        return _line("ok", text("random.made", count=len(samples)))
    agree = sum(all((sample.attributes[name] >= 0.5) == value for name, value in wanted.items()) for sample in samples)
    asked = [title.lower() if value else text("random.without", title=title.lower()) for title, value in shown.items()]
    return _line("ok", text("random.agreed", agree=agree, count=len(samples), asked=", ".join(asked)))


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
    said = text("status.trace", steps=len(energies) - 1)
    return f'<div class="lc-trace" aria-label="{escape(said)}">{"".join(parts)}</div>'


def outlined(reading: Reading) -> Image.Image:
    """The photo with every face outlined and numbered, no larger than 640 pixels."""
    ratio = outline_ratio(reading.photo.size)
    width, height = (max(1, round(side / ratio)) for side in reading.photo.size)
    picture = reading.photo.rgb.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    draw = ImageDraw.Draw(picture)
    for number, face in enumerate(reading.faces, 1):
        box = [value / ratio for value in face.box]
        taken = face is reading.face
        _frame(draw, box, taken)
        draw.text((box[0] + 5, box[1] + 3), str(number), "white", font_size=18, stroke_width=2, stroke_fill="black")
    return picture


def outline_ratio(size: tuple[int, int]) -> float:
    """Pixels of a photo of that size for each pixel of it outlined."""
    return max(1.0, max(size) / _OUTLINED)


def face_at(faces: Sequence[Face], x: float, y: float) -> int:
    """The face whose box is nearest to a point of the photo, and smallest where boxes overlap."""

    def far(face: Face) -> tuple[float, float]:
        left, top, right, bottom = face.box
        outside = max(left - x, x - right, 0.0) + max(top - y, y - bottom, 0.0)
        return outside, (right - left) * (bottom - top)

    return min(range(len(faces)), key=lambda i: far(faces[i]))


def _data(image: Image.Image) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encoded(image, "JPEG", quality=88)).decode()


def _input(reading: Reading) -> str:
    """The photo's thumbnail, drawn once: a walk shows it at each of its steps."""
    if reading not in _THUMBNAILS:
        _THUMBNAILS[reading] = _data(_thumbnail(reading))
    return _THUMBNAILS[reading]


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
    return text("status.milliseconds", time=seconds * 1000) if seconds < 1 else text("status.seconds", time=seconds)


def _line(kind: str, sentence: str, facts: str = "") -> str:
    small = f"<small>{escape(facts)}</small>" if facts else ""
    return f'<p class="lc-status {kind}" role="status">{escape(sentence)}{small}</p>'
