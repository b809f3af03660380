"""Show the same sixteen faces through every model kept, side by side, for docs/compare.md.

    python -m train.compare --models weights/celeba-64 --plain runs/vae/weights

Fifteen faces that the first model generates, and the astronaut: no photo of a data set. Each model passes
them through, toggles a smile and puts glasses on; then it makes up faces of its own from the same seeds.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from lc.editor import FaceEditor, Reading
from lc.faces import Aligned, read_photo
from lc.files import whole, write_text
from lc.results import Located
from lc.weights import load_generator
from train.engine import parse, program
from train.evaluate.edits import tensor
from train.evaluate.readers import resized
from train.evaluate.tables import table
from train.identity import FaceEmbedding, MissingEmbeddingError
from train.metrics import gradient_energy, psnr

ASTRONAUT = Path(__file__).resolve().parent.parent / "lc" / "ui" / "examples" / "astronaut.jpg"


@dataclass(frozen=True)
class CompareConfig:
    """Show the same faces through every model kept."""

    models: tuple[Path, ...] = (Path("weights/celeba-64"),)
    """Weights folders; the first makes the faces up."""
    plain: Path | None = None
    """Weights folder of the first model's VAE with its decoder as it was before sharpening."""
    out: Path = Path("docs")
    seed: int = 7
    count: int = 15
    """Generated faces beside the astronaut."""
    identity: float = 0.5
    side: int = 64
    """Pixels that a face is shown at."""
    device: str = "auto"
    threads: int = 0


def editors(config: CompareConfig) -> dict[str, FaceEditor]:
    """Every model, by the name of its folder; the plain decoder works with the first model's nets."""
    found = {folder.resolve().name: FaceEditor.load(folder, config.device) for folder in config.models}
    if len(found) < len(config.models):
        raise SystemExit("Two of --models are folders of one name: rename one, for the page goes by it.")
    if config.plain:
        first = next(iter(found.values()))
        plain = load_generator(config.plain).to(first.device)
        found["plain decoder"] = FaceEditor(dataclasses.replace(first.model, generator=plain))
    return found


def faces(editor: FaceEditor, config: CompareConfig) -> list[Image.Image]:
    """The faces to show, at the first model's size; the astronaut comes last."""
    made = [sample.decoded for sample in editor.sample(config.count, seed=config.seed)] if config.count else []
    return [*made, editor.read(ASTRONAUT).aligned.crop]


def read(editor: FaceEditor, crops: list[Image.Image]) -> list[Reading]:
    """Faces in the product's framing, as they are, into readings; of another size than the model's, resampled."""
    size = editor.model.generator.image_size
    located: list[Located] = []
    for crop in crops:
        scale = crop.width / size
        fitted = crop if scale == 1 else crop.resize((size, size), Image.Resampling.BICUBIC)
        whole = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
        located.append(Located(read_photo(crop), [], None, Aligned(fitted, whole, scale)))
    return editor.read_located(located)


def rows(editor: FaceEditor, crops: list[Image.Image], config: CompareConfig) -> dict[str, list[Image.Image]]:
    """What one model makes of the faces, by title."""
    readings = read(editor, crops)
    result = {"passed through": [reading.reconstruction for reading in readings]}
    smiles = [
        editor.edit(reading, {"Smiling": reading.attributes["Smiling"] < 0.5}, config.identity) for reading in readings
    ]
    result["smile toggled"] = [edit.edited for edit in smiles]
    glasses = editor.edit_many(readings, {"Eyeglasses": True}, config.identity)
    result["with glasses"] = [edit.edited for edit in glasses]
    result["generated, from the same seeds"] = [s.decoded for s in editor.sample(len(crops), seed=config.seed)]
    return result


def measured(crops: list[Image.Image], copies: list[Image.Image], embedding: FaceEmbedding | None) -> dict[str, float]:
    """How near the faces come out of a model: means over them, at the larger of both sizes."""
    side = max(crops[0].width, copies[0].width)
    before, after = (resized(tensor(pictures), side) for pictures in (crops, copies))
    figures = {
        "PSNR": float(psnr(after, before).mean()),
        "gradient energy": float((gradient_energy(after) / gradient_energy(before)).mean()),
    }
    if embedding:
        figures["embedding distance"] = float((embedding.crops(after) - embedding.crops(before)).norm(dim=1).mean())
    return figures


def sheet(titled: dict[str, list[Image.Image]], side: int) -> Image.Image:
    """Rows of faces under their titles."""
    title = 20
    picture = Image.new("RGB", (side * max(map(len, titled.values())), (side + title) * len(titled)), "white")
    draw = ImageDraw.Draw(picture)
    for number, (text, row) in enumerate(titled.items()):
        top = number * (side + title)
        draw.text((4, top + 3), text, "black", font_size=12)
        for column, face in enumerate(row):
            picture.paste(face.resize((side, side), Image.Resampling.BICUBIC), (column * side, top + title))
    return picture


def page(config: CompareConfig, command: str, figures: dict[str, dict[str, float]], cards: dict[str, Any]) -> str:
    """docs/compare.md."""
    names = list(next(iter(figures.values())))
    lines = [
        "# The same faces through every model",
        "",
        f"![The same {config.count + 1} faces through every model](compare.png)",
        "",
        f"{config.count} faces that nobody has, generated by {next(iter(figures))} with seed {config.seed}, and the "
        f"astronaut; edits by the actor at identity {config.identity:g}. Written by",
        "",
        f"    {command}",
        "",
        "Passed through, as means over these faces. All of them but the astronaut came out of the first model, which "
        "has the easier task therefore:",
        "",
        *table(["model", *names], [[model, *(f"{row[name]:.3f}" for name in names)] for model, row in figures.items()]),
    ]
    if cards:
        keys = [key for key, value in next(iter(cards.values())).items() if isinstance(value, float)]
        body = [[key, *(f"{card[key]:.3f}" if key in card else "-" for card in cards.values())] for key in keys]
        lines += ["", "On held-out photos, out of each model's evaluation.json:", "", *table(["figure", *cards], body)]
    return "\n".join(lines) + "\n"


@program
def main() -> None:
    config = parse(CompareConfig)
    if config.threads:
        torch.set_num_threads(config.threads)
    try:
        embedding = FaceEmbedding()
    except MissingEmbeddingError as error:
        print(error)
        embedding = None
    models = editors(config)
    crops = faces(next(iter(models.values())), config)
    titled, figures = {"the faces": crops}, {}
    for name, editor in models.items():
        made = rows(editor, crops, config)
        figures[name] = measured(crops, made["passed through"], embedding)
        titled |= {f"{name}: {title}": row for title, row in made.items()}
    config.out.mkdir(parents=True, exist_ok=True)
    with whole(config.out / "compare.png") as file:
        sheet(titled, config.side).save(file, "PNG", optimize=True)
    cards = {
        name: json.loads(path.read_text()).get("reach", {})
        for name, folder in zip(models, config.models, strict=False)
        if (path := folder / "evaluation.json").exists()
    }
    command = " ".join(["python -m train.compare", *sys.argv[1:]])
    write_text(config.out / "compare.md", page(config, command, figures, {k: v for k, v in cards.items() if v}))
    print(f"{config.out / 'compare.md'} and its picture are written.")


if __name__ == "__main__":
    main()
