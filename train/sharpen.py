"""Sharpen the decoder with a learned similarity, encoder and latents untouched.

    python -m train.sharpen --vae runs/vae/weights --extra cache/lfw.safetensors --out runs/sharpen \\
        --perceptual runs/perceptual/weights [--editor weights/celeba-64] [--decoder-widths 64 128 256 256]

A pixel likelihood gives the mean of all faces that a latent may stand for, which is soft. Here the decoder learns on,
from the features of a patch discriminator trained beside it (VAE/GAN, Larsen et al. 2016; spectral norm and hinge loss,
Miyato et al. 2018), from those of a classifier of sharp photos (as LPIPS does, Zhang et al. 2018, but trained here on
the same photos), and from local power spectra (after Durall et al. 2020), while the pixel term keeps the person and
patterns that repeat from pixel to pixel are penalised.
Critics and actor work on unchanged: z means what it meant.

Edits and made-up faces lie where no photo's encoding does, and there is no photo to compare them with. With --editor
the discriminator sees these as well, and they are to stay like what the editor's own decoder draws of the same latents.
--decoder-widths and --decoder-bottleneck make another decoder: what does not fit it begins anew.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from tqdm import tqdm

from lc.classifier import Classifier, feature_distance
from lc.edit.actor import generate, propose_corrected
from lc.edit.problem import constraints_of, pose
from lc.edit.space import LatentSpace
from lc.invert import invert
from lc.vae import VAE, Decoder
from lc.weights import load_generator, load_model, save_generator
from train.attributes import ATTRIBUTES
from train.classifier import load_perceptual
from train.data import augment, centre, load_celeba, load_packed
from train.engine import Ema, Run, RunConfig, accelerator, cosine, parse, program, save_grid, seeded
from train.metrics import gradient_energy, psnr
from train.perceptual import FOLDER, Perceptual
from train.tuning import tuning_of
from train.vae import grow


@dataclass(frozen=True)
class SharpenTraining(RunConfig):
    """Sharpen the decoder."""

    out: Path = Path("runs/sharpen")
    celeba: Path = Path("data/celeba")
    extra: tuple[Path, ...] = ()
    """More crops from train.prepare."""
    vae: Path = Path("runs/vae/weights")
    """Weights folder of the VAE."""
    weights: Path | None = None
    """Where the sharpened decoder goes, OUT/weights when not given."""
    margin: int = 2
    """Pixels around a crop, on every side, that training may shift it by."""
    perceptual: Path | None = None
    """Folder of a "perceptual" classifier."""
    vgg: Path | None = None
    """Folder of what `python -m train.perceptual fetch` puts there, for features that were learned on other photos."""
    vgg_stages: int = 3
    """How many of its five stages count, from the finest."""
    vgg_weight: float = 1.5
    """Weight of the distance between its features."""
    editor: Path | None = None
    """A whole weights folder: its edits and made-up faces are learned from as well."""
    decoder_widths: tuple[int, ...] = ()
    """See VAEConfig; none: as they are."""
    decoder_bottleneck: int = 0
    """Likewise."""
    detail: int = 16
    """Channels of the decoder's fine lines; see VAEConfig."""
    width: int = 48
    """Channels of the discriminator's first layer."""
    images: int = 43_000
    """Photos to see in all."""
    batch: int = 64
    lr: float = 2e-4
    lr_critic: float = 4e-4
    pixel: float = 60.0
    """Weight of the mean squared error."""
    features: float = 12.0
    """Weight of the feature matching."""
    adversarial: float = 0.3
    """Weight of the hinge loss."""
    lpips: float = 1.0
    """Weight of the distance between the classifier's features."""
    spectrum: float = 0.3
    """Weight of the difference between the logarithms of local power spectra."""
    hatching: float = 30.0
    """Weight of what repeats every four pixels in the error, against the photo's contrast there."""
    imagined: int = 4_000
    """Photos that it edits, and faces that it makes up."""
    made: float = 0.5
    """Edits and made-up faces to a batch, as a share of its photos, up to 1."""
    alike: float = 0.5
    """What their distance from the editor's pictures counts, in pixels and features; a copy's from its photo: 1."""
    searched: int = 4
    """Every so many steps the latents are those that the app finds, see `lc.invert`; 0: never."""
    r1: float = 0.05
    """Weight of the gradient penalty on photos (Mescheder et al. 2018), applied every 8th step."""
    ema: float = 0.995
    crispness: float = 0.14
    """Amount of unsharp masking in what is written; see VAEConfig."""
    blend: float = 0.75
    """Share of the sharpened weights in those that are written, the rest the VAE's (Wortsman et al. 2022): the last of
    the sharpness costs the most decibels and leaves grain. 1 where the decoder's sizes change."""
    limit: int | None = None
    """Use only so many photos: a dry run."""


PATCH = 8  # pixels, side of the patches whose spectra are compared
PERIOD, TILES = 4, 4  # pixels of the pattern that two doublings of resolution can leave; patterns side by side
PARTS = ("mse", "features", "adversarial", "lpips", "spectrum", "hatching", "vgg", "alike")
VIEW = 64  # side of what all losses but that of pixels see of a picture, in pixels

PRESETS = {
    "cpu": SharpenTraining(),
    "celeba-128": SharpenTraining(
        celeba=Path("data/celebahq"),
        margin=8,
        vgg=FOLDER,
        images=24_000,
        batch=16,
        searched=0,
        crispness=0.0,
        blend=0.9,
    ),
    "paper": SharpenTraining(width=96, images=2_000_000, batch=128),
}


class PatchCritic(nn.Module):
    """Is a picture from a photo, each patch of it and the whole? Returns the logits and the features on the way."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # The first layer steps by one pixel: one that steps by two hardly sees patterns as fine as that.
        layers = [nn.Conv2d(3, width // 2, 3, padding=1)]
        layers += [nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise((width // 2, width, 2 * width, 4 * width))]
        layers.append(nn.Conv2d(4 * width, 4 * width, 3, padding=1))
        self.layers = nn.ModuleList(spectral_norm(layer) for layer in layers)
        self.head = spectral_norm(nn.Conv2d(4 * width, 1, 3, padding=1))
        # Two eyes that do not match are right, each by itself.
        self.rest = nn.ModuleList(spectral_norm(nn.Conv2d(4 * width, 4 * width, 4, 2, 1)) for _ in range(2))
        self.whole = spectral_norm(nn.Conv2d(4 * width, 1, 2))

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, 64, 64) in [0, 1] -> logits (B, 65), the last of the whole, and features of five layers."""
        x, features = images * 2 - 1, []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        patches = self.head(x).flatten(1)
        for layer in self.rest:
            x = F.leaky_relu(layer(x), 0.2)
        return torch.cat([patches, self.whole(x).flatten(1)], dim=1), features


def opinion(scores: Tensor) -> Tensor:
    """(B, 65) -> a scalar: all patches together count what the whole does."""
    return scores[:, :-1].mean() + scores[:, -1].mean()


class View:
    """What of pictures of S pixels the losses see, the same of each in a step: all of 64; of larger ones a part of 64,
    and the whole at 64 in one step of four.

    A discriminator or VGG that sees all of 128 costs four times as much and teaches nothing that these two do not.
    """

    def __init__(self, size: int, generator: torch.Generator) -> None:
        places = (size - VIEW) // 8 + 1  # multiples of what four doublings of resolution can repeat
        self.down, self.right = (8 * torch.randint(0, places, (2,), generator=generator)).tolist()
        self.whole = size == VIEW or float(torch.rand(1, generator=generator)) < 0.25

    def __call__(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 3, 64, 64)."""
        if x.shape[-1] == VIEW:
            return x
        if self.whole:
            return F.interpolate(x, VIEW, mode="area")
        return x[..., self.down : self.down + VIEW, self.right : self.right + VIEW]


def disturb(x: Tensor, generator: torch.Generator) -> Tensor:
    """The same shift and brightness for photos and their copies, stacked in pairs (Zhao et al. 2020): (2B, ...)."""
    down, right = torch.randint(-6, 7, (2,), generator=generator).tolist()
    light = torch.empty(len(x) // 2, 1, 1, 1).uniform_(-0.15, 0.15, generator=generator).repeat(2, 1, 1, 1)
    padded = F.pad(x + light.to(x.device), (6, 6, 6, 6), mode="reflect")
    return padded[:, :, 6 + down : 70 + down, 6 + right : 70 + right]


class CriticTask(nn.Module):
    """Hinge loss of the discriminator, with R1 now and then."""

    def __init__(self, critic: PatchCritic, r1: float) -> None:
        super().__init__()
        self.critic, self.r1 = critic, r1

    def forward(self, pair: Tensor, penalise: bool) -> Tensor:
        """Photos and copies stacked, (2B, 3, 64, 64) -> a scalar."""
        logits, _ = self.critic(pair)
        real, fake = logits.float().chunk(2)
        loss = opinion(F.relu(1 - real)) + opinion(F.relu(1 + fake))
        if penalise:
            photos = pair[: len(pair) // 2].detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(
                len(photos) * opinion(self.critic(photos)[0].float()), photos, create_graph=True
            )
            loss = loss + self.r1 * 4 * gradient.square().flatten(1).sum(1).mean()
        return loss


def spectrum_distance(copies: Tensor, photos: Tensor, generator: torch.Generator) -> Tensor:
    """Mean absolute difference between the log power spectra of patches of 8x8 pixels at the same places: a scalar.

    It asks for the photo's contrast at every scale and place, whatever the phase: hatching on smooth skin costs as much
    as missing texture in hair. Patches begin at a random pixel.
    """
    down, right = torch.randint(0, PATCH, (2,), generator=generator).tolist()
    window = torch.hann_window(PATCH, periodic=False, device=copies.device)
    grey = torch.cat([copies, photos]).float().mean(1)[:, down : down + 56, right : right + 56]
    patches = grey.unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH) * window[:, None] * window  # (2B, 7, 7, 8, 8)
    # The floor is the noise of a good photo, about two grey levels.
    copy_power, photo_power = torch.fft.rfft2(patches, norm="ortho").abs().square().add(1e-5).log().chunk(2)
    return (copy_power - photo_power).abs().mean()


def hatching(copies: Tensor, photos: Tensor) -> Tensor:
    """Mean square of the pattern that repeats over a square of 16x16 pixels in the error: 2 x (B, 3, 64, 64) -> scalar.

    Transposed convolutions can draw the same few pixels over and over. To a power spectrum that looks like texture;
    no photo has it, and at these few frequencies nothing else is lost with it. It counts against the photo's contrast
    in the square: smooth skin and hair are where it shows.
    """
    side = photos.shape[-1] // (PERIOD * TILES)
    error, photo = (
        x.float().reshape(*photos.shape[:2], side, TILES, PERIOD, side, TILES, PERIOD)
        for x in (copies - photos, photos)
    )
    pattern = error.mean((3, 6))  # (B, 3, side, PERIOD, side, PERIOD)
    contrast = photo.var((3, 4, 6, 7), correction=0)  # (B, 3, side, side)
    return (pattern.var((3, 5), correction=0) / (contrast + 2e-3)).mean()


class DecoderTask(nn.Module):
    """What the decoder learns from: pixels, features, spectrum, and the discriminator's opinion."""

    def __init__(
        self,
        decoder: Decoder,
        critic: PatchCritic,
        classifier: Classifier | None,
        vgg: Perceptual | None,
        config: SharpenTraining,
    ) -> None:
        super().__init__()
        self.decoder = decoder
        self._judges, self._config = (critic, classifier, vgg), config

    def forward(self, x: Tensor, z: Tensor, drawn: Tensor, view: View, generator: torch.Generator) -> Tensor:
        """A loss to learn from.

        Args:
            x: photos, (B, 3, S, S) in [0, 1].
            z: their latents, then M without a photo, M at most B: (B + M, latent).
            drawn: what those M are to stay like, (M, 3, S, S).
            view: what the losses but that of pixels see.
            generator: the source of chance.

        Returns:
            (9,): the total, and its detached parts, see PARTS.
        """
        config, (critic, classifier, vgg) = self._config, self._judges
        pictures = self.decoder(z)
        copies, made = pictures.split([len(x), len(drawn)])
        error = (copies - x).square().mean()
        far = (made - drawn).square().sum() / max(1, made.numel())
        x, pictures, drawn = view(x), view(pictures), view(drawn)
        copies = pictures[: len(x)]
        logits, features = critic(disturb(torch.cat([x, x[: len(made)], pictures]), generator))
        pairs = [[side[: len(x)] for side in layer.float().chunk(2)] for layer in features]
        matching = torch.stack([(fake - real.detach()).abs().mean() for real, fake in pairs]).mean()
        doubt = -opinion(logits.float().chunk(2)[1])
        lpips = alike = error.new_zeros(())
        if classifier:
            with torch.no_grad():
                wanted = classifier.maps(torch.cat([x, drawn]))
            apart = feature_distance(classifier.maps(pictures), wanted)
            lpips, alike = apart[: len(x)].mean(), config.lpips * apart[len(x) :].sum() / max(1, len(made))
        alike = alike + config.pixel * far
        seen = error.new_zeros(()) if vgg is None else vgg(x, copies).mean()
        waves = spectrum_distance(copies, x, generator)
        parts = torch.stack([error, matching, doubt, lpips, waves, hatching(copies, x), seen, alike])
        weights = (
            config.pixel,
            config.features,
            config.adversarial,
            config.lpips,
            config.spectrum,
            config.hatching,
            config.vgg_weight,
            config.alike,
        )
        return torch.cat([(parts * parts.new_tensor(weights)).sum()[None], parts.detach()])


@torch.no_grad()
def imagine(space: LatentSpace, photos: Tensor, seed: int, rows: int = 250) -> Tensor:
    """Latents to draw without a photo, (2N, latent): an edit of each of photos (N, latent), and as many made-up faces.

    Edits change one to three attributes as the app does, made-up faces have the training photos' label vectors, the
    rare ones more often.
    """
    generator, model = torch.Generator().manual_seed(seed), space.model
    device, often = photos.device, model.label_counts.sqrt()
    found = []
    for part in tqdm(photos.split(rows), desc="imagine", leave=False):
        count = int(torch.randint(1, 4, (), generator=generator))
        columns = torch.randperm(len(ATTRIBUTES), generator=generator)[:count].tolist()
        identity, *wanted = torch.rand(1 + len(ATTRIBUTES), generator=generator).tolist()
        problem = pose(space, part, constraints_of(space, {ATTRIBUTES[i]: wanted[i] < 0.5 for i in columns}))
        scale = model.calibration.for_actor(identity)
        edits, _ = propose_corrected(space, problem, scale, space.tuning.correction_steps)
        y = model.label_vectors[torch.multinomial(often, len(part), replacement=True, generator=generator)].to(device)
        prior = torch.randn(part.shape, generator=generator).to(device)
        found += [edits, generate(space, prior, y, identity)]
    return torch.cat(found)


@torch.no_grad()
def report(vae: VAE, decoder: Decoder, images: Tensor, path: Path) -> str:
    """Held-out PSNR and gradient energy of a decoder, and a grid: photos, before, after."""
    device = next(vae.parameters()).device
    z = torch.cat([vae.encode(x.to(device)).mean for x in images.split(128)])
    copies = torch.cat([decoder(part) for part in z.split(128)]).cpu()
    energy = (gradient_energy(copies) / gradient_energy(images)).mean()
    save_grid(torch.cat([images[:16], vae.decode(z[:16]).cpu(), copies[:16]]), path, columns=16)
    return f"held-out {psnr(copies, images).mean():.2f} dB, gradient energy {energy:.3f}"


@program
def main() -> None:
    config = parse(SharpenTraining, PRESETS)
    engine = accelerator(config)
    run = Run(config, engine)
    vae = load_generator(config.vae).to(engine.device)
    size, margin = vae.image_size, config.margin
    images = load_celeba(config.celeba, "train", config.limit, image_size=size, margin=margin).images
    if config.extra:
        images = torch.cat([images, *(load_packed(path).images[: config.limit] for path in config.extra)])
    held_out = load_celeba(config.celeba, "validation", config.limit, image_size=size, margin=margin).images
    held_out = centre(held_out, size)
    torch.manual_seed(config.seed)
    tuning = tuning_of(config.vae) if config.searched else None
    sizes = dataclasses.replace(
        vae.config,
        detail=config.detail,
        crispness=0.0,
        decoder_widths=config.decoder_widths or vae.config.decoder_widths,
        decoder_bottleneck=config.decoder_bottleneck or vae.config.decoder_bottleneck,
    )
    # Batch norm keeps the statistics it has: the average of the weights below would not fit moving ones.
    sharp = grow(vae, sizes).eval().to(engine.device)
    decoder = sharp.decoder.to(memory_format=torch.channels_last)
    classifier = load_perceptual(config.perceptual, engine.device)
    plain = copy.deepcopy(decoder.state_dict())
    critic = PatchCritic(config.width).to(memory_format=torch.channels_last)
    optimisers = [
        torch.optim.Adam(net.parameters(), lr=lr, betas=(0.0, 0.99), fused=True)
        for net, lr in ((decoder, config.lr), (critic, config.lr_critic))
    ]
    vgg = Perceptual(config.vgg, config.vgg_stages).to(engine.device) if config.vgg else None
    tasks: list[nn.Module] = [DecoderTask(decoder, critic, classifier, vgg, config), CriticTask(critic, config.r1)]
    for i in range(2):
        tasks[i], optimisers[i] = engine.prepare(tasks[i], optimisers[i])
    critic.to(engine.device)
    made, count = torch.zeros(0, vae.latent, device=engine.device), 0
    if config.editor:
        space = LatentSpace(load_model(config.editor, config.device))
        count = min(config.batch, round(config.made * config.batch))
        with torch.no_grad():
            few = images[torch.randperm(len(images), generator=seeded(config, 0))[: config.imagined]]
            few = centre(few, size).to(engine.device)
            encoded = torch.cat([vae.encode(x).mean for x in few.split(256)])
        made = imagine(space, encoded, config.seed)
    average = Ema(decoder, config.ema)

    def put(state: dict[str, Any]) -> None:
        decoder.load_state_dict(state["decoder"])
        critic.load_state_dict(state["critic"])
        average.state = state["average"]
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)

    start = run.restore(put)
    steps = config.images // (config.batch * engine.num_processes)
    averaged = copy.deepcopy(decoder).requires_grad_(False)
    bar = tqdm(range(start, steps), initial=start, total=steps, desc="sharpen", disable=not engine.is_main_process)
    for step in bar:
        generator = seeded(config, step, engine.process_index)
        rows = torch.randint(len(images), (config.batch,), generator=generator)
        x = augment(images[rows], generator, image_size=size).to(engine.device, memory_format=torch.channels_last)
        extra = made[torch.randint(max(1, len(made)), (count,), generator=generator)]
        for optimiser, lr in zip(optimisers, (config.lr, config.lr_critic), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = cosine(step, steps, lr, 0.05 * lr, 100)
        searched = config.searched and step % config.searched == 0
        view = View(size, generator)
        if searched and tuning is not None:
            z, _ = invert(sharp, x, tuning, perceptual=classifier)
        with engine.autocast():
            with torch.no_grad():
                if not searched:
                    posterior = vae.encode(x)
                    # Half means, half draws, near which edits and made-up faces lie.
                    noise = (torch.rand(len(x), 1, generator=generator) < 0.5).to(x.device)
                    z = posterior.mean + noise * posterior.std * torch.randn(posterior.std.shape, device=x.device)
                z = torch.cat([z, extra])
                drawn = space.model.generator.decode(extra) if count else x[:0]
                pair = disturb(view(torch.cat([x, x[:count], decoder(z)])), generator)
            critic.requires_grad_(True)
            loss_critic = tasks[1](pair, step % 8 == 0)
        optimisers[1].zero_grad()
        engine.backward(loss_critic)
        optimisers[1].step()
        critic.requires_grad_(False)
        with engine.autocast():
            losses = tasks[0](x, z, drawn, view, generator)
        optimisers[0].zero_grad()
        engine.backward(losses[0])
        optimisers[0].step()
        average.update(decoder, step + 100)
        done = step + 1
        if done % config.log_steps == 0 and engine.is_main_process:
            values = dict(zip(("total", *PARTS), losses.tolist(), strict=True))
            run.log(done, **values, critic=loss_critic.item())
            averaged.load_state_dict(average.state)
            bar.write(f"step {done}: {report(vae, averaged, held_out[:256], config.out / 'sharpened.png')}")
        state = {"decoder": decoder.state_dict(), "critic": critic.state_dict(), "average": average.state}
        run.save(done, {**state, "optimisers": [o.state_dict() for o in optimisers]}, force=done == steps)
    if engine.is_main_process:
        averaged.load_state_dict(
            {
                name: torch.lerp(plain[name].float(), value.float(), config.blend).to(value.dtype)
                for name, value in average.state.items()
            }
        )
        sharp.decoder = averaged
        sharp = grow(sharp, dataclasses.replace(sharp.config, crispness=config.crispness)).eval().to(engine.device)
        folder = config.weights or config.out / "weights"
        save_generator(folder, sharp)
        print(f"{report(vae, sharp.decoder, held_out, config.out / 'sharpened.png')}; decoder in {folder}")
    engine.end_training()


if __name__ == "__main__":
    main()
