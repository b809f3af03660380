"""Figures of merit: reconstruction, attributes read back, realism, diversity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["attribute_scores", "diversity", "frechet_distance", "gradient_energy", "psnr", "separation"]


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio per picture, in dB: (B, 3, H, W) twice, both in [0, 1] -> (B,)."""
    mse = (images.clamp(0, 1) - reference).square().flatten(1).mean(1)
    return -10 * torch.log10(mse.clamp_min(1e-10))


def gradient_energy(images: Tensor) -> Tensor:
    """Mean absolute Sobel response per picture, a measure of sharpness: (B, 3, H, W) -> (B,)."""
    kernel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    kernels = torch.stack([kernel, kernel.T])[:, None]  # (2, 1, 3, 3)
    response = torch.nn.functional.conv2d(images.flatten(0, 1)[:, None], kernels)  # (B * 3, 2, H - 2, W - 2)
    return response.abs().mean((1, 2, 3)).unflatten(0, images.shape[:2]).mean(1)


def frechet_distance(features: Tensor, reference: Tensor) -> float:
    """Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, equation 6).

    Args:
        features, reference: (N, D) and (M, D). Finite sets are biased upwards: compare at equal N.

    Returns:
        |mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), >= 0.
    """
    a, b = features.double(), reference.double()
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()
    squared = (a.mean(0) - b.mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross
    return max(0.0, float(squared))


def diversity(features: Tensor) -> float:
    """Mean Euclidean distance between all pairs of (N, D) features."""
    return float(torch.pdist(features.float()).mean())


def attribute_scores(predicted: Tensor, true: Tensor, names: Sequence[str]) -> dict[str, object]:
    """Accuracy, precision, recall and F1 of attributes read back.

    Args:
        predicted, true: (N, K) bool.
        names: K names.

    Returns:
        accuracy (element-wise), support-weighted precision, recall and f1, and "per_attribute" with the same by name.
        A ratio whose denominator is 0 counts as 0.
    """
    p, t = predicted.double(), true.double()
    hits = (p * t).sum(0)
    precision = hits / p.sum(0).clamp_min(1)
    recall = hits / t.sum(0).clamp_min(1)
    f1 = 2 * precision * recall / (precision + recall).clamp_min(1e-12)
    accuracy = (predicted == true).double().mean(0)
    support = t.sum(0) / t.sum().clamp_min(1)
    columns = {"accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1}
    scores: dict[str, object] = {"accuracy": float(accuracy.mean())}
    scores |= {name: float((column * support).sum()) for name, column in columns.items() if name != "accuracy"}
    scores["per_attribute"] = {
        name: {metric: float(column[i]) for metric, column in columns.items()} for i, name in enumerate(names)
    }
    return scores


def separation(same: Tensor, different: Tensor, threshold: float) -> dict[str, float]:
    """How well distances tell pairs of one person from pairs of two.

    Args:
        same, different: distances, (N,) and (M,).
        threshold: pairs nearer than it are called the same person.

    Returns:
        accuracy (mean of the share of the same and of the different that is called so), same_found and
        different_found (these shares), the medians of both kinds, and the threshold at which both errors are equal
        with the error there.
    """
    found, apart = float((same < threshold).double().mean()), float((different >= threshold).double().mean())
    places = torch.cat([same, different]).sort().values  # an error changes only where there is a distance
    missed = 1 - torch.searchsorted(same.sort().values, places).double() / len(same)
    taken = torch.searchsorted(different.sort().values, places).double() / len(different)
    equal = int((missed - taken).abs().argmin())
    return {
        "accuracy": (found + apart) / 2,
        "same_found": found,
        "different_found": apart,
        "same_median": float(same.median()),
        "different_median": float(different.median()),
        "equal_error_threshold": float(places[equal]),
        "equal_error": float((missed[equal] + taken[equal]) / 2),
    }
