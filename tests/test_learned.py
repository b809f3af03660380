"""What was measured of rules and is kept in a weights folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import torch
from processes import finish_here
from tiny import LATENT
from torch import Tensor

from lc import following
from lc.checksums import save_config, save_files
from lc.edit.space import LatentSpace
from lc.errors import WeightsError
from lc.learned import FILE, load_rules
from lc.named import Vocabulary
from lc.parser import Parser, ParserConfig
from lc.rules import NamedRule, Pictures, named_rule, rule
from lc.tensors import save_modules
from lc.weights import load_model


@pytest.fixture(scope="module", autouse=True)
def few_rules() -> Iterator[None]:
    """Two rules, one of which has no gradient: what an untrained parser sees of mouths is nothing."""

    def lopsided(seen: Pictures) -> Tensor:
        return (seen.images[..., :32] > seen.images[..., 32:]).float().mean((1, 2, 3))

    lopsided.__module__ = "lc.rules"
    known = {"warmer": named_rule("warmer"), "lopsided": NamedRule("lopsided", lopsided, differentiable=False)}
    with mock.patch("lc.rules._RULES", known):
        yield


@pytest.fixture(scope="module")
def learned(contrasted_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with a parser in which rules were measured."""
    folder = tmp_path_factory.mktemp("learned") / "weights"
    folder.mkdir()
    for file in contrasted_weights.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    parser = Parser(ParserConfig(widths=(8, 8, 16, 16)))
    save_modules(folder, {"parser": parser}, parser={**vars(parser.config), "classes": list(parser.config.classes)})
    printed = finish_here(["train.rules", "--weights", str(folder), "--device", "cpu"])
    assert "warmer: " in printed
    assert "lopsided: " in printed
    return folder


def copied(folder: Path, to: Path) -> Path:
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_the_first_use_decodes_nothing(learned: Path) -> None:
    space = LatentSpace(load_model(learned, "cpu"))
    measured = following.measure(space, named_rule("warmer"))
    with mock.patch.object(following, "decoded", side_effect=AssertionError("decoded")):
        vocabulary = Vocabulary(space)
        assert vocabulary.scale(named_rule("warmer")) == pytest.approx(measured)
        assert vocabulary.stand_in(named_rule("lopsided")).explained <= 1


def test_a_learned_critic_is_the_one_that_would_be_fitted(learned: Path) -> None:
    space, chosen, z = LatentSpace(load_model(learned, "cpu")), named_rule("lopsided"), torch.randn(4, LATENT)
    fitted = following.stand_in(space, chosen, following.measure(space, chosen))
    kept = Vocabulary(space).stand_in(chosen)
    torch.testing.assert_close(kept.critic(z), fitted.critic(z))
    torch.testing.assert_close(kept.direction, fitted.direction)
    assert kept.explained == fitted.explained


def test_what_was_measured_on_another_generator_is_ignored(learned: Path, tmp_path: Path) -> None:
    folder = copied(learned, tmp_path)
    assert load_rules(folder, LATENT)
    data = (folder / "statistics.safetensors").read_bytes()
    save_files(folder, {"statistics.safetensors": data + b" "})  # another file as far as its checksum says
    assert load_rules(folder, LATENT) == {}


def test_damage_is_said_in_a_sentence(learned: Path, tmp_path: Path) -> None:
    folder = copied(learned, tmp_path)
    with pytest.raises(WeightsError, match=r"run python -m train\.rules\.$"):
        load_rules(folder, LATENT + 1)
    (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-8])
    with pytest.raises(WeightsError, match="checksum"):
        load_rules(folder, LATENT)
    config = json.loads((folder / "config.json").read_text())
    save_config(folder, files={name: value for name, value in config["files"].items() if name != FILE})
    with pytest.raises(WeightsError, match="no checksum"):
        load_rules(folder, LATENT)


def test_ones_own_rule_of_a_known_name_is_measured(learned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lc.rules._RULES", {})  # which the decorator fills

    @rule("warmer")
    def warmer(seen: Pictures) -> Tensor:
        return 5 * seen.images.mean((1, 2, 3))

    space = LatentSpace(load_model(learned, "cpu"))
    assert Vocabulary(space).scale(named_rule("warmer")) == pytest.approx(
        following.measure(space, named_rule("warmer"))
    )
