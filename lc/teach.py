"""Teach a constraint from a handful of photos: a linear critic of latents, in seconds and in closed form.

The critic's weights are the difference of the two sides' means in whitened latents: the limit of logistic regression
as its L2 penalty grows. On 5, 20 and 60 photos a side of CelebA-HQ it reads others as well as logistic regression at
its best penalty (balanced accuracy .62, .67, .75 against .63, .67, .76 over four attributes), and better than Fisher's
discriminant (.56, .58, .67), whose covariance so few photos do not bear. Draws from q(z|x) would move the means by
nothing, so that the posterior's mean stands for all of them.

An edit moves along the same difference, beyond where the logits say that it is enough: in the few dimensions that tell
a side of few photos from the other, a small step turns a linear critic over which no eye sees. Cross-validation gives
the accuracy, and the unit of the logits.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lc.attributes import AttributeSet
from lc.critics import LatentStatistics
from lc.edit.actor import generate
from lc.edit.space import LatentSpace
from lc.errors import LatentConstraintsError, PhotoError
from lc.faces import Photo, find_photos
from lc.generator import EncodingGenerator, Posterior, from_prior
from lc.invert import invert
from lc.taught import TaughtAttribute, TeachingReport, checked_name, generator_digest

__all__ = [
    "FEWEST",
    "MOST",
    "Cancelled",
    "Examples",
    "contrast_of",
    "encode",
    "fit",
    "gather",
    "learn",
    "read_examples",
]

Source: TypeAlias = str | Path | bytes | BinaryIO | Image.Image | Photo

FEWEST, MOST = 5, 200  # photos on a side
_FOLDS, _REPEATS = 5, 4
_REACH = 1.6  # mean differences that an edit moves by at step scale 1
_BATCH = 64
_DRAWN = 512  # faces that are generated where the weights have no sample of latents
_SURE = 1.64  # standard errors above chance that are not luck, one time in twenty
_DISGUISE = 0.7  # correlation with one of the model's own attributes from which on it is mostly that


class Cancelled(LatentConstraintsError):
    """Teaching was cancelled by its `stop`."""


@dataclass
class Examples:
    """The photos of one side.

    Attributes:
        crops: S x S pixels each, no two alike.
        names: of the photos.
        left_out: photos that could not be used, each with a sentence.
        repeated: how many photos showed the same crop as another.
    """

    crops: list[Image.Image] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    repeated: int = 0


def gather(photos: str | Path | Sequence[Source]) -> list[Source]:
    """The photos in a folder, or those given, counted.

    Raises:
        PhotoError: no such folder.
        LatentConstraintsError: fewer than `FEWEST` or more than `MOST`.
    """
    if isinstance(photos, str | Path):
        found: list[Source] = list(find_photos([photos]).paths)
        where = f"in {photos}"
    else:
        found, where = list(photos), "given"
    if not FEWEST <= len(found) <= MOST:
        many = "few" if len(found) < FEWEST else "many"
        photo = "photo" if len(found) == 1 else "photos"
        raise LatentConstraintsError(
            f"{len(found):,} {photo} {where} are too {many}: teach with {FEWEST} to {MOST}."
            if len(found) != 1
            else f"1 photo {where} is too few: teach with {FEWEST} to {MOST}."
        )
    return found


def read_examples(
    photos: Sequence[Source], crop: Callable[[Source], Image.Image], tick: Callable[[], None]
) -> Examples:
    """Find the face in each photo.

    Args:
        photos: see `gather`.
        crop: a photo -> its aligned crop; raises PhotoError.
        tick: called before each photo; may raise `Cancelled`.
    """
    examples, seen = Examples(), set[str]()
    for photo in photos:
        tick()
        name = str(photo) if isinstance(photo, str | Path) else f"photo {len(seen) + len(examples.left_out) + 1}"
        try:
            found = crop(photo)
        except PhotoError as error:
            examples.left_out.append(f"{name}: {error}")
            continue
        if (key := _fingerprint(found)) in seen:
            examples.repeated += 1
            continue
        seen.add(key)
        examples.crops.append(found)
        examples.names.append(name)
    return examples


def check(positives: Examples, negatives: Examples | None) -> tuple[str, ...]:
    """Sentences on photos that were left out.

    Raises:
        LatentConstraintsError: too few are left, or the same photos are on both sides.
    """
    notes: list[str] = []
    for side, examples in (("with", positives), ("without", negatives)):
        if examples is None:
            continue
        if examples.left_out:
            notes.append(f"Of the photos {side} it, {len(examples.left_out)} could not be used; {examples.left_out[0]}")
        if examples.repeated:
            notes.append(
                f"Of the photos {side} it, {examples.repeated} show the same picture as another: each counts once."
            )
        if (left := len(examples.crops)) < FEWEST:
            faces = "face" if left == 1 else "faces"
            reason = f" {notes[-1]}" if notes else ""
            raise LatentConstraintsError(
                f"The photos {side} it show {left} different {faces}: teach with {FEWEST} or more.{reason}"
            )
    if negatives:
        both = {_fingerprint(one) for one in positives.crops} & {_fingerprint(one) for one in negatives.crops}
        if both:
            photos = "photo is" if len(both) == 1 else "photos are"
            raise LatentConstraintsError(
                f"{len(both)} of the {photos} on both sides: put each into the folder with or the folder without."
            )
    return tuple(notes)


def _fingerprint(crop: Image.Image) -> str:
    return hashlib.sha256(crop.tobytes()).hexdigest()


def learn(
    space: LatentSpace,
    name: str,
    with_: str | Path | Sequence[Source],
    without: str | Path | Sequence[Source] | None,
    *,
    crop: Callable[[Source], Image.Image],
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> TaughtAttribute:
    """Teach from photos; see `lc.editor.FaceEditor.teach`, `read_examples` and `fit`.

    Args:
        crop: finds a photo's face and cuts it out.

    Raises:
        LatentConstraintsError: see `gather`, `check` and `fit`.
        Cancelled: `stop` said so.
    """
    begun = time.perf_counter()
    checked_name(name, reserved(space.attributes))  # before the photos are read
    sides = [gather(with_)] + ([] if without is None else [gather(without)])
    total, done = sum(map(len, sides)), count()

    def tick() -> None:
        if stop is not None and stop():
            raise Cancelled("Teaching was cancelled; nothing was kept.")
        if progress is not None:
            progress(next(done), total)

    positives, *others = [read_examples(side, crop, tick) for side in sides]
    negatives = others[0] if others else None
    notes = check(positives, negatives)
    given = encode(space, _images(positives.crops, space))
    against = None if negatives is None else encode(space, _images(negatives.crops, space))
    return fit(space, name, given, against, notes=notes, begun=begun)


def _images(crops: Sequence[Image.Image], space: LatentSpace) -> Tensor:
    pixels = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops]))
    return pixels.permute(0, 3, 1, 2).to(space.sigma_bar.device).float() / 255


# --- latents -------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def encode(space: LatentSpace, images: Tensor) -> Posterior:
    """q(z|x) of crops (B, 3, S, S) in [0, 1]: by the encoder, else by inversion, with sigma_bar for its std."""
    model, found = space.model, []
    for chunk in images.split(_BATCH):
        if isinstance(model.generator, EncodingGenerator):
            found.append(model.generator.encode(chunk))
        else:
            mean, _ = invert(model.generator, chunk, model.tuning, statistics=model.statistics)
            found.append(Posterior(mean, model.statistics.sigma_bar.expand_as(mean)))
    return Posterior(torch.cat([one.mean for one in found]), torch.cat([one.std for one in found]))


def contrast_of(space: LatentSpace, seed: int = 0) -> Tensor:
    """Latents of faces in general, (K, latent): the weights' sample of training photos, or else generated faces."""
    model = space.model
    if model.contrast is not None:
        return model.contrast
    chance = torch.Generator().manual_seed(seed)
    noise = torch.randn(_DRAWN, model.generator.latent, generator=chance)
    rows = torch.multinomial(model.label_counts, _DRAWN, replacement=True, generator=chance)
    z, y = from_prior(model.generator, noise.to(space.sigma_bar.device)), model.label_vectors[rows]
    chunks = zip(z.split(_BATCH), y.to(z.device).split(_BATCH), strict=True)
    return torch.cat([generate(space, *chunk) for chunk in chunks]).clone()


# --- the fit -------------------------------------------------------------------------------------------------------


def fit(
    space: LatentSpace,
    name: str,
    positives: Posterior,
    negatives: Posterior | None = None,
    *,
    taken: dict[str, str] | None = None,
    notes: tuple[str, ...] = (),
    begun: float | None = None,
) -> TaughtAttribute:
    """Fit a taught attribute to posteriors of photos.

    Draws nothing by chance: the folds are always the same.

    Args:
        space: of the model.
        name: see `lc.taught.checked_name`; those of the model's attributes are taken.
        positives: of photos with it, (P, latent) each, P >= 2.
        negatives: of photos without it; None: the contrast of `contrast_of`.
        taken: further names in lower case that are taken -> by what.
        notes: sentences that the report is to have first.
        begun: `time.perf_counter()` when teaching began.

    Raises:
        LatentConstraintsError: the name cannot be taken, or the two sides are the same.
    """
    begun = time.perf_counter() if begun is None else begun
    name = checked_name(name, {**reserved(space.attributes), **(taken or {})})
    statistics, contrast = space.model.statistics, contrast_of(space)
    background_x = _whitened(statistics, contrast)
    against = background_x if negatives is None else _whitened(statistics, negatives.mean)
    given = _whitened(statistics, positives.mean)
    weight = _discriminant(given, against)
    if not weight.abs().max() > 1e-9:
        raise LatentConstraintsError("The photos with it and without it are the same to this model: take others.")
    scores = _cross_validated(given, against)
    scale, middle, target = _logits(*scores)
    # The boundary lies where the scores of photos left out say: those that a mean is made of lie too far out.
    accuracy, spread, chance = _accuracy(scores[0] - middle, scores[1] - middle, fixed=negatives is None)
    like, likeness = _nearest(space, contrast, background_x @ weight)
    gain = statistics.gain.double().cpu()
    weight_z = scale * weight * gain
    middle += _middle(given, against, weight)
    bias = -float(weight_z @ statistics.mean.double().cpu()) - scale * middle
    direction = gain * statistics.std.double().cpu().square() * weight
    # From the mean of one side to that of the other, and as far again.
    target = max(target, _REACH * float(weight_z @ direction) - target)
    if accuracy < 0.5 + _SURE * chance:
        notes += ("On photos left out it is no better than chance: give more photos, or clearer ones.",)
    if likeness >= _DISGUISE:
        notes += (
            f"It is mostly {like} in disguise (correlation {likeness:.2f}): give photos that differ in {name} and are "
            f"alike in {like}.",
        )
    report = TeachingReport(
        positives=len(given),
        negatives=0 if negatives is None else len(against),
        accuracy=accuracy,
        spread=spread,
        likeness=likeness,
        like=like,
        seconds=time.perf_counter() - begun,
        notes=notes,
    )
    device = statistics.mean.device
    return TaughtAttribute(
        name=name,
        weight=weight_z.float().to(device),
        bias=bias,
        direction=direction.float().to(device),
        target=target,
        generator=generator_digest(space.model),
        report=report,
    )


def reserved(attributes: AttributeSet) -> dict[str, str]:
    """Names in lower case that a taught attribute cannot have -> why."""
    words = {word.lower().replace(" ", "_") for one in attributes.attributes for word in (one.name, one.title)}
    return dict.fromkeys(words, "an attribute of the model")


def _whitened(statistics: LatentStatistics, z: Tensor) -> Tensor:
    return ((z.double() - statistics.mean.double()) * statistics.gain.double()).cpu()


def _discriminant(positives: Tensor, negatives: Tensor) -> Tensor:
    """Weights (D,)."""
    return positives.mean(0) - negatives.mean(0)


def _middle(positives: Tensor, negatives: Tensor, weight: Tensor) -> float:
    return float((positives.mean(0) + negatives.mean(0)) @ weight / 2)


def _cross_validated(positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of rows that were left out of the fit, (R, P) and (R, N), R repeats; 0 lies between the classes."""
    chance = np.random.default_rng(0)
    found = torch.zeros(_REPEATS, len(positives)), torch.zeros(_REPEATS, len(negatives))
    for repeat in range(_REPEATS):
        folds = min(_FOLDS, len(positives), len(negatives))
        parts = [np.array_split(chance.permutation(len(side)), folds) for side in (positives, negatives)]
        for out_p, out_n in zip(*parts, strict=True):
            keep_p, keep_n = (np.setdiff1d(np.arange(len(s)), o) for s, o in ((positives, out_p), (negatives, out_n)))
            kept = positives[keep_p], negatives[keep_n]
            weight = _discriminant(*kept)
            middle = _middle(*kept, weight)
            found[0][repeat, out_p] = (positives[out_p] @ weight - middle).float()
            found[1][repeat, out_n] = (negatives[out_n] @ weight - middle).float()
    return found


def _accuracy(positives: Tensor, negatives: Tensor, fixed: bool) -> tuple[float, float, float]:
    """Balanced accuracy of scores (R, P) and (R, N), its standard error, and the one that chance has.

    `fixed`: the negatives are so many that only the positives' number counts.
    """
    hit, kept = float((positives > 0).float().mean()), float((negatives <= 0).float().mean())
    p, n = positives.shape[1], negatives.shape[1]

    def error(a: float, b: float) -> float:
        return 0.5 * (a * (1 - a) / p + (0.0 if fixed else b * (1 - b) / n)) ** 0.5

    smoothed = [(rate * count + 1) / (count + 2) for rate, count in ((hit, p), (kept, n))]  # Laplace's rule
    return (hit + kept) / 2, error(*smoothed), error(0.5, 0.5)


def _logits(positives: Tensor, negatives: Tensor) -> tuple[float, float, float]:
    """Scale and middle that make logits of scores, and the logit that positives have as a rule.

    Two Gaussians of one variance and equal odds: logit = (m1 - m0) / s^2 * (score - (m1 + m0) / 2).
    """
    high, low = float(positives.mean()), float(negatives.mean())
    variance = max(float((positives.var() + negatives.var()) / 2), 1e-12)
    apart = max(high - low, 0.1 * variance**0.5)
    return apart / variance, (high + low) / 2, max(apart**2 / variance / 2, 0.1)


def _nearest(space: LatentSpace, z: Tensor, scores: Tensor) -> tuple[str, float]:
    """The model's own attribute whose logits go most with scores (K,) at latents (K, latent), and the correlation."""
    with torch.inference_mode():
        logits = torch.cat([space.attribute_critic(chunk) for chunk in z.split(1024)]).double().cpu()
    correlations = torch.corrcoef(torch.cat([scores[:, None], logits], 1).T)[0, 1:].nan_to_num(0).abs()
    best = int(correlations.argmax())
    return space.attributes.names[best], float(correlations[best])
