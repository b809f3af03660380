"""Draw toy faces in CelebA's layout, labels following from what is drawn: data for trying the whole recipe.

    python -m train.toys --out cache/toys --photos 400

The same seed gives the same pictures. Two photos show each person, and the first fifth of the people is held out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from train.attributes import ATTRIBUTES
from train.engine import parse

SIZE = (89, 109)  # CelebA's frame at half size
FINE = 4  # drawn so many times larger, then reduced: edges are smooth then
HELD_OUT = 0.2  # share of the people

Colour = tuple[int, int, int]
SKINS: tuple[Colour, ...] = ((241, 206, 178), (224, 178, 140), (190, 138, 100), (120, 80, 55))
HAIR: dict[str, Colour] = {"Black_Hair": (28, 24, 24), "Brown_Hair": (104, 66, 36), "Blond_Hair": (226, 192, 110)}
GREY: Colour = (168, 168, 172)


@dataclass(frozen=True)
class ToysConfig:
    """Draw toy faces."""

    out: Path
    """Folder to write: img_align_celeba/, its lists, and photos/, which nobody labelled."""
    photos: int = 400
    """Labelled photos."""
    unlabelled: int = 40
    seed: int = 0


@dataclass(frozen=True)
class Face:
    """What one person looks like; lengths in pixels of CelebA's frame at half size."""

    labels: dict[str, bool]
    skin: Colour
    hair: Colour
    ground: Colour
    shirt: Colour
    width: float
    height: float


def imagine(draw: np.random.Generator) -> Face:
    """A person at random. No woman is bald or bearded, bald people wear no hat, and grey hair is for the old."""

    def chance(share: float) -> bool:
        return bool(draw.random() < share)

    has = dict.fromkeys(ATTRIBUTES, False)
    has["Male"], has["Young"], has["Smiling"], has["Eyeglasses"] = chance(0.45), chance(0.7), chance(0.5), chance(0.25)
    has["No_Beard"] = not (has["Male"] and chance(0.5))
    has["Bald"] = has["Male"] and chance(0.25)
    has["Wearing_Hat"] = not has["Bald"] and chance(0.15)
    hair = GREY
    if not has["Bald"] and not (not has["Young"] and chance(0.5)):
        name = str(draw.choice(list(HAIR)))
        has[name], hair = True, HAIR[name]
    ground, shirt = (tuple(int(x) for x in draw.integers(40, 220, 3)) for _ in range(2))
    skin = SKINS[int(draw.integers(len(SKINS)))]
    width, height = draw.normal(20, 0.8) + 1.5 * has["Male"], draw.normal(27, 0.8)
    return Face(has, skin, hair, ground, shirt, float(width), float(height))  # type: ignore[arg-type]


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made lighter or darker."""
    red, green, blue = (min(255, max(0, round(value * factor))) for value in colour)
    return red, green, blue


class Pen:
    """Draws in pixels of CelebA's frame at half size, on a picture `FINE` times as large."""

    def __init__(self, ground: Colour) -> None:
        self.image = Image.new("RGB", (SIZE[0] * FINE, SIZE[1] * FINE), ground)
        self.draw = ImageDraw.Draw(self.image)

    def oval(self, x: float, y: float, across: float, down: float, colour: Colour) -> None:
        """An ellipse around (x, y) with these half axes."""
        self.draw.ellipse([FINE * v for v in (x - across, y - down, x + across, y + down)], fill=colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A filled rectangle."""
        self.draw.rectangle([FINE * v for v in (left, top, right, bottom)], fill=colour)

    def bow(self, x: float, y: float, across: float, down: float, angles: tuple[float, float], colour: Colour) -> None:
        """A part of an ellipse's edge, between two angles in degrees, clockwise from the right."""
        box = [FINE * v for v in (x - across, y - down, x + across, y + down)]
        self.draw.arc(box, *angles, fill=colour, width=round(1.4 * FINE))


def portray(face: Face, x: float, y: float) -> Image.Image:
    """A picture of 89x109 of a face whose middle, between the eyes, is at (x, y)."""
    pen, has, dark = Pen(face.ground), face.labels, shade(face.skin, 0.7)
    chin = y + 26
    if not has["Bald"]:
        down = face.height if has["Male"] else 1.5 * face.height  # long hair
        pen.oval(x, y - 26 + down * 0.9, face.width + 5, down, face.hair)
    pen.oval(x, chin + 34, 40, 26, face.shirt)
    pen.box(x - 8, chin - 10, x + 8, chin + 10, dark)
    pen.oval(x, y + 4, face.width, face.height - 3, face.skin)
    if has["Bald"]:
        pen.oval(x, y - 6, face.width, 20, face.skin)
        pen.oval(x - 5, y - 19, 5, 3, shade(face.skin, 1.15))
    elif not has["Wearing_Hat"]:
        pen.oval(x, y - 21, face.width, 9, face.hair)
    for side in (-1, 1):
        eye = x + side * 9.5
        pen.oval(eye, y, 4, 2.4, (245, 245, 245))
        pen.oval(eye, y, 1.9, 2.2, (50, 40, 40))
        pen.bow(eye, y - 4, 5, 3, (200, 340), shade(face.hair, 0.6) if not has["Bald"] else dark)
        if not has["Young"]:
            pen.bow(eye, y + 3, 5, 3, (20, 160), dark)
            pen.bow(eye, y + 15, 3.5, 7, (90, 270) if side < 0 else (270, 90), dark)
    pen.oval(x, y + 9, 2.6, 3, dark)
    if not has["No_Beard"]:
        beard = shade(face.hair, 0.8)
        pen.oval(x, chin - 6, 14, 9, beard)
        pen.oval(x, y + 13, 9, 2.5, beard)
    lips: Colour = shade(face.skin, 0.6) if has["Male"] else (190, 50, 70)
    if has["Smiling"]:
        pen.oval(x, y + 18, 8.5, 4.5, lips)
        pen.oval(x, y + 17.5, 7, 2.8, (250, 250, 250))
        pen.box(x - 9, y + 12.5, x + 9, y + 15.5, face.skin if has["No_Beard"] else shade(face.hair, 0.8))
    else:
        pen.oval(x, y + 17.5, 6, 1.5, lips)
    if has["Eyeglasses"]:
        for side in (-1, 1):
            pen.bow(x + side * 9.5, y + 0.5, 7.5, 6.5, (0, 360), (20, 20, 25))
        pen.box(x - 2.5, y - 0.7, x + 2.5, y + 0.7, (20, 20, 25))
    if has["Wearing_Hat"]:
        cap = shade(face.shirt, 0.8)
        pen.oval(x, y - 20, face.width + 3, 17, cap)
        pen.box(x - face.width - 7, y - 14, x + face.width + 7, y - 10, shade(cap, 0.7))
    return pen.image.resize(SIZE, Image.Resampling.BOX)


def photograph(face: Face, draw: np.random.Generator) -> Image.Image:
    """A face as one photo shows it: a little shifted, lit and grainy, its eyes near where CelebA has them."""
    picture = portray(face, 44.3 + draw.normal(0, 0.6), 55.5 + draw.normal(0, 0.6))
    light, grain = draw.uniform(0.85, 1.1), draw.normal(0, 3, (SIZE[1], SIZE[0], 1))
    return Image.fromarray((np.asarray(picture) * light + grain).clip(0, 255).astype(np.uint8))


def write(config: ToysConfig) -> None:
    """Photos and lists."""
    photos, more = config.out / "img_align_celeba", config.out / "photos"
    for folder in (photos, more):
        folder.mkdir(parents=True, exist_ok=True)
    attributes, parts, people = [str(config.photos), " ".join(ATTRIBUTES)], [], []
    for i in tqdm(range(config.photos), desc="draw", leave=False):
        person, name = i // 2, f"{i + 1:06}.jpg"
        face = imagine(np.random.default_rng((config.seed, 0, person)))
        photograph(face, np.random.default_rng((config.seed, 1, i))).save(photos / name, quality=95)
        attributes.append(f"{name} " + " ".join("1" if face.labels[n] else "-1" for n in ATTRIBUTES))
        parts.append(f"{name} {int(person < HELD_OUT * config.photos / 2)}")
        people.append(f"{name} {person + 1}")
    for i in range(config.unlabelled):
        draw = np.random.default_rng((config.seed, 2, i))
        photograph(imagine(draw), draw).save(more / f"{i + 1:06}.jpg", quality=95)
    lists = {"list_attr_celeba": attributes, "list_eval_partition": parts, "identity_CelebA": people}
    for title, lines in lists.items():
        (config.out / f"{title}.txt").write_text("\n".join(lines) + "\n")


def main() -> None:
    config = parse(ToysConfig)
    write(config)
    print(f"{config.photos} labelled photos and {config.unlabelled} others in {config.out}")


if __name__ == "__main__":
    main()
