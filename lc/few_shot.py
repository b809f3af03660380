"""Teach a constraint from a handful of photos, in seconds and in closed form.

Where photos are few, whitened latents tell them apart badly: in 1,024 dimensions the difference of two means of twenty
photos is mostly chance. What D_attr's hidden layers say of a face, beside its latent, tells more, though they were
trained for other attributes. A critic of those features is the difference of the two sides' means, and it is handed on
to latents by what it says of faces in general, of which the weights have a sample: its scores of them are regressed on
their latents (the critic; distillation, Hinton, Vinyals and Dean 2015), and their latents averaged by the scores (the
direction of an edit). Both depend on the features' critic linearly, so that one matrix of either kind serves all folds.
Draws from q(z|x) would move the means by nothing, so that the posterior's mean stands for all of them.

Faces differ by what is taught together with what the model knows already: who wears lipstick is mostly female. Half of
the direction is what remains of the scores when those of the model's own attributes are taken out of them.

An edit moves along that direction, far beyond where the logits say that it is enough: a small step turns a linear
critic over which no eye sees. Cross-validation gives the accuracy, and the unit of the logits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lc.attributes import AttributeSet
from lc.edit.actor import realistic
from lc.edit.space import LatentSpace
from lc.errors import LatentConstraintsError
from lc.generator import EncodingGenerator, Posterior
from lc.invert import invert
from lc.taught import TaughtAttribute, TeachingReport, checked_name, generator_digest

__all__ = ["contrast_of", "encode", "fit", "fit_labelled", "reserved"]

_FOLDS, _REPEATS = 5, 4
_REACH = 14.0  # how far an edit moves a face at the boundary at step scale 1, in the space that D_attr sees
_REACH_LABELLED = 7.0  # the same where the direction comes from many labels: twice as far it burns the face
_SHRINKAGE = 0.05  # of a covariance of many photos, towards the same variance everywhere
_RIDGE = 1000.0  # penalty of the critic's regression on latents, of which each dimension has a variance of about 1
_BATCH = 64
_DRAWN = 512  # faces that are generated where the weights have no sample of latents
_SURE = 1.64  # standard errors above chance that are not luck, one time in twenty
_DISGUISE = 0.7  # correlation with one of the model's own attributes from which on it is mostly that


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
    noise, y = (values.to(space.sigma_bar.device) for values in (noise, model.label_vectors[rows]))
    return torch.cat([realistic(space, *chunk) for chunk in zip(noise.split(_BATCH), y.split(_BATCH), strict=True)])


# --- the fit -------------------------------------------------------------------------------------------------------


def fit(
    space: LatentSpace,
    name: str,
    positives: Posterior,
    negatives: Posterior | None = None,
    *,
    taken: dict[str, str] | None = None,
    part: str = "any",
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
        part: one of `lc.taught.PARTS`, which edits touch alone.
        notes: sentences that the report is to have first.
        begun: `time.perf_counter()` when teaching began.

    Raises:
        LatentConstraintsError: the name cannot be taken, or the two sides are the same.
    """
    begun = time.perf_counter() if begun is None else begun
    name = checked_name(name, {**reserved(space.attributes), **(taken or {})})
    faces = _Faces(space, contrast_of(space))
    given = faces.view(positives.mean)
    against = faces.contrast if negatives is None else faces.view(negatives.mean)
    weight = faces.weight(given, against)
    if not weight.abs().max() > 1e-9:
        raise LatentConstraintsError("The photos with it and without it are the same to this model: take others.")
    scores = _cross_validated(faces, given, against)
    found = _taught(
        space,
        name,
        weight,
        faces.direction(given, against),
        scores,
        middle=_middle(given, against, weight),
        like=faces.nearest(faces.contrast.x @ weight),
        photos=(len(given.x), 0 if negatives is None else len(against.x)),
        notes=notes,
        begun=begun,
    )
    return replace(found, part=part)


def fit_labelled(space: LatentSpace, names: Sequence[str], z: Tensor, labels: Tensor) -> list[TaughtAttribute]:
    """Fit attributes to many labelled photos, hundreds of each kind at least: there, no help of features is needed.

    The critic is Fisher's linear discriminant, fitted to four of five photos, the fifth being left out for its accuracy
    and unit; the direction is as in `fit`, of these photos' own labels.

    Args:
        space: of the model.
        names: of the attributes, see `lc.taught.checked_name`.
        z: (N, latent), of photos.
        labels: (N, len(names)) of bool.

    Raises:
        LatentConstraintsError: a name cannot be taken, or no photo, or every one, has the attribute.
    """
    taken = reserved(space.attributes)
    names = [checked_name(name, taken) for name in names]
    faces = Whitened(space, z)
    x, fitted = faces.x, torch.arange(len(z)) % 5 > 0
    centred = x[fitted] - x[fitted].mean(0)
    covariance = centred.T @ centred / len(centred)
    covariance += _SHRINKAGE * covariance.trace() / len(covariance) * torch.eye(len(covariance), dtype=x.dtype)
    found = []
    for name, has in zip(names, labels.bool().cpu().T, strict=True):
        begun = time.perf_counter()
        if min(int((has & fitted).sum()), int((~has & fitted).sum()), int((has & ~fitted).sum())) < 2:
            raise LatentConstraintsError("Too few photos have {name}, or have it not: label more of them.", name=name)
        between = x[has & fitted].mean(0) - x[~has & fitted].mean(0)
        weight = torch.linalg.solve(covariance, between)
        middle = float((x[has & fitted].mean(0) + x[~has & fitted].mean(0)) @ weight / 2)
        scores = [(x[rows & ~fitted] @ weight - middle).float()[None] for rows in (has, ~has)]
        label = has.double()[:, None]
        parts = centred.T @ label[fitted], x.T @ faces.rest(label)
        direction = F.normalize(torch.stack([F.normalize(part[:, 0], dim=0) for part in parts]).sum(0), dim=0)
        counts = int(has.sum()), int((~has).sum())
        like = faces.nearest(x @ weight)
        made = _taught(
            space,
            name,
            weight,
            direction,
            scores,
            middle=middle,
            like=like,
            photos=counts,
            begun=begun,
            reach=_REACH_LABELLED,
        )
        found.append(made)
    return found


def _taught(
    space: LatentSpace,
    name: str,
    weight: Tensor,
    direction: Tensor,
    scores: Sequence[Tensor],
    *,
    middle: float,
    like: tuple[str, float],
    photos: tuple[int, int],
    begun: float,
    notes: tuple[str, ...] = (),
    reach: float = _REACH,
) -> TaughtAttribute:
    """A taught attribute of a critic of whitened latents.

    Args:
        space, name, notes, begun: see `fit`.
        weight, direction: (latent,), in whitened latents.
        scores: by the critic, less `middle`, of photos left out, (R, P) with it and (R, N) without.
        middle: the score between the two sides.
        like: see `Whitened.nearest`.
        photos: with it and without it; 0 where the contrast stood in.
        reach: see `_REACH`.
    """
    statistics = space.model.statistics
    scale, shift, target = _logits(*scores)
    # The boundary lies where the scores of photos left out say: those that a mean is made of lie too far out.
    accuracy, spread, chance = _accuracy(scores[0] - shift, scores[1] - shift, fixed=not photos[1])
    gain = statistics.gain.double().cpu()
    weight_z = scale * weight * gain
    bias = -float(weight_z @ statistics.mean.double().cpu()) - scale * (middle + shift)
    direction = gain * statistics.std.double().cpu().square() * direction
    target = max(target, reach * float(weight_z @ direction))
    if accuracy < 0.5 + _SURE * chance:
        notes += ("On photos left out it is no better than chance: give more photos, or clearer ones.",)
    if like[1] >= _DISGUISE:
        notes += (
            f"It is mostly {like[0]} in disguise (correlation {like[1]:.2f}): give photos that differ in {name} and "
            f"are alike in {like[0]}.",
        )
    report = TeachingReport(
        positives=photos[0],
        negatives=photos[1],
        accuracy=accuracy,
        spread=spread,
        likeness=like[1],
        like=like[0],
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


class _View(NamedTuple):
    """Faces as they are told apart: whitened latents x (B, latent), and features (B, F)."""

    x: Tensor
    features: Tensor


class Whitened:
    """Whitened latents of many faces, and what the model's own attributes explain of them.

    Args:
        space: of the model.
        z: (K, latent).

    Attributes:
        x: (K, latent), whitened.
    """

    def __init__(self, space: LatentSpace, z: Tensor) -> None:
        self._names, self.x = space.attributes.names, _whitened(space, z)
        with torch.no_grad():
            logits = torch.cat([space.attribute_critic(part) for part in z.split(1024)]).double().cpu()
        self._logits, self._known = logits, torch.cat([torch.ones(len(z), 1, dtype=logits.dtype), logits], 1)

    def rest(self, values: Tensor) -> Tensor:
        """What of values (K, V) the logits of the model's own attributes do not explain, linearly."""
        known = self._known.to(values.dtype)
        return values - known @ torch.linalg.lstsq(known, values).solution

    def nearest(self, scores: Tensor) -> tuple[str, float]:
        """The model's own attribute whose logits go most with scores (K,), and the correlation."""
        correlations = torch.corrcoef(torch.cat([scores[:, None], self._logits], 1).T)[0, 1:].nan_to_num(0).abs()
        best = int(correlations.argmax())
        return self._names[best], float(correlations[best])


class _Faces(Whitened):
    """Faces in general, and what a difference in features means for their latents.

    Args:
        space: of the model.
        z: latents of faces in general, (K, latent).

    Attributes:
        contrast: these faces.
    """

    def __init__(self, space: LatentSpace, z: Tensor) -> None:
        super().__init__(space, z)
        self._space = space
        self._units = [(block.mean(0), block.var(0).sum().sqrt().clamp_min(1e-9)) for block in self._blocks(z)]
        self.contrast = self.view(z)
        x, features = (self.x - self.x.mean(0)).float(), self.contrast.features
        together = x.T @ (features - features.mean(0))
        ridge = x.T @ x + _RIDGE * torch.eye(x.shape[1])
        self._to_weight = torch.linalg.solve(ridge, together).double()  # (latent, F)
        self._to_direction, self._to_rest = together.double(), (x.T @ self.rest(features)).double()

    @torch.no_grad()
    def _blocks(self, z: Tensor) -> list[Tensor]:
        """Whitened latents, and the hidden layers of D_attr: (B, .) each."""
        blocks, hidden = [_whitened(self._space, z).float()], z
        for layer in self._space.attribute_critic:
            hidden = layer(hidden)
            if isinstance(layer, nn.ReLU):
                blocks.append(hidden.float().cpu())
        return blocks

    def view(self, z: Tensor) -> _View:
        """Latents (B, latent) as they are told apart; each kind of feature counts as much as another."""
        blocks = self._blocks(z)
        scaled = [(block - mean) / unit for block, (mean, unit) in zip(blocks, self._units, strict=True)]
        return _View(_whitened(self._space, z), torch.cat(scaled, 1))

    def weight(self, positives: _View, negatives: _View) -> Tensor:
        """(latent,), of a linear critic of x."""
        return self._to_weight @ (positives.features.mean(0) - negatives.features.mean(0)).double()

    def direction(self, positives: _View, negatives: _View) -> Tensor:
        """(latent,), of length 1 in x: half of it what faces differ in, half what of that the model has no name for."""
        between = (positives.features.mean(0) - negatives.features.mean(0)).double()
        parts = [F.normalize(matrix @ between, dim=0) for matrix in (self._to_direction, self._to_rest)]
        return F.normalize(torch.stack(parts).sum(0), dim=0)


def _whitened(space: LatentSpace, z: Tensor) -> Tensor:
    statistics = space.model.statistics
    return ((z.double() - statistics.mean.double()) * statistics.gain.double()).cpu()


def _middle(positives: _View, negatives: _View, weight: Tensor) -> float:
    return float((positives.x.mean(0) + negatives.x.mean(0)) @ weight / 2)


def _cross_validated(faces: _Faces, positives: _View, negatives: _View) -> tuple[Tensor, Tensor]:
    """Scores of rows that were left out of the fit, (R, P) and (R, N), R repeats; 0 lies between the classes."""
    chance = np.random.default_rng(0)
    sides = positives, negatives
    found = torch.zeros(_REPEATS, len(positives.x)), torch.zeros(_REPEATS, len(negatives.x))
    folds = min(_FOLDS, *(len(side.x) for side in sides))
    for repeat in range(_REPEATS):
        parts = [np.array_split(chance.permutation(len(side.x)), folds) for side in sides]
        for out in zip(*parts, strict=True):
            kept_p, kept_n = (_mean_without(side, rows) for side, rows in zip(sides, out, strict=True))
            weight = faces.weight(kept_p, kept_n)
            middle = _middle(kept_p, kept_n, weight)
            for scores, side, rows in zip(found, sides, out, strict=True):
                scores[repeat, rows] = (side.x[rows] @ weight - middle).float()
    return found


def _mean_without(side: _View, rows: np.ndarray) -> _View:
    """The mean of all but some rows, as one face."""
    left = len(side.x) - len(rows)
    return _View(*((part.sum(0) - part[rows].sum(0))[None] / left for part in side))


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
