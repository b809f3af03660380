"""lc.editor with a tiny untrained model: what holds whatever the weights are."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_save import SWAPPED
from tiny import with_edited

from lc.editor import Edit, FaceEditor, Method, Reading
from lc.errors import LatentConstraintsError, NoFaceError, PhotoError, UnknownAttributeError
from lc.faces import detector
from lc.faces.blend import REACH
from train.attributes import ATTRIBUTES

GLASSES = {"Eyeglasses": True}


def crops(n: int) -> list[Image.Image]:
    """Pictures in CelebA's framing, no two alike."""
    noise = np.random.default_rng(0).integers(0, 255, (n, 5, 4, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize((89, 109), Image.Resampling.BICUBIC) for pixels in noise]


def same(a: Image.Image, b: Image.Image, levels: int = 0) -> bool:
    """Equal up to `levels` of grey, which is what a change of batch size may cost."""
    difference = np.asarray(a, dtype=int) - np.asarray(b, dtype=int)
    return a.size == b.size and int(np.abs(difference).max()) <= levels


@pytest.fixture(scope="module")
def reading(tiny_editor: FaceEditor, astronaut: Path) -> Reading:
    return tiny_editor.read(astronaut)


@pytest.fixture(scope="module")
def readings(tiny_editor: FaceEditor) -> list[Reading]:
    return [tiny_editor.read(crop, aligned=True) for crop in crops(3)]


@pytest.fixture(scope="module")
def sure_editor(tiny_editor: FaceEditor) -> FaceEditor:
    """An untrained critic is sure of nothing; with larger logits it is, and the optimiser converges."""
    critic = copy.deepcopy(tiny_editor.model.attribute_critic)
    critic.body[-1].weight.mul_(60)
    return FaceEditor(dataclasses.replace(tiny_editor.model, attribute_critic=critic))


# --- photos in -----------------------------------------------------------------------------------------------------


def test_a_reading_has_every_stage(reading: Reading, astronaut: Path) -> None:
    assert reading.photo.rgb.size == Image.open(astronaut).size
    assert reading.face is reading.faces[0]
    assert reading.aligned.crop.size == reading.reconstruction.size == (64, 64)
    assert reading.aligned.crop.mode == reading.reconstruction.mode == "RGB"
    assert list(reading.attributes) == list(ATTRIBUTES)
    assert all(0 <= value <= 1 for value in reading.attributes.values())


def test_no_step_of_inference_reads_the_encoders_guess(tiny_editor: FaceEditor, reading: Reading) -> None:
    fast = FaceEditor(tiny_editor.model, inversion_steps=0).read(reading.photo.rgb)
    pixels = torch.from_numpy(np.asarray(reading.aligned.crop).copy()).permute(2, 0, 1)[None] / 255
    torch.testing.assert_close(fast.z, tiny_editor.model.generator.encode(pixels).mean[0], atol=1e-4, rtol=1e-4)
    assert not torch.equal(fast.z, reading.z)


def test_all_kinds_of_input_read_the_same(tiny_editor: FaceEditor, reading: Reading, astronaut: Path) -> None:
    with astronaut.open("rb") as file:
        inputs = [str(astronaut), astronaut.read_bytes(), Image.open(astronaut), file]
        for other in map(tiny_editor.read, inputs):
            assert torch.equal(other.z, reading.z)


def test_a_framed_crop_needs_no_face(readings: list[Reading]) -> None:
    assert [(reading.faces, reading.face) for reading in readings] == [([], None)] * 3
    assert not torch.allclose(readings[0].z, readings[1].z)


def test_batched_reading_is_reading_one_by_one(tiny_editor: FaceEditor, readings: list[Reading]) -> None:
    located = [tiny_editor.locate(crop, aligned=True) for crop in crops(3)]
    for one, other in zip(readings, tiny_editor.read_located(located), strict=True):
        torch.testing.assert_close(other.z, one.z, rtol=1e-4, atol=1e-5)
        assert same(other.reconstruction, one.reconstruction, levels=1)


def test_no_face_is_a_sentence(tiny_editor: FaceEditor) -> None:
    with pytest.raises(NoFaceError, match=r"^No face .*\.$"):
        tiny_editor.read(Image.new("RGB", (200, 200), "gray"))


@pytest.mark.parametrize("face", [1, -1])
def test_a_face_that_is_not_there_is_a_sentence(tiny_editor: FaceEditor, astronaut: Path, face: int) -> None:
    with pytest.raises(NoFaceError, match=r"1 face"):
        tiny_editor.read(astronaut, face=face)


@pytest.fixture
def two_faces(astronaut: Path, monkeypatch: pytest.MonkeyPatch) -> Image.Image:
    """A large face, and a smaller one; the detector says of the large one that its nose is beside it."""
    with Image.open(astronaut) as image:
        photo = Image.new("RGB", (900, 512), "white")
        photo.paste(image, (0, 0))
        photo.paste(image.resize((350, 350)), (530, 100))
    found = detector().detect(photo)
    assert len(found) == 2
    turned = found[0].landmarks.copy()
    turned[2] = turned[1] + (15, 20)
    profile = dataclasses.replace(found[0], landmarks=turned)
    monkeypatch.setattr(type(detector()), "detect", lambda self, image: [profile, found[1]])
    return photo


def test_a_face_in_profile_is_passed_over_and_refused_when_asked_for(
    tiny_editor: FaceEditor, two_faces: Image.Image
) -> None:
    reading = tiny_editor.read(two_faces)
    assert len(reading.faces) == 2
    assert reading.face is reading.faces[1]
    assert tiny_editor.edit(two_faces, GLASSES, face=1).reading.face is not None
    with pytest.raises(NoFaceError, match=r"^The face in photo is turned too far to the side.*\.$"):
        tiny_editor.read(two_faces, face=0)


def test_a_photo_that_is_not_framed_as_claimed_is_refused(tiny_editor: FaceEditor, astronaut: Path) -> None:
    with pytest.raises(PhotoError, match="not a CelebA crop"):
        tiny_editor.read(astronaut, aligned=True)


# --- edits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["actor", "optimise"])
def test_an_edit_has_every_stage(tiny_editor: FaceEditor, reading: Reading, method: str) -> None:
    edit = tiny_editor.edit(reading, GLASSES, method=method)  # type: ignore[arg-type]
    assert edit.edited.size == (64, 64)
    assert edit.result.size == edit.crop_result.size == reading.photo.rgb.size
    assert edit.before == reading.attributes
    assert list(edit.after) == list(ATTRIBUTES)
    assert edit.z_distance > 0
    assert edit.seconds > 0
    assert not torch.equal(edit.z_edited, reading.z)
    assert same(edit.edited, tiny_editor.decode(edit.z_edited))


@pytest.mark.parametrize("method", ["actor", "optimise"])
def test_setting_nothing_only_reconstructs(tiny_editor: FaceEditor, reading: Reading, method: str) -> None:
    edit = tiny_editor.edit(reading, {}, method=method)  # type: ignore[arg-type]
    assert torch.equal(edit.z_edited, reading.z)
    assert same(edit.edited, reading.reconstruction)
    assert same(edit.result, reading.photo.rgb)  # no change is added to the photo
    assert not same(edit.crop_result, reading.photo.rgb)
    assert edit.after == pytest.approx(edit.before, abs=1e-6)
    assert (edit.z_distance, edit.steps, edit.converged, edit.warning) == (0.0, 0, True, None)


@pytest.mark.parametrize("method", ["actor", "optimise"])
def test_many_edits_are_as_one_by_one(sure_editor: FaceEditor, readings: list[Reading], method: str) -> None:
    together = sure_editor.edit_many(readings, {"Male": False}, 0.3, method)  # type: ignore[arg-type]
    assert [edit.reading for edit in together] == readings
    for edit in together:
        alone = sure_editor.edit(edit.reading, {"Male": False}, 0.3, method)  # type: ignore[arg-type]
        torch.testing.assert_close(alone.z_edited, edit.z_edited, rtol=1e-3, atol=1e-3)
        assert (alone.steps, alone.converged) == (edit.steps, edit.converged)
        assert same(alone.edited, edit.edited, levels=1)
    assert method == "actor" or len({edit.steps for edit in together}) > 1  # each stops when it is there


def test_edits_beyond_a_batch_keep_their_order(tiny_editor: FaceEditor, readings: list[Reading]) -> None:
    many = list(itertools.islice(itertools.cycle(readings), 67))
    edits = tiny_editor.edit_many(many, GLASSES)
    assert [edit.reading for edit in edits] == many
    torch.testing.assert_close(edits[66].z_edited, edits[0].z_edited, rtol=1e-4, atol=1e-5)


def test_no_photos_are_no_edits(tiny_editor: FaceEditor) -> None:
    assert tiny_editor.edit_many([], GLASSES) == []
    assert tiny_editor.read_located([]) == []


def test_an_edit_repeats_exactly(tiny_editor: FaceEditor, reading: Reading, astronaut: Path) -> None:
    torch.manual_seed(5)
    one = tiny_editor.edit(reading, GLASSES)
    torch.manual_seed(6)
    two = tiny_editor.edit(astronaut, {"eyeglasses": True})  # whatever the spelling, and from the file
    assert torch.equal(one.z_edited, two.z_edited)
    assert same(one.result, two.result)


def strengthened(edit: Edit) -> Edit:
    """An untrained model changes next to nothing: let it change something that is seen."""
    return with_edited(edit, edit.reading.reconstruction.point(lambda value: min(value + 60, 255)))


def test_the_change_stays_near_the_face(tiny_editor: FaceEditor, reading: Reading) -> None:
    result = np.asarray(strengthened(tiny_editor.edit(reading, GLASSES)).result)
    photo = np.asarray(reading.photo.rgb)
    low, high = -REACH * 64, (1 + REACH) * 64
    corners = reading.aligned.matrix @ np.array([[low, high, low, high], [low, low, high, high], [1, 1, 1, 1]])
    left, top = np.floor(corners.min(1)).astype(int)
    right, bottom = np.ceil(corners.max(1)).astype(int)
    outside = np.ones(photo.shape[:2], dtype=bool)
    outside[max(top, 0) : bottom, max(left, 0) : right] = False
    assert outside.any()
    assert np.array_equal(result[outside], photo[outside])
    assert not np.array_equal(result, photo)


def test_nothing_set_gives_every_photo_of_a_batch_back(tiny_editor: FaceEditor, readings: list[Reading]) -> None:
    """A batch rounds otherwise than a photo alone, which must not show."""
    many = list(itertools.islice(itertools.cycle(readings), 13))
    for edit in tiny_editor.edit_many(many, {}):
        assert same(edit.result, edit.reading.photo.rgb)


@pytest.mark.parametrize("profile", [b"", SWAPPED])
def test_an_edit_goes_into_the_photos_own_colours_and_keeps_its_transparency(
    tiny_editor: FaceEditor, astronaut: Path, tmp_path: Path, profile: bytes
) -> None:
    with Image.open(astronaut) as image:
        photo = image.convert("RGBA")
        if profile:  # the colours that mean in this profile what the astronaut's mean in sRGB
            red, green, blue = image.convert("RGB").split()
            photo = Image.merge("RGBA", (green, red, blue, photo.getchannel("A")))
    photo.putalpha(Image.linear_gradient("L").resize(photo.size).point(lambda value: max(value, 128)))
    photo.save(tmp_path / "in.png", icc_profile=profile)
    edit = strengthened(tiny_editor.edit(tmp_path / "in.png", GLASSES))
    edit.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as back:
        assert back.mode == "RGBA"
        assert back.info.get("icc_profile", b"") == profile
        assert "Edited" in back.text["Comment"]
        new, old = np.asarray(back).astype(int), np.asarray(photo).astype(int)
    assert np.array_equal(new[..., 3], old[..., 3])
    assert np.array_equal(new[-80:], old[-80:])  # far from the face
    # The change is the same whichever the colours it is written in.
    plain = np.asarray(strengthened(tiny_editor.edit(edit.reading.photo.rgb, GLASSES)).result).astype(int)
    seen = edit.reading.photo.to_srgb(Image.fromarray(new[..., :3].astype(np.uint8)))
    moved = np.asarray(seen).astype(int) - np.asarray(edit.reading.photo.to_srgb(edit.reading.photo.pixels)).astype(int)
    expected = plain - np.asarray(edit.reading.photo.rgb)
    assert np.corrcoef(moved.ravel(), expected.ravel())[0, 1] > 0.9


def test_an_unknown_suffix_is_refused(tiny_editor: FaceEditor, reading: Reading, tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"\.png"):
        tiny_editor.edit(reading, GLASSES).save(tmp_path / "edited.gif")


def test_identity_and_attributes_matter(tiny_editor: FaceEditor, reading: Reading) -> None:
    latents = [
        tiny_editor.edit(reading, GLASSES, 0.0).z_edited,
        tiny_editor.edit(reading, GLASSES, 1.0).z_edited,
        tiny_editor.edit(reading, {"Eyeglasses": False}, 0.0).z_edited,
    ]
    assert not any(torch.allclose(a, b) for a, b in itertools.combinations(latents, 2))


def test_the_optimiser_reaches_what_it_says_it_reached(sure_editor: FaceEditor, readings: list[Reading]) -> None:
    steps = []
    for name, wanted in itertools.product(("Eyeglasses", "Smiling"), (True, False)):
        for edit in sure_editor.edit_many(readings, {name: wanted}, 0.0, "optimise"):
            steps.append(edit.steps)
            assert edit.converged
            assert edit.after[name] > 0.7 if wanted else edit.after[name] < 0.3  # beyond doubt, not just over 0.5
    assert 0 < max(steps) < 300


def test_keeping_the_person_means_moving_less(tiny_editor: FaceEditor, readings: list[Reading]) -> None:
    def moved(identity: float) -> float:
        edits = tiny_editor.edit_many(readings, {"Bald": True, "Smiling": False}, identity, "optimise")
        return sum(edit.z_distance for edit in edits)

    assert moved(1.0) < moved(0.0)


@pytest.mark.parametrize("method", ["actor", "optimise"])
def test_a_strength_is_met_and_grows(sure_editor: FaceEditor, readings: list[Reading], method: Method) -> None:
    """The untrained actor cannot reach every strength, but a higher one never gives less."""
    wanted = (0.1, 0.35, 0.6, 0.9)
    found = [sure_editor.edit_many(readings, {"Smiling": p}, 0.3, method) for p in wanted]
    for i in range(len(readings)):
        after = [edits[i].after["Smiling"] for edits in found]
        assert after == sorted(after)
        for p, edits in zip(wanted, found, strict=True):
            assert edits[i].converged == (abs(edits[i].after["Smiling"] - p) < 0.05)
    assert method == "actor" or all(edit.converged for edits in found for edit in edits)


def test_a_strength_stands_beside_other_changes(sure_editor: FaceEditor, readings: list[Reading]) -> None:
    for edit in sure_editor.edit_many(readings, {"Male": True, "Smiling": 0.6}, 0.0, "optimise"):
        assert edit.converged
        assert edit.after["Smiling"] == pytest.approx(0.6, abs=0.05)
        assert edit.after["Male"] > 0.7


def test_an_edit_of_an_edit_keeps_what_was_changed(tiny_editor: FaceEditor, reading: Reading) -> None:
    first = tiny_editor.edit(reading, {"Blond_Hair": True, "Smiling": 0.6})
    second = tiny_editor.edit(first, GLASSES)
    whole = tiny_editor.edit(reading, {"Blond_Hair": True, "Smiling": 0.6, **GLASSES})
    assert torch.equal(second.z_edited, whole.z_edited)
    assert second.changes == {"Blond_Hair": True, "Smiling": 0.6, "Eyeglasses": True}
    assert tiny_editor.edit(second, {"black hair": True, "smiling": False}).changes == {
        "Eyeglasses": True,
        "Black_Hair": True,
        "Smiling": False,
    }


def test_what_nobody_has_is_tried_with_a_warning(tiny_editor: FaceEditor, reading: Reading) -> None:
    edit = tiny_editor.edit(reading, {"Bald": True, "Blond_Hair": True})
    assert edit.warning is not None
    assert edit.warning.endswith(".")
    assert edit.z_distance > 0


@pytest.mark.parametrize("identity", [-0.01, 1.01, float("nan"), float("inf")])
def test_an_identity_out_of_range_is_refused(tiny_editor: FaceEditor, reading: Reading, identity: float) -> None:
    with pytest.raises(LatentConstraintsError, match="0 to 1"):
        tiny_editor.edit(reading, GLASSES, identity)


def test_an_unknown_attribute_or_method_is_refused(tiny_editor: FaceEditor, reading: Reading) -> None:
    with pytest.raises(UnknownAttributeError, match="Spectacles"):
        tiny_editor.edit(reading, {"Spectacles": True})
    with pytest.raises(UnknownAttributeError):
        tiny_editor.sample(1, {"Spectacles": True})
    with pytest.raises(LatentConstraintsError, match="actor or optimise"):
        tiny_editor.edit(reading, GLASSES, method="magic")  # type: ignore[arg-type]


# --- live ----------------------------------------------------------------------------------------------------------


def test_a_live_optimisation_ends_where_the_optimiser_does(tiny_editor: FaceEditor, readings: list[Reading]) -> None:
    whole = tiny_editor.edit(readings[0], {"Bald": True}, 0.9, "optimise")
    *steps, last = tiny_editor.edit_live(readings[0], {"Bald": True}, 0.9, every=3)
    assert isinstance(last.edit, Edit)
    assert all(step.edit is None for step in steps)
    assert torch.equal(last.edit.z_edited, whole.z_edited)
    assert [step.index for step in steps] == list(range(whole.steps + 1))
    assert [step.preview is not None for step in steps] == [step.index % 3 == 0 for step in steps]
    assert set(steps[0].energies) == {"attributes", "realism", "distance"}


def test_a_live_optimisation_stops_when_asked(tiny_editor: FaceEditor, readings: list[Reading]) -> None:
    answers = iter([False, False, True])
    *_, last = tiny_editor.edit_live(readings[0], {"Bald": True}, 0.0, stop=lambda: next(answers))
    assert last.edit is not None
    assert last.edit.steps == last.index <= 2


def test_a_live_optimisation_to_nowhere_is_a_reconstruction(tiny_editor: FaceEditor, readings: list[Reading]) -> None:
    *_, last = tiny_editor.edit_live(readings[0], {})
    assert last.edit is not None
    assert same(last.edit.edited, readings[0].reconstruction)
