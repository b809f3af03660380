"""Train a pixel classifier of the attributes.

    python -m train.classifier --kind realism --celeba data/celeba --out runs/realism
    python -m train.classifier --kind evaluation --celeba data/celeba --vae runs/vae/weights --out runs/evaluation
    python -m train.classifier --kind guidance --celeba data/celeba --vae runs/vae/weights --out runs/guidance
    python -m train.classifier --kind perceptual --celeba data/celeba --out runs/perceptual
    python -m train.classifier --kind guidance --teachers runs/guidance1/weights runs/guidance2/weights \\
        --vae weights/celeba-64 --extra cache/lfw_aligned.safetensors --weights weights/celeba-64 --out runs/taught

Four of them, trained apart. "evaluation" reads attributes off photos and decoded pictures alike, so half of what it
sees is blurred or passed through the VAE. "realism" sees sharp photos only, since features trained on blur are blind to
it; its features measure Frechet distances. These two are for evaluation only: never a loss, never in the app.
"guidance" is a third, and may help to train the critics. "perceptual" sees sharp photos only; VAE and decoder may be
trained by its features, and the critics too. Guidance classifiers that were trained from several seeds can teach it
(distillation, Hinton, Vinyals and Dean 2015): what they agree on is less of an accident than what one net learned from
8,000 labels, and they can label photos that nobody did, reconstructions, and edits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lc.blur import gaussian_blur
from lc.classifier import Classifier, ClassifierConfig
from lc.errors import LatentConstraintsError
from lc.generator import EncodingGenerator
from lc.weights import Model, load_classifier, load_config, load_model, save_classifier
from train.attributes import ATTRIBUTES
from train.data import MARGIN, Crops, augment, centre, load_celeba, load_training
from train.engine import RunConfig, parse, program
from train.inputs import check_size, load_encoding_generator
from train.latents import DIRECTIONS, toggle_goals
from train.loop import Stage, cosine, follow, train

if TYPE_CHECKING:
    from accelerate import Accelerator

Kind = Literal["realism", "guidance", "evaluation", "perceptual"]
#: What two of them are called in a weights folder, by files that people have; the others are called as they are.
PARTS: dict[str, str] = {"guidance": "guide", "evaluation": "reader"}
SHARP: tuple[Kind, ...] = ("realism", "perceptual")  # these see no blurred photo


@dataclass(frozen=True)
class ClassifierTraining(RunConfig):
    """Train a pixel classifier."""

    out: Path = Path("runs/classifier")
    kind: Kind = "evaluation"
    celeba: Path = Path("data/celeba")
    vae: Path | None = None
    """Weights folder; a quarter of the photos of "evaluation" and "guidance" pass through it. With teachers half of
    them do, half of these edited by its actor."""
    teachers: tuple[Path, ...] = ()
    """Folders of guidance classifiers to learn from, instead of from the labels."""
    extra: tuple[Path, ...] = ()
    """More crops from train.prepare, for teachers to label."""
    model: ClassifierConfig = dataclasses.field(default_factory=ClassifierConfig)
    init: Path | None = None
    """Weights folder to start from, with a classifier of the same kind in it; its sizes are taken, and all but the last
    layer where that is of other attributes."""
    epochs: int = 20
    batch: int = 64
    lr: float = 2e-3
    weight_decay: float = 0.05
    smoothing: float = 0.02
    """Label smoothing: CelebA's labels are wrong more often than that."""
    margin: int = MARGIN
    """Pixels around a crop, on every side, that training may shift it by."""
    weights: Path | None = None
    """Where the finished weights go, OUT/weights when not given; several classifiers may share a folder."""
    limit: int | None = None
    """Use only so many photos: a dry run."""


PRESETS = {
    "cpu": ClassifierTraining(),
    "paper": ClassifierTraining(model=ClassifierConfig(widths=(64, 128, 256, 512), blocks=2), batch=256),
}


def part(kind: Kind) -> str:
    """What a classifier of this kind is called in a weights folder."""
    return PARTS.get(kind, kind)


def load_guidance(folder: Path, image_size: int | None = None) -> Classifier:
    """The classifier of a folder that may help to train the critics: a guidance classifier, or a "perceptual" one.

    Args:
        folder: a weights folder.
        image_size: side of the pictures that it is to read, in pixels; None takes any.

    Raises:
        WeightsError: there is neither, or it is damaged, or of another image size.
    """
    name = PARTS["guidance"] if PARTS["guidance"] in load_config(folder) else "perceptual"
    classifier = load_classifier(folder, name)
    check_size(name, folder, classifier.config.image_size, image_size or classifier.config.image_size)
    return classifier


def load_perceptual(folder: Path | None, device: torch.device, image_size: int | None = None) -> Classifier | None:
    """The classifier whose features a copy is compared by; none without a folder.

    Args:
        folder, image_size: see `load_guidance`.
        device: where it is put.

    Raises:
        WeightsError: missing, damaged, or of another image size.
    """
    if not folder:
        return None
    classifier = load_classifier(folder, "perceptual").to(device)
    check_size("perceptual", folder, classifier.config.image_size, image_size or classifier.config.image_size)
    return classifier


class Committee(nn.Module):
    """Several classifiers as one that says what they say on average."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @classmethod
    def load(cls, folders: Sequence[Path], device: torch.device, image_size: int) -> Committee:
        """The guidance classifiers of these folders, for pictures of so many pixels; raises WeightsError."""
        return cls([load_guidance(folder, image_size).to(device) for folder in folders])

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [0, 1] -> logits (B, 10)."""
        return torch.stack([member(images) for member in self.members]).mean(0)

    def beyond(self, images: Tensor) -> Tensor:
        """See `Classifier.beyond`."""
        # The cast is for mypy: a ModuleList does not say what it holds.
        return torch.stack([cast(Classifier, member).beyond(images) for member in self.members]).mean(0)


@torch.no_grad()
def drawn(x: Tensor, model: Model, generator: torch.Generator) -> Tensor:
    """Photos (B, 3, S, S), half of them as the decoder draws them, and half of these with one attribute changed."""
    half = len(x) // 2
    coder = cast(EncodingGenerator, model.generator)  # what photos pass through has an encoder
    z = coder.encode(x[half:]).sample()
    start = z[: len(z) // 2]
    before = torch.sigmoid(model.attribute_critic(start).float()).cpu()
    goals = toggle_goals(before, torch.randint(len(DIRECTIONS), (len(start),), generator=generator))
    target, mask = goals.target.to(z.device), goals.mask.to(z.device)
    # Short of what an edit would be, and beyond it: the reading is to be right on the way as well.
    reach = torch.empty(len(start), 1).uniform_(0.4, 1.8, generator=generator).to(z.device)
    move = model.actor(start, target, mask, torch.ones_like(start[:, 0])) - start
    pictures = coder.decode(torch.cat([start + reach * move, z[len(start) :]]))
    return torch.cat([x[:half], pictures.to(x.dtype)])


@torch.no_grad()
def degrade(x: Tensor, vae: EncodingGenerator | None, generator: torch.Generator) -> Tensor:
    """Blur a quarter of the batch and pass another quarter through the VAE. (B, 3, S, S) -> the same."""
    quarter, scale = len(x) // 4, x.shape[-1] // 64
    sigma = scale * float(torch.empty(1).uniform_(0.4, 1.6, generator=generator))
    blurred = gaussian_blur(x[2 * quarter : 3 * quarter], 6 * scale + 1, sigma)
    parts = [x[: 2 * quarter], blurred, x[3 * quarter :]]
    if vae is not None:
        parts[2] = vae.decode(vae.encode(parts[2]).sample()).to(x.dtype)
    return torch.cat(parts)


def jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Small changes of brightness, contrast and colour, and a grey square over each photo (Cutout, DeVries 2017)."""
    rows, size = len(x), x.shape[-1]
    gain = torch.empty(rows, 3, 1, 1).uniform_(0.95, 1.05, generator=generator)
    gain *= torch.empty(rows, 1, 1, 1).uniform_(0.85, 1.15, generator=generator)
    shift = torch.empty(rows, 1, 1, 1).uniform_(-0.06, 0.06, generator=generator)
    x = ((x - 0.5) * gain.to(x.device) + 0.5 + shift.to(x.device)).clamp(0, 1)
    corner = torch.randint(-size // 8, size, (2, rows, 1), generator=generator)
    places = torch.arange(size)
    covered = (places >= corner) & (places < corner + 14 * size // 64)  # (2, B, S)
    hole = (covered[0][:, :, None] & covered[1][:, None, :])[:, None].to(x.device)
    return torch.where(hole, torch.full_like(x, 0.5), x)


def with_outputs(classifier: Classifier, attributes: int) -> Classifier:
    """The same features, and new logits of so many attributes."""
    found = Classifier(dataclasses.replace(classifier.config, attributes=attributes))
    found.body.load_state_dict(classifier.body.state_dict())
    return found


class ClassifierTask(nn.Module):
    """Binary cross-entropy of each attribute."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """(B, 3, S, S) and (B, 10) in [0, 1] -> a scalar."""
        return F.binary_cross_entropy_with_logits(self.classifier(images), labels)


@torch.no_grad()
def probabilities(classifier: Classifier, images: Tensor, batch: int = 256) -> Tensor:
    """(N, 3, S, S) in [0, 1] -> (N, 10) in [0, 1], on the CPU."""
    device = next(classifier.parameters()).device
    return torch.cat([torch.sigmoid(classifier(x.to(device))).cpu() for x in images.split(batch)])


def set_thresholds(classifier: Classifier, images: Tensor, labels: Tensor) -> None:
    """Threshold each attribute so that it is read as often as it is true: photos (N, ...), labels (N, 10)."""
    found = probabilities(classifier, images)
    for i, share in enumerate(labels.mean(0).tolist()):
        classifier.thresholds[i] = torch.quantile(found[:, i], 1 - share)


@torch.no_grad()
def with_copies(crops: Crops, vae: Any, image_size: int) -> Crops:
    """Photos as the app sees them, float, and beside them their reconstructions where a VAE is given."""
    images = centre(crops.images, image_size)
    assert crops.labels is not None
    if vae is None:
        return Crops(images, crops.labels, crops.names)
    device = next(vae.parameters()).device
    copies = torch.cat([vae.decode(vae.encode(x.to(device)).mean).cpu() for x in images.split(128)])
    return Crops(torch.cat([images, copies]), crops.labels.repeat(2, 1), crops.names * 2)


def own_seed(kind: Kind, seed: int) -> int:
    """A seed that no other kind has, whatever its own.

    Classifiers that drew the same photos in the same order from the same start would share their mistakes. Realism
    counts downwards, so that the seeds of all that shipped weights were trained with stay as they were.
    """
    place = get_args(Kind).index(kind)
    return 3 * seed + place if place else -3 * seed


class ClassifierStage(Stage[ClassifierTraining]):
    """One classifier, of the labels or of what teachers say."""

    def __init__(self, config: ClassifierTraining, engine: Accelerator) -> None:
        super().__init__(config, engine)
        self.title = config.kind
        self.seed = own_seed(config.kind, config.seed)
        if config.extra and not config.teachers:
            raise LatentConstraintsError("--extra has no labels: name --teachers that give it some.")
        torch.manual_seed(self.seed)
        classifier = load_classifier(config.init, part(config.kind)) if config.init else Classifier(config.model)
        if classifier.config.attributes != len(ATTRIBUTES):
            classifier = with_outputs(classifier, len(ATTRIBUTES))
        classifier.train().requires_grad_(True).to(memory_format=torch.channels_last)
        self.classifier, self.size = classifier, classifier.config.image_size
        self.crops = load_training(
            config.celeba, config.extra, config.limit, image_size=self.size, margin=config.margin
        )
        self.committee = Committee.load(config.teachers, self.device, self.size) if config.teachers else None
        self.vae = load_encoding_generator(config.vae, self.device) if config.vae else None
        self.model = load_model(config.vae, str(self.device)) if self.committee and config.vae else None
        if self.vae and self.vae.image_size != self.size:
            raise LatentConstraintsError(
                f"The classifier is for pictures of {self.size} pixels, and the generator in {config.vae} makes "
                f"{self.vae.image_size}: train it with --model.patch {self.vae.image_size // 32}."
            )
        epoch = max(1, len(self.crops) // self.rows)
        self.steps = config.epochs * epoch
        self.add(
            "classifier",
            classifier,
            torch.optim.AdamW(classifier.parameters(), config.lr, weight_decay=config.weight_decay, fused=True),
            cosine(self.steps, config.lr, 0.0, epoch),
            task=ClassifierTask(classifier),
            average=follow(0.998),
        )

    def step(self, chance: torch.Generator, step: int) -> Mapping[str, Tensor | float]:
        config = self.config
        rows = torch.randint(len(self.crops), (config.batch,), generator=chance)
        x = augment(self.crops.images[rows], chance, image_size=self.size)
        x = x.to(self.device, memory_format=torch.channels_last)
        with self.engine.autocast():
            if self.model:
                x = drawn(x, self.model, chance)
            elif config.kind not in SHARP:
                x = degrade(x, self.vae, chance)
            x = jitter(x, chance)
        return {"loss": self.update("classifier", x, self.labels(x, rows))}

    @torch.no_grad()
    def labels(self, x: Tensor, rows: Tensor) -> Tensor:
        """What the classifier is to say of pictures (B, 3, S, S) of these photos: (B, 10) in [0, 1]."""
        if self.committee:
            with self.engine.autocast():
                return torch.sigmoid(self.committee(x))
        assert self.crops.labels is not None
        return self.crops.labels[rows].to(self.device) * (1 - self.config.smoothing) + self.config.smoothing / 2

    def finish(self) -> str:
        """Set the averaged net's thresholds, say how well it sees, write it."""
        config, classifier = self.config, self.averaged("classifier").cpu()
        validation = load_celeba(config.celeba, "validation", config.limit, image_size=self.size, margin=config.margin)
        held_out = with_copies(validation, self.vae if config.kind not in SHARP else None, self.size)
        assert held_out.labels is not None
        set_thresholds(classifier, held_out.images, held_out.labels)
        found = probabilities(classifier, held_out.images) >= classifier.thresholds
        right = (found == held_out.labels.bool()).float()
        folder = config.weights or config.out / "weights"
        save_classifier(folder, part(config.kind), classifier)
        texts = ", ".join(f"{name} {value:.3f}" for name, value in zip(ATTRIBUTES, right.mean(0).tolist(), strict=True))
        count = len(validation)
        copies = f", reconstructions {right[count:].mean():.4f}" if len(right) > count else ""
        return f"held-out accuracy {right[:count].mean():.4f}{copies} ({texts}); weights in {folder}"


@program
def main() -> None:
    train(ClassifierStage, parse(ClassifierTraining, PRESETS))


if __name__ == "__main__":
    main()
