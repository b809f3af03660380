"""Learn moves from counterfactual pairs: latents of a person before and after one thing was laid on.

    python -m train.pairs --weights runs/critics/weights --celeba data/celebahq --out runs/pairs

The weights folder has a face parser and an encoder. Pairs come from `lc.faces.composites`; no classifier has a say in
them. For each exemplar of an attribute, its style is the mean of what laying it onto many people adds to their latents;
what it takes away from each is a map of low rank, fitted by ridge regression to what is left (reduced-rank regression,
Izenman 1975). The way back, glasses off or hair in place of a bald head, is the same regression from the latent after
to the one before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from lc.errors import LatentConstraintsError
from lc.exemplars import Move, MoveConfig
from lc.faces.composites import COMPOSITES, Face, turned
from lc.files import whole, write_json
from lc.generator import EncodingGenerator
from lc.parser import Parser
from lc.weights import load_attributes, load_generator, load_parser
from train.attributes import ATTRIBUTES
from train.data import Crops, load_celeba
from train.engine import parse, program
from train.moves import add_moves

# Attributes by what is laid on and the value of the label at which it is there.
WORN = {"Eyeglasses": ("glasses", True), "Wearing_Hat": ("hat", True)}


@dataclass(frozen=True)
class PairsTraining:
    """Learn moves from pairs."""

    weights: Path
    """Weights folder with a generator and a parser; the moves go there."""
    celeba: Path = Path("data/celebahq")
    out: Path = Path("runs/pairs")
    """Folder for sheets of composites to look at and for what was measured."""
    attributes: tuple[str, ...] = tuple(WORN)
    exemplars: str = ""
    """JSON file: attribute -> names of the photos whose glasses, hats, ... become styles; else those that are laid on
    most often without failing."""
    styles: int = 8
    """Exemplars per attribute."""
    pairs: int = 200
    """Pairs per exemplar; as many in all are made with others for the way back."""
    rank: int = 96
    """Rank of what a move takes away or gives back."""
    ridge: float = 0.3
    """Weight of the penalty, in units of a latent's mean variance."""
    pose: float = 0.035
    """The largest difference of pose in a pair: of the skin's centre from the middle, in parts of the crop."""
    seed: int = 0
    threads: int = 1
    limit: int | None = None
    """Use only so many photos."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Crops with what a parser finds in them, parsed when asked for."""

    crops: Crops
    parser: Parser
    size: int

    def face(self, row: int, flip: bool = False) -> Face:
        """A photo, mirrored or not."""
        image = self.crops.images[row]
        image = image.flip(2) if flip else image
        maps = self.parser.parse(image[None].float() / 255, resample=False)[0].numpy()
        names = self.parser.config.classes
        rgb = np.ascontiguousarray(image.permute(1, 2, 0).numpy(), dtype=np.float32)
        return Face(rgb, dict(zip(names, maps, strict=True)), self.size / image.shape[-1])


def ridge(x: Tensor, y: Tensor, rank: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Reduced-rank ridge regression of y (N, D) on x (N, D), both about their means: (D, rank) and (rank, D)."""
    count = len(x)
    gram = x.T @ x / count
    gram += penalty * gram.diagonal().mean() * torch.eye(len(gram))
    full = torch.linalg.solve(gram, x.T @ y / count)
    _, _, right = torch.linalg.svd(x @ full, full_matrices=False)
    kept = right[: min(rank, len(right))]
    return full @ kept.T, kept


def explained(found: Tensor, wanted: Tensor) -> float:
    """The share of the squares in `wanted` (N, D) that `found` leaves out of the rest."""
    return float(1 - (wanted - found).square().sum() / wanted.square().sum())


@torch.inference_mode()
def encoded(generator: EncodingGenerator, pictures: Sequence[np.ndarray], size: int) -> Tensor:
    """Crops of `size` pixels with a margin, floats of 0..255 -> the means of their posteriors, (N, latent)."""
    edge, side = (pictures[0].shape[0] - size) // 2, generator.image_size
    x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()[..., edge : edge + size, edge : edge + size]
    if side != size:
        x = F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([generator.encode((part / 255).clamp(0, 1)).mean for part in x.split(32)])


class Pairs:
    """Makes pairs for one attribute."""

    def __init__(self, gallery: Gallery, attribute: str, labels: Tensor, config: PairsTraining) -> None:
        name, value = WORN[attribute]
        self.gallery, self.compose, self.config = gallery, COMPOSITES[name], config
        has = (labels > 0.5) == value
        self.wearers, self.others = has.nonzero()[:, 0].tolist(), (~has).nonzero()[:, 0].tolist()
        self.chance = np.random.default_rng(config.seed)
        self.people: list[tuple[int, Face, float]] = []

    def person(self) -> tuple[Face, float]:
        """Somebody without the thing, and how far turned. A face in four is new, the rest has been met before."""
        if len(self.people) < 400 or self.chance.random() < 0.25:
            row = int(self.chance.choice(self.others))
            face = self.gallery.face(row, bool(self.chance.random() < 0.5))
            self.people = [*self.people[-1500:], (row, face, turned(face))]
            return face, self.people[-1][2]
        _, face, turn = self.people[int(self.chance.integers(len(self.people)))]
        return face, turn

    def onto_many(self, donor: Face, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """`count` people before and after, at most; fewer where the exemplar suits few."""
        turn, made = turned(donor), 0
        for _ in range(8 * count):
            face, other = self.person()
            if abs(turn - other) > self.config.pose:
                continue
            after = self.compose(donor, face)
            if after is not None:
                made += 1
                yield face.rgb, after
            if made == count:
                return

    def donors(self, names: Sequence[str]) -> Iterator[tuple[str, Face]]:
        """These photos, or any wearers in a random order."""
        known = {name: row for row, name in enumerate(self.gallery.crops.names)}
        if missing := [name for name in names if name not in known]:
            raise LatentConstraintsError(f"{missing[0]} is no training photo: choose exemplars among those.")
        rows = [known[name] for name in names] or self.chance.permutation(self.wearers).tolist()
        for row in rows:
            yield self.gallery.crops.names[row], self.gallery.face(row)


def sheet(rows: Sequence[Sequence[np.ndarray]], path: Path) -> None:
    """Pictures side by side, for looking at."""
    with whole(path) as file:
        grid = np.concatenate([np.concatenate(row, 1) for row in rows], 0)
        Image.fromarray(grid.clip(0, 255).astype(np.uint8)).save(file, "PNG")


def learn(
    attribute: str, pairs: Pairs, names: Sequence[str], generator: EncodingGenerator, config: PairsTraining
) -> tuple[dict[str, Move], dict[str, object]]:
    """The moves of one attribute, there and back, and what was measured."""
    size = pairs.gallery.size
    before, after, group = [], [], []
    used: list[str] = []
    rows: list[list[np.ndarray]] = []
    bar = tqdm(total=config.styles, desc=f"{attribute} styles")
    for name, donor in pairs.donors(names):
        made = list(pairs.onto_many(donor, config.pairs))
        if len(made) < config.pairs // 2:
            continue
        before.append(encoded(generator, [pair[0] for pair in made], size))
        after.append(encoded(generator, [pair[1] for pair in made], size))
        group.append(torch.full((len(made),), len(used)))
        rows.append([donor.rgb, *(pair[1] for pair in made[:7])])
        used.append(name)
        bar.update()
        if len(used) == config.styles:
            break
    if not used:
        raise LatentConstraintsError(f"No photo serves as an exemplar of {attribute}: check data and parser.")
    # For the way back, many exemplars, each on few.
    for _, donor in tqdm(pairs.donors(()), desc=f"{attribute} others", total=len(pairs.wearers)):
        made = list(pairs.onto_many(donor, 4))
        if made:
            before.append(encoded(generator, [pair[0] for pair in made], size))
            after.append(encoded(generator, [pair[1] for pair in made], size))
            group.append(torch.full((len(made),), -1))
        if sum(map(len, before)) >= 2 * config.styles * config.pairs:
            break
    z, moved, of = torch.cat(before), torch.cat(after), torch.cat(group)
    delta, centre = moved - z, z.mean(0)
    styles = torch.stack([delta[of == k].mean(0) for k in range(len(used))])
    there, back, figures = _fit(z, moved, of, styles, centre, config)
    sheet(rows, config.out / f"{attribute}.png")
    value = int(WORN[attribute][1])
    return {f"{attribute}={value}": there, f"{attribute}={1 - value}": back}, {"exemplars": used, **figures}


def _fit(
    z: Tensor, moved: Tensor, of: Tensor, styles: Tensor, centre: Tensor, config: PairsTraining
) -> tuple[Move, Move, dict[str, object]]:
    """Both moves, and how much of held-out pairs they explain, one in eight."""
    held = torch.arange(len(z)) % 8 == 0
    styled, latent = of >= 0, z.shape[1]
    rest = moved - z - styles[of.clamp_min(0)]
    train = styled & ~held
    down, up = ridge((z - centre)[train], rest[train], config.rank, config.ridge)
    found = styles[of.clamp_min(0)] + (z - centre) @ down @ up
    test = styled & held
    figures: dict[str, object] = {
        "pairs": len(z),
        "there": round(explained(found[test], (moved - z)[test]), 3),
        "there, styles alone": round(explained(styles[of.clamp_min(0)][test], (moved - z)[test]), 3),
    }
    there = Move(latent, MoveConfig(len(styles), down.shape[1]))
    there.styles, there.centre, there.down, there.up = styles, centre, down, up
    middle, mean = moved.mean(0), (z - moved)[~held].mean(0)
    down, up = ridge((moved - middle)[~held], (z - moved - mean)[~held], config.rank, config.ridge)
    figures["back"] = round(explained((mean + (moved - middle) @ down @ up)[held], (z - moved)[held]), 3)
    back = Move(latent, MoveConfig(1, down.shape[1]))
    back.styles, back.centre, back.down, back.up = mean[None], middle, down, up
    return there, back, figures


@program
def main() -> None:
    config = parse(PairsTraining)
    torch.set_num_threads(config.threads)
    generator, parser = load_generator(config.weights), load_parser(config.weights)
    if parser is None or not isinstance(generator, EncodingGenerator):
        raise LatentConstraintsError(f"{config.weights} needs a face parser and a generator with an encoder.")
    load_attributes(config.weights)  # refuses a folder without
    size = parser.config.image_size  # composites are made at the parser's resolution, whatever the generator's
    margin = size // 16
    crops = load_celeba(config.celeba, "train", config.limit, image_size=size, margin=margin)
    assert crops.labels is not None
    gallery = Gallery(crops, parser, size)
    chosen: dict[str, list[str]] = {}
    if config.exemplars:
        chosen = json.loads(Path(config.exemplars).read_text())
    config.out.mkdir(parents=True, exist_ok=True)
    measured: dict[str, object] = {}
    for attribute in config.attributes:
        pairs = Pairs(gallery, attribute, crops.labels[:, ATTRIBUTES.index(attribute)], config)
        found, measured[attribute] = learn(attribute, pairs, chosen.get(attribute, ()), generator, config)
        print(attribute, measured[attribute], flush=True)
        add_moves(config.weights, found)
        write_json(config.out / "measured.json", measured)


if __name__ == "__main__":
    main()
