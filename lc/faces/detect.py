"""Find faces and their five landmarks: MTCNN's three nets, in torch.

Zhang et al., "Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks", 2016
(https://arxiv.org/abs/1604.02878): a proposal net slides over an image pyramid, a second net throws most
proposals out, and a third one places the box and the landmarks of what is left.

The nets are those of `lc.faces.mtcnn`. Coordinates are continuous, see `lc.faces.align`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from lc.faces.align import fit, warp
from lc.faces.mtcnn import load_nets

__all__ = ["Face", "FaceDetector", "detector"]

_CELL, _STRIDE = 12, 2  # the proposal net judges windows of 12 pixels, 2 apart
_PYRAMID_STEP = 0.709  # about 1/sqrt(2): each level has half the pixels of the one before
_THRESHOLDS = (0.6, 0.7, 0.8)  # least face probability after each net, the authors' values
_MAX_PROPOSALS = 400  # bounds the time spent on a photo that is all texture
_BEYOND_DOUBT = 0.97  # score of a face that no other way up of the photo is tried for,
_UPRIGHT = 0.9985  # and of one that is not looked for upside down in its own surroundings: half of the faces
_FOUND = 0.95  # likewise, of what a search came upon: one of 50 upright faces scores less, and most that lie otherwise
_LEAST = 0.93  # score that a photo's surest face has: an upside-down one may score .92, an upright one .96
_TURNS = (-35, 35, 90, -90, 180)  # degrees tried on a photo without a face that is surely upright

# The third net's usual view of a face that `align` has levelled: centre and half side in parts of the crop's
# side, measured with align.TEMPLATE. Two sizes, because the mean of two views is steadier.
_VIEW_CENTRE, _VIEW_HALVES = np.array([0.489, 0.599]), (0.388 * 0.85, 0.388)
# Views that a face must also be one in: turned by degrees, and shifted by parts of the view's half side.
_SHAKEN = tuple((turn, x, y) for turn in (-20, 0, 20) for x, y in ((0, 0), (0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1)))
_MIRRORED = [1, 0, 2, 4, 3]  # the order of the landmarks in a mirror


@dataclass(frozen=True, eq=False)
class Face:
    """A detected face, in photo pixels.

    Attributes:
        box: left, top, right, bottom; may reach outside the photo.
        landmarks: (5, 2), x and y of left eye, right eye, nose, left and right mouth corner, where left and
            right are the viewer's.
        score: probability of being a face, 0..1.
        found: the same, as the search saw it that came upon the face, before that was levelled.
    """

    box: tuple[float, float, float, float]
    landmarks: npt.NDArray[np.float64]
    score: float
    found: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """The same as plain lists and floats, for JSON."""
        return {"box": list(self.box), "landmarks": self.landmarks.tolist(), "score": self.score}


class FaceDetector:
    """MTCNN on the CPU; calls are independent, so one instance serves all threads.

    Args:
        min_face: side in pixels, at the search size, of the smallest face looked for.
        max_side: photos with a longer side are searched at this size, in pixels.
        fine_side: the size of a second search, where the first finds only small faces or none.

    Raises:
        WeightsError: the wheel `mtcnn` 1.0.0 is not installed.
    """

    def __init__(self, min_face: int = 36, max_side: int = 1024, fine_side: int = 2048) -> None:
        self.min_face, self.max_side, self.fine_side = min_face, max_side, fine_side
        self.proposal_net, self.refine_net, self.output_net = load_nets()

    def detect(self, image: Image.Image) -> list[Face]:
        """Find the faces of an RGB image, largest first, those that the border cuts later; an empty list if there are
        none.

        However large the photo, it is searched at no more than `fine_side`, which bounds the time. A large photo of
        small faces is searched again more finely, since there may be smaller ones. A photo without an upright face is
        searched with a border around it, for faces that fill it; one without a face that is surely upright, turned by
        some angles.
        """
        image = image.convert("RGB")
        faces = self._found(image, self.max_side, self._search)
        smallest = min((face.box[2] - face.box[0] for face in faces), default=0.0)
        if max(image.size) > self.max_side and smallest * self.max_side < 2 * self.min_face * max(image.size):
            faces = self._found(image, self.fine_side, self._search) or faces
        faces = faces or self._found(image, self.max_side, self._search_bordered)
        if _doubtful(faces):  # the nets see upright faces in some that are upside down
            faces = max(faces, self._found(image, self.max_side, self._search_turned), key=_sure)
            faces = faces if _best(faces) >= _LEAST else []
        return sorted(faces, key=lambda face: _area(face) * _inside(face, image.size) ** 3, reverse=True)

    def landmarks(self, image: Image.Image, around: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """The landmarks of a face that is known to be where `around` lies, (5, 2) each."""
        return self._landmarks(image, fit(around, 1))

    def _found(self, image: Image.Image, side: int, search: Callable[[Image.Image], list[Face]]) -> list[Face]:
        """Search an image at a size of at most `side`, and look at what is found again at its own."""
        ratio = min(1.0, side / max(image.size))
        size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
        small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0) if ratio < 1 else image
        faces = [_scaled(face, image.width / size[0], image.height / size[1]) for face in search(small)]
        found = [face for face in (self._levelled(image, face) for face in faces) if face is not None]
        return [face if face.score >= _UPRIGHT else self._either_way(image, face) for face in found]

    def _either_way(self, image: Image.Image, face: Face) -> Face:
        """The face, or the one that is found in the same place upside down, whichever is surer."""
        middle, half = face.landmarks.mean(0), 0.9 * max(face.box[2] - face.box[0], face.box[3] - face.box[1])
        side = 4 * self.min_face
        frame = np.array([[-2 * half / side, 0.0, middle[0] + half], [0.0, -2 * half / side, middle[1] + half]])
        for other in self._search(warp(image, frame, side)):
            turned = _moved(other, frame[:, :2], frame[:, 2])
            seen = self._levelled(image, Face(face.box, turned.landmarks, other.score))
            if seen is not None and seen.score > face.score:
                face = seen
        return face

    @torch.inference_mode()
    def _levelled(self, image: Image.Image, face: Face) -> Face | None:
        """Look again, at full resolution and with the eyes level: better landmarks, fewer false alarms.

        On CelebA pictures turned by 40 degrees the mean error of the alignment falls from 3.5 to 1.1 pixels of
        the 64x64 crop. None if the third net no longer sees a face.
        """
        matrix = fit(face.landmarks, 1)  # unit crop to photo
        score = self._score(image, matrix)
        return None if score < _THRESHOLDS[2] else Face(face.box, self._landmarks(image, matrix), score, face.score)

    @torch.inference_mode()
    def _landmarks(self, image: Image.Image, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(5, 2), by views of the photo and their mirror images; `matrix` as `_score` takes it."""
        views, frames = [], []
        for half in _VIEW_HALVES:
            linear = matrix[:, :2] * (2 * half / 48)
            frame = np.column_stack([linear, matrix[:, :2] @ (_VIEW_CENTRE - half) + matrix[:, 2]])
            view = _to_tensor(warp(image, frame, 48))
            views += [view, view.flip(3)]
            frames.append(frame)
        _, points, _ = self.output_net(torch.cat(views))
        points = points.view(-1, 2, 5).transpose(1, 2).double().numpy()  # (4, 5, 2)
        points[1::2] = (points[1::2] * (-1, 1) + (1, 0))[:, _MIRRORED]
        points = 48 * (points[0::2] + points[1::2]) / 2  # (2, 5, 2) view pixels
        found = [p @ f[:, :2].T + f[:, 2] for p, f in zip(points, frames, strict=True)]
        return np.asarray(np.mean(found, axis=0))

    def _score(self, image: Image.Image, matrix: npt.NDArray[np.float64]) -> float:
        """How probable a face is in views turned and shifted a little, on average: what is none seldom is in all.

        Args:
            image: the photo.
            matrix: (2, 3), from the unit crop to it.
        """
        half, room = _VIEW_HALVES[1], 1.5
        linear = matrix[:, :2] * (2 * room * half / 72)
        frame = np.column_stack([linear, matrix[:, :2] @ (_VIEW_CENTRE - room * half) + matrix[:, 2]])
        around = _to_tensor(warp(image, frame, 72)).expand(len(_SHAKEN), -1, -1, -1)
        angle, x, y = torch.tensor(_SHAKEN).unbind(1)
        cos, sin = torch.cos(angle.deg2rad()) / room, torch.sin(angle.deg2rad()) / room
        rows = torch.stack([cos, -sin, x / room]), torch.stack([sin, cos, y / room])
        grid = F.affine_grid(torch.stack(rows).permute(2, 0, 1), [len(_SHAKEN), 3, 48, 48], align_corners=False)
        views = F.grid_sample(around, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return float(self.output_net(views)[2][:, 1].mean())

    def _search_bordered(self, image: Image.Image) -> list[Face]:
        border = max(image.size) // 3
        faces = self._search(ImageOps.expand(image, border, fill=(127, 127, 127)))
        return [_moved(face, np.eye(2), np.full(2, -float(border))) for face in faces]

    def _search_turned(self, image: Image.Image) -> list[Face]:
        """The faces at the angle with the surest one."""
        best: list[Face] = []
        for turn in _TURNS:
            turned = image.rotate(turn, Image.Resampling.BILINEAR, expand=True, fillcolor=(127, 127, 127))
            angle = np.deg2rad(turn)  # Pillow turns counter-clockwise about the centre
            back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            shift = np.array(image.size) / 2 - back @ (np.array(turned.size) / 2)
            faces = [_moved(face, back, shift) for face in self._search(turned)]
            best = max(best, faces, key=_best)
        return best

    @torch.inference_mode()
    def _search(self, image: Image.Image) -> list[Face]:
        boxes = self._propose(image)
        pixels = _to_tensor(image)
        boxes = self._refine(pixels, boxes)
        return self._locate(pixels, boxes)

    def _propose(self, image: Image.Image) -> Tensor:
        """Slide the first net over the pyramid: (N, 4) boxes in image pixels."""
        found: list[Tensor] = []
        scores: list[Tensor] = []
        scale = _CELL / self.min_face
        while min(image.size) * scale >= _CELL:
            size = (round(image.width * scale), round(image.height * scale))
            offsets, face = self.proposal_net(_to_tensor(image.resize(size, Image.Resampling.BILINEAR)))
            row, column = torch.nonzero(face[0, 1] > _THRESHOLDS[0], as_tuple=True)
            corner = torch.stack([column, row], 1) * float(_STRIDE)
            boxes = torch.cat([corner, corner + _CELL], 1)  # (n, 4)
            boxes = (boxes + offsets[0, :, row, column].T * _CELL) / scale
            score = face[0, 1, row, column]
            keep = _nms(boxes, score, 0.5)
            found.append(boxes[keep])
            scores.append(score[keep])
            scale *= _PYRAMID_STEP
        if not found:
            return torch.zeros(0, 4)
        boxes = torch.cat(found)
        return boxes[_nms(boxes, torch.cat(scores), 0.7)[:_MAX_PROPOSALS]]

    def _refine(self, pixels: Tensor, boxes: Tensor) -> Tensor:
        """Let the second net throw out and adjust: (N, 4) -> (M, 4)."""
        boxes = _squared(boxes)
        offsets, face = self.refine_net(_patches(pixels, boxes, 24))
        keep = face[:, 1] > _THRESHOLDS[1]
        boxes = _adjusted(boxes, offsets)[keep]
        return boxes[_nms(boxes, face[keep, 1], 0.7)]

    def _locate(self, pixels: Tensor, boxes: Tensor) -> list[Face]:
        """Let the third net decide, and place the landmarks."""
        boxes = _squared(boxes)
        offsets, points, face = self.output_net(_patches(pixels, boxes, 48))
        corner, side = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
        points = points.view(-1, 2, 5).transpose(1, 2) * side + corner  # (N, 5, 2)
        boxes = _adjusted(boxes, offsets)
        faces: list[Face] = []
        for i in face[:, 1].argsort(descending=True).tolist():
            left, top, right, bottom = boxes[i].tolist()
            candidate = Face((left, top, right, bottom), points[i].double().numpy(), float(face[i, 1]))
            if candidate.score > _THRESHOLDS[2] and not any(_overlap(candidate, other) > 0.6 for other in faces):
                faces.append(candidate)
        return faces


@functools.cache
def detector() -> FaceDetector:
    """The detector every caller shares, loaded on first use."""
    return FaceDetector()


def _to_tensor(image: Image.Image) -> Tensor:
    """(1, 3, H, W), -1..1"""
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    return (pixels.float() - 127.5) / 128


def _nms(boxes: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """Non-maximum suppression: which of boxes (N, 4) to keep, best first."""
    from torchvision.ops import nms  # here: the import takes seconds

    kept: Tensor = nms(boxes, scores, overlap)
    return kept


def _patches(pixels: Tensor, boxes: Tensor, size: int) -> Tensor:
    """(N, 3, size, size); each pixel the mean over its area, grey outside the image."""
    from torchvision.ops import roi_align  # here: the import takes seconds

    patches: Tensor = roi_align(pixels, [boxes], size, aligned=True)
    return patches


def _squared(boxes: Tensor) -> Tensor:
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], 1)


def _adjusted(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Move each side by its offset, a fraction of the box's size."""
    return boxes + offsets * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)


def _area(face: Face) -> float:
    left, top, right, bottom = face.box
    return max(0.0, right - left) * max(0.0, bottom - top)


def _best(faces: list[Face]) -> float:
    """The highest score."""
    return max((face.score for face in faces), default=0.0)


def _sure(faces: list[Face]) -> float:
    """How sure the surest face is, before and after it was levelled."""
    return max((face.score * face.found for face in faces), default=0.0)


def _doubtful(faces: list[Face]) -> bool:
    """Whether the surest face may lie another way than it was found: then it is looked for turned."""
    surest = max(faces, key=lambda face: face.score, default=None)
    if surest is None or surest.score < _BEYOND_DOUBT or surest.found < _FOUND:
        return True
    along, down = surest.landmarks[3:].mean(0) - surest.landmarks[:2].mean(0)
    return bool(down < abs(along) / 2)  # on its side, or upside down


def _inside(face: Face, size: tuple[int, int]) -> float:
    """The part of a face's box that lies in a photo of this size, 0..1."""
    return _overlap(face, Face((0.0, 0.0, float(size[0]), float(size[1])), face.landmarks, 1.0))


def _overlap(a: Face, b: Face) -> float:
    """Intersection over the smaller area, so that a box inside another one counts as the same face."""
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    return max(0.0, width) * max(0.0, height) / max(min(_area(a), _area(b)), 1e-9)


def _scaled(face: Face, x: float, y: float) -> Face:
    left, top, right, bottom = face.box
    return Face((left * x, top * y, right * x, bottom * y), face.landmarks * (x, y), face.score, face.found)


def _moved(face: Face, rotation: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]) -> Face:
    """Rotate, then shift; the box stays upright and keeps its size."""
    left, top, right, bottom = face.box
    centre = rotation @ ((left + right) / 2, (top + bottom) / 2) + shift
    half = np.array([right - left, bottom - top]) / 2
    (left, top), (right, bottom) = (centre - half).tolist(), (centre + half).tolist()
    return Face((left, top, right, bottom), face.landmarks @ rotation.T + shift, face.score, face.found)
