"""Rules: functions of the decoded picture as constraints."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lc.constraints import evaluate
from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError, UnknownAttributeError
from lc.few_shot import contrast_of
from lc.following import follow, measure, stand_in, values_of
from lc.named import Vocabulary, Wanted
from lc.parser import Parser, ParserConfig
from lc.rules import NamedRule, Pictures, named_rule, rules


@given(red=st.floats(0, 1), blue=st.floats(0, 1))
def test_warmer_and_cooler_are_opposites(red: float, blue: float) -> None:
    seen = Pictures(torch.tensor([red, 0.5, blue]).view(1, 3, 1, 1).expand(1, 3, 8, 8))
    assert float(named_rule("warmer")(seen)) == pytest.approx(red - blue, abs=1e-5)
    assert float(named_rule("Cooler")(seen)) == pytest.approx(blue - red, abs=1e-5)


def test_a_mirrored_picture_is_most_symmetrical() -> None:
    half = torch.rand(1, 3, 8, 4)
    assert float(named_rule("more symmetrical")(Pictures(torch.cat([half, half.flip(3)], 3)))) == 0
    assert float(named_rule("more symmetrical")(Pictures(torch.rand(1, 3, 8, 8)))) < 0


def test_every_rule_gives_a_number_per_picture() -> None:
    parser = Parser(ParserConfig(widths=(8, 8, 16, 16))).eval()
    seen = Pictures(torch.rand(3, 3, 64, 64), parser)
    for one in [*rules(), named_rule("hair_like_a52a2a")]:
        assert one(seen).shape == (3,)
        assert one(seen).isfinite().all()


def test_a_rule_that_needs_masks_is_refused_without_a_parser(contrasted_editor: FaceEditor) -> None:
    with pytest.raises(LatentConstraintsError, match="no face parser"):
        measure(contrasted_editor.space, named_rule("darker_hair"))


def test_an_unknown_rule_is_refused(contrasted_editor: FaceEditor) -> None:
    with pytest.raises(UnknownAttributeError, match="choose from Bald"):
        Vocabulary(contrasted_editor.space).check([Wanted("wamer")])
    with pytest.raises(LatentConstraintsError, match="is no colour"):
        Vocabulary(contrasted_editor.space).check([Wanted("hair_like_zz")])


def test_a_rule_that_says_nothing_is_refused(contrasted_editor: FaceEditor) -> None:
    with pytest.raises(LatentConstraintsError, match="the same for all faces"):
        measure(contrasted_editor.space, NamedRule("flat", lambda seen: torch.zeros(len(seen.images))))


def test_a_rule_is_followed_through_the_decoder(contrasted_editor: FaceEditor) -> None:
    space, chosen = contrasted_editor.space, named_rule("warmer")
    z = contrast_of(space)[:4]
    rule = follow(space, chosen, measure(space, chosen), z)
    assert not evaluate(rule, z).met.any()  # each photo is to be warmer than it is
    leaf = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(evaluate(rule, leaf).energy.sum(), leaf)
    assert (evaluate(rule, z - 1e-2 * slope).energy < evaluate(rule, z).energy).all()
    assert torch.equal(evaluate(rule.rows(torch.tensor([2])), z[2:3]).energy, evaluate(rule, z).energy[2:3])


def test_a_stand_in_agrees_with_its_rule(contrasted_editor: FaceEditor) -> None:
    space, chosen = contrasted_editor.space, named_rule("warmer")
    scale = measure(space, chosen)
    fitted = stand_in(space, chosen, scale)
    assert 0 < fitted.explained <= 1
    z = contrast_of(space)[:64]
    values = chosen(Pictures(space.model.generator.decode(z)))
    assert float(torch.corrcoef(torch.stack([values, fitted.critic(z)[:, 0]]))[0, 1]) > 0.3


def test_what_was_measured_is_shared_by_whoever_taught_what(contrasted_editor: FaceEditor) -> None:
    vocabulary = Vocabulary(contrasted_editor.space)
    scale = vocabulary.scale(named_rule("warmer"))
    assert vocabulary.knowing([]).scale(named_rule("warmer")) is scale
    assert scale == pytest.approx(measure(contrasted_editor.space, named_rule("warmer")))


def test_less_strength_asks_for_less_of_a_rule(contrasted_editor: FaceEditor) -> None:
    vocabulary, z = Vocabulary(contrasted_editor.space), contrast_of(contrasted_editor.space)[:2]
    levels = [vocabulary.constraint(Wanted("warmer", share), z).level for share in (0.6, 0.8, 1.0)]  # type: ignore[union-attr]
    assert (levels[0] < levels[1]).all()
    assert (levels[1] < levels[2]).all()


def test_a_critic_is_followed_until_the_picture_has_it(contrasted_editor: FaceEditor) -> None:
    space, chosen = contrasted_editor.space, named_rule("warmer")
    z = contrast_of(space)[:16]
    constraint = stand_in(space, chosen, measure(space, chosen)).constraint(z)
    assert not evaluate(constraint, z).met.any()  # each is to be warmer than it is
    moved = constraint.propose(z)
    warm_enough = values_of(space, chosen, moved) >= constraint.level
    assert warm_enough.float().mean() > 0.5
    assert torch.equal(evaluate(constraint, moved).met, warm_enough)
    one = torch.tensor([3])
    torch.testing.assert_close(constraint.rows(one).propose(z[one]), moved[one])
