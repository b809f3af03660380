"""What the page says, in one language for the whole program: each text has a name in texts/<language>.toml.

>>> text("status.walking", step=3)
'Step 3: the face is on its way.'
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from string import Formatter
from typing import Any

from lc.attributes import AttributeSet
from lc.errors import LatentConstraintsError, Sentence

__all__ = ["ENGLISH", "fields", "in_sentence", "languages", "text", "texts", "titled", "translated", "use"]

FOLDER = Path(__file__).with_name("texts")
ENGLISH = "en"
# Tables that a language need not have: weights bring English titles, and the library speaks English.
_TITLES, _SENTENCES = "attributes.", "sentences."
_PARTS = ("title", "on", "off")  # of an attribute, see `lc.attributes.Attribute`


def text(name: str, /, **values: object) -> str:
    """A text in the language in use.

    Args:
        name: the table and the key, with a dot between; a test compares all that are asked for with those there are.
        values: for the fields in the text, no more and no fewer.
    """
    return _in_use[name].format(**values)


def translated(sentence: str | LatentConstraintsError) -> str:
    """What the library says, in the language in use; in English where that has no words for it.

    Args:
        sentence: a warning, an error, or a part of one; a plain text stays as it is.
    """
    if isinstance(sentence, LatentConstraintsError):
        sentence = sentence.sentence
    if not isinstance(sentence, Sentence):
        return sentence
    words = _in_use.get(f"{_SENTENCES}{sentence.template}", sentence.template)
    values = {name: translated(value) if isinstance(value, str) else value for name, value in sentence.values.items()}
    return words.format(**values) if values else words


def titled(attributes: AttributeSet) -> AttributeSet:
    """The attributes with the titles that the language in use has for them; those of the weights where it has none."""
    entries = (
        replace(one, **{part: _in_use.get(f"{_TITLES}{one.name}.{part}", getattr(one, part)) for part in _PARTS})
        for one in attributes.attributes
    )
    return replace(attributes, attributes=tuple(entries))


def in_sentence(title: str) -> str:
    """A title amid a sentence, where English writes it small."""
    return title.lower() if text("page.language") == ENGLISH else title


def use(language: str) -> None:
    """Speak a language from now on. A server speaks one: this is no visitor's choice.

    Raises:
        LatentConstraintsError: there is no such language, or its file does not fit the English one.
    """
    global _in_use
    _in_use = texts(language)


def languages() -> tuple[str, ...]:
    """Those that there is a file for."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def texts(language: str) -> dict[str, str]:
    """Every text of a language by its name.

    Raises:
        LatentConstraintsError: see `use`.
    """
    if language not in languages():
        raise LatentConstraintsError(f"There is no language {language!r}: choose from {', '.join(languages())}.")
    try:
        read = dict(_named(tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))))
        asked = {name: fields(sentence) for name, sentence in read.items()}
    except (OSError, ValueError) as error:
        raise LatentConstraintsError(f"The texts of {language!r} cannot be read: {error}.") from error
    if language != ENGLISH:
        # Checked here, where the server starts: a text that is missing would be found out by a visitor.
        known = {name: fields(sentence) for name, sentence in _english.items()}
        known |= {name: fields(name.removeprefix(_SENTENCES)) for name in asked if name.startswith(_SENTENCES)}
        asked = {name: names for name, names in asked.items() if not name.startswith(_TITLES)}
        if wrong := sorted(name for name in {*known, *asked} if known.get(name) != asked.get(name)):
            raise LatentConstraintsError(
                f"The texts of {language!r} do not fit those of {ENGLISH!r}: see {', '.join(wrong)}."
            )
    return read


def fields(sentence: str) -> dict[str, str]:
    """The names in braces, each with how its value is written. Raises ValueError where braces are left open.

    >>> fields("moved {distance:.2f}")
    {'distance': '.2f'}
    """
    parsed = Formatter().parse(sentence)
    return {name: f"{conversion or ''}{form}" for _, name, form, conversion in parsed if name is not None}


def _named(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from _named(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield f"{prefix}{key}", value
        else:
            raise ValueError(f"{prefix}{key} is not a text")


_english = texts(ENGLISH)
_in_use = _english
