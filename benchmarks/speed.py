"""Where the time goes, and how near it is to the time that reading the weights from memory takes.

    python -m pytest benchmarks/speed.py --benchmark-json benchmarks/speed.json

On a machine that does nothing else; OMP_NUM_THREADS=2 for figures on two cores. Each benchmark holds the figure that
it aims at in `extra_info`; none of them fails for being slow. The peer is the paper's notebook, plainly written, at its
own widths; see reference.py.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.reference import PaperActor, paper_critic, plain
from lc.__main__ import main
from lc.constraints import Constraint, Realism
from lc.edit.optimiser import optimise
from lc.edit.problem import Problem, constraints_of, pose
from lc.edit.solve import act
from lc.editor import DEFAULT_WEIGHTS, FaceEditor, Reading
from lc.invert import invert
from lc.ui.photos import EXAMPLES
from lc.vae import VAE
from train.attributes import ATTRIBUTES

pytest.importorskip("pytest_benchmark", reason="pip install pytest-benchmark")
PHOTO = EXAMPLES / "astronaut.jpg"
MB = 1e6


@pytest.fixture(scope="module")
def editor() -> FaceEditor:
    return FaceEditor.load(DEFAULT_WEIGHTS, "cpu")


@pytest.fixture(scope="module")
def reading(editor: FaceEditor) -> Reading:
    return editor.read(PHOTO)


@pytest.fixture(scope="module")
def vae(editor: FaceEditor) -> VAE:
    """The generator that ships."""
    generator = editor.model.generator
    assert isinstance(generator, VAE)
    return generator


def size(*nets: nn.Module) -> float:
    """MB of the weights that one pass reads."""
    return sum(p.numel() * p.element_size() for net in nets for p in net.parameters()) / MB


def aim(benchmark: Any, seconds: float) -> None:
    benchmark.extra_info["aim_ms"] = seconds * 1000


def traffic(benchmark: Any, megabytes: float) -> None:
    """Note the GB/s that were read, once the benchmark has run."""
    if benchmark.stats is None:  # --benchmark-disable: everything runs once, untimed
        return
    benchmark.extra_info["MB"] = megabytes
    benchmark.extra_info["GB_per_s"] = megabytes / 1000 / benchmark.stats.stats.median


# --- memory --------------------------------------------------------------------------------------------------------


def test_plain_copy(benchmark: Any, editor: FaceEditor) -> None:
    """As many bytes as a step of the optimiser reads, copied: the yardstick. Reading and writing are both counted."""
    source = torch.rand(int(size(editor.space.critic, editor.space.attribute_critic) * MB / 4))
    target = torch.empty_like(source)
    benchmark(target.copy_, source)
    traffic(benchmark, 2 * source.numel() * 4 / MB)


def test_plain_read(benchmark: Any, editor: FaceEditor) -> None:
    """The same bytes, summed up: only read."""
    source = torch.rand(int(size(editor.space.critic, editor.space.attribute_critic) * MB / 4))
    benchmark(source.sum)
    traffic(benchmark, source.numel() * 4 / MB)


# --- the parts -----------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_encode(benchmark: Any, vae: VAE) -> None:
    benchmark(vae.encode, torch.rand(1, 3, 64, 64))
    traffic(benchmark, size(vae.encoder))


@torch.inference_mode()
def test_decode(benchmark: Any, vae: VAE, reading: Reading) -> None:
    benchmark(vae.decode, reading.z[None])
    traffic(benchmark, size(vae.decoder))


@torch.inference_mode()
def test_actor(benchmark: Any, editor: FaceEditor, reading: Reading) -> None:
    y, slider = torch.zeros(1, 10), torch.full((1,), 0.5)
    benchmark(editor.model.actor, reading.z[None], y, y, slider)
    traffic(benchmark, size(editor.model.actor))


def posed(editor: FaceEditor, z: Tensor, changes: dict[str, Any], pictures: Tensor | None = None) -> Problem:
    return pose(editor.space, z, constraints_of(editor.space, changes), pictures=pictures)


def trajectory_of(editor: FaceEditor, reading: Reading, steps: int) -> Any:
    """A trajectory that never arrives, so that it takes all its steps."""
    space, problem = editor.space, posed(editor, reading.z[None], {"Smiling": reading.attributes["Smiling"] < 0.5})
    constraints: dict[str, Constraint] = problem.constraints(space, 0.5)
    constraints["realism"] = Realism(space.critic, level=2.0)

    def run() -> None:
        for _ in optimise(problem.z, constraints, space.sigma_bar, steps=steps, rate=0.1, stride=0.15):
            pass

    return run


def test_one_descending_step(benchmark: Any, editor: FaceEditor, reading: Reading) -> None:
    """Both critics, forwards and backwards: every weight is read twice. Timed as 20 steps."""
    benchmark(trajectory_of(editor, reading, 20))
    traffic(benchmark, 20 * 2 * size(editor.space.critic, editor.space.attribute_critic))


@pytest.mark.parametrize("storage", [torch.float32, torch.bfloat16, torch.float16], ids=["fp32", "bf16", "fp16"])
def test_critics_stored_as(benchmark: Any, editor: FaceEditor, reading: Reading, storage: torch.dtype) -> None:
    """Would half the bytes be twice as fast? Forwards and backwards through both critics."""
    nets = [FaceEditor.load(DEFAULT_WEIGHTS, "cpu").space.critic.to(storage) for _ in range(2)]
    z = reading.z[None].to(storage)

    def step() -> None:
        here = z.clone().requires_grad_(True)
        torch.autograd.grad(sum(net(here).sum() for net in nets), here)

    benchmark(step)
    traffic(benchmark, 2 * size(*nets))


# --- what a person waits for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["one pass", "as the app does"])
def test_actor_edit_64_to_64(benchmark: Any, editor: FaceEditor, vae: VAE, reading: Reading, way: str) -> None:
    """Encode, propose, decode: each in one pass, or with descent for the photo and correction of the edit."""
    aim(benchmark, 0.025)
    model, one_pass = editor.model, way == "one pass"
    steps = 0 if one_pass else editor.correction_steps
    image = torch.from_numpy(np.asarray(reading.aligned.crop).copy()).permute(2, 0, 1)[None] / 255

    @torch.inference_mode()
    def edit() -> Tensor:
        if one_pass:
            z, decoded = vae.encode(image).mean, None
        else:
            z, decoded = invert(vae, image, model.tuning, perceptual=model.perceptual)
        pictures = act(editor.space, posed(editor, z, {"Eyeglasses": True}, decoded), 0.5, steps).pictures
        assert pictures is not None
        return pictures

    benchmark(edit)


def test_upload_to_picture(benchmark: Any, editor: FaceEditor) -> None:
    """A photo of 512x512 from its bytes to the edited photo's: detected, aligned, encoded, moved, decoded, pasted."""
    aim(benchmark, 0.6)
    photo = PHOTO.read_bytes()
    benchmark(lambda: jpeg(editor.edit(photo, {"Eyeglasses": True}).result))


def test_toggle_to_picture(benchmark: Any, editor: FaceEditor, reading: Reading) -> None:
    """One more box: nothing is detected or encoded again."""
    aim(benchmark, 0.15)
    benchmark(lambda: jpeg(editor.edit(reading, {"Eyeglasses": True}).result))


def jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()


def test_optimised_edit(benchmark: Any, editor: FaceEditor, reading: Reading) -> None:
    """Ten toggles of one face, one after the other; the aim is ten times a second."""
    aim(benchmark, 10.0)
    toggles = [{name: reading.attributes[name] < 0.5} for name in ATTRIBUTES]
    benchmark.pedantic(lambda: [editor.edit(reading, t, method="optimise") for t in toggles], rounds=5, warmup_rounds=1)


def test_300_steps(benchmark: Any, editor: FaceEditor, reading: Reading) -> None:
    aim(benchmark, 3.0)
    benchmark.pedantic(trajectory_of(editor, reading, 300), rounds=5, warmup_rounds=1)
    traffic(benchmark, 300 * 2 * size(editor.space.critic, editor.space.attribute_critic))


@pytest.mark.parametrize("way", ["fast", "as the app does"])
def test_folder_of_100_by_actor(benchmark: Any, reading: Reading, tmp_path: Path, way: str) -> None:
    """Already aligned photos, read from files and written to files, starting the program left out."""
    aim(benchmark, 10.0)
    (tmp_path / "in").mkdir()
    crop = reading.aligned.crop.resize((178, 218), Image.Resampling.BICUBIC)
    for i in range(100):
        crop.rotate(i / 10).save(tmp_path / "in" / f"{i:03}.jpg")
    command = ["edit", str(tmp_path / "in"), "--set", "Eyeglasses=1", "--aligned", "--out", str(tmp_path / "out")]
    command += ["--fast"] if way == "fast" else []
    assert benchmark.pedantic(lambda: main(command), rounds=3, warmup_rounds=1) == 0


# --- the peer ------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_peer_actor(benchmark: Any, reading: Reading) -> None:
    """The paper's actor at its width, 2048; compare test_actor."""
    actor = PaperActor()
    benchmark(actor, reading.z[None], torch.zeros(1, 10))
    traffic(benchmark, size(actor))


@pytest.mark.parametrize("width", [1024, 2048])
def test_peer_300_steps(benchmark: Any, reading: Reading, width: int) -> None:
    """The paper's walk on the same z, at the shipped critics' width and at the paper's; compare test_300_steps."""
    nets = paper_critic(1, width).requires_grad_(False), paper_critic(10, width).requires_grad_(False)
    target, mask = torch.ones(1, 10), torch.zeros(1, 10, dtype=torch.bool).index_fill(1, torch.tensor([7]), True)
    benchmark.pedantic(lambda: plain(reading.z[None], *nets, target, mask, stop=False), rounds=3, warmup_rounds=1)
    traffic(benchmark, 300 * 2 * size(*nets))
