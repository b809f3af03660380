"""The page's handlers as functions, and the pieces of HTML; the page itself is tested in e2e/."""

from __future__ import annotations

import dataclasses
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from lc.editor import FaceEditor
from lc.results import animated
from lc.ui.settings import Settings
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES

gr = pytest.importorskip("gradio")

from lc.ui import views  # noqa: E402 - needs gradio, as do those below
from lc.ui.handlers import EditHandlers, Shown, examples  # noqa: E402
from lc.ui.layout import build_page, model_card  # noqa: E402
from lc.ui.making import Faces, MakingHandlers  # noqa: E402
from lc.ui.pictures import Pictures  # noqa: E402
from lc.ui.session import HISTORY, Session, boxes_seen, changes_of, reading_of, tick  # noqa: E402
from lc.ui.storage import Folder  # noqa: E402

VISITOR = SimpleNamespace(session_hash="visitor")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    (tmp_path / "app").mkdir()
    with Folder(3000, tmp_path / "app") as folder:
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder.path))
        yield folder


def uploaded(folder: Folder, path: Path) -> dict[str, Any]:
    """A file as Gradio describes it once it has come through the door."""
    arrived = folder.new_upload() / path.name
    arrived.write_bytes(path.read_bytes())
    folder.add_upload(str(arrived))
    return {"path": str(arrived), "meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    return said


@pytest.fixture
def handlers(tiny_editor: FaceEditor, folder: Folder) -> EditHandlers:
    return EditHandlers(tiny_editor, folder)


@pytest.fixture
def session(handlers: EditHandlers, folder: Folder, astronaut: Path) -> Session:
    shown = handlers.open_upload(uploaded(folder, astronaut), None)
    assert isinstance(shown.session, Session)
    return shown.session


def start(
    handlers: EditHandlers,
    session: Session | None,
    boxes: set[str],
    method: Any,
    strength: float = 1.0,
    asked: float = 0,
) -> Iterator[Shown]:
    return handlers.change(sorted(boxes), 0.5, strength, method, asked, session, VISITOR)  # type: ignore[arg-type]


def change(handlers: EditHandlers, session: Session | None, boxes: set[str], method: Any = "actor") -> list[Shown]:
    return list(start(handlers, session, boxes, method))


def is_skip(value: object) -> bool:
    return isinstance(value, dict) and value == gr.skip()


# --- session ----------------------------------------------------------------------------------------------------------


def test_boxes_are_what_the_critic_sees(session: Session) -> None:
    seen, probabilities = boxes_seen(ATTRIBUTE_SET, session.reading), session.reading.attributes
    shown = {name: ATTRIBUTE_SET.title_probability(name, p) for name, p in probabilities.items()}
    assert all(shown[name] >= 0.5 for name in seen)
    assert all(shown[name] < 0.5 or name in ATTRIBUTE_SET.one_of[0] for name in ATTRIBUTES if name not in seen)
    assert sum(name in ATTRIBUTE_SET.one_of[0] for name in seen) <= 1
    assert changes_of(ATTRIBUTE_SET, session.reading, seen) == {}


def test_only_boxes_that_differ_are_changes(session: Session) -> None:
    seen = set(boxes_seen(ATTRIBUTE_SET, session.reading))
    assert changes_of(ATTRIBUTE_SET, session.reading, seen ^ {"Young"}) == {"Young": "Young" not in seen}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["Black_Hair"], ["Black_Hair", "Blond_Hair"], {"Blond_Hair"}),
        (["Blond_Hair", "Young"], ["Blond_Hair", "Young", "Bald"], {"Bald", "Young"}),
        (["Bald"], ["Bald", "Wearing_Hat"], {"Wearing_Hat"}),
        (["Blond_Hair"], [], set()),
        ([], ["Smiling", "Young"], {"Smiling", "Young"}),
        ([], ["Brown_Hair", "Blond_Hair"], {"Blond_Hair"}),
        ([], ["Blond_Hair", "Brown_Hair"], {"Brown_Hair"}),
    ],
)
def test_ticking_one_of_a_group_clears_the_others(before: list[str], after: list[str], expected: set[str]) -> None:
    assert set(tick(ATTRIBUTE_SET, before, after)) == expected


def test_history_keeps_the_photo_as_it_was_read(session: Session) -> None:
    first = session.moments[0]
    for _ in range(HISTORY + 5):
        session = session.add(first)
    assert len(session.moments) == HISTORY
    assert session.moments[0] is first
    assert not session.can_redo


# --- the first tab ----------------------------------------------------------------------------------------------------


def test_a_toggle_edits_and_undo_and_redo_go_back_and_forth(handlers: EditHandlers, session: Session) -> None:
    seen = set(session.now.boxes)
    (shown,) = change(handlers, session, seen ^ {"Young"})
    edited = shown.session
    assert set(edited.now.boxes) == seen ^ {"Young"}
    assert is_skip(shown.boxes)  # the boxes are left alone, so that a tick made meanwhile is not lost
    assert edited.can_undo
    back = handlers.undo(edited)
    assert set(back.boxes) == seen
    assert back.pair[0] == back.pair[1]  # nothing changed: the photo, bit for bit
    assert set(handlers.redo(back.session).boxes) == seen ^ {"Young"}
    assert handlers.redo(edited).session.at == edited.at
    reset = handlers.reset(edited)
    assert set(reset.boxes) == seen
    assert set(handlers.undo(reset.session).boxes) == seen ^ {"Young"}


def test_one_of_a_group_comes_back_corrected(handlers: EditHandlers, session: Session) -> None:
    (shown,) = change(handlers, session, set(session.now.boxes) - set(ATTRIBUTE_SET.one_of[0]) | {"Blond_Hair"})
    (shown,) = change(handlers, shown.session, set(shown.session.now.boxes) | {"Brown_Hair"})
    assert "Brown_Hair" in shown.boxes
    assert "Blond_Hair" not in shown.boxes


def test_the_optimiser_shows_its_way_and_stops(handlers: EditHandlers, session: Session) -> None:
    wanted = set(session.now.boxes) ^ {"Young"}
    walk = start(handlers, session, wanted, "optimise")
    shown = next(walk)
    assert is_skip(shown.session)
    assert "polyline" in shown.trace
    assert "step 0" in shown.status
    assert "step 1" in next(walk).status  # a picture for each step
    handlers.stop(VISITOR)  # type: ignore[arg-type]
    *_, last = walk
    assert last.session.now.method == "optimise"
    assert last.session.now.edit.steps < 20
    handlers.stop(VISITOR)  # type: ignore[arg-type]  # nothing runs: nothing happens


def test_a_newer_wish_overtakes_a_walk(handlers: EditHandlers, session: Session) -> None:
    first, second = set(session.now.boxes) ^ {"Young"}, set(session.now.boxes) ^ {"Young", "Male"}
    walk = start(handlers, session, first, "optimise", asked=100)
    next(walk)
    for boxes, asked in ((first, 110), (second, 90)):  # the walk's own wish, and one that was late on its way
        handlers.overtake(sorted(boxes), 0.5, 1.0, "optimise", asked, VISITOR)  # type: ignore[arg-type]
        assert not is_skip(next(walk).status)
    handlers.overtake(sorted(second), 0.5, 1.0, "optimise", 120, VISITOR)  # type: ignore[arg-type]
    assert all(is_skip(field) for shown in walk for field in shown)  # no picture, no edit to undo
    walk = start(handlers, session, second, "optimise", asked=121)
    next(walk)
    handlers.stop(VISITOR)  # type: ignore[arg-type]  # an untrained model would take every step
    *_, last = walk
    assert set(last.session.now.boxes) == second
    handlers.overtake(sorted(first), 0.5, 1.0, "optimise", 130, VISITOR)  # type: ignore[arg-type]  # nothing runs


def test_a_walk_can_be_saved(handlers: EditHandlers, session: Session, warnings: list[str]) -> None:
    assert handlers.film(session) is None
    assert len(warnings) == 1
    walk = start(handlers, session, set(session.now.boxes) ^ {"Young"}, "optimise")
    for _ in range(4):
        next(walk)
    handlers.stop(VISITOR)  # type: ignore[arg-type]
    *_, last = walk
    assert last.film["visible"]
    with Image.open(handlers.film(last.session) or "") as film:
        assert film.format == "WEBP"
    assert len(last.session.walk) >= 4
    (shown,) = change(handlers, last.session, set(session.now.boxes))
    assert not shown.film["visible"]  # there is no walk to where the actor led


def test_an_animation_has_every_face_and_comes_to_rest() -> None:
    with Image.open(io.BytesIO(animated([Image.new("RGB", (64, 64), c) for c in ("red", "green", "blue")]))) as film:
        assert (film.size, film.n_frames) == ((256, 256), 3)  # type: ignore[attr-defined]
        pauses = []
        for i in range(3):
            film.seek(i)
            film.load()
            pauses.append(film.info["duration"])
    assert pauses[0] == pauses[1] < pauses[2]


def test_how_much_reaches_the_edit_and_comes_back(handlers: EditHandlers, session: Session) -> None:
    seen = set(session.now.boxes)
    *_, shown = start(handlers, session, seen ^ {"Young"}, "actor", strength=0.6)
    assert shown.session.now.edit.changes == {"Young": pytest.approx(0.4 if "Young" in seen else 0.6)}
    back = handlers.undo(shown.session)
    assert back.strength == 1.0
    assert handlers.redo(back.session).strength == 0.6


def test_a_bad_upload_is_a_sentence_and_keeps_the_photo(
    handlers: EditHandlers, session: Session, folder: Folder, tmp_path: Path, warnings: list[str]
) -> None:
    bad = tmp_path / "notes.jpg"
    bad.write_text("notes")
    shown = handlers.open_upload(uploaded(folder, bad), session)
    assert warnings
    assert "notes.jpg" in shown.status
    assert is_skip(shown.session)
    assert shown.photo == session.source
    assert is_skip(handlers.open_upload(None, session).session)


def test_a_toggle_without_a_photo_asks_for_one(handlers: EditHandlers) -> None:
    (shown,) = change(handlers, None, {"Young"})
    assert "photo" in shown.status
    assert handlers.export("PNG", None) is None


def test_several_faces_can_be_chosen(handlers: EditHandlers, folder: Folder, two_faces: Path) -> None:
    shown = handlers.open_upload(uploaded(folder, two_faces), None)
    assert shown.faces["visible"]
    assert shown.choice["value"] == "Face 1"
    other = handlers.choose_face("Face 2", shown.session)
    assert other.choice["value"] == "Face 2"
    assert other.session.reading.photo is shown.session.reading.photo
    ratio = views.outline_ratio((900, 512))
    click = SimpleNamespace(index=(730 / ratio, 180 / ratio))
    clicked = handlers.click_face(shown.session, click)  # type: ignore[arg-type]
    assert clicked.choice["value"] == "Face 2"


def test_opening_is_an_edited_example(handlers: EditHandlers) -> None:
    session, shown = handlers.opening()
    assert session is not None
    assert session.can_undo
    assert shown.photo == str(examples()[0])
    assert examples()[0].name == "astronaut.jpg"


@pytest.mark.parametrize(("kind", "ending"), [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp")])
def test_export_is_the_whole_photo(handlers: EditHandlers, session: Session, kind: str, ending: str) -> None:
    path = handlers.export(kind, session)  # type: ignore[arg-type]
    assert path is not None
    assert Path(path).suffix == ending
    assert b"compositeWithTrainedAlgorithmicMedia" in Path(path).read_bytes()
    with Image.open(path) as image:
        assert (image.format, image.size) == (kind, session.reading.photo.rgb.size)


def test_a_face_that_cannot_be_edited_is_a_sentence_and_the_other_stays(
    handlers: EditHandlers, folder: Folder, two_faces: Path, warnings: list[str]
) -> None:
    session = handlers.open_upload(uploaded(folder, two_faces), None).session
    faces = session.reading.faces
    turned = faces[1].landmarks.copy()
    turned[2] = turned[1] + (15, 20)
    faces[1] = dataclasses.replace(faces[1], landmarks=turned)
    shown = handlers.choose_face("Face 2", session)
    assert "turned too far to the side" in shown.status
    assert shown.choice["value"] == "Face 1"
    assert is_skip(shown.session)
    assert len(warnings) == 1


# --- generated faces --------------------------------------------------------------------------------------------------


def test_samples_are_edited_and_interpolated(
    tiny_editor: FaceEditor, handlers: EditHandlers, warnings: list[str]
) -> None:
    making = MakingHandlers(tiny_editor, handlers)
    choices = ["yes" if name == "Smiling" else "any" for name in ATTRIBUTES]
    faces = making.make(3, 7, True, *choices)
    assert [sample.wanted["Smiling"] for sample in faces.made] == [True] * 3
    assert len(making.greet([], 2, 7, True, *choices).made) == 2
    assert making.greet(faces.made, 2, 7, True, *choices) == Faces()  # who comes back finds the faces that were left
    _, shown = making.edit_one(faces.made, 1)
    reading = shown.session.reading
    assert reading.z is faces.made[1].z
    (edited,) = change(handlers, shown.session, {"Eyeglasses"})
    assert edited.session.now.edit.result.size == (256, 256)
    between = making.walk(faces.made, "Face 1", "Face 3")
    assert len(between["value"]) == 8
    assert not warnings
    assert is_skip(making.walk([], None, None))
    assert len(warnings) == 1


def test_a_sample_is_a_reading_without_detection(tiny_editor: FaceEditor) -> None:
    sample = tiny_editor.sample(1)[0]
    reading = reading_of(sample)
    assert tiny_editor.edit(reading).result.tobytes() == reading.photo.rgb.tobytes()


def test_a_wrong_number_on_the_page_keeps_what_is_shown(
    handlers: EditHandlers, session: Session, warnings: list[str]
) -> None:
    boxes = list(session.now.boxes)
    for values in ((boxes, 7, 1.0, "actor"), (boxes, 0.5, math.nan, "actor"), (["Wings"], 0.5, 1.0, "actor")):
        (shown,) = handlers.change(*values, 0, session, VISITOR)  # type: ignore[arg-type]
        assert "lc-status error" in shown.status
        assert is_skip(shown.pair)
        assert is_skip(shown.session)
    assert len(warnings) == 3


def test_every_event_is_named_and_documented(tiny_editor: FaceEditor, tiny_weights: Path, folder: Folder) -> None:
    page, _ = build_page(tiny_editor, tiny_weights, Settings(), folder)
    functions = [function for function in page.fns.values() if function.fn is not None]
    assert len(functions) > 15
    assert all(isinstance(function.api_name, str) for function in functions)
    assert all(function.fn.__doc__ for function in functions)
    public = {function.api_name for function in functions if function.api_visibility == "public"}
    assert public == {"describe", "edit", "sample"}
    assert not any(function.preprocess for function in functions)  # Gradio's own checks open files


# --- pieces -----------------------------------------------------------------------------------------------------------


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


def test_a_file_on_its_way_to_a_browser_stays_whole(folder: Folder) -> None:
    picture, pictures = Image.effect_noise((64, 64), 80).convert("RGB"), Pictures(folder)
    path = Path(pictures.jpeg(picture))
    sent = path.stat()
    assert Path(pictures.jpeg(picture)) == path  # the same picture is shown again meanwhile
    assert (path.stat().st_ino, path.stat().st_size) == (sent.st_ino, sent.st_size)  # nobody wrote into it
    assert [file.name for file in path.parent.iterdir()] == [path.name]
