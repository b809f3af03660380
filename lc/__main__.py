"""The command line.

    python -m lc edit photo.jpg --set Eyeglasses=1 Smiling=1 --out edited.png
    python -m lc edit photos/ --set Young=0 --method optimise --stages --out edited/
    python -m lc sample --count 64 --set Male=0 --seed 7 --out faces.png
    python -m lc describe photo.jpg
    python -m lc teach Bangs --with photos/bangs --without photos/none --actor --out bangs.safetensors
    python -m lc edit photo.jpg --use bangs.safetensors --set Bangs=1 --require warmer --out edited.png

Exit codes: 0 all done; 2 the command cannot be carried out as given; 3 some photos could not be used, and the others
are done; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias, TypeVar

from lc.errors import LatentConstraintsError
from lc.numbers import MAX_COUNT, MAX_FACE, MAX_STYLE, number, whole_number

__all__ = ["main", "parse"]

_T = TypeVar("_T")
_Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage is what --help is for."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def _checked(check: Callable[..., _T], *limits: float) -> Callable[[str], _T]:
    """A check of `lc.numbers` as a type of argparse."""

    def read(text: str) -> _T:
        try:
            return check(text, *limits)
        except LatentConstraintsError as error:
            raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error

    return read


def _parser() -> argparse.ArgumentParser:
    summary, _, exit_codes = (__doc__ or "").partition("Exit codes")
    parser = _Parser(
        prog="python -m lc",
        description="Edit face photos, or generate faces, by latent constraints.",
        epilog=summary.partition("\n")[2] + "Exit codes" + exit_codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common, photos, change = _common(), _photos(), _change()
    _add_edit(commands, [photos, change, common])
    _add_sample(commands, [change, common])
    _add_teach(commands, [common])
    commands.add_parser(
        "describe",
        parents=[photos, common],
        allow_abbrev=False,
        help="say what the model sees in photos",
        description="Print a line of JSON per photo: where its faces are, the largest first, and the probability of "
        "each attribute of the one taken.",
    )
    return parser


def _common() -> _Parser:
    """Options of every command."""
    common = _Parser(add_help=False, allow_abbrev=False)
    common.add_argument(
        "--weights",
        default=os.environ.get("LC_WEIGHTS") or None,
        metavar="FOLDER_OR_REPO",
        help="weights folder or Hub repository (default: $LC_WEIGHTS, or the folder that ships)",
    )
    common.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="default: auto")
    return common


def _photos() -> _Parser:
    """Options of commands that read photos."""
    photos = _Parser(add_help=False, allow_abbrev=False)
    photos.add_argument("inputs", nargs="*", type=Path, metavar="INPUT", help="photos, or folders of photos")
    photos.add_argument(
        "--aligned", action="store_true", help="the photos are CelebA crops (178x218, 89x109): look for no face"
    )
    photos.add_argument(
        "--fast", action="store_true", help="a rougher guess of each face, and actor's edits that nothing corrects"
    )
    photos.add_argument(
        "--face",
        type=_checked(whole_number, 1, MAX_FACE),
        metavar="N",
        help="which face, 1 the largest (default: the largest that looks towards the camera)",
    )
    return photos


def _change() -> _Parser:
    """Options of commands that make pictures."""
    change = _Parser(add_help=False, allow_abbrev=False)
    change.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=0|1",
        help="attributes to take away or to give, such as Eyeglasses=1, or a strength: Smiling=0.6; may be repeated",
    )
    change.add_argument(
        "--use",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a taught attribute, from the command teach, or a folder of them, which the other options then know by "
        "name; may be repeated",
    )
    change.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="NAME",
        help="an attribute, a taught one or a rule that is to hold, such as warmer; may be repeated",
    )
    change.add_argument(
        "--forbid", action="append", default=[], metavar="NAME", help="one that is not to hold; may be repeated"
    )
    change.add_argument(
        "--any",
        action="append",
        default=[],
        metavar="A,B",
        help="one of these at least is to hold, A=0 standing for not A; may be repeated",
    )
    change.add_argument("--out", required=True, metavar="PATH", help="a picture file, or a folder, which may end in /")
    return change


def _add_edit(commands: _Commands, parents: list[_Parser]) -> None:
    edit = commands.add_parser(
        "edit",
        parents=parents,
        allow_abbrev=False,
        help="change attributes of photos",
        description="Change attributes of one face in each photo; those not set are preserved, and what the "
        "change does not touch stays as it was, pixel for pixel in PNG and TIFF.",
    )
    edit.add_argument(
        "--identity",
        type=_checked(number, 0, 1),
        default=0.5,
        metavar="0..1",
        help="0: satisfy the attributes, 1: keep the person",
    )
    edit.add_argument("--method", choices=("actor", "optimise"), default="actor", help="one pass, or many steps")
    edit.add_argument(
        "--style",
        type=_checked(whole_number, 0, MAX_STYLE),
        default=0,
        metavar="N",
        help="which of several forms of glasses or hat, from 0; they go round (default: 0)",
    )
    edit.add_argument(
        "--blend",
        choices=("change", "crop"),
        help="carry over only the change, or the model's whole face, blurred as it is (default: change; crop "
        "where nothing is set, which shows the reconstruction)",
    )
    edit.add_argument(
        "--seed",
        type=_checked(whole_number),
        default=0,
        help="has no effect, for edits draw nothing by chance; kept for scripts that give it",
    )
    edit.add_argument(
        "--stages", action="store_true", help="write the stages, as large as the model draws, and the figures too"
    )


def _add_sample(commands: _Commands, parents: list[_Parser]) -> None:
    sample = commands.add_parser(
        "sample",
        parents=parents,
        allow_abbrev=False,
        help="generate faces",
        description="Generate faces. --out FOLDER gets 0000.png, 0001.png, ...; --out FILE.png gets them in a grid.",
    )
    sample.add_argument(
        "--count", type=_checked(whole_number, 1, MAX_COUNT), required=True, metavar="N", help="how many"
    )
    sample.add_argument("--seed", type=_checked(whole_number), default=0, help="source of chance (default: 0)")
    sample.add_argument(
        "--no-realism", action="store_true", help="leave the realism constraint out, to see what it does"
    )


def _add_teach(commands: _Commands, parents: list[_Parser]) -> None:
    teach = commands.add_parser(
        "teach",
        parents=parents,
        allow_abbrev=False,
        help="learn a new attribute from a few photos",
        description="Learn a new attribute from 5 to 200 photos with it and, if there are, as many without it; else "
        "faces in general are the contrast. Prints how well that went. Use it by: edit --use FILE --set NAME=1.",
    )
    teach.add_argument("name", metavar="NAME", help="what to call it: letters, digits and _")
    teach.add_argument("--with", dest="with_", required=True, type=Path, metavar="FOLDER", help="photos with it")
    teach.add_argument("--without", type=Path, metavar="FOLDER", help="photos without it")
    teach.add_argument(
        "--aligned", action="store_true", help="the photos are CelebA crops (178x218, 89x109): look for no face"
    )
    teach.add_argument(
        "--part",
        choices=("any", "face", "hair", "hairline"),
        default="any",
        help="what edits of it may touch (default: any of the person)",
    )
    teach.add_argument(
        "--actor", action="store_true", help="train an actor for it too, which takes a minute or two; see README"
    )
    teach.add_argument("--out", required=True, type=Path, metavar="FILE", help="a .safetensors file")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line. INPUTs may stand anywhere, which argparse alone does not allow beside subcommands."""
    parser = _parser()
    arguments, extra = parser.parse_known_args(argv)
    takes_photos = arguments.command in ("edit", "describe")
    unknown = [text for text in extra if text.startswith("-") or not takes_photos]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if takes_photos:
        arguments.inputs += map(Path, extra)
        # `--set A=1 photo.jpg`: --set takes what follows it, the photo too.
        for text in filter(_is_path, list(getattr(arguments, "set", []))):
            arguments.set.remove(text)
            arguments.inputs.append(Path(text))
        if not arguments.inputs:
            parser.error("give at least one photo or folder")
    return arguments


def _is_path(text: str) -> bool:
    """Whether a text given to --set is a photo: one that is there, or a mistyped "foto.jpg"."""
    return not text.endswith(("=0", "=1")) and (Path(text).exists() or ("=" not in text and bool(Path(text).suffix)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        arguments = parse(argv)
        from lc import cli  # here, because it imports torch, which takes seconds that --help should not

        return cli.run(arguments)
    except LatentConstraintsError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # `python -m lc describe folder | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"{error.filename or 'A file'} cannot be written or read: {error.strerror or error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
