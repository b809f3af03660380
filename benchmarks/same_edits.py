"""The same edits and samples before and after a change of the code, compared number by number.

    OMP_NUM_THREADS=1 python -m benchmarks.same_edits write before.npz
    OMP_NUM_THREADS=1 python -m benchmarks.same_edits write after.npz
    python -m benchmarks.same_edits compare before.npz after.npz

Four photos (the astronaut and three of CelebA's), ten changes each, by both backends, and sixteen samples with the
realism constraint and without. Comparing prints the largest difference of latents and of pixels per kind; it exits
with 1 where a pixel of an edit differs by more than `--levels`. One thread makes the sums of a run repeat.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from lc.editor import DEFAULT_WEIGHTS, Edit, FaceEditor, Method, Sample

ASTRONAUT = Path(__file__).resolve().parents[1] / "lc" / "ui" / "examples" / "astronaut.jpg"

#: Ten changes with the place of the identity slider: strengths, opposites and several at once are among them.
CHANGES: tuple[tuple[dict[str, bool | float], float], ...] = (
    ({"Eyeglasses": True}, 0.5),
    ({"Smiling": True}, 0.0),
    ({"Smiling": False}, 1.0),
    ({"Blond_Hair": True}, 0.5),
    ({"Bald": True}, 0.0),
    ({"Young": False, "Eyeglasses": True}, 0.5),
    ({"Male": True, "No_Beard": False, "Smiling": True}, 0.25),
    ({"Smiling": 0.6}, 0.5),
    ({"Wearing_Hat": True, "Young": 0.4}, 1.0),
    ({"Black_Hair": False, "Male": False, "Smiling": False, "Young": True}, 0.5),
)
METHODS: tuple[Method, ...] = ("actor", "optimise")


def write(path: Path, celeba: Path, weights: Path) -> None:
    """Make the edits and samples and write their numbers to an .npz file."""
    editor = FaceEditor.load(weights, "cpu")
    readings = [editor.read(ASTRONAUT)]
    crops = sorted(celeba.glob("*.jpg"))[:3]
    if len(crops) < 3:
        raise SystemExit(f"There are no three photos in {celeba}: give CelebA's img_align_celeba as --celeba.")
    readings += [editor.read(crop, aligned=True) for crop in crops]
    found: dict[str, np.ndarray] = {}
    for i, reading in enumerate(readings):
        found[f"reading {i} z"] = reading.z.numpy()
        found[f"reading {i} pixels"] = np.asarray(reading.reconstruction)
        for method in METHODS:
            for j, (changes, identity) in enumerate(CHANGES):
                _put(found, f"{method} {i} {j}", editor.edit(reading, changes, identity, method))
    for method in METHODS:  # a batch rounds otherwise than a photo alone
        for i, edit in enumerate(editor.edit_many(readings, {"Eyeglasses": True}, 0.5, method)):
            _put(found, f"batch {method} {i}", edit)
    for realism in (True, False):
        for i, sample in enumerate(editor.sample(16, {"Smiling": True, "Male": False}, seed=3, realism=realism)):
            _put_sample(found, f"sample {'realism' if realism else 'prior'} {i}", sample)
    np.savez_compressed(path, **found)  # type: ignore[arg-type]
    print(f"{path}: {len(found)} arrays")


def _put(found: dict[str, np.ndarray], name: str, edit: Edit) -> None:
    found[f"{name} z"] = edit.z_edited.numpy()
    found[f"{name} pixels"] = np.asarray(edit.edited)
    found[f"{name} photo"] = np.asarray(edit.result.convert("RGB").resize((256, 256), Image.Resampling.NEAREST))
    found[f"{name} figures"] = np.array([edit.z_distance, edit.steps, edit.converged, *edit.after.values()])


def _put_sample(found: dict[str, np.ndarray], name: str, sample: Sample) -> None:
    found[f"{name} z"] = sample.z.numpy()
    found[f"{name} pixels"] = np.asarray(sample.decoded)


def compare(before: Path, after: Path, levels: int) -> int:
    """Print the largest difference per kind and return the exit code."""
    old, new = np.load(before), np.load(after)
    if set(old.files) != set(new.files):
        raise SystemExit("The two files hold different edits: write both by the same version of this script.")
    largest: dict[tuple[str, str], float] = {}
    equal: dict[tuple[str, str], list[bool]] = {}
    for name in old.files:
        kind = name.rstrip("0123456789 ").split()[0], name.split()[-1]
        a, b = old[name].astype(np.float64), new[name].astype(np.float64)
        largest[kind] = max(largest.get(kind, 0.0), float(np.abs(a - b).max()))
        equal.setdefault(kind, []).append(bool(np.array_equal(a, b)))
    for (made, unit), value in largest.items():
        same = equal[made, unit]
        print(f"{made:8} {unit:8} {sum(same):3} of {len(same):3} equal bit for bit; largest difference {value:.3g}")
    return int(any(value > levels for (_, unit), value in largest.items() if unit in ("pixels", "photo")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write")
    writing.add_argument("file", type=Path)
    writing.add_argument("--celeba", type=Path, default=Path("data/celeba/img_align_celeba"))
    writing.add_argument("--weights", type=Path, default=DEFAULT_WEIGHTS)
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument("--levels", type=int, default=0, help="grey levels that a pixel may differ by (default: 0)")
    arguments = parser.parse_args()
    if arguments.command == "compare":
        return compare(arguments.before, arguments.after, arguments.levels)
    write(arguments.file, arguments.celeba, arguments.weights)
    return 0


if __name__ == "__main__":
    sys.exit(main())
