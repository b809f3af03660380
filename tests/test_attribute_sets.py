"""Another attribute set is another config.json: editor, command line and page take it as it comes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny import write_tiny_weights

from lc.__main__ import main
from lc.attributes import Attribute, AttributeSet, Combination
from lc.editor import FaceEditor
from lc.ui.layout import build_page
from lc.ui.session import boxes_seen, changes_of, tick
from lc.ui.settings import Settings
from lc.ui.storage import Folder
from train.attributes import ATTRIBUTE_SET

ELEVEN = AttributeSet(
    (*ATTRIBUTE_SET.attributes, Attribute("Bangs", "Bangs")),
    ATTRIBUTE_SET.one_of,
    {**ATTRIBUTE_SET.excludes, "Bald": (*ATTRIBUTE_SET.excludes["Bald"], "Bangs")},
    ATTRIBUTE_SET.unlikely,
)
TWO = AttributeSet(
    (Attribute("No_Freckles", "Freckles", inverted=True), Attribute("Rosy", "Rosy cheeks")),
    excludes={"Rosy": ("No_Freckles",)},
    unlikely=(Combination({"Rosy": True, "No_Freckles": True}, "rosy people without freckles"),),
)


@pytest.fixture(scope="module", params=[ELEVEN, TWO], ids=["eleven", "two"])
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights"), attributes=request.param)


def test_they_edit_beside_the_ten_in_one_process(tiny_editor: FaceEditor, weights: Path, astronaut: Path) -> None:
    other = FaceEditor.load(weights, "cpu")
    last = other.attributes.names[-1]
    for editor, name in ((other, last), (tiny_editor, "Smiling"), (other, last)):
        edit = editor.edit(astronaut, {name: True})
        assert tuple(edit.after) == editor.attributes.names
        assert edit.z_distance > 0
        assert all(sample.wanted[name] for sample in editor.sample(2, {name: True}))


def test_the_command_line_takes_their_names_and_titles(weights: Path, astronaut: Path, tmp_path: Path) -> None:
    attributes = AttributeSet.of(json.loads((weights / "config.json").read_text())["attributes"])
    how = ["--weights", str(weights), "--device", "cpu"]
    for word in (attributes.names[-1], attributes.attributes[0].title.lower()):
        assert main(["edit", str(astronaut), "--set", f"{word}=1", "--out", str(tmp_path / "out.png"), *how]) == 0


def test_a_name_of_another_set_is_refused(weights: Path, astronaut: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["edit", str(astronaut), "--set", "Moustache=1", "--out", "out.png", "--weights", str(weights)]
    assert main(command) == 2
    assert "choose from" in capsys.readouterr().err


def test_the_page_shows_a_box_for_each(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    editor = FaceEditor.load(weights, "cpu")
    with Folder(600, tmp_path) as folder:
        page, _ = build_page(editor, weights, Settings(), folder)
    texts = json.dumps(page.get_config_file(), default=str)
    assert all(rf"\"{attribute.title}\"" in texts for attribute in editor.attributes.attributes)
    assert f"{editor.model.generator.image_size}\\u00d7{editor.model.generator.image_size} pixels" in texts


def test_a_box_is_ticked_in_the_sense_of_its_title(astronaut: Path, tmp_path: Path) -> None:
    editor = FaceEditor.load(write_tiny_weights(tmp_path / "weights", attributes=TWO), "cpu")
    reading = editor.read(astronaut)
    seen = boxes_seen(TWO, reading)
    assert ("No_Freckles" in seen) == (reading.attributes["No_Freckles"] < 0.5)
    other = set(seen) ^ {"No_Freckles"}
    assert changes_of(TWO, reading, other) == {"No_Freckles": "No_Freckles" not in other}
    assert changes_of(TWO, reading, other, 0.75) == {"No_Freckles": 0.75 if "No_Freckles" not in other else 0.25}
    # Rosy cheeks come with freckles: what the name excludes ticks the inverted box.
    assert tick(TWO, [], ["Rosy"]) == ("No_Freckles", "Rosy")
