"""Put nets that were trained elsewhere, a face parser, an upsampler and others, into a weights folder.

    python -m train.adopt --weights runs/calibrate/weights --parser runs/parser/weights --evaluators weights/judges-64

What each attribute may touch in a photo, what shows it there and what it recolours is the attribute set's to say
(train/celeba-10.json): it goes into config.json anew, with the colours that `train.colours` measured there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lc.attributes import AttributeSet
from lc.errors import LatentConstraintsError
from lc.finish import FINISHERS
from lc.weights import (
    load_attributes,
    load_classifier,
    load_parser,
    load_regions,
    load_upsampler,
    save_classifier,
    save_config,
    save_module,
    save_region,
    save_upsampler,
)
from train.attributes import ATTRIBUTE_SET
from train.engine import parse, program


@dataclass(frozen=True)
class AdoptConfig:
    """Put nets that were trained elsewhere into a weights folder."""

    weights: Path
    """Weights folder that they go into."""
    parser: Path | None = None
    """Folder that `train.parser` wrote."""
    upsampler: Path | None = None
    """Folder that `train.upsampler` wrote."""
    enlarger: Path | None = None
    """Another such, for whole pictures (--alone 1 --edited 0)."""
    regions: tuple[Path, ...] = ()
    """Folders that `train.regions` wrote."""
    finisher: Path | None = None
    lifter: Path | None = None
    shaver: Path | None = None
    """Folders that `train.finish` wrote."""
    classifiers: Path | None = None
    """Weights folder whose guidance and perceptual classifiers are taken: those of smaller pictures read larger ones
    shrunk."""
    evaluators: Path | None = None
    """Folder with the classifier "reader", which becomes the witness: no loss, guidance or calibration of these weights
    may have heard it."""


def steered(attributes: AttributeSet, wanted: AttributeSet = ATTRIBUTE_SET) -> AttributeSet:
    """A weights folder's attributes with what `wanted` says of where edits may act; colours and evidence stay."""
    entries = []
    for entry in attributes.attributes:
        if entry.name in wanted.names:
            new = wanted[entry.name]
            entry = replace(
                entry,
                acts_on=new.acts_on,
                begins=new.begins,
                spares=new.spares,
                creases=new.creases,
                lays=new.lays,
                adds=new.adds,
                recolours=new.recolours,
                part=new.part,
                lacks=new.lacks,
                shades=new.shades,
                people=new.people,
            )
        entries.append(entry)
    return replace(attributes, attributes=tuple(entries))


@program
def main() -> None:
    config = parse(AdoptConfig)
    attributes = load_attributes(config.weights)
    if config.parser is not None:
        parser = load_parser(config.parser)
        if parser is None:
            raise LatentConstraintsError(f"{config.parser} holds no face parser: name what train.parser wrote.")
        save_config(config.weights, parser={**vars(parser.config), "classes": list(parser.config.classes)})
        save_module(config.weights, "parser", parser)
        save_config(config.weights, attributes=steered(attributes).as_json())
    for name in ("upsampler", "enlarger", *FINISHERS):
        folder = getattr(config, name)
        if folder is not None:
            net = load_upsampler(folder, "upsampler" if name == "enlarger" else name)
            if net is None:
                raise LatentConstraintsError(f"{folder} holds no {name}: see train.upsampler and train.finish.")
            save_upsampler(config.weights, net, name)
    for place in config.regions:
        regions = load_regions(place)
        if not regions:
            raise LatentConstraintsError(f"{place} holds no region's net: name what train.regions wrote.")
        for region in regions.values():
            save_region(config.weights, region)
    if config.classifiers is not None:
        for name in ("guide", "perceptual"):
            save_classifier(config.weights, name, load_classifier(config.classifiers, name))
    if config.evaluators is not None:
        save_classifier(config.weights, "witness", load_classifier(config.evaluators, "reader"))
    print(f"{config.weights}: what was named is in.")


if __name__ == "__main__":
    main()
