"""What is asked for besides the tiles of the model's own attributes: what was taught, rules, and one of several.

A wish has a name and a mode: it must hold, it must not, or it is one of those of which one at least must hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from lc.constraints import Constraint
from lc.editor import Edit, FaceEditor, Reading, Sample
from lc.errors import LatentConstraintsError
from lc.faces.align import warp
from lc.following import values
from lc.generator import EncodingGenerator
from lc.named import Request, Vocabulary, Wanted
from lc.rules import NamedRule, Pictures, named_rule, rules
from lc.taught import TaughtAttribute
from lc.ui.texts import text

__all__ = ["MODES", "Mode", "More", "Wishes", "title_of"]

Mode: TypeAlias = Literal["require", "forbid", "either"]
MODES: tuple[Mode, ...] = get_args(Mode)
More: TypeAlias = Mapping[str, Mode]  # by name

_MOST = 40  # wishes at once
_COLOUR = re.compile(r"hair_like_[0-9a-f]{6}")
_SWATCHES = ("hair_like_7a2e16", "hair_like_9c9a98")
_TILE_STEPS = 12  # of the refinement: a tile shows where it goes
_TO_BE_SEEN = 0.25  # standard deviations of a rule among faces, more than in the photo
_ABOVE_MEAN = 0.5  # likewise, of a face that was made up


class Wishes:
    """Makes constraints of wishes, and says what of them is to be seen.

    Args:
        editor: shared by all visitors, as what is measured of rules is.
    """

    def __init__(self, editor: FaceEditor) -> None:
        self.editor, self._vocabulary = editor, Vocabulary(editor.space)
        tuning = replace(editor.model.tuning, refinement_steps=_TILE_STEPS)
        self._quick = FaceEditor(replace(editor.model, tuning=tuning), editor.inversion_steps, 0)

    # --- what there is ---------------------------------------------------------------------------------------------

    def rules(self) -> list[NamedRule]:
        """Those that these weights can have, those that are quick first."""
        known = [*rules(), *map(named_rule, _SWATCHES)]
        return sorted(
            (one for one in known if one.possible(self.editor.model.parser)),
            key=lambda one: (not one.differentiable, bool(one.needs)),
        )

    def entries(self, taught: Sequence[TaughtAttribute]) -> list[dict[str, Any]]:
        """All that a tile can be of besides the attributes, for the browser."""
        mine = [{"name": one.name, "title": title_of(one.name), "kind": "taught"} for one in taught]
        return mine + [{"name": one.name, "title": title_of(one.name), "kind": "rule"} for one in self.rules()]

    def checked(self, value: object, taught: Sequence[TaughtAttribute], *, lenient: bool = False) -> dict[str, Mode]:
        """Name -> mode, as a browser sends it; names that mean nothing are refused, or left out where `lenient`."""
        if value is None:
            return {}
        if not isinstance(value, dict) or len(value) > _MOST or not all(mode in MODES for mode in value.values()):
            raise LatentConstraintsError(text("wrong.more"))
        known = {one.name for one in taught} | {one.name for one in self.rules()}
        found: dict[str, Mode] = {}
        for name, mode in value.items():
            possible = name in known or (name in self.editor.attributes.names and mode == "either")
            if possible or (_COLOUR.fullmatch(str(name)) and named_rule(name).possible(self.editor.model.parser)):
                found[str(name)] = mode
            elif not lenient:
                raise LatentConstraintsError(text("wrong.wish", name=str(name)[:60]))
        return found

    # --- as constraints --------------------------------------------------------------------------------------------

    def constraints(
        self, more: More, taught: Sequence[TaughtAttribute], z: Tensor | None = None, strength: float = 1.0
    ) -> list[Constraint]:
        """Constraints for the editor.

        Args:
            more: the wishes. A single "either" asks for nothing yet.
            taught: the visitor's.
            z: (latent,) of the photo that is edited; None for generated faces.
            strength: in [0.5, 1], how far each goes.
        """
        among = {one.name: one for one in taught}
        either = [name for name, mode in more.items() if mode == "either"]

        def wanted(name: str) -> Wanted:
            share = 2 * strength - 1
            if name in among and share < 1:  # a part of the way to the logit that all of the way leads to
                return Wanted(name, 1 / (1 + math.exp(-share * among[name].target)))
            return Wanted(name, strength)

        request = Request(
            set={},
            require=tuple(wanted(name) for name, mode in more.items() if mode == "require"),
            forbid=tuple(Wanted(name) for name, mode in more.items() if mode == "forbid"),
            either=(tuple(map(Wanted, either)),) if len(either) > 1 else (),
        )
        place = None if z is None else z[None].to(self.editor.device)
        return self._vocabulary.knowing(taught).constraints(request, place)

    def preserved(self, more: More) -> list[str] | None:
        """What an edit is to preserve: not those of the model's attributes of which one may come."""
        names = self.editor.attributes.names
        free = {name for name, mode in more.items() if mode == "either"}.intersection(names)
        return [name for name in names if name not in free] if free else None

    # --- tiles -----------------------------------------------------------------------------------------------------

    def alone(self, reading: Reading, name: str, taught: Sequence[TaughtAttribute]) -> tuple[Edit, bool]:
        """A photo with one wish come true, quickly, and whether that is to be seen."""
        more: dict[str, Mode] = {name: "require"}
        edit = self._quick.edit(reading, identity=0.5, constraints=self.constraints(more, taught, reading.z))
        return edit, all(self.seen(edit, more, taught).values())

    # --- what is to be seen ----------------------------------------------------------------------------------------

    def seen(self, edit: Edit, more: More, taught: Sequence[TaughtAttribute]) -> dict[str, bool]:
        """What was asked for, in a visitor's words -> whether the finished photo has it.

        Rules are measured on its pixels, taught attributes are read there by their own critics.
        """
        if not more:
            return {}
        photo, aligned = edit.reading.photo, edit.reading.aligned
        with photo.held():
            crop = warp(photo.to_srgb(edit.result.convert("RGB")), aligned.matrix, aligned.crop.width)
        before, after = (_tensor(one).to(self.editor.device) for one in (aligned.crop, crop))
        among = {one.name: one for one in taught}
        holds: dict[str, bool] = {}
        for name in more:
            if name in among:
                holds[name] = self._probability(among[name], after, edit) >= 0.5
            elif name in self.editor.attributes.names:
                holds[name] = (edit.seen.after if edit.seen else edit.after)[name] >= 0.5
            else:
                holds[name] = self._moved(named_rule(name), before, after) >= _TO_BE_SEEN
        return dict(self._said(more, holds))

    @torch.inference_mode()
    def hold(self, sample: Sample, read: Mapping[str, float], more: More, taught: Sequence[TaughtAttribute]) -> bool:
        """Whether a generated face has all that is wished for; `read` says what of the model's attributes it has."""
        among, image, parser = {one.name: one for one in taught}, _tensor(sample.decoded), self.editor.model.parser
        place = self.editor.device

        def has(name: str) -> bool:
            if name in among:
                return float(among[name].probability(sample.z[None].to(place))) >= 0.5
            if name in self.editor.attributes.names:
                return read[name] >= 0.5
            rule = named_rule(name)
            scale = self._vocabulary.scale(rule)
            value = float(values([rule], [Pictures(image.to(place), parser)])[rule.name])
            return value >= scale.mean + _ABOVE_MEAN * scale.std

        either = [has(name) for name, mode in more.items() if mode == "either"]
        rest = (has(name) == (mode == "require") for name, mode in more.items() if mode != "either")
        return (len(either) < 2 or any(either)) and all(rest)

    def words(self, more: More) -> list[str]:
        """Wishes in a visitor's words."""
        return [words for words, _ in self._said(more, dict.fromkeys(more, True))]

    def _said(self, more: More, holds: Mapping[str, bool]) -> Iterator[tuple[str, bool]]:
        either = [name for name, mode in more.items() if mode == "either"]
        if len(either) > 1:
            titles = [self._title(name) for name in either]
            yield text("status.either", names=", ".join(titles)), any(holds[name] for name in either)
        for name, mode in more.items():
            if mode == "require":
                yield text("status.yes", title=title_of(name)) if not _is_rule(name) else title_of(name), holds[name]
            elif mode == "forbid":
                yield text("status.no", title=title_of(name)), not holds[name]

    def _title(self, name: str) -> str:
        attributes = self.editor.attributes
        return attributes[name].on or attributes[name].title if name in attributes.names else title_of(name)

    @torch.inference_mode()
    def _probability(self, one: TaughtAttribute, image: Tensor, edit: Edit) -> float:
        generator = self.editor.model.generator
        z = edit.z_edited[None].to(self.editor.device)
        if isinstance(generator, EncodingGenerator):
            z = generator.encode(image).mean
        return float(one.probability(z))

    @torch.inference_mode()
    def _moved(self, rule: NamedRule, before: Tensor, after: Tensor) -> float:
        """By how many standard deviations of faces in general."""
        parser = self.editor.model.parser
        was, now = (float(values([rule], [Pictures(one, parser)])[rule.name]) for one in (before, after))
        return (now - was) / self._vocabulary.scale(rule).std


def title_of(name: str) -> str:
    """What a taught attribute or a rule is called on the page."""
    words = {
        "warmer": text("rule.warmer"),
        "cooler": text("rule.cooler"),
        "more_symmetrical": text("rule.more_symmetrical"),
        "brighter_background": text("rule.brighter_background"),
        "darker_background": text("rule.darker_background"),
        "lighter_hair": text("rule.lighter_hair"),
        "darker_hair": text("rule.darker_hair"),
        "wider_smile": text("rule.wider_smile"),
        "looks_right": text("rule.looks_right"),
        "looks_left": text("rule.looks_left"),
        _SWATCHES[0]: text("rule.red_hair"),
        _SWATCHES[1]: text("rule.grey_hair"),
    }
    if name in words:
        return words[name]
    if _COLOUR.fullmatch(name):
        return text("rule.hair_like", colour=f"#{name[-6:]}")
    return name.replace("_", " ")


def _is_rule(name: str) -> bool:
    return bool(_COLOUR.fullmatch(name)) or name in {one.name for one in rules()}


def _tensor(image: Any) -> Tensor:
    """A picture as (1, 3, S, S) in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
