"""The actor's proposal: one pass from latents to latents that have the wanted attributes.

The actor serves attributes, see `lc.edit.problem.changes_of`. A taught attribute with a direction moves the proposal
along it. Every other constraint (Rule, Or, ...) leaves the proposal as it is; see `lc.edit.solve` for what is made of
it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lc.constraints import Taught
from lc.edit.correct import correct
from lc.edit.problem import Problem
from lc.edit.space import LatentSpace
from lc.generator import EncodingGenerator, from_prior

__all__ = ["generate", "propose", "propose_corrected", "realistic"]


def propose_corrected(space: LatentSpace, problem: Problem, scale: float, steps: int) -> tuple[Tensor, Tensor]:
    """`propose`, then `lc.edit.correct.correct`: (B, latent), and their pictures (B, 3, S, S)."""
    # What lines change on the way is theirs: correction measures from where they lead, and takes none of it back.
    led = _along_lines(space, problem, scale)
    return correct(space, problem, _proposed(space, problem, scale, led), steps, led if problem.lines else None)


@torch.inference_mode()
def propose(space: LatentSpace, problem: Problem, scale: float) -> Tensor:
    """The actor's proposal at identity 1, or a point on the line to it.

    Several changes are one move: one after the other they would add up to a distorted face. Only those of
    `Problem.lines` go ahead of it, each on its own.

    Args:
        space: of the model.
        problem: what is wanted; constraints that are no attributes, built-in or taught, leave z where it is.
        scale: how far to follow the actor's line, in the problem's step scale; 1 is its own proposal where that is 1.
            Of the way along a taught attribute's direction, the same part.

    Returns:
        (B, latent).
    """
    return _proposed(space, problem, scale, _along_lines(space, problem, scale))


@torch.inference_mode()
def _proposed(space: LatentSpace, problem: Problem, scale: float, led: Tensor) -> Tensor:
    """`propose`, from where the problem's lines have led, (B, latent)."""
    z, identity = _by_exemplars(space, problem, led, scale), torch.ones_like(problem.z[:, 0])
    if problem.proposed.any():
        y = torch.where(
            problem.proposed | space.attributes.columns(problem.lines, z.device), problem.target, problem.before
        )
        z = z + scale * problem.step_scale * (space.model.actor(z, y, problem.proposed, identity) - z)
    for name, probability in problem.strengths.items():
        z = _to_strength(space, z, space.attributes.names.index(name), probability, identity)
    for one in problem.others.values():
        if isinstance(one, Taught):
            z = one.propose(z, scale)
    return z


@torch.inference_mode()
def _along_lines(space: LatentSpace, problem: Problem, scale: float) -> Tensor:
    """Where the problem's lines lead, (B, latent): the sum of what each is by itself."""
    z, identity = problem.z, torch.ones_like(problem.z[:, 0])
    for name, rows in problem.lines.items():
        only = problem.edited & space.attributes.columns([name], z.device) & rows[:, None]
        y = torch.where(only, problem.target, problem.before)
        line = space.model.actor(problem.z, y, only, identity) - problem.z
        z = z + scale * problem.step_scales[name] * rows[:, None] * line
    return z


def _by_exemplars(space: LatentSpace, problem: Problem, z: Tensor, scale: float) -> Tensor:
    """What moves learned from pairs make of latents z, (B, latent): at the default identity all of a move."""
    exemplars = space.model.exemplars
    share = scale / space.model.calibration.for_actor(0.5)
    for name, rows in problem.moves.items():
        shift = problem.laid.get(name)
        if shift is None and exemplars is not None:
            move = exemplars.get(name, bool(problem.target[0, space.attributes.names.index(name)] >= 0.5))
            shift = None if move is None else move(z, problem.style) - z
        assert shift is not None  # `pose` has seen to it
        z = z + rows[:, None] * share * shift
    return z


def _to_strength(space: LatentSpace, z: Tensor, column: int, probability: float, identity: Tensor) -> Tensor:
    """Along the actor's line for one attribute, to where D_attr first reads `probability`."""
    tuning = space.tuning
    wanted = torch.logit(torch.tensor(probability, device=z.device))
    here = space.attribute_critic(z)
    up, y = wanted > here[:, column], torch.sigmoid(here)
    only = torch.zeros_like(y).index_fill(1, torch.tensor([column], device=z.device), 1.0)
    line = space.model.actor(z, torch.where(only > 0, up[:, None].float(), y), only, identity) - z
    places = torch.linspace(0, tuning.strength_furthest, tuning.strength_places, device=z.device)
    read = torch.stack([space.attribute_critic(z + place * line)[:, column] for place in places])  # (P, B)
    # The highest (or lowest) so far: so the first place to reach a level is further the higher the level is.
    read = torch.where(up, read.cummax(0).values, read.cummin(0).values)
    short = (read - wanted).sign() != (up * 2.0 - 1)  # (P, B), True up to the crossing
    last = (short.sum(0) - 1).clamp(0, tuning.strength_places - 2)
    low, high = (read.gather(0, index[None])[0] for index in (last, last + 1))
    share = ((wanted - low) / (high - low)).abs().nan_to_num(0.0, 1.0).clamp_max(1)
    return z + (places[1] * (last + share))[:, None] * line


@torch.inference_mode()
def generate(space: LatentSpace, z: Tensor, y: Tensor, identity: float = 0.0) -> Tensor:
    """Latents of generated faces: z (B, latent) from the prior and wanted attributes y (B, A) -> (B, latent).

    Latents further from the mean than photos' decode to burnt pictures, and nearer ones to murky pictures, so all are
    brought to the typical radius. Of that, what the encoder sees in its picture is kept, where there is an encoder:
    from picture to latent and back is a step of the chain that leads to where photos lie (Bengio et al. 2013,
    generalised denoising autoencoders). docs/history.md says what both cost and give.
    """
    generator, radius = space.model.generator, z.new_full((len(z),), space.typical_radius)
    moved: Tensor = space.model.actor(z, y, torch.ones_like(y), z.new_full((len(z),), identity))
    moved = space.scaled(moved, radius / space.radius(moved))
    if isinstance(generator, EncodingGenerator):
        moved = generator.encode(generator.decode(moved)).mean
    return space.truncated(moved, radius)


@torch.inference_mode()
def realistic(space: LatentSpace, noise: Tensor, y: Tensor) -> Tensor:
    """Noise (B, latent) from N(0, I) and label vectors (B, A) in {0, 1} -> latents (B, latent) of realistic faces: by
    the flow, or where the weights hold none by one jump of the actor, from the prior."""
    if space.model.flow is not None:
        return space.model.flow.draw(noise, y)
    return generate(space, from_prior(space.model.generator, noise), y)
