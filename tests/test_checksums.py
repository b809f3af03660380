"""lc.checksums: a weights folder holds what it held when it was written, or is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import finish_here
from tiny import LATENT, refuse
from torch import nn

from lc import checksums, reliability
from lc.checksums import load_config
from lc.critics import LatentStatistics
from lc.editor import DEFAULT_WEIGHTS
from lc.errors import WeightsError
from lc.identity import FILE, Calibration, load_calibration, save_calibration
from lc.weights import load_model, load_module, load_statistics, save_config, save_module, save_statistics
from train.migrate import migrate


@pytest.fixture
def folder(weights_copy: Path) -> Path:
    """A copy that may be damaged, calibrated."""
    save_calibration(weights_copy, Calibration())
    return weights_copy


def test_every_file_has_a_checksum(folder: Path) -> None:
    shipped = (DEFAULT_WEIGHTS.parent / name for name in ("celeba-64", "celeba-128", "gan-64", "judges-64"))
    for place in (folder, *shipped):
        patterns = ("*.safetensors*", FILE, reliability.FILE)
        loaded = {path.name for pattern in patterns for path in place.glob(pattern)}
        assert load_config(place)["files"].keys() == loaded
    load_model(folder, "cpu")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_byte_anywhere_is_refused_by_the_name_of_the_file(folder: Path, data: st.DataObject) -> None:
    path = folder / data.draw(st.sampled_from(sorted(load_config(folder)["files"])))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :])
    try:
        assert path.name in refuse(folder)
    finally:
        path.write_bytes(whole)


def test_a_folder_without_checksums_is_refused_until_it_is_migrated(folder: Path, tmp_path: Path) -> None:
    before = load_model(folder, "cpu")
    config = load_config(folder)
    del config["files"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text("# A card")
    assert f"python -m train.migrate {folder} NEW_FOLDER" in refuse(folder)
    assert "7 files" in finish_here(["train.migrate", str(folder), str(tmp_path / "new")])
    after = load_model(tmp_path / "new", "cpu")
    assert (tmp_path / "new" / "README.md").read_text() == "# A card"
    for a, b in zip(before.actor.state_dict().values(), after.actor.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    for path in folder.glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "new" / path.name).read_bytes()
    with pytest.raises(WeightsError, match="there already"):
        migrate(folder, tmp_path / "new")


@pytest.mark.parametrize("files", [3, [], {}, {"actor.safetensors": 3}, None])
def test_checksums_that_are_none_are_refused(folder: Path, files: object) -> None:
    save_config(folder, files=files)
    refuse(folder)


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "nothing.safetensors"])
def test_an_index_leads_to_no_other_file(folder: Path, name: str) -> None:
    shutil.copy(folder / "actor.safetensors", folder.parent / "outside.safetensors")
    (folder / "actor.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
    files = load_config(folder)["files"]
    digest = checksums.digest((folder / "actor.safetensors.index.json").read_bytes())
    files |= {"actor.safetensors.index.json": digest, name: files["actor.safetensors"]}
    save_config(folder, files=files)
    refuse(folder)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["encoder", "decoder", "actor", "critic", "attribute_critic", "statistics"])
def test_numbers_that_are_none_are_refused_by_the_name_of_the_file(folder: Path, name: str, bad: float) -> None:
    model = load_model(folder, "cpu")
    if name == "statistics":
        save_statistics(folder, LatentStatistics(torch.zeros(LATENT), torch.full((LATENT,), bad), torch.ones(LATENT)))
    else:
        net = getattr(model.generator, name, None) or getattr(model, name)
        list(net.parameters())[-1].data.flatten()[-1] = bad
        save_module(folder, name, net)
    message = refuse(folder)
    assert f"{name}.safetensors" in message
    assert "NaN or infinity" in message


def test_large_numbers_are_no_infinity(folder: Path) -> None:
    save_statistics(folder, LatentStatistics(*torch.full((3, 8), 3e38)))  # whose sum is
    assert load_statistics(folder).mean.eq(3e38).all()


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_json_holds_no_nan(folder: Path, text: str) -> None:
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"lambda_dist": [', f'"lambda_dist": [{text},'))
    assert "config.json" in refuse(folder)
    (folder / "config.json").write_text(config)
    data = json.dumps({**json.loads((folder / FILE).read_text()), "step_scales": {"Smiling=1": 0}}).replace(
        "0}", f"{text}}}"
    )
    checksums.save_files(folder, {FILE: data.encode()})
    assert FILE in refuse(folder)


def test_saving_keeps_the_checksums_up_to_date(tmp_path: Path) -> None:
    large = nn.Sequential(*(nn.Linear(1500, 1500) for _ in range(3)))
    save_module(tmp_path, "net", large)
    assert len(list(tmp_path.glob("net-*"))) > 1
    small = nn.Linear(3, 3)
    save_module(tmp_path, "net", small)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "net.safetensors"]
    assert list(load_config(tmp_path)["files"]) == ["net.safetensors"]
    load_module(tmp_path, "net", nn.Linear(3, 3))


def test_what_was_cut_short_is_no_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """config.json comes last: without it the new files count for nothing."""

    def fail(path: Path, value: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(checksums, "write_json", fail)
    with pytest.raises(OSError, match=r"config\.json"):
        save_module(folder, "actor", nn.Linear(3, 3))
    assert "actor.safetensors" in refuse(folder)


def test_a_damaged_config_is_a_sentence_before_anything_is_written(folder: Path) -> None:
    before = (folder / "actor.safetensors").read_bytes()
    (folder / "config.json").write_text('{"format": 1, "gen')
    with pytest.raises(WeightsError, match=r"config\.json is missing or damaged"):
        save_module(folder, "actor", nn.Linear(3, 3))
    assert (folder / "actor.safetensors").read_bytes() == before


def test_a_calibration_that_was_removed_is_missed(folder: Path) -> None:
    (folder / FILE).unlink()
    assert FILE in refuse(folder)
    checksums.forget_missing(folder, FILE)
    assert load_calibration(folder) == Calibration()


def test_migrating_renames_the_tables_of_an_earlier_calibration(folder: Path, tmp_path: Path) -> None:
    table = Calibration(step_scales={"Smiling=1": 0.9}, target_margins={"Young=0": 6.0})
    save_calibration(folder, table)
    text = (folder / FILE).read_text().replace("step_scales", "lengths").replace("target_margins", "shown")
    checksums.save_files(folder, {FILE: text.encode()})
    assert "earlier version" in refuse(folder)
    migrate(folder, tmp_path / "new")
    assert load_calibration(tmp_path / "new") == table
    migrate(tmp_path / "new", tmp_path / "again")
    assert (tmp_path / "again" / FILE).read_bytes() == (tmp_path / "new" / FILE).read_bytes()
