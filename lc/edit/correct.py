"""Classifier-guided correction: a proposal moves to where its picture has the wanted attributes and no other changes.

D_attr does not read all that is visible in a picture. So the proposal is decoded and read by the guidance classifier: a
step takes back changes of attributes that are preserved, and strengthens wanted ones that are below the target margin.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lc.classifier import Classifier
from lc.edit.problem import Problem
from lc.edit.space import LatentSpace
from lc.memory import Kept

__all__ = ["correct"]

# Of the faces edited last, what is read where changes are measured from: edits of a face with the same lines share it.
_SEEN: Kept[Tensor] = Kept(64)


@torch.inference_mode(False)
def correct(
    space: LatentSpace, problem: Problem, proposal: Tensor, steps: int, led: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The proposal after correction steps.

    Each step lessens |step|^2 in sigma_bar^2 plus the weighted squares of what is amiss in the guidance classifier's
    A logits. Were those linear in z, with slopes J (A, latent), the least would be at -J^T v for the v that solves
    (J J^T + 1 / weight) v = amiss, which takes A backward passes (Gauss and Newton). Here J J^T is taken for
    `Tuning.logit_slope` times the identity, and the step scaled to what is best along it, which |J^T v| tells: one
    pass. Two such steps mend more than an exact one does. Where they end further from the mean than the typical radius
    and the photo, the result is truncated to the further of the two.

    Args:
        space: of the model.
        problem: what is wanted.
        proposal: (B, latent).
        steps: how many, and one more where several changes are made or a taught attribute without an actor is edited; 0
            leaves the proposal as it is.
        led: (B, latent), where `Problem.lines` have led, from which changes are measured; None: the problem's latents.

    Returns:
        (B, latent), and their pictures (B, 3, S, S) in [0, 1].
    """
    decode, guidance, tuning = space.model.generator.decode, space.model.guidance, space.tuning
    # Where nothing is preserved there is nothing to take back, and strengthening alone only exaggerates. A strength is
    # a place on the actor's line. What the actor alone learned from photos is better left alone. A move learned from
    # pairs changes nothing else, and needs no classifier to be seen.
    moved = problem.taught or problem.proposed.any()
    kept = problem.strengths or not problem.preserved.any() or not moved
    if guidance is None or not steps or kept:
        with torch.no_grad():
            return proposal, decode(proposal)
    lines = space.attributes.columns(problem.lines, proposal.device)
    edited, preserved = problem.edited & ~lines, problem.preserved | lines
    with torch.no_grad():
        seen = _seen(space, guidance, problem, led)
        # An unasked change counts less the surer the classifier was before, for more is needed to turn that over.
        preservation = tuning.unasked_weight * torch.exp(-seen.abs() / tuning.sure_logits)
    z, sign = proposal.clone(), problem.target * 2 - 1
    # A direction learned from a few photos takes more along than an actor, which was trained not to.
    for count in range(steps + (problem.several or problem.straight)):
        logits = guidance.beyond(decode(z.requires_grad_()))
        now = logits.detach()
        change = now - seen
        short = -sign * F.relu(problem.target_margin - sign * now) * problem.proposed
        amiss = torch.where(edited, short, change * preserved)  # (B, A)
        unasked = preservation * torch.where(seen * change > 0, tuning.surer_share, 1.0)
        weight = torch.where(edited, tuning.undone_weight, unasked) * tuning.correction_decay**count
        v = weight * amiss / (1 + tuning.logit_slope * weight)
        step = torch.autograd.grad((logits * v).sum(), z)[0] * space.sigma_bar
        norm = step.square().sum(1) + (v.square() / weight).sum(1)
        share = (v * amiss).sum(1) / norm.clamp_min(torch.finfo().tiny)
        z = z.detach() - share[:, None] * step * space.sigma_bar
    with torch.no_grad():
        z = space.truncated(z, space.radius(problem.z).clamp_min(space.typical_radius))
        return z, decode(z)


def _seen(space: LatentSpace, guidance: Classifier, problem: Problem, led: Tensor | None) -> Tensor:
    """What the guidance classifier reads where changes are measured from, (B, A)."""
    z, known = (problem.z, problem.pictures) if led is None else (led, None)

    def read() -> Tensor:
        return guidance.beyond(space.model.generator.decode(z) if known is None else known)

    if len(z) > 1:
        return read()
    return _SEEN.get((space.model.generator, guidance), (known is None, z.cpu().numpy().tobytes()), read)
