"""Fixtures: a tiny untrained model, the astronaut, the committed weights; how many processes run the tests."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image
from tiny import LATENT, write_tiny_weights

from lc.contrast import save_contrast
from lc.editor import DEFAULT_WEIGHTS, FaceEditor
from lc.few_shot import fit
from lc.generator import Posterior
from lc.weights import load_statistics
from train.attributes import ATTRIBUTES

# An example's time depends on the machine: no deadline.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

# The processes of a suite share the cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

ASTRONAUT = Path(__file__).parent.parent / "lc" / "ui" / "examples" / "astronaut.jpg"

# CelebA's other thirty attributes only have to be there.
COLUMNS = sorted([*ATTRIBUTES, *(f"Other_{i}" for i in range(30))])


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads its options
def pytest_cmdline_main(config: pytest.Config) -> None:
    """A suite runs in two processes, file by file; a test that is named, or pytest -n0, in one."""
    option = config.option
    if (
        not hasattr(config, "workerinput")
        and config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and getattr(option, "numprocesses", 0) is None
        and not (option.collectonly or option.usepdb)
        and (os.cpu_count() or 1) > 1
    ):
        option.numprocesses, option.dist = 2, "loadfile"
        option.loadscopereorder = False  # see below


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files go as they are collected, the page's tests first, which take longest. Of slow ones those come first that
    have many, after the one of a whole recipe: begun last it would keep one process waiting for minutes."""
    if config.option.markexpr == "slow":
        counts = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: (item.path.name != "test_recipe.py", -counts[item.path]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """File by file, and all of the page's in one process, so that one server is started for them and not two."""
    if config.option.dist != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            scope = super()._split_scope(nodeid)
            return "tests/e2e" if scope.startswith("tests/e2e/") else scope

    return ByFile(config, log)


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def weights_copy(tiny_weights: Path, tmp_path: Path) -> Path:
    """The tiny model in a folder of the test's own, to be added to or damaged."""
    return Path(shutil.copytree(tiny_weights, tmp_path / "weights"))


@pytest.fixture(scope="session")
def contrasted_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a sample of latents."""
    folder = write_tiny_weights(tmp_path_factory.mktemp("contrasted"))
    chance = torch.Generator().manual_seed(9)
    save_contrast(folder, torch.randn(300, LATENT, generator=chance), load_statistics(folder))
    return folder


@pytest.fixture(scope="session")
def contrasted_editor(contrasted_weights: Path) -> FaceEditor:
    return FaceEditor.load(contrasted_weights, device="cpu")


@pytest.fixture
def taught(contrasted_editor: FaceEditor) -> list[Any]:
    """One attribute, Red_face, that was taught to the tiny model."""
    chance = torch.Generator().manual_seed(1)
    sides = [torch.randn(40, LATENT, generator=chance) for _ in range(2)]
    sides[0][:, 0] += 2
    return [fit(contrasted_editor.space, "Red_face", *(Posterior(z, torch.full_like(z, 0.3)) for z in sides))]


@pytest.fixture(scope="session")
def tiny_editor(tiny_weights: Path) -> FaceEditor:
    return FaceEditor.load(tiny_weights, device="cpu")


@pytest.fixture(scope="session")
def editor() -> FaceEditor:
    """The committed weights."""
    return FaceEditor.load(DEFAULT_WEIGHTS, device="cpu")


@pytest.fixture(scope="session")
def astronaut() -> Path:
    return ASTRONAUT


@pytest.fixture(scope="session")
def two_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut twice in one photo of 900x512, the larger face on the left."""
    path = tmp_path_factory.mktemp("photos") / "two.png"
    with Image.open(ASTRONAUT) as image:
        two = Image.new("RGB", (900, 512), "white")
        two.paste(image, (0, 0))
        two.paste(image.resize((350, 350)), (530, 100))
    two.save(path)
    return path


@pytest.fixture(scope="session")
def celeba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty synthetic pictures in CelebA's official layout, half size."""
    root = tmp_path_factory.mktemp("celeba")
    (root / "img_align_celeba").mkdir()
    draw = np.random.default_rng(0)
    attributes, partition = ["40", " ".join(COLUMNS)], []
    for i in range(40):
        name = f"{i + 1:06}.jpg"
        pixels = draw.integers(0, 255, (6, 5, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((89, 109), Image.Resampling.BICUBIC)
        picture.save(root / "img_align_celeba" / name)
        attributes.append(f"{name} " + " ".join(str(value) for value in draw.choice([-1, 1], 40)))
        partition.append(f"{name} {int(i >= 30) + int(i >= 36)}")
    (root / "list_attr_celeba.txt").write_text("\n".join(attributes) + "\n")
    (root / "list_eval_partition.txt").write_text("\n".join(partition) + "\n")
    return root


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The page's, for uploads and results."""
    from lc.ui.storage import Folder

    (tmp_path / "app").mkdir()
    with Folder(3000, tmp_path / "app") as folder:
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder.path))
        yield folder


@pytest.fixture
def handlers(tiny_editor: FaceEditor, folder: Any) -> Any:
    """Of the page's first tab."""
    from lc.ui.handlers import EditHandlers

    return EditHandlers(tiny_editor, folder)


@pytest.fixture
def session(handlers: Any, folder: Any, astronaut: Path) -> Any:
    """A visitor's who has just brought the astronaut."""
    from visiting import VISITOR, uploaded

    return handlers.open_upload(uploaded(folder, astronaut), VISITOR).session
