"""What programs reach by the API: the endpoints as functions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lc.editor import FaceEditor
from train.attributes import ATTRIBUTES

gr = pytest.importorskip("gradio")

from test_ui import uploaded  # noqa: E402

from lc.ui.making import Endpoints  # noqa: E402
from lc.ui.storage import Folder  # noqa: E402
from lc.ui.texts import use  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    (tmp_path / "app").mkdir()
    with Folder(3000, tmp_path / "app") as folder:
        yield folder


def test_endpoints_turn_errors_into_sentences(tiny_editor: FaceEditor, folder: Folder, astronaut: Path) -> None:
    endpoints, photo = Endpoints(tiny_editor, folder), uploaded(folder, astronaut)
    path, report = endpoints.edit(photo, {"smiling": True}, 0.5, "actor")
    assert Path(path).suffix == ".png"
    assert set(report["after"]) == set(ATTRIBUTES)
    for changes in ({"Wings": True}, ["Smiling"], {"Smiling": "yes"}, {"Smiling": math.nan}, {"Smiling": None}):
        with pytest.raises(gr.Error):
            endpoints.edit(photo, changes, 0.5, "actor")  # type: ignore[arg-type]
    with pytest.raises(gr.Error, match="not here any more"):
        endpoints.describe({"path": str(astronaut)})


def test_programs_are_answered_in_the_servers_language(tiny_editor: FaceEditor, folder: Folder, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("RGB", (200, 200), "white").save(blank)
    use("de")
    try:
        with pytest.raises(gr.Error, match="wurde kein Gesicht gefunden"):
            Endpoints(tiny_editor, folder).describe(uploaded(folder, blank))
    finally:
        use("en")


BAD_NUMBERS = [math.nan, math.inf, -math.inf, None, "", "x", True, -1, 1e300, 10**400, [], {}]


@pytest.mark.parametrize("value", BAD_NUMBERS)
def test_what_is_no_number_is_a_sentence_for_programs(
    tiny_editor: FaceEditor, folder: Folder, astronaut: Path, value: Any
) -> None:
    endpoints, photo = Endpoints(tiny_editor, folder), uploaded(folder, astronaut)
    calls = [
        lambda: endpoints.sample(value, None, 0, True),
        lambda: endpoints.sample(1, None, value, True),
        lambda: endpoints.describe(photo, value),
        lambda: endpoints.edit(photo, None, value, "actor"),
        lambda: endpoints.edit(photo, {"Young": value}, 0.5, "actor") if value is not True else endpoints.describe({}),
        lambda: endpoints.edit(photo, None, 0.5, value),
        lambda: endpoints.edit(photo, None, 0.5, "actor", 0, value),
        lambda: endpoints.sample(1, None, 0, value if value is not True else 1),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(gr.Error) as error:
            call()
        assert not error.value.print_exception
        assert 10 < len(str(error.value)) < 400


def test_programs_choose_among_several_forms(editor: FaceEditor, folder: Folder, astronaut: Path) -> None:
    endpoints, photo = Endpoints(editor, folder), uploaded(folder, astronaut)
    many = editor.styles({"Eyeglasses": True})
    first, second, round_again = (
        Path(endpoints.edit(photo, {"Eyeglasses": True}, 0.5, "actor", style=style)[0]).read_bytes()
        for style in (0, 1, many)
    )
    assert first == round_again != second
    with pytest.raises(gr.Error, match=r"style: 0\.5 is not a whole number"):
        endpoints.edit(photo, {"Eyeglasses": True}, 0.5, "actor", style=0.5)


def test_every_seed_is_taken_and_is_another(tiny_editor: FaceEditor, folder: Folder) -> None:
    endpoints = Endpoints(tiny_editor, folder)
    seeds: list[Any] = [0, 4096, 10**12, 2**53 + 1, str(2**53 + 2), str(2**63 - 1)]
    assert len({str(endpoints.sample(1, None, seed, True)[1]) for seed in seeds}) == len(seeds)
    with pytest.raises(gr.Error, match="Seed"):
        endpoints.sample(1, None, 2**63, True)
