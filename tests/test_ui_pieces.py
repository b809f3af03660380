"""The pieces of HTML, the model card and the pictures that the page shows."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError
from lc.witness import Seen
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES

pytest.importorskip("gradio")

from lc.ui import views
from lc.ui.card import PICTURES, changes, curve, figures, model_card
from lc.ui.handlers import EditHandlers
from lc.ui.making import MakingHandlers
from lc.ui.pictures import Pictures
from lc.ui.session import Session
from lc.ui.storage import Folder


def test_green_is_for_what_an_outside_reader_sees(session: Session) -> None:
    edit = dataclasses.replace(session.now.edit, changes={"Young": True}, warning=None)
    edit.after["Young"] = 0.9
    moment = dataclasses.replace(session.now, edit=edit)
    line = views.status(ATTRIBUTE_SET, moment, {"Young": True})
    assert "lc-status ok" not in line
    assert "The model reads it as Younger" in line
    for seen, kind in ((0.8, "ok"), (0.2, "warn")):
        edit = dataclasses.replace(edit)
        read = dict.fromkeys(ATTRIBUTES, 0.1)
        edit.__dict__["seen"] = Seen(read, read | {"Young": seen})
        line = views.status(ATTRIBUTE_SET, dataclasses.replace(moment, edit=edit), {"Young": True})
        assert f"lc-status {kind}" in line


def test_bars_escape_titles_and_say_numbers(session: Session) -> None:
    young = dataclasses.replace(ATTRIBUTE_SET["Young"], title="<script>&")
    titled = tuple(young if one.name == "Young" else one for one in ATTRIBUTE_SET.attributes)
    attributes = dataclasses.replace(ATTRIBUTE_SET, attributes=titled)
    table = views.bars(attributes, session.now.edit.before, session.now.edit.after, {"Young": False})
    assert table.count("&lt;script&gt;&amp;") == 1
    assert "<script" not in table
    assert table.count("<tr>") == 11
    assert len(re.findall(r"\d+%</td>", table)) == 20
    assert table.count("asked") == 1


def test_model_card_loses_its_front_matter_and_keeps_its_pictures(tmp_path: Path) -> None:
    assert "without a model card" in model_card(tmp_path)
    Image.new("RGB", (2, 2)).save(tmp_path / "curve.png")
    (tmp_path / "README.md").write_text(
        "---\nlicense: other\n---\n# Card\n![Curve](curve.png) ![Out](../secret.png) ![Web](https://x.org/a.png)\n"
    )
    card = model_card(tmp_path)
    assert card.startswith("# Card")
    assert "![Curve](data:image/png;base64," in card
    assert "![Web]" not in card  # a link, for nothing is fetched from outside
    (tmp_path / "evaluation.md").write_text("| measured | ![Curve](curve.png) |\n")
    assert model_card(tmp_path).endswith("=) |\n")  # everything that was measured stands below it


def test_a_file_on_its_way_to_a_browser_stays_whole(folder: Folder) -> None:
    picture, pictures = Image.effect_noise((64, 64), 80).convert("RGB"), Pictures(folder)
    path = Path(pictures.jpeg(picture))
    sent = path.stat()
    assert Path(pictures.jpeg(picture)) == path  # the same picture is shown again meanwhile
    assert (path.stat().st_ino, path.stat().st_size) == (sent.st_ino, sent.st_size)  # nobody wrote into it
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_three_figures_come_from_what_was_measured(tmp_path: Path) -> None:
    assert "without measurements" in figures(tmp_path)
    rows = {
        "A=1": {"all": {"edits": 30, "evaluation": 0.99, "outside": 0.9, "held": 0.8}},
        "B=1": {"all": {"edits": 10, "evaluation": 0.1, "masks": 0.5, "held": 0.4}},
    }
    measured = {"directions": rows, "same_person": {"all": {"same_person": 0.822}}}
    (tmp_path / "evaluation.json").write_text(json.dumps({"finished": {"places": {"0.5": measured}}}))
    assert re.findall(r"<b>(\d+%)</b>", figures(tmp_path)) == ["80%", "82%", "70%"]
    (tmp_path / "evaluation.json").write_text(json.dumps({"finished": {"places": {"0.5": {"directions": [3]}}}}))
    assert "without measurements" in figures(tmp_path)


def test_a_curve_is_drawn_of_what_was_measured(tmp_path: Path) -> None:
    assert curve(tmp_path) == ""
    rows = {"0.0": (0.96, 0.92), "0.5": (0.95, 0.96), "1.0": (0.89, 0.98)}
    sweep = {place: {"success_pasted": seen, "same_person_pasted": same} for place, (seen, same) in rows.items()}
    (tmp_path / "evaluation.json").write_text(json.dumps({"sweep": sweep}))
    drawn = curve(tmp_path)
    assert drawn.count("<circle") == 3
    assert "96% of changes are seen and 92% of people" in drawn
    ((_, high), *_, (_, low)) = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn)
    assert float(high) < float(low)  # seen more often is further up
    (tmp_path / "evaluation.json").write_text(json.dumps({"sweep": {"0.0": {}}}))
    assert curve(tmp_path) == ""


def test_changes_are_shown_as_pictures_that_can_be_fetched(tmp_path: Path, folder: Folder) -> None:
    assert changes(tmp_path, ATTRIBUTE_SET, folder) == ""
    (tmp_path / PICTURES).mkdir()
    for place in ("typical", "worst"):
        Image.new("RGB", (320, 160), "red").save(tmp_path / PICTURES / f"No_Beard-0-{place}.jpg")
    shown = changes(tmp_path, ATTRIBUTE_SET, folder)
    assert "<figcaption>Beard: yes</figcaption>" in shown
    addresses = re.findall(r'src="gradio_api/file=([^"]+)"', shown)
    assert len(addresses) == 2
    assert all(folder.serves(address) for address in addresses)


def test_few_faces_as_asked_are_never_praised() -> None:
    line = views.made([False] * 3 + [True], ["smiling"])
    assert "1 of 4" in line
    assert "warn" in line


def test_two_colours_of_hair_are_refused_in_words(tiny_editor: FaceEditor, handlers: EditHandlers) -> None:
    with pytest.raises(LatentConstraintsError, match="Black hair and Blond hair"):
        MakingHandlers(tiny_editor, handlers).make(3, 7, "on", {"Black_Hair": "yes", "Blond_Hair": "yes"})
