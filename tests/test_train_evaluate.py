"""The evaluation: every row, the summary, the card and its plots, on made-up pictures and untrained nets."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lc.classifier import Classifier, ClassifierConfig
from lc.flow import Flow, FlowConfig
from lc.parser import Parser, ParserConfig
from lc.ui.layout import model_card
from lc.weights import load_tuning, save_classifier, save_config, save_flow, save_module, save_tuning
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES
from train.evaluate import report
from train.evaluate.__main__ import EvaluateConfig, main, measure, write
from train.evaluate.crops import SAME_PERSON_DIRECTIONS, _leak, _turned, spread
from train.evaluate.plots import write_plots
from train.evaluate.reach import _slider_reach
from train.evaluate.tables import finished_tables
from train.identity import FaceEmbedding, MissingEmbeddingError


@pytest.fixture(scope="module")
def evaluators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained classifiers that do not say the same of every picture."""
    folder = tmp_path_factory.mktemp("evaluators")
    for seed, kind in enumerate(("reader", "realism")):
        torch.manual_seed(seed)
        classifier = Classifier(ClassifierConfig(widths=(8, 8, 8, 8))).eval()
        found = torch.sigmoid(classifier(torch.rand(64, 3, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)))
        classifier.thresholds.copy_(found.median(0).values)
        save_classifier(folder, kind, classifier)
    return folder


@pytest.fixture(scope="module")
def weights(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, with a flow. Untrained critics are never met: three steps show as much as three hundred."""
    folder = tmp_path_factory.mktemp("evaluated") / "weights"
    shutil.copytree(tiny_weights, folder)
    save_flow(folder, Flow(FlowConfig(latent=24, axes=8, width=16, blocks=1, condition=8, steps=2)))
    save_tuning(folder, dataclasses.replace(load_tuning(folder), optimiser_steps=3))
    return folder


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained parser, as train.parser writes one."""
    folder, sizes = tmp_path_factory.mktemp("parser"), ParserConfig(image_size=32, widths=(8, 8, 8, 8))
    torch.manual_seed(0)
    save_config(folder, parser={**vars(sizes), "classes": list(sizes.classes)})
    save_module(folder, "parser", Parser(sizes).eval())
    return folder


@pytest.fixture(scope="module")
def config(celeba: Path, weights: Path, evaluators: Path, parser: Path) -> EvaluateConfig:
    return EvaluateConfig(
        weights,
        evaluators,
        celeba,
        count=3,
        parser=parser,
        masks_photos=6,
        outside=False,
        grey=1,
        crops=True,
        plain=weights,
        seeds=(0, 1),
        thorough=True,
        edits=3,
        optimised=1,
        swept=2,
        sweep=(0.0, 0.5, 1.0),
        several=9,
        device="cpu",
    )


@pytest.fixture(scope="module")
def figures(config: EvaluateConfig) -> dict[str, Any]:
    said: list[str] = []
    figures = measure(config, said.append)
    assert said == [report.evaluators_table(figures)]
    return figures


def test_every_row_is_there(figures: dict[str, Any]) -> None:
    assert set(figures) >= {*report.ROWS, "edits_actor", "edits_optimise", "sweep", "sweep_optimise", "samples"}
    assert set(figures["samples"]) == set(figures["sweep"]) == {"0.0", "0.5", "1.0"}
    assert figures["samples"]["0.0"] == figures["actor"]


def test_finished_photos_are_measured_by_every_role_that_is_there(figures: dict[str, Any]) -> None:
    found = figures["finished"]
    assert found["photos"] == 3
    assert found["readers"]["evaluation"]
    assert not found["readers"]["outside"]
    assert set(found["masks"]["agreement"]) >= {"Eyeglasses", "Bald", "Wearing_Hat"}
    (place,) = found["places"].values()
    for groups in place["directions"].values():
        assert groups["all"]["edits"] <= 3
        assert {"held", "converged", "mouth"} <= set(groups["all"])  # toys fill their pictures: no background
        assert "outside" not in groups["all"]
    text = finished_tables(json.loads(json.dumps(found, default=str)))
    assert all(f"| {name} | " in text for name in place["directions"])
    assert "all roles side by side" in text
    assert "What nobody asked for" in text


def test_without_a_parser_the_card_says_so(figures: dict[str, Any]) -> None:
    text = finished_tables({**figures["finished"], "masks": None})
    assert "nothing was measured by masks" in text
    assert "What nobody asked for" not in text


def test_finished_photos_alone_leave_the_crops_figures_as_they_were(
    config: EvaluateConfig, figures: dict[str, Any], tmp_path: Path
) -> None:
    there = dataclasses.replace(config, weights=tmp_path)
    write(there, report.short(figures))
    tables = (tmp_path / "evaluation.md").read_text()
    assert {"<!-- evaluation -->", "<!-- finished -->"} <= set(tables.splitlines())
    again = report.short({"finished": {**figures["finished"], "photos": 77}})
    write(dataclasses.replace(there, crops=False), again)
    known = json.loads((tmp_path / "evaluation.json").read_text())
    assert known["finished"]["photos"] == 77
    assert known["reach"]["psnr"] == report.short(figures)["reach"]["psnr"]
    after, card = ((tmp_path / name).read_text() for name in ("evaluation.md", "README.md"))
    assert "77 photos" in after
    assert "77 finished photos" in card
    assert "evaluation.md" in card
    assert "<!-- evaluation -->" not in card  # a page, no more
    assert after.split("<!-- evaluation -->")[1].split("<!-- /")[0] in tables
    write(there, report.short({k: v for k, v in figures.items() if k != "several"}))
    assert "several" not in json.loads((tmp_path / "evaluation.json").read_text())


def test_places_of_the_slider_are_compared_by_the_same_photos(figures: dict[str, Any]) -> None:
    photos = [[row["photos"] for row in figures["sweep"][place]["directions"].values()] for place in ("0.0", "0.5")]
    assert photos[0] == photos[1]
    assert max(photos[0]) == 2
    more = figures["edits_actor"]["directions"]
    assert max(row["photos"] for row in more.values()) == 3
    # Where no more than two could be edited, both rows are of the same edits.
    for name, row in figures["sweep"]["0.5"]["directions"].items():
        assert row["photos"] < more[name]["photos"] or row["success"] == more[name]["success"]


def test_several_changes_are_counted_by_how_many_they_are(figures: dict[str, Any]) -> None:
    several = figures["several"]
    assert several["all"]["photos"] == min(9, figures["photos"])
    assert 0 < sum(row["photos"] for name, row in several.items() if name != "all") <= several["all"]["photos"]
    for row in several.values():
        assert 0 <= row["success"] <= row["shown"] <= 1
    assert "all of them shown" in report.markdown(figures)
    without = {key: value for key, value in figures.items() if key != "several"}
    assert "all of them shown" not in report.markdown(without)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), seen=st.lists(st.booleans(), min_size=10, max_size=10))
def test_several_changes_do_not_contradict_each_other(seed: int, seen: list[bool]) -> None:
    changes = _turned(torch.tensor(seen), torch.Generator().manual_seed(seed))
    assert 2 <= len(changes) <= 4
    assert all(wanted != seen[ATTRIBUTES.index(name)] for name, wanted in changes.items())
    for name, wanted in changes.items():
        assert all(
            changes.get(other, implied) == implied
            for other, implied in ATTRIBUTE_SET.changes({name: wanted}).resolved.items()
        )


def test_seeds_are_other_faces(figures: dict[str, Any]) -> None:
    for row in (figures["actor"], figures["flow"], figures["samples"]["1.0"]):
        assert row["z_distance_spread"] > 0
    assert figures["optimiser"]["z_distance_spread"] == 0  # the first seed alone


def test_lambda_dist_goes_between_the_ends_of_config_json(figures: dict[str, Any]) -> None:
    assert figures["lambda_dist"] == pytest.approx({"0.0": 0.01, "0.5": 0.1, "1.0": 1.0})


def test_the_same_decoder_gives_the_same_rows(figures: dict[str, Any]) -> None:
    for name in ("accuracy", "frechet", "psnr"):
        assert figures["plain_reconstruction"][name] == pytest.approx(figures["reconstruction"][name], rel=1e-4)
    assert figures["plain_actor"]["frechet"] == pytest.approx(figures["actor"]["frechet"], rel=1e-4)
    assert figures["reach"]["plain_psnr"] == pytest.approx(figures["reach"]["psnr"], rel=1e-4)


def test_faces_of_the_flow_are_what_samples_are_judged_by(figures: dict[str, Any]) -> None:
    assert figures["flow"]["frechet"] != figures["actor"]["frechet"]
    assert figures["reach"]["samples_frechet"] == figures["flow"]["frechet"]
    assert figures["reach"]["samples_diversity_ratio"] == figures["flow"]["diversity"]


def test_means_are_over_the_directions(figures: dict[str, Any]) -> None:
    edits = figures["edits_actor"]
    directions = edits["directions"]
    assert edits["held"] == pytest.approx(sum(row["held"] for row in directions.values()) / len(directions))
    kept = [row["success"] for name, row in directions.items() if name in SAME_PERSON_DIRECTIONS]
    assert edits["same_person_edits"]["success"] == pytest.approx(sum(kept) / len(kept))
    worst = figures["reach"]["actor_edits_success_min_direction"]
    assert figures["reach"]["actor_edits_success_min"] == directions[worst]["success"]
    assert directions[worst]["success"] == min(row["success"] for row in directions.values())


def test_photos_that_lack_it_are_edited_and_no_more_than_asked(figures: dict[str, Any]) -> None:
    counts = [row["photos"] for row in figures["edits_actor"]["directions"].values()]
    assert 0 < min(counts) <= max(counts) <= 3


def test_the_card_gets_tables_and_pictures_that_the_page_shows(figures: dict[str, Any], weights: Path) -> None:
    text = report.markdown(json.loads(json.dumps(report.short(figures), default=str)))
    (weights / "README.md").write_text("# A card\n")
    (weights / "evaluation.md").write_text(
        "# Measured\n\n<!-- evaluation -->\nyesterday's table\n<!-- /evaluation -->\n\nThe end.\n"
    )
    report.write_part(weights / "evaluation.md", text)
    write_plots(weights / "plots", figures)
    card = (weights / "evaluation.md").read_text()
    assert card.startswith("# Measured")
    assert card.endswith("The end.\n")
    assert "yesterday" not in card
    for line in card.splitlines():
        assert not line.startswith("|") or line.endswith("|")
    for name in ("identity", "leak"):
        path = weights / "plots" / f"{name}.png"
        assert path.stat().st_size < 100_000
        with Image.open(path) as picture:
            assert min(picture.size) > 200
    assert model_card(weights).count("](data:image/png;base64,") == 2


def test_the_command_writes_json_card_and_plots(
    config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(config.weights, weights, ignore=shutil.ignore_patterns("*.md", "plots"))
    where = ["--weights", str(weights), "--evaluators", str(config.evaluators), "--celeba", str(config.celeba)]
    few = ["--edits", "1", "--optimised", "1", "--swept", "1", "--seeds", "0"]
    few += [
        "--sweep",
        "0.5",
        "--limit",
        "4",
        "--device",
        "cpu",
        "--crops",
        "--count",
        "1",
        "--grey",
        "0",
        "--no-outside",
    ]
    monkeypatch.setattr(sys, "argv", ["evaluate", *where, *few])
    main()
    printed, tables = capsys.readouterr().out, (weights / "evaluation.md").read_text()
    # The evaluation classifiers are heard before the long part begins, and again where they belong.
    assert printed.count("| the reader |") == 2
    assert all(f"| {name}={value} |" in tables for name in ATTRIBUTES for value in (0, 1))
    figures = json.loads((weights / "evaluation.json").read_text())
    assert set(figures) >= {"real", "reconstruction", "prior", "actor", "edits_actor", "edits_optimise", "reach"}
    assert 0 <= figures["actor"]["accuracy"] <= 1
    assert report.markdown(figures) in tables  # and so does train.evaluate.report, to the last digit
    assert {path.name for path in (weights / "plots").iterdir()} == {"identity.png", "leak.png"}


def test_tables_have_as_many_cells_as_columns(figures: dict[str, Any]) -> None:
    widths: list[int] = []
    for line in [*report.markdown(figures).splitlines(), *finished_tables(figures["finished"]).splitlines()]:
        if not line.startswith("|"):
            widths = []
            continue
        widths.append(line.count("|"))
        assert widths[-1] == widths[0], line


def test_without_the_face_embedding_the_rest_is_measured(
    config: EvaluateConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def missing(self: FaceEmbedding) -> None:
        raise MissingEmbeddingError("Install it.")

    monkeypatch.setattr(FaceEmbedding, "__init__", missing)
    few = {"seeds": (0,), "sweep": (0.0, 1.0), "limit": 4, "count": 1, "grey": 0, "edits": 1, "swept": 1, "several": 0}
    short = EvaluateConfig(**{**vars(config), **few, "parser": None, "plain": None, "thorough": False})
    figures = measure(short)
    assert "Install it." in capsys.readouterr().out
    assert not any("person" in name or "embedding" in name for name in figures["edits_actor"]["directions"]["Bald=1"])
    assert "is not installed" in report.markdown(figures)
    assert "same person" not in report._edits_table(figures)[0]
    write_plots(tmp_path, figures)
    assert (tmp_path / "identity.png").exists()


def test_leaks_by_hand() -> None:
    young, male = ATTRIBUTES.index("Young"), ATTRIBUTES.index("Male")
    on, off = torch.zeros(2, 10), torch.zeros(4, 10)
    on[:, young], on[0, male] = 1, -1  # two made young, one of them read as a woman then
    off[:3, young], off[0, male] = -1, 1  # three of four made old, one of them read as a man then
    leak = _leak({"Young=1": on, "Young=0": off})
    assert set(leak) == {"Young"}
    assert leak["Young"]["Young"] == pytest.approx((1 + 0.75) / 2)
    assert leak["Young"]["Male"] == pytest.approx((-0.5 - 0.25) / 2)
    assert leak["Young"]["Bald"] == 0


def test_spread_is_half_the_range() -> None:
    assert spread([{"a": 1.0, "b": {"c": 2.0}}, {"a": 4.0, "b": {"c": 2.0}}]) == {
        "a": 2.5,
        "a_spread": 1.5,
        "b": {"c": 2.0, "c_spread": 0.0},
    }


@pytest.mark.parametrize(("successes", "rise"), [((0.9, 0.8, 0.7), 0.0), ((0.9, 0.95, 0.7), 0.05)])
def test_a_slider_is_monotone_when_success_only_falls(successes: tuple[float, ...], rise: float) -> None:
    places = zip(("0.0", "0.5", "1.0"), successes, strict=True)
    sweep = {p: {"success": s, "z_distance": 1 - float(p), "same_person_edits": {"success": s}} for p, s in places}
    reach = _slider_reach(sweep)
    assert reach["monotone_success"] is (rise == 0)
    assert reach["rise_success"] == pytest.approx(rise)
    assert reach["monotone_z_distance"] is True
    assert (reach["kept_identity"], reach["kept_success"]) == (1.0, 0.7)


def test_the_last_digit_of_a_mean_does_not_make_a_curve_rise() -> None:
    def monotone(success: float) -> bool:
        rows = {str(place): {"success": value, "same_person_edits": {}} for place, value in enumerate((0.3, success))}
        return bool(_slider_reach(rows)["monotone_success"])

    assert monotone(0.1 + 0.2)
    assert not monotone(0.301)
