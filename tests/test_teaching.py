"""The tab "Teach it" and the tiles that it and the rules add: handlers as functions; the page is tested in e2e/."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lc.editor import FaceEditor
from lc.errors import LatentConstraintsError
from lc.taught import load_taught
from lc.teach import MOST
from train.attributes import ATTRIBUTES

gr = pytest.importorskip("gradio")

from visiting import VISITOR, merged  # noqa: E402 - needs gradio, as do those below

from lc.ui.events import Events  # noqa: E402
from lc.ui.handlers import EditHandlers  # noqa: E402
from lc.ui.lessons import Lesson, Pupil, Side  # noqa: E402
from lc.ui.making import MakingHandlers  # noqa: E402
from lc.ui.session import Session  # noqa: E402
from lc.ui.storage import Folder  # noqa: E402
from lc.ui.teaching import MOST_TAUGHT, Teaching, TeachingHandlers, failed  # noqa: E402
from lc.ui.visitors import Visitors  # noqa: E402


@pytest.fixture
def handlers(contrasted_editor: FaceEditor, folder: Folder) -> TeachingHandlers:
    return TeachingHandlers(EditHandlers(contrasted_editor, folder))


@pytest.fixture
def session(handlers: TeachingHandlers) -> Session:
    shown = handlers.editing.open_example(SimpleNamespace(index=0), VISITOR)  # type: ignore[arg-type]
    assert isinstance(shown.session, Session)
    return shown.session


def arrived(folder: Folder, data: bytes, name: str) -> dict[str, Any]:
    """A file as Gradio describes it once it has come through the door."""
    path = folder.new_upload() / name
    path.write_bytes(data)
    folder.add_upload(str(path))
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}}


def pupils(colour: tuple[int, int, int], count: int, seed: int) -> list[Pupil]:
    """Different crops, all of about one colour."""
    chance = np.random.default_rng(seed)
    made = [np.clip(np.array(colour) + chance.normal(0, 20, (64, 64, 3)), 0, 255).astype("uint8") for _ in range(count)]
    return [Pupil(f"{seed}-{i}.jpg", Image.fromarray(one)) for i, one in enumerate(made)]


def lesson(positives: int = 8, negatives: int = 8) -> Lesson:
    found = Lesson()
    sides: tuple[tuple[Side, list[Pupil]], ...] = (
        ("with", pupils((220, 60, 60), positives, 1)),
        ("without", pupils((60, 60, 220), negatives, 2)),
    )
    for side, some in sides:
        for one in some:
            found = found.add(side, one)
    return found


def logit(one: Any, z: torch.Tensor) -> float:
    return float(one.critic(z[None]))


# --- photos come in ---------------------------------------------------------------------------------------------------


def test_photos_show_as_their_faces_and_bad_ones_are_named(
    handlers: TeachingHandlers, folder: Folder, astronaut: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "grey.png")
    photos = [
        arrived(folder, astronaut.read_bytes(), "one.jpg"),
        arrived(folder, b"notes", "notes.jpg"),
        arrived(folder, (tmp_path / "grey.png").read_bytes(), "nobody.png"),
        arrived(folder, astronaut.read_bytes(), "again.jpg"),
    ]
    steps = list(handlers.look_at(photos, "with", Lesson(), (), VISITOR))
    assert [step.view.get("read") for step in steps] == [1, 2, 3, 4, None]
    view = steps[-1].view
    assert [face["name"] for face in view["with"]] == ["one.jpg"]
    assert view["with"][0]["image"].startswith("data:image/jpeg")
    assert [
        next(name for name in ("notes.jpg", "nobody.png", "again.jpg") if name in said) for said in view["left_out"]
    ] == ["notes.jpg", "nobody.png", "again.jpg"]
    assert "4 more" in view["missing"]
    *_, other = handlers.look_at(photos[:1], "without", steps[-1].lesson, (), VISITOR)
    assert "other side" in other.view["left_out"][-1]
    assert not other.view["without"]
    back = handlers.take_away("with", 0, other.lesson, ())
    assert back.view["with"] == []


def test_only_uploads_are_looked_at(handlers: TeachingHandlers, astronaut: Path) -> None:
    stranger = {"path": str(astronaut), "meta": {"_type": "gradio.FileData"}}
    *_, last = handlers.look_at([stranger], "with", Lesson(), (), VISITOR)
    assert last.view["with"] == []
    assert "not here any more" in last.view["left_out"][0]


def test_cancel_keeps_what_was_looked_at(handlers: TeachingHandlers, folder: Folder, astronaut: Path) -> None:
    photos = [arrived(folder, astronaut.read_bytes(), f"{i}.jpg") for i in range(4)]
    steps = handlers.look_at(photos, "with", Lesson(), (), VISITOR)
    first = next(steps)
    handlers.cancel_teaching(VISITOR)
    (last,) = steps
    assert [one["name"] for one in last.view["with"]] == ["0.jpg"]
    assert last.lesson is first.lesson


def test_a_side_is_bounded() -> None:
    full = Lesson()
    for one in pupils((9, 99, 9), MOST + 2, 3):
        full = full.add("with", one)
    assert len(full.pupils["with"]) == MOST
    assert str(MOST) in full.left_out[-1]
    assert full.nbytes < 5_000_000


# --- something is learned ---------------------------------------------------------------------------------------------


def test_what_was_taught_is_said_in_plain_words(handlers: TeachingHandlers) -> None:
    shown = handlers.teach(" Red  face ", lesson(), ())
    (one,) = shown.view["taught"]
    assert one["title"] == "Red face"
    assert "times in 100" in one["said"]
    assert "accuracy" not in one["said"]
    assert "accuracy" in one["figures"]
    assert shown.more["entries"][0] == {
        "name": "Red_face",
        "title": "Red face",
        "kind": "taught",
        "file": shown.more["entries"][0]["file"],
    }
    again = handlers.teach("Red face", lesson(6, 0), shown.taught)
    assert len(again.taught) == 1  # the newer one
    assert again.taught[0].report.negatives == 0


def test_what_cannot_be_told_apart_is_called_a_guess(handlers: TeachingHandlers) -> None:
    alike = Lesson()
    for side, seed in (("with", 5), ("without", 6)):
        for one in pupils((128, 128, 128), 6, seed):
            alike = alike.add(side, one)  # type: ignore[arg-type]
    taught = handlers.teach("Nothing", alike, ()).taught[0]
    worse = dataclasses.replace(taught.report, accuracy=0.52, spread=0.1, likeness=0.9, like="Male")
    said = handlers.said(dataclasses.replace(taught, report=worse))
    assert not said["good"]
    assert "no better than guessing" in said["said"]
    assert "Male in disguise" in said["said"]
    assert said["figures"].startswith("6 photos with it against 6 without: balanced accuracy 0.52 (+/- 0.10) on photos")
    assert handlers.said(taught)["good"] == (taught.report.accuracy - 1.64 * taught.report.spread > 0.5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "Give it a name"),
        (None, "Give it a name"),
        ("Z\u00f6pfe", "cannot be a name"),
        ("../../etc", "cannot be a name"),
        ("x" * 200, "cannot be a name"),
        ("Smiling", "There is a tile"),
        ("warmer", "There is a tile"),
    ],
)
def test_an_odd_name_is_a_sentence(handlers: TeachingHandlers, name: Any, said: str) -> None:
    with pytest.raises(LatentConstraintsError, match=said):
        handlers.teach(name, lesson(), ())


@pytest.mark.parametrize(("positives", "negatives", "said"), [(1, 0, "4 more"), (4, 9, "1 more"), (8, 2, "3 more")])
def test_too_few_photos_are_a_sentence(handlers: TeachingHandlers, positives: int, negatives: int, said: str) -> None:
    with pytest.raises(LatentConstraintsError, match=said):
        handlers.teach("Red", lesson(positives, negatives), ())


def test_so_many_things_and_no_more(handlers: TeachingHandlers, taught: list[Any]) -> None:
    with pytest.raises(LatentConstraintsError, match="forget one first"):
        handlers.teach("One more", lesson(), taught * MOST_TAUGHT)


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_is_saved_forgotten_and_used_again(
    handlers: TeachingHandlers, folder: Folder, taught: list[Any], contrasted_editor: FaceEditor
) -> None:
    path = Path(handlers.save_taught("Red_face", taught))
    assert path.name == "Red_face.safetensors"
    assert load_taught(path, contrasted_editor.model).name == "Red_face"  # the command line takes it too
    assert handlers.forget_taught("Red_face", taught).taught == []
    used = handlers.use_taught([arrived(folder, path.read_bytes(), "mine.safetensors")], ())
    (one,) = used.taught
    assert torch.equal(one.weight, taught[0].weight)
    assert "with" not in used.view  # the photos on show are not its business
    for gone in ("Red_face", None):
        with pytest.raises(LatentConstraintsError, match="not here any more"):
            handlers.save_taught(gone, ())  # type: ignore[arg-type]


def test_a_file_that_is_none_is_a_sentence(
    handlers: TeachingHandlers, folder: Folder, taught: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = taught[0].to_bytes()
    for bad in (b"", b"notes", data[:-9], data[:200], b"\xff" * 5_000_000):
        with pytest.raises(LatentConstraintsError, match=r"bad\.safetensors is no file that was saved here"):
            handlers.use_taught([arrived(folder, bad, "bad.safetensors")], taught)
    odd = dataclasses.replace(taught[0], report=dataclasses.replace(taught[0].report, accuracy=float("nan")))
    with pytest.raises(LatentConstraintsError, match="is no file"):
        handlers.use_taught([arrived(folder, odd.to_bytes(), "odd.safetensors")], taught)
    monkeypatch.setattr("lc.taught.generator_digest", lambda model: "another")
    with pytest.raises(LatentConstraintsError, match="another model"):
        handlers.use_taught([arrived(folder, data, "bad.safetensors")], taught)


# --- edits and faces --------------------------------------------------------------------------------------------------


def wish(handlers: TeachingHandlers, session: Session, more: Any, taught: Any = (), strength: float = 1.0) -> Any:
    boxes = list(session.now.boxes)
    return merged(handlers.editing.change(boxes, 0.5, strength, "actor", 0, session, VISITOR, more, taught))


def test_a_taught_tile_edits_and_joins_others(handlers: TeachingHandlers, session: Session, taught: list[Any]) -> None:
    one = taught[0]
    before = logit(one, session.reading.z)
    shown = wish(handlers, session, {"Red_face": "require"}, taught)
    moment = shown.session.now
    assert logit(one, moment.edit.z_edited) > before
    assert shown.stage["more"] == {"Red_face": "require"}
    assert list(handlers.wishes.seen(moment.edit, moment.more, moment.taught)) == ["Red face: yes"]
    assert "Red face: yes" in shown.status
    assert shown.session.edited == {0}
    off = wish(handlers, session, {"Red_face": "forbid"}, taught).session.now
    assert logit(one, off.edit.z_edited) < logit(one, moment.edit.z_edited)
    back = handlers.editing.undo(shown.session, VISITOR)
    assert back.stage["more"] == {}


def test_strength_of_a_taught_tile_is_monotone(handlers: TeachingHandlers, session: Session, taught: list[Any]) -> None:
    wishes, z = handlers.wishes, session.reading.z
    wanted = [
        wishes.constraints({"Red_face": "require"}, taught, z, strength)[0].wanted  # type: ignore[attr-defined]
        for strength in (0.55, 0.7, 0.85, 0.95)
    ]
    assert wanted == sorted(wanted)
    assert 0.5 < wanted[0] < wanted[-1] < 1


def test_either_of_two_is_one_constraint_and_needs_both(handlers: TeachingHandlers, session: Session) -> None:
    alone = wish(handlers, session, {"Smiling": "either"})
    assert "mark another one" in alone.status
    assert not alone.session.now.edit.constraints
    both = wish(handlers, session, {"Smiling": "either", "warmer": "either"})
    assert len(both.session.now.edit.constraints) == 1
    assert "either of" in both.status
    kept = handlers.wishes.preserved({"Smiling": "either", "warmer": "either"})
    assert kept == [name for name in ATTRIBUTES if name != "Smiling"]


@pytest.mark.parametrize("more", [7, ["warmer"], {"warmer": "perhaps"}, {"Wings": "require"}, {"Smiling": "require"}])
def test_wishes_are_checked(handlers: TeachingHandlers, session: Session, more: Any) -> None:
    with pytest.raises(LatentConstraintsError):
        wish(handlers, session, more)


def test_wishes_come_back_after_a_reload_unless_they_mean_nothing(
    handlers: TeachingHandlers, session: Session, taught: list[Any]
) -> None:
    kept = wish(handlers, session, {"Red_face": "require", "cooler": "require"}, taught).session.kept()
    restore = handlers.editing.restore
    back = restore(None, session.source, kept, VISITOR, taught).session
    assert back.now.more == {"Red_face": "require", "cooler": "require"}
    assert restore(None, session.source, kept, VISITOR).session.now.more == {"cooler": "require"}


def test_further_tiles_show_this_face(handlers: TeachingHandlers, session: Session, taught: list[Any]) -> None:
    shown = [one.more for one in handlers.fill_more(["Red_face", "warmer", "Wings"], session, taught)]
    assert [set(one["tiles"]) for one in shown] == [{"Red_face"}, {"Red_face", "warmer"}]
    assert shown[-1]["tiles"]["warmer"]["image"].startswith("data:image/jpeg")
    assert "entries" not in shown[-1]  # what was forgotten meanwhile stays forgotten
    names = [entry["name"] for entry in handlers.more(taught)["entries"]]
    assert names[0] == "Red_face"
    assert "wider_smile" not in names  # these weights have no parser


def test_faces_are_made_with_what_was_taught(handlers: TeachingHandlers, taught: list[Any]) -> None:
    making = MakingHandlers(handlers.editor, handlers.editing)
    faces = making.make(3, 7, "on", {"Red_face": "yes", "warmer": "yes"}, taught)
    plain = making.make(3, 7, "on", {}, taught)
    one = taught[0]
    assert all(
        logit(one, with_.z) >= logit(one, without.z) for with_, without in zip(faces.made, plain.made, strict=True)
    )
    assert "Red face" in faces.view["status"]


# --- what is remembered -----------------------------------------------------------------------------------------------


def test_each_visitor_teaches_alone_and_an_error_loses_nothing(
    handlers: TeachingHandlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitors = Visitors(None, 100_000_000)
    teach = Events(visitors).wrap(handlers.teach, failed, begins=True)
    visitors.keep_lesson("visitor", lesson())
    view, more = teach(VISITOR, "Red face")
    assert [one.name for one in visitors.taught("visitor")] == ["Red_face"]
    assert view["latest"] == "Red_face"
    assert len(more["entries"]) > 1
    other: Any = SimpleNamespace(session_hash="other")
    view, _ = teach(other, "Red face")
    assert "5 more" in view["failed"]
    assert visitors.taught("other") == ()
    view, _ = teach(VISITOR, "\u2603")
    assert "cannot be a name" in view["failed"]
    assert [one.name for one in visitors.taught("visitor")] == ["Red_face"]
    assert len(visitors.lesson("visitor").pupils["with"]) == 8
    assert visitors.nbytes > 16 * 64 * 64 * 3


def test_a_teaching_says_nothing_of_what_it_leaves() -> None:
    assert all(isinstance(field, dict) and field == gr.skip() for field in Teaching())
