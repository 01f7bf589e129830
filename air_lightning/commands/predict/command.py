"""`python -m air_lightning predict`: what a trained model sees in pictures.

    python -m air_lightning predict --run_dir DIR --input PICTURE_OR_FOLDER ... --output OUT [--overlay]
    python -m air_lightning predict --model scenes3d --input PICTURES --output OUT --format coco

Pictures are PNG, JPEG or .npy files, or folders of them. OUT is a folder to make: OUT/predictions.jsonl has a line of
JSON for each picture, with --format coco OUT/predictions.json has COCO's boxes, and with --overlay OUT/overlays/ has
the pictures with their objects marked. Pictures of another size than the model's are scaled to it, whatever their
proportions; boxes are in the pixels of the picture as it was given. docs/predict.md says what every field means.

Exit status: 0 done; 1 some pictures could not be read, each said on stderr, and the others are done; 2 wrong
arguments, or no picture could be read, and then nothing was written; 130 (Ctrl-C) or 143 (SIGTERM) interrupted, and
then nothing was written.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from air_lightning.cli.checks import check_writable, positive
from air_lightning.cli.ending import end, interrupt_status
from air_lightning.cli.trained import add_model_arguments, chosen_run
from air_lightning.commands.predict.model import Model
from air_lightning.commands.predict.output import FILES, OVERLAYS, check_output, output
from air_lightning.commands.predict.pictures import Picture, Shape, from_file
from air_lightning.runs.loading import best_device
from datamodules.picture_files import SUFFIXES, found

PROG = "python -m air_lightning predict"


def main(args: Sequence[str]) -> None:
    """Run the subcommand with the arguments after its name.

    Raises:
        SystemExit: unless all went well, with the status said at the top of this file.
    """
    options = arguments().parse_args(list(args))
    try:
        check_output(options.output, options.overwrite)
        check_writable("--output", options.output)
        files = input_files(options.input)
        model = Model.load(chosen_run(options), options.ckpt_path, _device(options.accelerator))
        unread = run(model, files, options)
    except ValueError as error:
        end(2, f"error: {error}")
    except KeyboardInterrupt as error:
        end(interrupt_status(error), "interrupted; nothing was written")
    if unread:
        raise SystemExit(1)


def arguments() -> argparse.ArgumentParser:
    """The subcommand's parser."""
    parser = argparse.ArgumentParser(
        prog=PROG, description=__doc__.partition("\n\n")[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_arguments(parser)
    parser.add_argument("--input", type=Path, nargs="+", required=True, metavar="PATH", help="pictures, or folders")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="folder to write to")
    parser.add_argument("--format", choices=list(FILES), default="jsonl", help="of the predictions (default: jsonl)")
    parser.add_argument("--overlay", action="store_true", help="draw the pictures with their objects marked, too")
    parser.add_argument("--overwrite", action="store_true", help="replace the predictions that OUT holds")
    parser.add_argument("--batch_size", type=positive, default=64, help="pictures at a time (default: 64)")
    parser.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), default="auto", help="default: auto")
    return parser


def input_files(given: Sequence[Path]) -> list[Path]:
    """The files to read, each once: those given, and those in the folders given.

    Raises:
        ValueError: one is not there, or is no picture; or a folder holds none, or cannot be read.
    """
    files: dict[Path, None] = {}
    for path in given:
        if os.path.isdir(path):
            inside = found(path)
            if not inside:
                raise ValueError(f"--input {str(path)!r} holds no pictures: expected {', '.join(SUFFIXES)} files")
            files |= dict.fromkeys(inside)
        elif not os.path.isfile(path):
            raise ValueError(f"--input {str(path)!r} does not exist: give pictures, or folders of them")
        elif path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"--input {str(path)!r} is no picture: expected {', '.join(SUFFIXES)} files")
        else:
            files[path] = None
    return list(files)


def run(model: Model, files: Sequence[Path], options: argparse.Namespace) -> int:
    """Predict and write; the number of files that could not be read.

    Raises:
        ValueError: none could, and nothing was written; or the model's answer is not finite.
    """
    reader = Reader(files, model.image_shape)
    with output(options.output, options.format, options.overlay, model.kinds) as writer:
        pictures = iter(reader)
        while batch := list(itertools.islice(pictures, options.batch_size)):
            seen = model.explain([picture for _, _, picture in batch])
            for row, prediction in zip(batch, seen):
                writer.add(*row, prediction)
        if not writer.written:
            raise ValueError(f"none of the {len(files)} files could be read: nothing was written")
    _, height, width = model.image_shape
    size = f"the model's {width}x{height} (width x height)"
    for count, what in ((reader.scaled, "scaled"), (reader.stretched, "scaled and changed in their proportions")):
        if count:
            print(f"note: {count} {'picture was' if count == 1 else 'pictures were'} {what} to {size}", file=sys.stderr)
    overlays = f", {OVERLAYS}/" if options.overlay else ""
    print(f"wrote {options.output}/  {FILES[options.format]} ({writer.written} pictures){overlays}")
    if reader.unread:
        print(f"{reader.unread} of {len(files)} files could not be read and were left out", file=sys.stderr)
    return reader.unread


class Reader:
    """The pictures of files, each as file, number in it, picture; a file that cannot be read is said and left out.

    Attributes:
        unread: files left out. scaled, stretched: pictures scaled to the model's size in their proportions and not.
    """

    def __init__(self, files: Sequence[Path], shape: Shape) -> None:
        self.files, self.shape = files, shape
        self.unread = self.scaled = self.stretched = 0

    def __iter__(self) -> Iterator[tuple[Path, int, Picture]]:
        for file in self.files:
            try:
                pictures = from_file(file, self.shape)
            except ValueError as error:
                print(f"error: {error}", file=sys.stderr)
                self.unread += 1
                continue
            for index, picture in enumerate(pictures):
                self._count(picture.original.size)
                yield file, index, picture

    def _count(self, size: tuple[int, int]) -> None:
        _, height, width = self.shape
        if size == (width, height):
            return
        if size[0] * height == size[1] * width:
            self.scaled += 1
        else:
            self.stretched += 1


def _device(accelerator: str) -> str:
    return {"auto": best_device(), "cpu": "cpu", "gpu": "cuda"}[accelerator]
