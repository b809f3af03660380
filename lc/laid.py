"""Proposals made in pixels: what shows an attribute is laid onto the photo, and the result is encoded.

Where what an attribute shows depends on what it replaces, as a scalp does on the hair that was there, the move of
latents is that of this very photo: encode(photo with it) - encode(photo).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lc.attributes import Strength
from lc.faces.align import FRAME_BOX, TEMPLATE, turn_of
from lc.faces.composites import Face, Floats
from lc.faces.detect import detector
from lc.faces.frames import turn_by_skin
from lc.faces.layers import LAYERS, Overlay, kind_of
from lc.faces.steering import MARGIN
from lc.finish import finished, frames_gone, without_beard, without_glasses
from lc.generator import EncodingGenerator
from lc.later import Later
from lc.memory import Kept
from lc.model import Model
from lc.redrawn import cleared, redrawn
from lc.regions import REGIONS, RegionVAE
from lc.results import Reading
from lc.threads import each
from lc.upsampler import Upsampler

__all__ = ["Laid", "Layer"]


_ABOVE = "wrinkles"  # the lowest of `lc.faces.layers` that lies over what nets draw, see `lc.redrawn`
_ABOUT_MOUTHS = {"beard", "stubble"}
_FAR = (1.4, -0.5)  # how far those go all the way, and how much further where the person is to be kept
_TURNED = 0.15  # sine of a turn below which it is not looked at twice


@dataclass(frozen=True, eq=False)
class Layer:
    """What is laid onto one photo.

    Attributes:
        pixels: on the photo's `wide_crop`, at this resolution or a finer one, see `lc.faces.steering.Steering.laid`.
        shifted: gives `shift`; all layers of photos that are read together are encoded when it is first asked for.
            None: the layer goes over what the generator draws, and stands for nothing.
    """

    pixels: Floats
    shifted: Callable[[], Tensor] | None = None

    @property
    def over(self) -> bool:
        """Whether the layer goes over what the generator draws."""
        return self.shifted is None

    @property
    def shift(self) -> Tensor:
        """(latent,), what a layer that is not `over` adds to the photo's latent."""
        assert self.shifted is not None
        return self.shifted()


@dataclass(frozen=True, eq=False)
class _Asked:
    """A layer that a change asks for, by the name that it is found under."""

    name: str
    layer: str
    over: bool
    overlay: Overlay
    form: tuple[object, ...] = ()
    wish: tuple[str, float] | None = None  # the attribute that it goes over, and what of it is wanted


def _redrawn(
    net: RegionVAE, moves: Mapping[str, float], far: float, at_any_rate: Collection[str], onto: Face, style: int
) -> Floats | None:
    return redrawn(net, onto, moves, far, at_any_rate)


def _unworn(net: Upsampler) -> Overlay:
    return Overlay(lambda onto, _: without_glasses(net, onto), clears=("eyes", frames_gone), removes="glasses")


def _shaven(net: Upsampler) -> Overlay:
    return Overlay(lambda onto, _: without_beard(net, onto))


#: Layers that show what was under something, lowest of all, with their nets.
_LIFTS = {"no glasses": ("lifter", _unworn), "no beard": ("shaver", _shaven)}

# Of the photos edited last: whoever wears glasses wears the same while other things change. At most 15 MB each.
_KEPT: Kept[dict[str, Layer]] = Kept(8)


class Laid:
    """Lays onto photos what attributes name, see `lc.faces.layers`.

    Args:
        model: with a parser and a generator that has an encoder, or nothing is laid on.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        nets = model.finishers
        self._layers = {layer: lifting(nets[name]) for layer, (name, lifting) in _LIFTS.items() if name in nets}
        self._layers |= LAYERS
        self._order = [*self._layers]
        lowest = self._order.index(_ABOVE)
        self._order[lowest:lowest] = model.regions

    def on(
        self, readings: Sequence[Reading], changes: Mapping[str, Strength], style: int = 0, identity: float = 0.5
    ) -> list[dict[str, Layer]]:
        """What is laid onto each photo for each change that asks for it, by name, lowest first.

        A change for which nothing can be laid on is left out. Each is made for the photo as those below leave it. What
        goes over what is drawn of a change has the layer's name behind that of the change.
        """
        asked = self._asked(changes, identity) if self._possible else []
        if not asked:
            return [{} for _ in readings]
        if len(readings) > 1:
            return self._made(readings, asked, style)
        (reading,) = readings
        form = *((one.name, one.layer, *one.form) for one in asked), style
        return [_KEPT.get((self._model.generator, reading), form, lambda: self._made([reading], asked, style)[0])]

    def _asked(self, changes: Mapping[str, Strength], identity: float) -> list[_Asked]:
        """The layers that changes ask for, lowest first."""
        entries = [self._model.attributes[name] for name in changes]
        others = {layer for entry in entries for layer in (*entry.lays, *entry.adds[0], *entry.adds[1])} - {""}
        asked = []
        for layer in self._order:
            stands = [entry.name for entry in entries if entry.laid(changes[entry.name]) == layer]
            over = [entry.name for entry in entries if layer in entry.added(changes[entry.name])]
            if net := self._model.regions.get(layer):
                # One region is drawn once, with all that is to change in it.
                moves = {name: float(changes[name]) for name in over if name in net.config.attributes}
                if moves:
                    far = _FAR[0] + _FAR[1] * identity
                    # What the generator makes of these is tones only.
                    needed = {entry.name for entry in entries if "structure" in entry.spares}
                    overlay = Overlay(partial(_redrawn, net, moves, far, needed))
                    asked.append(_Asked(f"{over[0]} {layer}", layer, True, overlay, (far, *moves.items())))
            elif self._layers[layer].like not in others:
                asked += [_Asked(name, layer, False, self._layers[layer]) for name in stands]
                asked += [
                    _Asked(f"{name} {layer}", layer, True, self._layers[layer], wish=(name, float(changes[name])))
                    for name in over
                ]
        return asked

    @torch.inference_mode()
    def _made(self, readings: Sequence[Reading], asked: Sequence[_Asked], style: int) -> list[dict[str, Layer]]:
        """Layers of each photo, by name, made anew."""
        found: list[dict[str, Layer]] = [{} for _ in readings]
        faces = {row: Later(partial(self._onto, one)) for row, one in enumerate(readings) if one.maps is not None}
        seen: list[Later[Face]] = []
        places: dict[int, int] = {}  # of the photos as they are so far, among those
        latents = Later(lambda: self._encoded(seen))
        hair = any(one.layer in _ABOUT_MOUTHS for one in asked)

        def shifted(before: int, after: int) -> Callable[[], Tensor]:
            return lambda: latents()[after] - latents()[before]

        for one in asked:
            onto = {row: face() for row, face in faces.items() if not (one.over and self._unwanted(readings[row], one))}
            drawn = _drawn(one.overlay, onto, style)
            if (net := self._model.finishers.get("finisher")) and (part := one.overlay.finished):
                drawn = {row: finished(net, onto[row], x, part(onto[row])) for row, x in drawn.items()}
            if one.overlay.clears:
                behind, where = one.overlay.clears
                if about := self._model.regions.get(behind):
                    drawn = {row: cleared(about, onto[row], x, where(onto[row], x)) for row, x in drawn.items()}
            if one.over:
                for row, pixels in drawn.items():
                    found[row][one.name] = Layer(pixels)
                    region = REGIONS.get(one.layer)
                    if region or one.layer in _LIFTS:
                        mouth = hair and region is not None and bool(region.part)
                        faces[row] = Later(partial(self._beneath, onto[row], pixels, mouth=mouth))
                        places.pop(row, None)  # what comes next is not to stand for this
                continue
            gone = one.overlay.removes
            after = {row: Later(partial(_under, onto[row], pixels, gone)) for row, pixels in drawn.items()}
            fresh = [row for row in drawn if row not in places]
            places.update(zip(fresh, range(len(seen), len(seen) + len(fresh)), strict=True))
            seen += [faces[row] for row in fresh] + [*after.values()]
            for place, (row, pixels) in enumerate(drawn.items(), len(seen) - len(drawn)):
                found[row][one.name] = Layer(pixels, shifted(places[row], place))
                places[row] = place
            faces |= after
        return found

    def _beneath(self, face: Face, pixels: Floats, *, mouth: bool) -> Face:
        """The face under a layer, with its `mouth` where it is then."""
        face = _under(face, pixels)
        return self._with_mouth(face) if mouth else face

    def _with_mouth(self, face: Face) -> Face:
        """The face with its mouth where it is now."""
        assert self._model.parser is not None
        x = torch.from_numpy(face.rgb).permute(2, 0, 1)[None].to(self._model.statistics.mean.device) / 255
        maps = self._model.parser.parse(x, resample=False)[0]
        mouth = maps[self._model.parser.config.classes.index("mouth")].cpu().numpy()
        skin = (face.maps["skin"] + face.maps["mouth"] - mouth).clip(0, 1)
        return replace(face, maps={**face.maps, "mouth": mouth, "skin": skin})

    def _unwanted(self, reading: Reading, asked: _Asked) -> bool:
        """Whether a person has already what a weaker form of it would be laid on for, or lacks what it would take."""
        if asked.layer in _LIFTS and asked.wish:
            name, wanted = asked.wish
            return (reading.attributes[name] > 0.5) == (wanted > 0.5)
        return bool(asked.overlay.like) and self.has(reading, asked.layer)

    def has(self, reading: Reading, layer: str) -> bool:
        """Whether a person has what a layer shows, or is like, as far as attributes say; what nets draw nobody has."""
        if layer not in LAYERS:
            return False
        kind = kind_of(layer)
        read = ((entry, reading.attributes[entry.name] > 0.5) for entry in self._model.attributes.attributes)
        return any(kind in (entry.laid(there), *entry.added(there)) for entry, there in read)

    def styles(self, name: str, wanted: bool) -> int:
        """How many styles what is laid on for a change has; 0: nothing is."""
        entry = self._model.attributes[name]
        layers = (LAYERS[one] for one in (entry.laid(wanted), *entry.added(wanted)) if one in LAYERS)
        return max((one.styles for one in layers), default=0) if self._possible else 0

    @property
    def _possible(self) -> bool:
        return self._model.parser is not None and isinstance(self._model.generator, EncodingGenerator)

    @torch.inference_mode()
    def _encoded(self, faces: Sequence[Later[Face]]) -> Tensor:
        """The means of faces' posteriors, (B, latent)."""
        generator, parser = self._model.generator, self._model.parser
        assert isinstance(generator, EncodingGenerator)
        assert parser is not None
        pictures = np.stack([face().rgb for face in faces])
        inner, side = parser.config.image_size, generator.image_size
        edge = (pictures.shape[1] - inner) // 2
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2)[..., edge : edge + inner, edge : edge + inner] / 255
        if side != inner:
            x = F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False)
        return generator.encode(x.clamp(0, 1).to(self._model.statistics.mean.device)).mean

    def _onto(self, reading: Reading) -> Face:
        """The photo's face and what is around it, as they were found when it was read."""
        assert self._model.parser is not None
        assert reading.wide is not None
        assert reading.maps is not None
        maps = reading.maps.astype(np.float32) / 255
        classes = self._model.parser.config.classes
        inner = 1 / (1 + 2 * MARGIN)
        detail = reading.aligned.scale * reading.aligned.crop.width / self._model.parser.config.image_size
        face = Face(reading.wide.astype(np.float32), dict(zip(classes, maps, strict=True)), inner, detail=detail)
        return replace(face, turn=_turn(reading, face))


def _drawn(overlay: Overlay, faces: Mapping[int, Face], style: int) -> dict[int, Floats]:
    """A layer for each of the faces that it can be laid onto, by row."""

    def make(face: Face) -> Floats | None:
        return overlay.make(face, style)

    made = each(make, list(faces.values()))
    return {row: pixels for row, pixels in zip(faces, made, strict=True) if pixels is not None}


def _turn(reading: Reading, onto: Face) -> float | None:
    """How far the head is turned, by its landmarks: as they were found; in an aligned crop they are looked for where
    the skin says that it may be, which hair and hats cover unevenly too."""
    if reading.face is not None:
        return turn_of(reading.face.landmarks)
    assert reading.wide is not None
    if abs(turn_by_skin(onto)) < _TURNED:
        return None
    crop = (TEMPLATE - FRAME_BOX[:2]) / (FRAME_BOX[2] - FRAME_BOX[0])
    places = (crop + MARGIN) * len(reading.wide) / (1 + 2 * MARGIN)
    return turn_of(detector().landmarks(Image.fromarray(reading.wide), places))


def _under(face: Face, pixels: Floats, gone: str = "") -> Face:
    """The face under a layer, which hides what hair there was, and without what is `gone` with it."""
    size = face.rgb.shape[:2]
    layer = cv2.resize(pixels[..., :4], size, interpolation=cv2.INTER_AREA)
    rest = 1 - layer[..., 3]
    maps = {name: values * rest if name in ("hair", "hat") else values for name, values in face.maps.items()}
    if gone:
        nothing: Floats = np.zeros_like(maps[gone])
        maps |= {gone: nothing, "skin": (maps["skin"] + maps[gone]).clip(0, 1)}
    rgb = face.rgb + layer[..., 3:] * (layer[..., :3] - face.rgb)
    if pixels.shape[2] > 4:
        rgb = (rgb + cv2.resize(pixels[..., 4:], size, interpolation=cv2.INTER_AREA)).clip(0, 255)
    return replace(face, rgb=rgb, maps=maps)
