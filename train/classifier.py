"""Train a pixel classifier of the ten attributes.

    python -m train.classifier --kind realism --celeba data/celeba --out runs/realism
    python -m train.classifier --kind reader --celeba data/celeba --vae runs/vae/weights --out runs/reader
    python -m train.classifier --kind guide --celeba data/celeba --vae runs/vae/weights --out runs/guide
    python -m train.classifier --kind perceptual --celeba data/celeba --out runs/perceptual
    python -m train.classifier --kind guide --teachers runs/guide1/weights runs/guide2/weights \\
        --vae weights/celeba-64 --extra cache/lfw_aligned.safetensors --weights weights/celeba-64 --out runs/taught

Four of them, trained apart. "reader" reads attributes off photos and decoded pictures alike, so half of what it sees
is blurred or passed through the VAE. "realism" sees sharp photos only, since features trained on blur are blind to it;
its features measure Frechet distances. These two are for evaluation only: never a loss, never in the app. "guide" is a
third, and may help to train the critics. "perceptual" sees sharp photos only; VAE and decoder may be trained by its
features, and it may be a guide. Guides that were trained from several seeds can teach it (distillation, Hinton, Vinyals
and Dean 2015): what they agree on is less of an accident than what one net learned from 8,000 labels, and they can
label photos that nobody did, reconstructions, and edits.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2.functional import gaussian_blur
from tqdm import tqdm

from lc.classifier import Classifier, ClassifierConfig
from lc.generator import EncodingGenerator
from lc.weights import Model, load_classifier, load_config, load_generator, load_model, save_classifier
from train.attributes import ATTRIBUTES
from train.data import Crops, augment, centre, load_celeba, load_packed
from train.engine import Ema, Run, RunConfig, accelerator, cosine, parse, program, seeded
from train.latents import DIRECTIONS, toggle_goals

Kind = Literal["realism", "guide", "reader", "perceptual"]
SHARP: tuple[Kind, ...] = ("realism", "perceptual")  # these see no blurred photo


@dataclass(frozen=True)
class ClassifierTraining(RunConfig):
    """Train a pixel classifier."""

    out: Path = Path("runs/classifier")
    kind: Kind = "reader"
    celeba: Path = Path("data/celeba")
    vae: Path | None = None
    """Weights folder; a quarter of the photos of "reader" and "guide" pass through it. With teachers half of them do,
    half of these edited by its actor."""
    teachers: tuple[Path, ...] = ()
    """Folders of guides to learn from, instead of from the labels."""
    extra: tuple[Path, ...] = ()
    """More crops from train.prepare, for teachers to label."""
    model: ClassifierConfig = dataclasses.field(default_factory=ClassifierConfig)
    init: Path | None = None
    """Weights folder to start from, with a classifier of the same kind in it; its sizes are taken."""
    epochs: int = 20
    batch: int = 64
    lr: float = 2e-3
    weight_decay: float = 0.05
    smoothing: float = 0.02
    """Label smoothing: CelebA's labels are wrong more often than that."""
    weights: Path | None = None
    """Where the finished weights go, OUT/weights when not given; several classifiers may share a folder."""
    limit: int | None = None
    """Use only so many photos: a dry run."""


PRESETS = {
    "cpu": ClassifierTraining(),
    "paper": ClassifierTraining(model=ClassifierConfig(widths=(64, 128, 256, 512), blocks=2), batch=256),
}


def load_guide(folder: Path) -> Classifier:
    """The classifier of a folder that may help to train the critics: a "guide", or a "perceptual" one.

    Raises:
        WeightsError: there is neither, or it is damaged.
    """
    return load_classifier(folder, "guide" if "guide" in load_config(folder) else "perceptual")


def load_perceptual(folder: Path | None, device: torch.device) -> Classifier | None:
    """The classifier whose features a copy is compared by; none without a folder.

    Raises:
        WeightsError: missing or damaged.
    """
    if not folder:
        return None
    return load_classifier(folder, "perceptual").to(device)


class Committee(nn.Module):
    """Several classifiers as one that says what they say on average."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    @classmethod
    def load(cls, folders: Sequence[Path], device: torch.device) -> Committee:
        """The guides of these folders; raises WeightsError."""
        return cls([load_guide(folder).to(device) for folder in folders])

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, 64, 64) in [0, 1] -> logits (B, 10)."""
        return torch.stack([member(images) for member in self.members]).mean(0)

    def beyond(self, images: Tensor) -> Tensor:
        """See `Classifier.beyond`."""
        # The cast is for mypy: a ModuleList does not say what it holds.
        return torch.stack([cast(Classifier, member).beyond(images) for member in self.members]).mean(0)


@torch.no_grad()
def drawn(x: Tensor, model: Model, generator: torch.Generator) -> Tensor:
    """Photos (B, 3, 64, 64), half of them as the decoder draws them, and half of these with one attribute changed."""
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
    """Blur a quarter of the batch and pass another quarter through the VAE. (B, 3, 64, 64) -> the same."""
    quarter = len(x) // 4
    sigma = float(torch.empty(1).uniform_(0.4, 1.6, generator=generator))
    parts = [x[: 2 * quarter], gaussian_blur(x[2 * quarter : 3 * quarter], [7, 7], [sigma, sigma]), x[3 * quarter :]]
    if vae is not None:
        parts[2] = vae.decode(vae.encode(parts[2]).sample()).to(x.dtype)
    return torch.cat(parts)


def jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Small changes of brightness, contrast and colour, and a grey square over each photo (Cutout, DeVries 2017)."""
    rows = len(x)
    gain = torch.empty(rows, 3, 1, 1).uniform_(0.95, 1.05, generator=generator)
    gain *= torch.empty(rows, 1, 1, 1).uniform_(0.85, 1.15, generator=generator)
    shift = torch.empty(rows, 1, 1, 1).uniform_(-0.06, 0.06, generator=generator)
    x = ((x - 0.5) * gain.to(x.device) + 0.5 + shift.to(x.device)).clamp(0, 1)
    corner = torch.randint(-8, 64, (2, rows, 1), generator=generator)
    covered = (torch.arange(64) >= corner) & (torch.arange(64) < corner + 14)  # (2, B, 64)
    hole = (covered[0][:, :, None] & covered[1][:, None, :])[:, None].to(x.device)
    return torch.where(hole, torch.full_like(x, 0.5), x)


@torch.no_grad()
def probabilities(classifier: Classifier, images: Tensor, batch: int = 256) -> Tensor:
    """(N, 3, 64, 64) in [0, 1] -> (N, 10) in [0, 1], on the CPU."""
    device = next(classifier.parameters()).device
    return torch.cat([torch.sigmoid(classifier(x.to(device))).cpu() for x in images.split(batch)])


def set_thresholds(classifier: Classifier, images: Tensor, labels: Tensor) -> None:
    """Threshold each attribute so that it is read as often as it is true: photos (N, ...), labels (N, 10)."""
    found = probabilities(classifier, images)
    for i, share in enumerate(labels.mean(0).tolist()):
        classifier.thresholds[i] = torch.quantile(found[:, i], 1 - share)


def held_out_set(celeba: Path, vae: EncodingGenerator | None, limit: int | None) -> Crops:
    """The validation photos, and beside them their reconstructions where a VAE is given: images become float."""
    crops = load_celeba(celeba, "validation", limit)
    images = centre(crops.images)
    assert crops.labels is not None
    if vae is None:
        return Crops(images, crops.labels, crops.names)
    with torch.no_grad():
        copies = torch.cat([vae.decode(vae.encode(x).mean) for x in images.split(128)])
    return Crops(torch.cat([images, copies]), crops.labels.repeat(2, 1), crops.names * 2)


@program
def main() -> None:
    config = parse(ClassifierTraining, PRESETS)
    # Judges that drew the same photos in the same order from the same start would share their mistakes.
    config = dataclasses.replace(config, seed=3 * config.seed + get_args(Kind).index(config.kind))
    engine = accelerator(config)
    run = Run(config, engine)
    crops = load_celeba(config.celeba, "train", config.limit)
    assert crops.labels is not None
    images = torch.cat([crops.images, *(load_packed(path).images[: config.limit] for path in config.extra)])
    committee = Committee.load(config.teachers, engine.device) if config.teachers else None
    if config.extra and not committee:
        sys.exit("--extra has no labels: name --teachers that give it some.")
    model = load_model(config.vae, str(engine.device)) if committee and config.vae else None
    # An nn.Module that implements EncodingGenerator; load_generator promises no more than Any.
    vae: Any = model.generator if model else load_generator(config.vae).to(engine.device) if config.vae else None
    torch.manual_seed(config.seed)
    classifier = load_classifier(config.init, config.kind) if config.init else Classifier(config.model)
    classifier.train().requires_grad_(True).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(classifier.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)
    net, optimiser = engine.prepare(classifier, optimiser)
    per_epoch = max(1, len(images) // (config.batch * engine.num_processes))
    steps, ema = config.epochs * per_epoch, Ema(classifier, 0.998)

    def put(state: dict[str, Any]) -> None:
        classifier.load_state_dict(state["classifier"])
        optimiser.load_state_dict(state["optimiser"])
        ema.state = state["ema"]

    start = run.restore(put)
    bar = tqdm(range(start, steps), initial=start, total=steps, desc=config.kind, disable=not engine.is_main_process)
    for step in bar:
        generator = seeded(config, step, engine.process_index)
        rows = torch.randint(len(images), (config.batch,), generator=generator)
        x = augment(images[rows], generator).to(engine.device, memory_format=torch.channels_last)
        for group in optimiser.param_groups:
            group["lr"] = cosine(step, steps, config.lr, 0.0, per_epoch)
        with engine.autocast():
            if model:
                x = drawn(x, model, generator)
            elif config.kind not in SHARP:
                x = degrade(x, vae, generator)
            x = jitter(x, generator)
            logits = net(x)
            if committee:
                with torch.no_grad():
                    y = torch.sigmoid(committee(x))
            else:
                y = crops.labels[rows].to(engine.device) * (1 - config.smoothing) + config.smoothing / 2
        loss = F.binary_cross_entropy_with_logits(logits, y)
        optimiser.zero_grad()
        engine.backward(loss)
        optimiser.step()
        ema.update(classifier, step)
        done = step + 1
        if done % config.log_steps == 0:
            run.log(done, loss=loss.item())
            bar.set_postfix(loss=f"{loss.item():.3f}")
        state = {"classifier": classifier.state_dict(), "optimiser": optimiser.state_dict(), "ema": ema.state}
        run.save(done, state, force=done == steps)
    if engine.is_main_process:
        finish(classifier.cpu(), ema, config, vae.cpu() if vae else None)
    engine.end_training()


def finish(classifier: Classifier, ema: Ema, config: ClassifierTraining, vae: EncodingGenerator | None) -> None:
    """Take the averaged weights, set the thresholds, say how well it sees, write it."""
    classifier.load_state_dict(ema.state)
    classifier.eval().requires_grad_(False)
    held_out = held_out_set(config.celeba, vae if config.kind not in SHARP else None, config.limit)
    assert held_out.labels is not None
    set_thresholds(classifier, held_out.images, held_out.labels)
    right = ((probabilities(classifier, held_out.images) >= classifier.thresholds) == held_out.labels.bool()).float()
    folder = config.weights or config.out / "weights"
    save_classifier(folder, config.kind, classifier)
    texts = ", ".join(f"{name} {value:.3f}" for name, value in zip(ATTRIBUTES, right.mean(0).tolist(), strict=True))
    count = len(load_celeba(config.celeba, "validation", config.limit))
    copies = f", reconstructions {right[count:].mean():.4f}" if len(right) > count else ""
    print(f"held-out accuracy {right[:count].mean():.4f}{copies} ({texts}); weights in {folder}")


if __name__ == "__main__":
    main()
