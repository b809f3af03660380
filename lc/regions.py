"""Generators for one region of a face alone, at twice the resolution of the face's: a mouth with lips, teeth and the
folds about it; eyes with their brows and lids.

A conditional VAE (Sohn et al. 2015): what is hidden of a photo is drawn from a small code and from what is around it,
so that any code fits any face. What attributes do to a region is a move in the space of its codes.

    >>> net = RegionVAE(RegionConfig(code=4, widths=(8, 8, 8, 8), fine=8))
    >>> patches = torch.rand(2, 3, 64, 64)
    >>> net.draw(patches, hidden(2, "mouth"), net.encode(patches).mean).shape
    torch.Size([2, 3, 64, 64])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lc.generator import Posterior

__all__ = ["CROP", "PATCH", "REGIONS", "Region", "RegionConfig", "RegionVAE", "hidden"]

#: Pixels of the side of a patch, and of an aligned crop's.
PATCH, CROP = 64, 128

_NOSE, _NOSE_RADII = -21.0, (12.0, 11.0)  # above a mouth
_EDGE = 4.0
# Of how two attributes lead each other's logits, both ways: from there on the one does not come without the other.
_TOGETHER = 0.25


@dataclass(frozen=True)
class Region:
    """What of a patch is drawn anew: an ellipse, in pixels from the middle of the patch.

    Attributes:
        middle: how far down it lies.
        radii: across and down.
        place: of the patch's middle in aligned crops, in parts of their side from the left and from above.
        part: the parser's class in whose middle the patch lies instead, near that place; empty: none.
        spares_nose: whether a nose reaches into it from above, and stays.
    """

    middle: float
    radii: tuple[float, float]
    place: tuple[float, float]
    part: str = ""
    spares_nose: bool = False


#: What there are nets for.
REGIONS = {
    "mouth": Region(4.0, (27.0, 19.0), (0.5, 0.79), "mouth", spares_nose=True),
    "eyes": Region(-2.0, (29.0, 17.0), (0.5, 0.518)),  # crops are aligned by the eyes
}


@dataclass(frozen=True)
class RegionConfig:
    """Sizes of a net, saved as JSON beside its weights."""

    region: str = "mouth"
    code: int = 48  # dimensions of a code
    attributes: tuple[str, ...] = ()  # whose moves it knows
    pull: float = 0.5  # how far moved codes are drawn to what is usual for what is wanted
    widths: tuple[int, ...] = (48, 96, 160, 192)  # channels at 1/2, 1/4, 1/8 and 1/16 of a patch's resolution
    fine: int = 20  # channels at the patch's own

    def __post_init__(self) -> None:
        if self.region not in REGIONS or len(self.widths) != 4 or min(*self.widths, self.code, self.fine) < 1:
            raise ValueError(f"sizes of a region's net must be positive, with four widths, its region known: {self}")


def hidden(rows: int, region: str, scale: Tensor | float = 1.0, shift: Tensor | float = 0.0) -> Tensor:
    """What of patches is drawn anew, (rows, 1, 64, 64) in [0, 1].

    Args:
        rows: how many patches.
        region: see `REGIONS`.
        scale, shift: of its ellipse across and down, (rows, 2) or a number.
    """
    shape = REGIONS[region]
    line = torch.arange(PATCH) + 0.5 - PATCH / 2
    scale, shift = (torch.as_tensor(x).expand(rows, 2)[:, :, None, None] for x in (scale, shift))
    down, across = line[:, None] - shift[:, 1], line[None] - shift[:, 0]  # (rows, 64, 64)
    radii = [radius * scale[:, i] for i, radius in enumerate(shape.radii)]
    far = torch.hypot(across / radii[0], (down - shape.middle) / radii[1])
    inside = ((1 - far) * (min(shape.radii) / _EDGE) + 0.5).clamp(0, 1)
    if shape.spares_nose:
        nose = torch.hypot(across / _NOSE_RADII[0], (down - _NOSE) / _NOSE_RADII[1])
        inside = inside * ((nose - 1) * (min(_NOSE_RADII) / _EDGE) + 0.5).clamp(0, 1)
    return inside[:, None]


class _Block(nn.Module):
    """x + conv(conv(x)), which a code scales and shifts in between (Perez et al. 2018, FiLM)."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.modulation = nn.Linear(code, 2 * width) if code else None
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        h = self.first(x)
        if self.modulation is not None and code is not None:
            scale, shift = self.modulation(code)[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        found: Tensor = x + self.second(F.leaky_relu(h, 0.2))
        return found


class _Encoder(nn.Module):
    def __init__(self, config: RegionConfig) -> None:
        super().__init__()
        w2, w4, w8, w16 = config.widths
        self.first = nn.Conv2d(12, w2, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in ((w2, w4), (w4, w8), (w8, w16)))
        self.blocks = nn.ModuleList(_Block(width, 0) for width in (w4, w8, w16))
        self.out = nn.Linear(16 * w16, 2 * config.code)

    def forward(self, patches: Tensor) -> Posterior:
        x = self.first(F.pixel_unshuffle(patches * 2, 2))
        for down, block in zip(self.down, self.blocks, strict=True):
            x = block(down(F.leaky_relu(x, 0.2)))
        mean, raw = self.out(F.leaky_relu(x, 0.2).flatten(1)).float().chunk(2, dim=1)
        return Posterior(mean, F.softplus(raw) + 1e-3)


class _Decoder(nn.Module):
    def __init__(self, config: RegionConfig) -> None:
        super().__init__()
        w2, w4, w8, _ = config.widths
        code, fine = config.code, config.fine
        self.first = nn.Conv2d(16, w2, 3, padding=1)
        self.near = _Block(w2, 0)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in ((w2, w4), (w4, w8)))
        self.seed = nn.Linear(code, 16 * w8)
        self.deep = nn.ModuleList(_Block(w8, code) for _ in range(3))
        self.up4, self.up2 = nn.Conv2d(w8, 4 * w4, 1), nn.Conv2d(w4, 4 * w2, 1)
        self.blocks4, self.blocks2 = (nn.ModuleList(_Block(width, code) for _ in range(2)) for width in (w4, w2))
        self.up = nn.Conv2d(w2, 4 * fine, 3, padding=1)
        self.finest = nn.Conv2d(fine + 4, fine, 3, padding=1)
        self.fine = _Block(fine, code)
        self.last = nn.Conv2d(fine, 3, 3, padding=1)

    def forward(self, around: Tensor, code: Tensor) -> Tensor:
        """(B, 4, 64, 64), what is seen of patches and where they are hidden, and codes -> logits (B, 3, 64, 64)."""
        x2 = self.near(F.leaky_relu(self.first(F.pixel_unshuffle(around, 2)), 0.2))
        x4 = F.leaky_relu(self.down[0](x2), 0.2)
        x8 = F.leaky_relu(self.down[1](x4), 0.2)
        x = x8 + F.interpolate(self.seed(code).unflatten(1, (-1, 4, 4)), scale_factor=2.0)
        for block in self.deep:
            x = block(x, code)
        x = x4 + F.pixel_shuffle(self.up4(x), 2)
        for block in self.blocks4:
            x = block(x, code)
        x = x2 + F.pixel_shuffle(self.up2(x), 2)
        for block in self.blocks2:
            x = block(x, code)
        x = F.leaky_relu(F.pixel_shuffle(self.up(x), 2), 0.2)
        x = F.leaky_relu(self.finest(torch.cat([x, around], 1)), 0.2)
        logits: Tensor = self.last(F.leaky_relu(self.fine(x, code), 0.2))
        return logits


class RegionVAE(nn.Module):
    """Codes of a region, the region from codes, and for some attributes a linear critic of codes.

    Attributes:
        critics: (A, code), and `biases`, (A,): each attribute's logit is linear in the code.
        moves: (A, code), along which codes of people that are alike otherwise change by a logit of 1.
        levels: (A, 2), logits of people who are surely without it, and with it.
        centres: (A, 2, code), mean codes of those.
    """

    critics: Tensor
    biases: Tensor
    moves: Tensor
    levels: Tensor
    centres: Tensor

    def __init__(self, config: RegionConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = _Encoder(config), _Decoder(config)
        shapes = {"critics": (config.code,), "biases": (), "moves": (config.code,), "levels": (2,)}
        for name, shape in (shapes | {"centres": (2, config.code)}).items():
            self.register_buffer(name, torch.zeros(len(config.attributes), *shape))

    def encode(self, patches: Tensor) -> Posterior:
        """(B, 3, 64, 64) in [0, 1] -> Posterior of (B, code)."""
        posterior: Posterior = self.encoder(patches - _tone(patches, hidden(1, self.config.region).to(patches)))
        return posterior

    def moved(self, codes: Tensor, moves: Mapping[str, float], far: float = 1.0) -> Tensor:
        """Codes as they would be with some attributes, or without them; who is beyond that stays.

        What the critics read is what was asked for, and of other attributes what it was, but of those that go with one
        of these.

        Args:
            codes: (B, code).
            moves: by name of an attribute, 1 with it, 0 without it, or between them.
            far: how far to go, in parts of the way.
        """
        names, found = self.config.attributes, codes
        aims = codes @ self.critics.T + self.biases  # (B, A), logits: what is not asked for stays
        for name, wanted in moves.items():
            row = names.index(name)
            without, with_ = self.levels[row]
            logits = found @ self.critics[row] + self.biases[row]
            missing = without + wanted * (with_ - without) - logits
            if wanted == round(wanted):
                missing = missing.clamp(min=0) if wanted else missing.clamp(max=0)
            aims[:, row] = logits + far * missing
            # Alone, a move far along one line leaves what any mouth looks like.
            pull = self.config.pull * abs(2 * wanted - 1) * (missing != 0).to(codes)[:, None]
            centre = self.centres[row][round(wanted)]
            found = found + far * torch.lerp(missing[:, None] * self.moves[row], centre - found, pull)
        moving = [row for row, name in enumerate(names) if name in moves]
        leads = self.critics @ self.moves.T  # (A, A): what each attribute's move adds to the others' logits
        shared = (leads * leads.T)[:, moving].amax(1) if moving else leads.new_zeros(len(names))
        rows = [row for row in range(len(names)) if row in moving or shared[row] < _TOGETHER]
        off = (aims - found @ self.critics.T - self.biases)[:, rows]
        return found + torch.linalg.lstsq(leads[rows][:, rows], off.T).solution.T @ self.moves[rows]

    def draw(self, patches: Tensor, missing: Tensor, codes: Tensor) -> Tensor:
        """Patches with another region.

        Args:
            patches: (B, 3, 64, 64) in [0, 1]; what is `missing` of them is not looked at.
            missing: (B, 1, 64, 64) in [0, 1], see `hidden`.
            codes: (B, code).

        Returns:
            (B, 3, 64, 64) in [0, 1].
        """
        # Codes are to say nothing of a skin's colour: it is that of what is seen.
        tone = _tone(patches, missing)
        around = torch.cat([(patches - tone) * 2 * (1 - missing), missing], 1)
        drawn = torch.sigmoid(torch.logit(tone, 0.02) + self.decoder(around, codes).float())
        return patches + missing * (drawn - patches)


def _tone(patches: Tensor, missing: Tensor) -> Tensor:
    """The mean colour of what is seen of patches, (B, 3, 1, 1)."""
    seen = 1 - missing
    return (patches * seen).sum((2, 3), keepdim=True) / seen.sum((2, 3), keepdim=True)
