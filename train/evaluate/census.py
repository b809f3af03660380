"""Count faces that are taken the wrong way up: the same photos turned by many angles.

    python -m train.evaluate.census --photos data/parsing/images --people 32 --angles 14

Each photo is turned with a grey border about it. The eyes and the mouth that are found then must lie as those of the
upright photo do, turned by the same angle; otherwise an edit would be drawn askew, or upside down. A photo whose face
is refused is counted apart: it is not edited.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from lc.errors import PhotoError
from lc.faces import Face, FaceDetector, detector, find_photos, read_photo
from train.engine import parse, program
from train.evaluate.report import keep
from train.evaluate.tables import table

__all__ = ["CensusConfig", "judged", "main"]

_ASKEW, _DOWN = 25.0, 90.0  # degrees from where the face is
_KINDS = ("right", "refused", "askew", "upside down")
_GREY = (127, 127, 127)


@dataclass(frozen=True)
class CensusConfig:
    """Count faces that are taken the wrong way up."""

    photos: Path = Path("data/parsing/images")
    people: int = 32
    """So many photos, evenly over the folder."""
    angles: int = 14
    """So many turns of each, evenly over the circle; the first is none."""
    out: Path = Path("runs/census.json")
    threads: int = 0


def judged(upright: Face, found: Sequence[Face], degrees: float) -> str:
    """What a turned photo's faces are, by the face of the upright photo: "right", "refused", "askew", "upside down".

    Args:
        upright: the face before the turn.
        found: the faces after it, the one that is edited first.
        degrees: of the turn, against the clock.
    """
    if not found:
        return "refused"
    angle = np.rad2deg(np.angle(_down(found[0]) / (_down(upright) * np.exp(-1j * np.deg2rad(degrees)))))
    return "upside down" if abs(angle) > _DOWN else "askew" if abs(angle) > _ASKEW else "right"


def _down(face: Face) -> complex:
    """From the eyes to the mouth, as a number x + iy."""
    points = np.asarray(face.landmarks, dtype=np.float64) @ (1, 1j)
    return complex(points[3:].mean() - points[:2].mean())


def _counted(path: Path, angles: Sequence[float], eye: FaceDetector) -> list[str] | None:
    """What the turns of a photo are, see `judged`; None where no face is found in the upright photo."""
    try:
        rgb = read_photo(path).rgb
    except PhotoError:
        return None
    upright = eye.detect(rgb)
    if not upright:
        return None
    turned = (rgb.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=_GREY) for angle in angles)
    return [judged(upright[0], eye.detect(one), angle) for one, angle in zip(turned, angles, strict=True)]


@program
def main() -> None:
    config = parse(CensusConfig)
    paths = find_photos([config.photos]).paths
    chosen = paths[:: max(1, len(paths) // config.people)][: config.people]
    angles = [360 * step / config.angles for step in range(config.angles)]
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    for path in tqdm(chosen, unit="photo"):
        kinds = _counted(path, angles, detector()) or []
        counts.update(kinds or ["no face upright"])
        wrong += [
            f"{path.name} turned by {angle:.0f} degrees: {kind}"
            for kind, angle in zip(kinds, angles, strict=False)
            if kind in _KINDS[2:]
        ]
    figures = {"photos": len(chosen), "angles": config.angles, **{kind: counts[kind] for kind in _KINDS}}
    keep(config.out, {**figures, "without a face upright": counts["no face upright"], "wrong": wrong})
    print("\n".join(table(list(_KINDS), [[str(counts[kind]) for kind in _KINDS]])))
    print("\n".join(wrong))


if __name__ == "__main__":
    main()
