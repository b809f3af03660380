"""What steers the blend of edits: the face parser's maps of photos and edited crops, and what each change may touch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lc.attributes import Attribute, AttributeSet, Colour, Strength
from lc.faces import Aligned, Photo
from lc.faces.steering import MARGIN, Maps, Steering, wide_crop
from lc.laid import Layer
from lc.parser import Parser

__all__ = ["crop_maps", "photo_maps", "share_of", "steering_of"]


def photo_maps(parser: Parser, photo: Photo, aligned: Aligned) -> Maps:
    """What the parser finds in a photo around a face: (C, side, side), probabilities in parts of 255."""
    with photo.held():
        wide = np.array(wide_crop(photo.rgb, aligned, parser.config.image_size))
    place = next(parser.parameters()).device
    return _levels(parser.parse(torch.from_numpy(wide).permute(2, 0, 1)[None].to(place) / 255, resample=False))[0]


def crop_maps(parser: Parser, pictures: Tensor) -> list[Maps]:
    """Crops (B, 3, S, S) in [0, 1] -> per crop (C, S, S), as `photo_maps`."""
    return list(_levels(parser.parse(pictures)))


def _other_colour(attributes: AttributeSet, entry: Attribute, changes: Mapping[str, Strength]) -> Colour | None:
    """What a part that is not to have a colour has instead: the nearest one that nobody forbids."""
    if entry.colour is None:
        return None
    light = entry.colour.mean[0]
    group = next((group for group in attributes.one_of if entry.name in group), ())
    others = [attributes[name].colour for name in group if name != entry.name and changes.get(name, True)]
    known = [colour for colour in others if colour is not None]
    return min(known, key=lambda colour: abs(colour.mean[0] - light), default=None)


def share_of(maps: Maps | None, classes: Sequence[str], part: str) -> float:
    """The share of a crop that shows a part; 0 without maps. `maps` are of the wide crop."""
    if maps is None:
        return 0.0
    edge = round(maps.shape[-1] * MARGIN / (1 + 2 * MARGIN))
    inner = maps[classes.index(part), edge : maps.shape[-1] - edge, edge : maps.shape[-1] - edge]
    return float((inner > 127).mean())


def _levels(probabilities: Tensor) -> Maps:
    levels: Maps = (probabilities * 255).round().to(torch.uint8).cpu().numpy()
    return levels


def steering_of(
    attributes: AttributeSet,
    classes: Sequence[str],
    changes: Mapping[str, Strength],
    before: Maps,
    after: Maps,
    laid: Mapping[str, Layer],
) -> Steering:
    """What steers one edit.

    Args:
        attributes: of the model.
        classes: the parser's.
        changes: what was asked for, by name. Where nothing was (a taught attribute, a rule), all of the person may
            change.
        before, after: see `Steering`.
        laid: what is laid onto the photo, by change.
    """
    entries = [attributes[name] for name in changes]
    free = not entries or any(not entry.acts_on for entry in entries)
    acts_on = set(classes) - {"background"} if free else {part for entry in entries for part in entry.acts_on}
    recolours: str | None = None
    colour: Colour | None = None
    for entry in entries:
        if entry.recolours:
            recolours = entry.recolours
            wanted = changes[entry.name]
            if isinstance(wanted, bool):
                colour = entry.colour if wanted else colour or _other_colour(attributes, entry, changes)
    over = [entry for entry in entries if entry.shades and changes[entry.name] is True]
    shades = over[0].part if over else None
    pixels = next((one.pixels for one in laid.values()), None)
    alone = len(changes) == len(laid) + len(over)
    return Steering(classes, before, after, frozenset(acts_on), recolours, colour, shades, pixels, alone)
