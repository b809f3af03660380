"""Small pieces of HTML: plain functions of what the editor returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from lc.attributes import AttributeSet, Strength
from lc.editor import Edit
from lc.ui.session import Moment
from lc.ui.texts import in_sentence, text, translated

__all__ = ["bars", "change", "details", "fault", "made", "status", "trace", "walking"]

MINUS = "\N{MINUS SIGN}"

_LINES = ("var(--lc-after)", "var(--lc-second)", "var(--lc-third)")


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


def status(
    attributes: AttributeSet,
    moment: Moment,
    wanted: Mapping[str, Strength],
    wishes: Mapping[str, bool] | None = None,
) -> str:
    """One plain line on what is to be seen, as read from the finished photo where a reader for that is there.

    Args:
        attributes: which there are.
        moment: the edit on show.
        wanted: the changes that were asked for.
        wishes: all others in words, and whether the photo has them.
    """
    edit = moment.edit
    if not wanted and not wishes:
        return _line("", text("status.lone") if moment.more else text("status.plain"))
    seen = edit.seen
    read = seen.after if seen else edit.after
    met = {name: (read[name] >= 0.5) == (value >= 0.5) for name, value in wanted.items() if name in read}
    said = {change(attributes, name, wanted[name] >= 0.5): good for name, good in met.items()} | dict(wishes or {})
    shows, missing = (", ".join(words for words, good in said.items() if good == side) for side in (True, False))
    sentences = []
    if shows:
        sentences.append(text("status.seen", changes=shows) if seen else text("status.read", changes=shows))
    if missing:
        sentences.append(text("status.faint", changes=missing))
    turned = edit.also_changed if seen else [name for name in attributes.names if _turned(edit, name)]
    if also := [
        in_sentence(attributes[name].title) for name in turned if name not in wanted and name not in moment.more
    ]:
        sentences.append(text("status.also", names=", ".join(also)))
    if edit.warning:
        sentences.append(translated(edit.warning))
    # Green is for what a reader that took no part sees on the photo: the model's own reading does not earn it.
    kind = "warn" if missing or edit.warning else "ok" if seen and not moment.more else ""
    return _line(kind, " ".join(sentences))


def change(attributes: AttributeSet, name: str, wanted: bool) -> str:
    """A change in a visitor's words, such as "Older" or "Beard: yes"."""
    attribute = attributes[name]
    if words := attribute.on if wanted else attribute.off:
        return words
    if wanted != attribute.inverted:
        return text("status.yes", title=attribute.title)
    return text("status.no", title=attribute.title)


def _turned(edit: Edit, name: str) -> bool:
    """Whether what nobody asked for reads the other way round than before, and clearly so."""
    before, after = edit.before[name], edit.after[name]
    return name not in edit.changes and (before >= 0.5) != (after >= 0.5) and abs(before - after) > 0.25


def details(attributes: AttributeSet, moment: Moment, wanted: Mapping[str, Strength]) -> str:
    """For who wants to know: how it was made, how far the face moved, and what the model reads in it."""
    edit = moment.edit
    acted = moment.method == "actor"
    known = []
    if wanted or moment.more:
        known.append(text("status.actor") if acted else text("status.optimiser", steps=edit.steps))
        known.append(text("status.moved", distance=edit.z_distance))
        if edit.similarity is not None:
            known.append(text("status.likeness", similarity=edit.similarity))
        known.append(_seconds(edit.seconds))
    facts = escape(" \N{MIDDLE DOT} ".join(known))
    table = bars(attributes, edit.before, edit.after, wanted)
    return f'<p class="lc-facts">{facts}</p>{table}'


def walking(index: int) -> str:
    """One line while the optimiser runs."""
    return _line("", text("status.walking", step=index))


def made(holds: Sequence[bool], asked: Sequence[str]) -> str:
    """One line on generated faces.

    Args:
        holds: whether each has all that was asked for.
        asked: that, in a visitor's words.
    """
    if not asked:
        return _line("", text("random.made", count=len(holds)))
    agree = sum(holds)
    sentence = text("random.agreed", agree=agree, count=len(holds), asked=", ".join(asked))
    return _line("warn" if 2 * agree < len(holds) else "", sentence)


def fault(sentence: str) -> str:
    """One line on what went wrong."""
    return _line("error", sentence)


def trace(energies: Sequence[Mapping[str, float]]) -> str:
    """The energies of a walk so far, one line each, every line on its own scale."""
    if not energies:
        return ""
    width, height = 120, 32
    titles = {
        "attributes": text("status.attributes"),
        "realism": text("status.realism"),
        "distance": text("status.distance"),
    }
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
            f"<div><span>{escape(titles.get(name, name))}</span><output>{values[-1]:.3g}</output>"
            f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
            f'<polyline points="{points}" style="stroke:{colour}"/></svg></div>'
        )
    said = text("status.trace", steps=len(energies) - 1)
    return f'<div class="lc-trace" aria-label="{escape(said)}">{"".join(parts)}</div>'


def _seconds(seconds: float) -> str:
    return text("status.milliseconds", time=seconds * 1000) if seconds < 1 else text("status.seconds", time=seconds)


def _line(kind: str, sentence: str) -> str:
    return f'<p class="lc-status {kind}" role="status">{escape(sentence)}</p>'
