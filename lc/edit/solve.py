"""A problem solved by either backend.

The actor serves attributes: a proposal in one pass, corrected. For every other constraint (Taught, Rule, Or, ...) that
is only the place to begin, the photo's own latent where no attribute is wanted; from there a short optimisation follows
the constraints' energies. The optimiser follows the energy of any constraint, for longer, and yields every step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from lc.attributes import Changes
from lc.constraints import Attributes, Constraint, Realism, Taught
from lc.edit.actor import propose_corrected
from lc.edit.optimiser import Step, optimise
from lc.edit.problem import Problem
from lc.edit.space import LatentSpace
from lc.errors import LatentConstraintsError
from lc.numbers import number

__all__ = ["act", "checked", "refine_samples", "still", "trajectory"]


def checked(identity: float, method: str) -> float:
    """The place of the identity slider as a number in [0, 1].

    Raises:
        LatentConstraintsError: it is none, or there is no such method.
    """
    if method not in ("actor", "optimise"):
        raise LatentConstraintsError("There is no method {method!r}: choose actor or optimise.", method=method)
    try:
        return number(identity, 0, 1)
    except LatentConstraintsError as error:
        raise LatentConstraintsError("Identity: {wrong}", wrong=error.sentence) from error


def still(problem: Problem) -> Step:
    """The solution of an empty problem: the latents as they are, done after no step."""
    rows = len(problem.z)
    return Step(0, problem.z, {}, torch.ones(rows, dtype=torch.bool), torch.zeros(rows, dtype=torch.long))


def act(space: LatentSpace, problem: Problem, identity: float, correction_steps: int) -> Step:
    """By the actor.

    Args:
        space: of the model.
        problem: what is wanted.
        identity: place of the identity slider, in [0, 1].
        correction_steps: see `lc.edit.correct`.

    Returns:
        Done where D_attr reads what was wanted and every other constraint is met.
    """
    with torch.inference_mode():
        scale = space.model.calibration.for_actor(identity)
        z, pictures = propose_corrected(space, problem, scale, correction_steps)
        done = problem.met(z, 0.0)
    if not problem.others:
        return Step(0, z, {}, done, torch.zeros(len(z), dtype=torch.long), pictures)
    # What the actor and the correction have met needs no margin on top.
    bare = dataclasses.replace(problem.attributes, margin=0.0)
    constraints = dataclasses.replace(problem, attributes=bare).constraints(space, identity)
    *_, last = optimise(
        z.clone(),
        constraints,
        space.sigma_bar,
        steps=space.tuning.refinement_steps,
        rate=space.tuning.optimiser_rate,
        stride=space.tuning.optimiser_stride,
        radius=space.tuning.optimiser_radius,
    )
    return last


def trajectory(space: LatentSpace, problem: Problem, identity: float) -> Iterator[Step]:
    """By the optimiser: along the actor's line, then by descent until every constraint is met, one yield per step.

    Where no attribute is wanted, built-in or taught, descent begins at the photo's own latent.

    Args:
        space: of the model.
        problem: what is wanted.
        identity: place of the identity slider, in [0, 1].
    """
    tuning, proposal = space.tuning, None
    if problem.proposes:
        scale = space.model.calibration.for_optimiser(identity)
        with torch.inference_mode():
            corrected, _ = propose_corrected(space, problem, scale, tuning.correction_steps)
        proposal = corrected.clone()
    yield from optimise(
        problem.z,
        problem.constraints(space, identity),
        space.sigma_bar,
        steps=tuning.optimiser_steps,
        rate=tuning.optimiser_rate,
        stride=tuning.optimiser_stride,
        radius=tuning.optimiser_radius,
        proposal=proposal,
    )


def refine_samples(
    space: LatentSpace,
    z: Tensor,
    y: Tensor,
    changes: Changes,
    others: Mapping[str, Constraint],
    realism: bool,
) -> Tensor:
    """Generated latents (B, latent), optimised for the constraints that they do not meet yet.

    There is no distance term, for a sample has no original.

    Args:
        space: of the model.
        z: (B, latent); from the actor, or from the prior where `realism` is False.
        y: (B, A) in {0, 1}, the label vectors that they are made for.
        changes: the attributes that were asked for.
        others: constraints that the actor does not serve, by name.
        realism: whether they are to stay realistic. Without it, the attributes are not met yet either.
    """
    tuning, constraints = space.tuning, dict(others)
    if changes and (others or not realism):
        target, edited = changes.apply(y)
        margin = 0.0 if realism else tuning.sample_margin
        constraints["attributes"] = Attributes(
            space.attribute_critic, target, edited, edited.float(), margin, tuning.tolerance
        )
    if not constraints:
        return z
    for one in others.values():  # a rule's critic knows the way, and the rule how far
        if isinstance(one, Taught) and one.measured is not None:
            z = one.propose(z)
    if realism:
        constraints.setdefault("realism", Realism(space.critic, tuning.realism_weight, tuning.realism_level))
    steps = tuning.refinement_steps if realism else tuning.optimiser_steps
    rate, stride = tuning.optimiser_rate, tuning.optimiser_stride
    *_, last = optimise(z.clone(), constraints, space.sigma_bar, steps=steps, rate=rate, stride=stride)
    return last.z
