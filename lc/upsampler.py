"""Super-resolution of a generator's pictures: the same face with twice as many pixels a side.

A photo that is edited has more pixels than a small generator draws, and what an edit puts into it should look neither
blurred nor lit otherwise than what it leaves. The net learns from photos and from what the generator makes of them
(Ledig et al. 2017, SRGAN); where the photo goes on around what is enlarged, it sees that and continues it (as nets that
fill holes do: Iizuka et al. 2017). Latents, critics and actor know nothing of it.

    >>> net = Upsampler(UpsamplerConfig(width=8, blocks=1, fine=4))
    >>> net(torch.rand(2, 3, 16, 16)).shape, net(torch.rand(2, 3, 16, 16), torch.rand(2, 4, 32, 32)).shape
    (torch.Size([2, 3, 32, 32]), torch.Size([2, 3, 32, 32]))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from lc.blur import binomial_blur
from lc.crops import to_pictures, to_tensor

__all__ = ["Upsampler", "UpsamplerConfig", "surroundings"]


@dataclass(frozen=True)
class UpsamplerConfig:
    """Sizes of the net, saved as JSON beside its weights."""

    width: int = 64  # channels at half the picture's size
    blocks: int = 4  # residual blocks at a quarter of it, where they see far, with half as many channels again
    fine: int = 24  # channels at the picture's size
    smooth: int = 0  # how often what it adds is smoothed: once leaves no pattern of every second pixel

    def __post_init__(self) -> None:
        if min(self.width, self.blocks, self.fine) < 1 or self.smooth < 0:
            raise ValueError(f"sizes of an upsampler must be positive: {self}")


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.second(F.leaky_relu(self.first(x), 0.2))
        return x + h


def surroundings(photos: Tensor, missing: Tensor, *, hidden: bool = True) -> Tensor:
    """What an upsampler sees of photos: (B, 3, 2S, 2S) in [0, 1] and where they are to be replaced, (B, 1, 2S, 2S) in
    [0, 1] -> (B, 4, 2S, 2S). `hidden`: nothing of what is there now."""
    return torch.cat([(photos * 2 - 1) * (1 - missing * hidden), missing], 1)


class Upsampler(nn.Module):
    """What twice the resolution adds to bicubic interpolation. It knows where in the aligned crop it looks."""

    def __init__(self, config: UpsamplerConfig) -> None:
        super().__init__()
        self.config, width, fine = config, config.width, config.fine
        self.first = nn.Conv2d(12 + 2 + 64, width, 3, padding=1)
        deep = width + width // 2
        self.near, self.nearer = _Block(width), _Block(width)
        self.down = nn.Conv2d(width, deep, 4, 2, 1)
        self.far = nn.Sequential(*(_Block(deep) for _ in range(config.blocks)))
        self.back = nn.Conv2d(deep, 4 * width, 1)
        self.up = nn.Conv2d(width, 4 * fine, 3, padding=1)
        self.fine = nn.Conv2d(fine + 3 + 16, fine, 3, padding=1)
        self.finer = _Block(fine)
        self.last = nn.Conv2d(fine, 12, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, images: Tensor, around: Tensor | None = None) -> Tensor:
        """Enlarge pictures, or what of them goes into photos.

        Args:
            images: (B, 3, S, S) in [0, 1], S a multiple of 4.
            around: see `surroundings`; None: the picture is all there is.

        Returns:
            (B, 3, 2S, 2S), in [0, 1] but in training; what it says of where the photo stays has no meaning.
        """
        rows, _, size, _ = images.shape
        if around is None:
            around = images.new_zeros(rows, 4, 2 * size, 2 * size)
            around[:, 3] = 1
        line = torch.linspace(-1, 1, size // 2, device=images.device, dtype=images.dtype)
        places = torch.stack(torch.meshgrid(line, line, indexing="ij")).expand(rows, 2, -1, -1)
        coarse = [F.pixel_unshuffle(images * 2 - 1, 2), places, F.pixel_unshuffle(around, 4)]
        x = F.leaky_relu(self.first(torch.cat(coarse, 1)), 0.2)
        x = self.near(x)
        x = self.nearer(x + F.pixel_shuffle(self.back(self.far(F.leaky_relu(self.down(x), 0.2))), 2))
        x = F.leaky_relu(F.pixel_shuffle(self.up(x), 2), 0.2)
        x = F.leaky_relu(self.fine(torch.cat([x, images * 2 - 1, F.pixel_unshuffle(around, 2)], 1)), 0.2)
        smooth = F.interpolate(images, scale_factor=2, mode="bicubic", align_corners=False)
        added = F.pixel_shuffle(self.last(self.finer(x)), 2)
        for _ in range(self.config.smooth):
            added = binomial_blur(added)
        found = smooth + added
        # While it learns, what is out of range costs something: held within it, it would have no slope back.
        return found if self.training else found.clamp(0, 1)

    @torch.inference_mode()
    def enlarged(self, pictures: Sequence[Image.Image]) -> list[Image.Image]:
        """Pictures of S x S pixels with twice as many a side."""
        return to_pictures(self(to_tensor(pictures, self.first.weight.device)))

    @torch.inference_mode()
    def completed(
        self,
        picture: npt.NDArray[np.float32],
        photo: npt.NDArray[np.float32],
        missing: npt.NDArray[np.float32],
        *,
        hidden: bool = True,
    ) -> npt.NDArray[np.float32]:
        """What goes into a photo, as sharp as that and going on from what is around it.

        Args:
            picture: (2S, 2S, 3) in 0..255, what the generator draws, in the photo's light.
            photo: likewise.
            missing: (2S, 2S) in [0, 1], where the photo is replaced.
            hidden: whether it sees nothing of what is there now.

        Returns:
            (2S, 2S, 3) in 0..255; elsewhere it has no meaning.
        """
        place = self.first.weight.device
        large, around = (torch.from_numpy(x.transpose(2, 0, 1).copy())[None].float() for x in (picture, photo))
        small = F.interpolate(large / 255, scale_factor=0.5, mode="area").clamp(0, 1).to(place)
        seen = surroundings((around / 255).clamp(0, 1), torch.from_numpy(missing)[None, None].float(), hidden=hidden)
        return np.asarray(255 * self(small, seen.to(place))[0].permute(1, 2, 0).cpu().numpy(), dtype=np.float32)
