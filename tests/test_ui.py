"""The page's handlers as functions, and the pieces of HTML; the page itself is tested in e2e/."""

from __future__ import annotations

import dataclasses
import io
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import with_edited

from lc.editor import FaceEditor, Method
from lc.errors import LatentConstraintsError
from lc.results import animated
from lc.ui.settings import Settings
from train.attributes import ATTRIBUTE_SET, ATTRIBUTES

gr = pytest.importorskip("gradio")

from visiting import VISITOR, change, is_skip, merged, start, uploaded  # noqa: E402 - needs gradio, as do those below

from lc.ui.handlers import EditHandlers  # noqa: E402
from lc.ui.layout import build_page  # noqa: E402
from lc.ui.making import MakingHandlers  # noqa: E402
from lc.ui.photos import examples  # noqa: E402
from lc.ui.session import HISTORY, Session, boxes_seen, changes_of, reading_of, tick  # noqa: E402
from lc.ui.shown import Shown, failed  # noqa: E402
from lc.ui.storage import Folder  # noqa: E402


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    return said


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
    assert set(edited.now.boxes) == set(shown.stage["boxes"]) == seen ^ {"Young"}
    assert shown.stage["undo"]
    back = handlers.undo(edited, VISITOR)
    assert set(back.stage["boxes"]) == seen
    assert back.stage["whole_after"] == back.stage["whole_before"]  # nothing changed: the photo, bit for bit
    assert set(handlers.redo(back.session, VISITOR).stage["boxes"]) == seen ^ {"Young"}
    assert handlers.redo(edited, VISITOR).session.at == edited.at
    reset = handlers.reset(edited, VISITOR)
    assert set(reset.stage["boxes"]) == seen
    assert set(handlers.undo(reset.session, VISITOR).stage["boxes"]) == seen ^ {"Young"}
    gone = handlers.go(reset.session, SimpleNamespace(index=1), VISITOR)
    assert gone.session.at == 1
    with pytest.raises(LatentConstraintsError, match="History"):
        handlers.go(reset.session, SimpleNamespace(index=9), VISITOR)


def test_one_of_a_group_comes_back_corrected(handlers: EditHandlers, session: Session) -> None:
    (shown,) = change(handlers, session, set(session.now.boxes) - set(ATTRIBUTE_SET.one_of[0]) | {"Blond_Hair"})
    (shown,) = change(handlers, shown.session, set(shown.session.now.boxes) | {"Brown_Hair"})
    assert "Brown_Hair" in shown.stage["boxes"]
    assert "Blond_Hair" not in shown.stage["boxes"]


def test_the_same_wish_twice_is_one_entry_of_the_history(handlers: EditHandlers, session: Session) -> None:
    wanted = set(session.now.boxes) ^ {"Young"}
    (first,) = change(handlers, session, wanted)
    (second,) = change(handlers, first.session, wanted)
    assert len(second.session.moments) == len(first.session.moments) == 2


def test_what_was_switched_on_before_is_not_made_again(handlers: EditHandlers, session: Session) -> None:
    wanted = set(session.now.boxes) ^ {"Young"}
    (on,) = change(handlers, session, wanted)
    (off,) = change(handlers, on.session, set(session.now.boxes))
    (again,) = change(handlers, off.session, wanted)
    assert [moment.edit for moment in again.session.moments[2:]] == [session.now.edit, on.session.now.edit]
    assert again.stage["after"] == on.stage["after"]
    weaker = merged(start(handlers, again.session, wanted, "actor", strength=0.6))
    assert weaker.session.now.edit is not on.session.now.edit


def test_tiles_wait_for_an_edit(handlers: EditHandlers, session: Session) -> None:
    filling = handlers.fill(session, VISITOR)
    with handlers.running.edits.working(), ThreadPoolExecutor() as threads:
        tiles = threads.submit(next, filling)
        with pytest.raises(TimeoutError):
            tiles.result(0.5)
    assert len(tiles.result().tiles["tiles"]) == 3


def test_the_optimiser_shows_its_way_and_stops(handlers: EditHandlers, session: Session) -> None:
    wanted = set(session.now.boxes) ^ {"Young"}
    walk = start(handlers, session, wanted, "optimise")
    shown = next(walk)
    assert is_skip(shown.session)
    assert "polyline" in shown.stage["energies"]
    assert "Step 0" in shown.status
    assert "Step 1" in next(walk).status  # a picture for each step
    handlers.running.stop(VISITOR)
    last = merged(walk)
    assert last.session.now.method == "optimise"
    assert last.session.now.edit.steps < 20
    handlers.running.stop(VISITOR)  # nothing runs: nothing happens


def test_a_walk_can_be_saved(handlers: EditHandlers, session: Session, warnings: list[str]) -> None:
    assert handlers.film(session) is None
    assert len(warnings) == 1
    walk = start(handlers, session, set(session.now.boxes) ^ {"Young"}, "optimise")
    for _ in range(4):
        next(walk)
    handlers.running.stop(VISITOR)
    last = merged(walk)
    assert last.stage["animation"]
    with Image.open(handlers.film(last.session) or "") as film:
        assert film.format == "WEBP"
    assert len(last.session.walk) >= 4
    (shown,) = change(handlers, last.session, set(session.now.boxes))
    assert not shown.stage["animation"]  # there is no walk to where the actor led


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
    shown = merged(start(handlers, session, seen ^ {"Young"}, "actor", strength=0.6))
    assert shown.session.now.edit.changes == {"Young": pytest.approx(0.4 if "Young" in seen else 0.6)}
    back = handlers.undo(shown.session, VISITOR)
    assert back.stage["strength"] == 1.0
    assert handlers.redo(back.session, VISITOR).stage["strength"] == 0.6


def test_another_form_is_an_entry_of_the_history_and_is_kept(
    handlers: EditHandlers, folder: Folder, session: Session, astronaut: Path, two_faces: Path
) -> None:
    wanted = sorted(set(session.now.boxes) ^ {"Young"})

    def ask(before: Session, style: Any, method: Method = "actor") -> Shown:
        return merged(handlers.change(wanted, 0.5, 1.0, method, 0, before, VISITOR, style=style))

    first = ask(session, 0).session
    second = ask(first, 2)
    assert (second.stage["style"], second.session.now.edit.style, len(second.session.moments)) == (2, 2, 3)
    assert ask(second.session, 2.0).session.at == 2  # asked for twice: one entry
    back = handlers.undo(second.session, VISITOR)
    assert back.stage["style"] == 0
    assert handlers.redo(back.session, VISITOR).stage["style"] == 2
    assert handlers.reset(second.session, VISITOR).stage["style"] == 0
    restored = handlers.restore(uploaded(folder, astronaut), None, second.session.kept(), VISITOR)
    assert restored.stage["style"] == restored.session.now.edit.style == 2
    pair = handlers.open_upload(uploaded(folder, two_faces), VISITOR).session
    other = handlers.choose_face("Face 2", ask(pair, 2).session, VISITOR)
    assert other.stage["style"] == 0  # each face has its own
    assert handlers.choose_face("Face 1", other.session, VISITOR).stage["style"] == 2
    assert ask(session, 3, "optimise").session.now.edit.style == 3
    for wrong in (-1, 0.5, math.nan, None, "x", [1]):
        with pytest.raises(LatentConstraintsError, match="Another one"):
            ask(session, wrong)


def test_a_bad_upload_is_a_sentence(handlers: EditHandlers, folder: Folder, tmp_path: Path) -> None:
    bad = tmp_path / "notes.jpg"
    bad.write_text("notes")
    with pytest.raises(LatentConstraintsError, match=r"notes\.jpg") as error:
        handlers.open_upload(uploaded(folder, bad), VISITOR)
    shown = failed(error.value)
    assert "notes.jpg" in shown.stage["failed"]
    assert is_skip(shown.session)
    assert is_skip(handlers.open_upload(None, VISITOR).session)


def test_a_toggle_without_a_photo_asks_for_one(handlers: EditHandlers) -> None:
    (shown,) = change(handlers, None, {"Young"})
    assert "photo" in shown.status
    assert handlers.export("PNG", None) is None


def painted(session: Session) -> Session:
    """A session whose latest edit is to be seen: what untrained weights change is not."""
    edit = with_edited(session.now.edit, Image.new("RGB", session.now.edit.edited.size, "red"))
    return session.add(dataclasses.replace(session.now, edit=edit))


def test_each_face_of_a_photo_keeps_its_edits_and_the_download_has_all(
    handlers: EditHandlers, folder: Folder, two_faces: Path
) -> None:
    session = handlers.open_upload(uploaded(folder, two_faces), VISITOR).session
    assert [face["chosen"] for face in handlers.undo(session, VISITOR).stage["faces"]] == [True, False]
    (shown,) = change(handlers, session, set(session.now.boxes) ^ {"Male"})
    first = painted(shown.session)
    shown = handlers.choose_face("Face 2", first, VISITOR)
    assert [face["chosen"] for face in shown.stage["faces"]] == [False, True]
    (shown,) = change(handlers, shown.session, set(shown.session.now.boxes) ^ {"Young"})
    both = painted(shown.session)
    assert both.edited == {0, 1}
    before = np.asarray(session.photo.rgb)
    with Image.open(handlers.export("PNG", both) or "") as image:
        changed = (np.asarray(image) != before).any(2)
    for face in session.reading.faces:
        left, top, right, bottom = map(int, face.box)
        assert changed[max(top, 0) : bottom, max(left, 0) : right].any()
    back = handlers.choose_face("Face 1", both, VISITOR)
    assert back.session.now is first.now
    assert back.session.edited == {0, 1}
    restored = handlers.restore(uploaded(folder, two_faces), None, both.kept(), VISITOR).session
    assert (restored.number, restored.edited) == (1, {0, 1})
    assert [edit.changes for edit in restored.edits] == [edit.changes for edit in both.edits]


def test_what_a_browser_has_kept_is_checked(handlers: EditHandlers, folder: Folder, astronaut: Path) -> None:
    upload, name = uploaded(folder, astronaut), examples()[0].name
    good = {"face": 0, "boxes": ["Young"], "identity": 0.5, "strength": 1, "method": "actor"}
    assert set(handlers.restore(None, name, [good], VISITOR).session.now.boxes) == {"Young"}
    for wrong in (None, 7, ["x"], [{}], [good | {"face": -1}], [good | {"identity": 7}], [good | {"boxes": ["Wings"]}]):
        with pytest.raises(LatentConstraintsError):
            handlers.restore(upload, None, wrong, VISITOR)
    with pytest.raises(LatentConstraintsError, match="not here any more"):
        handlers.restore(None, "../secret.png", [good], VISITOR)


def test_tiles_come_in_batches_and_another_face_ends_them(handlers: EditHandlers, session: Session) -> None:
    made = [shown.tiles for shown in handlers.fill(session, VISITOR)]
    assert [len(tiles["tiles"]) for tiles in made] == [3, 6, 9, 10]
    assert all(tile["image"].startswith("data:image/jpeg") for tile in made[-1]["tiles"].values())
    older = handlers.fill(session, VISITOR)
    next(older)
    next(handlers.fill(handlers.open_example(SimpleNamespace(index=1), VISITOR).session, VISITOR))
    assert all(is_skip(shown.tiles) for shown in older)


def test_no_two_faces_share_their_tiles(handlers: EditHandlers) -> None:
    """The browser keeps tiles by a face's key: one that came again would show another face's."""
    keys = [handlers.open_example(SimpleNamespace(index=i % 2), VISITOR).stage["face_key"] for i in range(6)]
    assert len(set(keys)) == 6
    session = handlers.open_example(SimpleNamespace(index=1), VISITOR).session
    (view,) = {handlers.undo(session, VISITOR).stage["face_key"], session.key}  # an edit keeps it
    assert next(handlers.fill(session, VISITOR)).tiles["face_key"] == view


def test_opening_is_an_edited_example(handlers: EditHandlers) -> None:
    session, shown = handlers.opening()
    assert session is not None
    assert session.can_undo
    assert session.source == "astronaut.jpg"
    lines = [line for _, line in shown.stage["loop"]]
    assert len(set(lines)) == 3  # each picture has a line of its own
    assert lines[0] == shown.status
    assert set(shown.tiles["tiles"]) == set(ATTRIBUTES)


@pytest.mark.parametrize(("kind", "ending"), [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp")])
def test_export_is_the_whole_photo(handlers: EditHandlers, session: Session, kind: str, ending: str) -> None:
    path = handlers.export(kind, session)  # type: ignore[arg-type]
    assert path is not None
    assert Path(path).suffix == ending
    assert b"compositeWithTrainedAlgorithmicMedia" in Path(path).read_bytes()
    with Image.open(path) as image:
        assert (image.format, image.size) == (kind, session.reading.photo.rgb.size)


def test_a_face_that_cannot_be_edited_is_a_sentence(handlers: EditHandlers, folder: Folder, two_faces: Path) -> None:
    session = handlers.open_upload(uploaded(folder, two_faces), VISITOR).session
    faces = session.reading.faces
    turned = faces[1].landmarks.copy()
    turned[2] = turned[1] + (15, 20)
    faces[1] = dataclasses.replace(faces[1], landmarks=turned)
    with pytest.raises(LatentConstraintsError, match="turned too far to the side"):
        handlers.choose_face("Face 2", session, VISITOR)


# --- generated faces --------------------------------------------------------------------------------------------------


def test_faces_are_made_edited_saved_and_morphed(tiny_editor: FaceEditor, handlers: EditHandlers) -> None:
    making = MakingHandlers(tiny_editor, handlers)
    faces = making.make(3, 7, "on", {"Smiling": "yes"})
    assert [sample.wanted["Smiling"] for sample in faces.made] == [True] * 3
    assert len(faces.view["faces"]) == 3
    assert "plain" not in faces.view["faces"][0]
    _, shown = making.choose_face_to_edit(1, faces.made, VISITOR)
    reading = shown.session.reading
    assert reading.z is faces.made[1].z
    (edited,) = change(handlers, shown.session, {"Eyeglasses"})
    assert edited.session.now.edit.result.size == (256, 256)
    with Image.open(making.save_face(2, faces.made)) as image:
        assert image.tobytes() == faces.made[2].image.tobytes()
    # The toy actor makes faces that are all alike.
    torch.manual_seed(0)
    apart = [dataclasses.replace(sample, z=300 * torch.randn_like(sample.z)) for sample in faces.made]
    frames = making.morph(0, 1, apart).view["morph"]["frames"]
    assert len(set(frames)) > 5
    with Image.open(making.save_morph(0, 1, apart)) as film:
        assert film.n_frames > 10  # type: ignore[attr-defined]
    for made, place in (([], 0), (faces.made, 3), (faces.made, -1), (faces.made, "x")):
        with pytest.raises(LatentConstraintsError):
            making.save_face(place, made)  # type: ignore[arg-type]


def test_faces_with_and_without_realism_stand_side_by_side(tiny_editor: FaceEditor, handlers: EditHandlers) -> None:
    making = MakingHandlers(tiny_editor, handlers)
    faces = making.make(2, 7, "both", {}).view["faces"]
    assert all(face["plain"] != face["image"] for face in faces)
    assert [face["plain"] for face in faces] == [face["image"] for face in making.make(2, 7, "off", {}).view["faces"]]


@pytest.mark.parametrize("asked", [7, None, {"Wings": "yes"}, {"Smiling": "perhaps"}, {"hair_like_zz": "yes"}])
def test_what_is_asked_of_faces_is_checked(tiny_editor: FaceEditor, handlers: EditHandlers, asked: object) -> None:
    with pytest.raises(LatentConstraintsError):
        MakingHandlers(tiny_editor, handlers).make(2, 7, "on", asked)


def test_a_sample_is_a_reading_without_detection(tiny_editor: FaceEditor) -> None:
    sample = tiny_editor.sample(1)[0]
    reading = reading_of(sample)
    assert tiny_editor.edit(reading).result.tobytes() == reading.photo.rgb.tobytes()


def test_a_wrong_number_on_the_page_keeps_what_is_shown(handlers: EditHandlers, session: Session) -> None:
    boxes = list(session.now.boxes)
    for values in ((boxes, 7, 1.0, "actor"), (boxes, 0.5, math.nan, "actor"), (["Wings"], 0.5, 1.0, "actor")):
        with pytest.raises(LatentConstraintsError):
            list(handlers.change(*values, 0, session, VISITOR))  # type: ignore[arg-type]


def test_every_event_is_named_and_documented(tiny_editor: FaceEditor, tiny_weights: Path, folder: Folder) -> None:
    page, _ = build_page(tiny_editor, tiny_weights, Settings(), folder)
    functions = [function for function in page.fns.values() if function.fn is not None]
    assert len(functions) > 15
    assert all(isinstance(function.api_name, str) for function in functions)
    assert all(function.fn.__doc__ for function in functions)
    assert {one.api_name for one in functions if one.api_visibility == "public"} == {"describe", "edit", "sample"}
    assert not any(function.preprocess for function in functions)  # Gradio's own checks open files


def test_nobody_waits_for_tiles_with_a_tap(tiny_editor: FaceEditor, tiny_weights: Path, folder: Folder) -> None:
    page, _ = build_page(tiny_editor, tiny_weights, Settings(concurrency=1), folder)
    queues = {function.api_name: function.concurrency_id for function in page.fns.values()}
    assert queues["fill"] == queues["fill_more"] != queues["change"] == queues["open_upload"]
