"""The tables of finished photos, as the model card and evaluation.md show them: functions of the figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from train.evaluate.summary import CHEEKS_STAY, short

__all__ = ["card_table", "finished_tables", "table"]

Figures = Mapping[str, Any]

_ROLES = ("guidance", "calibration", "evaluation", "outside", "masks")
_GROUPS = {"women": "women", "men": "men", "dark": "darkest third", "light": "lightest third"}
#: What the card calls the figures of `train.evaluate.summary.short`; those of masks are named by their direction.
_SHORT = {
    "turned_male": "women made men, outside reader",
    "turned_female": "men made women, outside reader",
    "older_years": "older by years, outside reader",
    "younger_years": "younger by years, outside reader",
    "smile_on": "a smile put on, outside reader",
    "smile_off": "a smile taken off, outside reader",
    "cheeks": "cheeks by hair, hat and glasses, change of L*",
    "background": "background, grey levels",
    "same_person": "same person where sex, age and hat are left alone",
    "same_descriptor": "the same, by the outside descriptor",
    "grey_chroma": "chroma of an edited grey photo",
}
_GAPS = {"gap_sex": "men less women", "gap_tone": "light less dark"}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _number(row: Figures | None, name: str, digits: int = 2, *, sign: bool = False) -> str:
    """A figure, with how many edits it rests on where these are not all."""
    if row is None or name not in row:
        return "-"
    text = f"{row[name]:{'+' if sign else ''}.{digits}f}"
    return f"{text} ({row['of'][name]})" if name in row.get("of", {}) else text


def _roles_table(figures: Figures) -> list[str]:
    """Every role side by side: a gap between them is seen here."""
    head = ["change", "edits", *_ROLES, "years", "held", "same person", "by the outside descriptor", "face lost"]
    rows = []
    for name, groups in figures["directions"].items():
        row = groups["all"]
        cells = [_number(row, role) for role in _ROLES]
        cells += [_number(row, "years", 1, sign=True), *(_number(row, key) for key in ("held", "same_person"))]
        rows.append([name, str(row["edits"]), *cells, _number(row, "same_descriptor"), _number(row, "lost")])
    return table(head, rows)


def _kept_table(figures: Figures) -> list[str]:
    """What nobody asked for: cheeks, background, mouth; and the hair's area, which is a bald head's measure."""
    head = ["change", "cheeks: median change of L*", "without sign", "background, grey levels"]
    head += ["mouth's area, over that before", "hair's area, over that before", "chroma of a grey photo"]
    rows = []
    for name, groups in figures["directions"].items():
        row, grey = groups["all"], figures.get("grey", {}).get(name)
        cells = [_number(row, "cheek", 1, sign=True), _number(row, "cheek_size", 1), _number(row, "background", 1)]
        cells += [_number(row, "mouth"), _number(row, "hair")]
        rows.append([name, *cells, f"{grey['chroma']:.1f}" if grey else "-"])
    return table(head, rows)


def _groups_table(figures: Figures) -> list[str]:
    """Women and men, dark and light skin apart, by masks where they say something and by evaluation elsewhere."""
    head = ["change", "measured by", *_GROUPS.values(), *_GAPS.values()]
    head += [f"cheeks, {_GROUPS[group]}" for group in ("dark", "light")]
    rows = []
    for name, groups in figures["directions"].items():
        by = next((role for role in ("masks", "outside", "evaluation") if role in groups["all"]), None)
        if by is None:
            continue
        cells = [_number(groups.get(group), by) for group in _GROUPS]
        cells += [_number(groups.get(gap), by, sign=True) for gap in _GAPS]
        stay = name.partition("=")[0] in CHEEKS_STAY
        cells += [_number(groups.get(group), "cheek_size", 1) if stay else "-" for group in ("dark", "light")]
        rows.append([name, by, *cells])
    return table(head, rows)


def _reach_table(places: Figures) -> list[str]:
    names = dict.fromkeys(name for figures in places.values() for name in figures["reach"])
    rows = []
    for name in names:
        cells = [figures["reach"].get(name) for figures in places.values()]
        rows.append([name.replace("_", " "), *("-" if cell is None else f"{cell:.2f}" for cell in cells)])
    return table(["in short", *(f"identity {place}" for place in places)], rows)


def _masks_text(masks: Figures | None) -> str:
    if masks is None:
        return "There is no face parser: nothing was measured by masks."
    read = ", ".join(f"{name} {yes:.2f} and {no:.2f}" for name, (yes, no) in masks["agreement"].items())
    return (
        f"Masks: what counts as glasses, a hat, bald and a hair colour was learned from {masks['photos']} labelled "
        "photos: an area above or below the value that tells their labels best, and a median L*a*b* of the hair that "
        "is nearest, under the pooled covariance, to the mean of hair labelled so, and no further from it than 95 of "
        "100 of these; bald is put on where at most a third of the hair's area is left. So read, the labelled photos "
        f"themselves agree with their labels, those that have it and those that have not: {read}."
    )


def _preamble(figures: Figures) -> str:
    roles = "; ".join(f"{role}: {', '.join(titles) or 'nobody'}" for role, titles in figures["readers"].items())
    return (
        f"Finished photos: {figures['photos']} photos of {figures['source']}, {len(figures['refused'])} more were "
        f"refused, edited by the {figures['settings']['method']} at their own size; the face was then "
        + ("found again, " if figures["settings"]["redetect"] else "")
        + f"cut out and read by every role. {roles}. A share counts the photos in which the reader itself saw the "
        "change lacking; how many these are stands in brackets where they are not all. Years: what the outside reader "
        "sees, in the median. Same person: dlib's embedding; the outside descriptor is the same net with its weights "
        "rounded, so it is no second opinion."
    )


def finished_tables(figures: Figures) -> str:
    """The card's section about finished photos."""
    first, places = next(iter(figures["places"])), figures["places"]
    lines = [_preamble(figures), "", _masks_text(figures["masks"]), "", *_reach_table(places)]
    lines += ["", f"At identity {first}, all roles side by side:", "", *_roles_table(places[first])]
    if figures["masks"] is not None:
        lines += ["", "What nobody asked for, by masks:", "", *_kept_table(places[first])]
    lines += ["", "Women and men, and the thirds of darkest and lightest skins, apart:", ""]
    lines += _groups_table(places[first])
    return "\n".join(lines)


def card_table(figures: Figures) -> str:
    """The card's one table: the figures in short at the first place of the slider, for everybody and for each group."""
    place, measured = next(iter(figures["places"].items()))
    groups = {"all": "all", **_GROUPS}
    found = {group: short(measured, group) for group in groups}
    rows = []
    for name in dict.fromkeys(name for values in found.values() for name in values):
        direction = name.removeprefix("masks_").rsplit("_", 1)
        title = _SHORT.get(name) or f"{'='.join(direction)}, masks"
        cells = []
        for values in found.values():
            value, edits = values.get(name, (None, None))
            cells.append("-" if value is None else f"{value:.2f}" + (f" ({edits})" if edits is not None else ""))
        rows.append([title, *cells])
    text = (
        f"{figures['photos']} finished photos of {figures['source']}, edited by the {figures['settings']['method']} at "
        f"identity {place}. Shares of edits that show, of so many edits as stand in brackets."
    )
    return "\n".join([text, "", *table([f"identity {place}", *groups.values()], rows)])
