"""lc.weights: what is saved comes back, and what is damaged is refused in one sentence."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import LATENT, refuse
from torch import nn

from lc.critics import LatentStatistics
from lc.errors import WeightsError
from lc.vae import VAE, VAEConfig
from lc.weights import (
    load_config,
    load_generator,
    load_model,
    load_module,
    load_statistics,
    locate,
    save_config,
    save_generator,
    save_module,
    save_statistics,
    to_device,
)
from train.attributes import ATTRIBUTES

# --- round trips ---------------------------------------------------------------------------------------------------


def test_a_generator_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(1)
    vae = VAE(VAEConfig(latent=9, widths=(4, 4, 6, 6), bottleneck=4, encoder_blocks=1)).train()
    vae.encode(torch.rand(4, 3, 64, 64))  # moves the batch norms' statistics
    save_generator(tmp_path, vae.eval())
    back = load_generator(tmp_path)
    assert back.config == vae.config
    assert not back.training
    assert not any(p.requires_grad for p in back.parameters())
    for (name, saved), loaded in zip(vae.state_dict().items(), back.state_dict().values(), strict=True):
        torch.testing.assert_close(loaded, saved, rtol=1e-3, atol=1e-6, msg=name)  # fp16 holds 11 bits
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(back.encode(images).mean, vae.encode(images).mean, rtol=0.02, atol=0.01)
    torch.testing.assert_close(back.decode(torch.ones(2, 9)), vae.decode(torch.ones(2, 9)), rtol=0, atol=0.01)


def test_saving_what_was_loaded_changes_nothing(tiny_weights: Path, tmp_path: Path) -> None:
    vae = load_generator(tiny_weights)
    save_generator(tmp_path, vae)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(load_generator(tmp_path).encode(images).mean, vae.encode(images).mean)
    for name in ("encoder", "decoder"):
        file = f"{name}.safetensors"
        assert (tmp_path / file).read_bytes() == (tiny_weights / file).read_bytes()


def test_large_modules_are_split_and_come_back(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(1500, 1500), nn.Linear(1500, 1500), nn.Linear(1500, 1500))
    save_module(tmp_path, "net", module)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert len(files) > 1
    assert all(file.stat().st_size < 10e6 for file in files)
    back = nn.Sequential(nn.Linear(1500, 1500), nn.Linear(1500, 1500), nn.Linear(1500, 1500))
    load_module(tmp_path, "net", back)
    for saved, loaded in zip(module.parameters(), back.parameters(), strict=True):
        assert torch.equal(saved.half().float(), loaded)
    files[0].unlink()
    with pytest.raises(WeightsError):
        load_module(tmp_path, "net", back)


def test_statistics_come_back_exactly(tmp_path: Path) -> None:
    statistics = LatentStatistics(torch.randn(5), torch.rand(5), torch.rand(5))
    save_statistics(tmp_path, statistics)
    for saved, loaded in zip(statistics, load_statistics(tmp_path), strict=True):
        assert torch.equal(saved, loaded)


def test_a_whole_model_is_frozen_and_ready(tiny_weights: Path) -> None:
    model = load_model(tiny_weights, "cpu")
    for net in (model.generator, model.actor, model.critic, model.attribute_critic):
        assert not net.training
        assert not any(p.requires_grad for p in net.parameters())
    assert model.generator.latent == LATENT
    assert model.label_vectors.shape == (len(model.label_counts), 10)
    assert model.label_counts.sum() == 200
    assert model.lambda_dist == (0.01, 1.0)


def test_loading_draws_no_random_weights(tiny_weights: Path) -> None:
    """They take a third of loading's time, only to be replaced; and whoever set a seed keeps its numbers."""
    state = torch.get_rng_state()
    load_model(tiny_weights, "cpu")
    assert torch.equal(torch.get_rng_state(), state)


def test_config_keeps_other_sections(tmp_path: Path) -> None:
    save_config(tmp_path, one={"a": 1})
    save_config(tmp_path, two=[2])
    assert load_config(tmp_path) == {"format": 1, "one": {"a": 1}, "two": [2]}


def test_nothing_is_pickled(tiny_weights: Path) -> None:
    assert {file.suffix for file in tiny_weights.iterdir()} == {".json", ".safetensors"}


# --- damage --------------------------------------------------------------------------------------------------------

FILES = ["encoder", "decoder", "actor", "critic", "attribute_critic", "statistics"]


@pytest.mark.parametrize("name", [*(f"{name}.safetensors" for name in FILES), "config.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "text", "folder"])
def test_a_damaged_file_is_refused(weights_copy: Path, name: str, damage: str) -> None:
    path = weights_copy / name
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"empty": b"", "truncated": data[: len(data) // 2], "text": b"not found\n"}[damage])
    refuse(weights_copy)


@pytest.mark.parametrize("name", FILES)
def test_weights_of_other_sizes_are_refused(weights_copy: Path, name: str) -> None:
    if name == "statistics":
        save_statistics(weights_copy, LatentStatistics(torch.zeros(5), torch.ones(5), torch.ones(5)))
    else:
        save_module(weights_copy, name, nn.Linear(3, 3))
    refuse(weights_copy)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_byte_never_escapes_as_another_error(weights_copy: Path, data: st.DataObject) -> None:
    path = weights_copy / data.draw(st.sampled_from(["critic.safetensors", "statistics.safetensors", "config.json"]))
    whole = path.read_bytes()
    # The header and the config are where a byte can do more than change a weight.
    place = data.draw(st.integers(0, min(len(whole), 1200) - 1))
    path.write_bytes(whole[:place] + data.draw(st.binary(min_size=1, max_size=3)) + whole[place + 1 :])
    with contextlib.suppress(WeightsError):
        load_model(weights_copy, "cpu")
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", 99),
        ("generator", None),
        ("generator.latent", 0),
        ("generator.latent", 1.5),
        ("generator.latent", "24"),
        ("generator.latent", LATENT + 1),
        ("generator.widths", [8, 8]),
        ("generator.colour", 1),
        ("actor", []),
        ("critic.width", 64),
        ("critic.width", 10**12),
        ("attribute_critic.attributes", 3),
        ("attributes", list(ATTRIBUTES[1:])),
        ("attributes", 7),
        ("label_vectors", {}),
        ("label_vectors", ["0101010101"]),
        ("label_vectors", {"01": 5}),
        ("label_vectors", {"0101010101": "many"}),
        ("label_vectors", {"0101010101": -1}),
        ("label_vectors", {"0101010101": 0}),
        ("label_vectors", {"0101010109": 1}),
        ("lambda_dist", [0.1]),
        ("lambda_dist", [0, 1]),
        ("lambda_dist", ["a", "b"]),
    ],
)
def test_a_config_that_does_not_fit_is_refused(weights_copy: Path, path: str, value: object) -> None:
    config = json.loads((weights_copy / "config.json").read_text())
    *parents, key = path.split(".")
    section = config[parents[0]] if parents else config
    section[key] = value
    (weights_copy / "config.json").write_text(json.dumps(config))
    refuse(weights_copy)


@pytest.mark.parametrize("key", ["format", "generator", "actor", "attributes", "label_vectors", "lambda_dist"])
def test_a_config_with_a_section_missing_is_refused(weights_copy: Path, key: str) -> None:
    config = json.loads((weights_copy / "config.json").read_text())
    del config[key]
    (weights_copy / "config.json").write_text(json.dumps(config))
    refuse(weights_copy)


def test_a_generator_alone_is_said_to_be_one(tmp_path: Path) -> None:
    save_generator(tmp_path, VAE(VAEConfig(latent=9, widths=(4, 4, 6, 6), bottleneck=4)))
    assert "holds a generator and nothing that edits with it" in refuse(tmp_path)


@pytest.mark.parametrize("text", ["[]", "3", "null", "{", '"format"'])
def test_a_config_that_is_no_object_is_refused(weights_copy: Path, text: str) -> None:
    (weights_copy / "config.json").write_text(text)
    refuse(weights_copy)


@pytest.mark.parametrize(
    "index", ["{", "[]", "{}", '{"weight_map": {"x": "../../x.safetensors"}}', '{"weight_map": 3}']
)
def test_a_damaged_index_is_refused(weights_copy: Path, index: str) -> None:
    (weights_copy / "actor.safetensors.index.json").write_text(index)
    refuse(weights_copy)


def test_a_pickle_is_not_opened(weights_copy: Path) -> None:
    (weights_copy / "actor.safetensors").unlink()
    torch.save({}, weights_copy / "actor.bin")
    refuse(weights_copy)


# --- places --------------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "nowhere" in refuse(tmp_path / "nowhere")


def test_a_repository_that_cannot_be_reached_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "nobody/nothing" in refuse("nobody/nothing")


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert locate(tmp_path) == locate(str(tmp_path)) == tmp_path


def test_devices() -> None:
    assert to_device("cpu") == torch.device("cpu")
    assert to_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("tpu", "", "CPU"):
        with pytest.raises(WeightsError, match="auto"):
            to_device(name)
