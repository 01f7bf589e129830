"""`python -m air_lightning predict`: what a trained model sees in images.

    python -m air_lightning predict --run_dir DIR --input IMAGE_OR_FOLDER ... --output OUT [--overlay]
    python -m air_lightning predict --model scenes3d --input IMAGES --output OUT --format coco

Images are PNG, JPEG, WebP, BMP, TIFF, .npy or FITS files, or folders of them. OUT is a folder to make:
OUT/predictions.jsonl has a line of JSON for each image. With --format coco OUT/predictions.json has COCO's boxes, and
masks as run lengths; with --format bop OUT/predictions.csv has poses as BOP's results have them (of MeshRenderer); with
--format masks OUT/masks/ has instance masks besides the lines. With --overlay OUT/overlays/ has the images with their
objects marked. Images of another size than the model's are scaled to it, whatever their proportions, or with --tiles
OVERLAP cut into tiles of that size, whose objects are put together again; boxes are in the pixels of the image as it
was given. With --reframe images in BOP's folders are cropped, filled up with black and scaled to what the model's
camera would see. A model sees x = (raw - offset) / scale: --scale and --offset are those that its run was trained with,
unless given; else 255 for 8 bits, 65535 for 16 bits, 1 for real values. Arguments of the model win over the run's, as
in `test`: --model.refinement null, --model.reconsideration.margin 1. With --background median what lies behind the
objects is each pixel's median over the images that are given, three at least, whatever background the model had.
docs/predict.md says what every field means.

Exit status: 0 done; 1 some images could not be read, each said on stderr, and the others are done, or OUT could not be
written, on a full disk for example, and then nothing was; 2 wrong arguments, or no image could be read, and then
nothing was written; 130 (Ctrl-C) or 143 (SIGTERM) interrupted, and then nothing was written.
"""

import argparse
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from air_lightning.backgrounds import MedianBackground
from air_lightning.backgrounds.base import LOOKED_AT
from air_lightning.cli.checks import check_writable, positive
from air_lightning.cli.exit_status import exit_with, interrupt_status
from air_lightning.cli.levels import add_level_arguments, given_levels
from air_lightning.cli.trained import add_model_arguments, chosen_run, split_model_options
from air_lightning.commands.predict.cameras import Cameras
from air_lightning.commands.predict.formats import FORMATS, OVERLAYS, Source
from air_lightning.commands.predict.images import GivenImage, InputFormat, from_file
from air_lightning.commands.predict.model import Model
from air_lightning.commands.predict.output import check_output, output
from air_lightning.runs.loading import best_device
from datamodules.image_files import SUFFIXES, image_paths, is_image
from datamodules.image_files.levels import Peaks

MOST_PIXELS = 2**26
"""Of the images that are read before they are explained, as they were given: 200 MB of colours."""
PROG = "python -m air_lightning predict"


def main(args: Sequence[str]) -> None:
    """Run the subcommand with the arguments after its name.

    Raises:
        SystemExit: unless all went well, with the status said at the top of this file.
    """
    own, of_model = split_model_options(args)
    options = arguments().parse_args(own)
    try:
        check_output(options.output, options.overwrite)
        check_writable("--output", options.output)
        files = input_files(options.input)
        model = Model.load(chosen_run(options), options.ckpt_path, _device(options.accelerator), of_model)
        model.levels = given_levels(model.levels, options)
        model.stretch = options.stretch or model.stretch
        if options.background == "median":
            model.replace_background(MedianBackground())
        if options.tiles is not None:
            model.work_in_tiles(options.tiles)
        cameras = Cameras(model.module.renderer, options.reframe)
        model.view_of = cameras.view_of
        if model.waits:
            model.fit_background(some_images(files, model.input_format))
        unread = run(model, files, options, cameras)
    except ValueError as error:
        exit_with(2, f"error: {error}")
    except KeyboardInterrupt as error:
        exit_with(interrupt_status(error), "interrupted; nothing was written")
    if unread:
        raise SystemExit(1)


def arguments() -> argparse.ArgumentParser:
    """The subcommand's parser."""
    parser = argparse.ArgumentParser(
        prog=PROG, description=__doc__.partition("\n\n")[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_arguments(parser)
    parser.add_argument("--input", type=Path, nargs="+", required=True, metavar="PATH", help="images, or folders")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="folder to write to")
    parser.add_argument("--format", choices=list(FORMATS), default="jsonl", help="of the predictions (default: jsonl)")
    parser.add_argument("--overlay", action="store_true", help="draw the images with their objects marked, too")
    add_level_arguments(parser)
    parser.add_argument("--stretch", choices=("linear", "asinh"), help="of overlays: asinh shows the faint, too")
    parser.add_argument("--background", choices=("median",), help="behind the objects: the given images' median")
    parser.add_argument(
        "--tiles", type=int, metavar="OVERLAP", help="cut large images into tiles that overlap by so many pixels"
    )
    parser.add_argument(
        "--reframe",
        action="store_true",
        help="see images as the model's camera would, by their scene_camera.json (BOP)",
    )
    parser.add_argument("--all_slots", action="store_true", help="list all slots too, with their presence probability")
    parser.add_argument("--overwrite", action="store_true", help="replace the predictions that OUT holds")
    parser.add_argument(
        "--batch_size", type=positive, help="images at a time (default: a million pixels of the model's, 256 at most)"
    )
    parser.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), default="auto", help="default: auto")
    return parser


def input_files(given: Sequence[Path]) -> list[Path]:
    """The files to read, each once, by whatever path it is given: those given, and those in the folders given.

    Links of other names are files of their own. Masks and depth of images in a folder are left out, and pictures of
    predictions and runs, and that is said.

    Raises:
        ValueError: one is not there, or is no image; or a folder holds none, or cannot be read.
    """
    files, left_out = dict[Path, Path](), set[Path]()
    home = lru_cache(maxsize=None)(Path.resolve)
    for path in given:
        if os.path.isdir(path):
            inside = image_paths(path)
            if not inside.images:
                raise ValueError(f"--input {str(path)!r} {inside.said_of_none}")
            if said := inside.said_of_unread:
                print(f"note: {said}", file=sys.stderr)
            found = inside.images
            left_out.update(home(file.parent) / file.name for file in (*inside.masks, *inside.aside))
        elif not os.path.isfile(path):
            raise ValueError(f"--input {str(path)!r} does not exist: give images, or folders of them")
        elif not is_image(path):
            raise ValueError(f"--input {str(path)!r} is no image: expected {', '.join(SUFFIXES)} files")
        else:
            found = [path]
        for file in found:
            files.setdefault(home(file.parent) / file.name, file)
    if aside := len(left_out.difference(files)):
        number = "1 file" if aside == 1 else f"{aside} files"
        print(f"note: {number} left out: masks, depth, or pictures that predictions or runs hold", file=sys.stderr)
    return list(files.values())


def some_images(files: Sequence[Path], input_format: InputFormat, most: int = LOOKED_AT) -> list[GivenImage]:
    """At most so many images, from all over the files; those that cannot be read are left out."""
    images: list[GivenImage] = []
    for file in files[:: -(-len(files) // most)]:
        with suppress(ValueError):  # `run` says it
            images += from_file(file, input_format).images
    return images[:: max(1, -(-len(images) // most))]


def run(model: Model, files: Sequence[Path], options: argparse.Namespace, cameras: Cameras) -> int:
    """Predict and write; the number of files that could not be read.

    Raises:
        ValueError: none could, and nothing was written; or the model's answer is not finite; or poses are to be told in
            the frame of another camera.
    """
    form = FORMATS[options.format](model.module.renderer, files)
    in_camera = options.format == "bop" or getattr(model.module.renderer, "units", None) is not None
    reader = Reader(files, model.input_format, cameras if in_camera else None)
    unlike: list[Source] = []
    with output(options.output, form, options.overlay) as writer:
        for batch in batches(reader, options.batch_size or model.usual_batch):
            seen = model.infer_batch([image for _, image in batch], options.all_slots, form.segmented)
            for (source, image), prediction in zip(batch, seen):
                writer.add(source, image, prediction)
                if model.is_unlike(prediction):
                    unlike.append(source)
        if not writer.written:
            raise ValueError(f"none of the {len(files)} files could be read: nothing was written")
    _, height, width = model.image_shape
    size = f"the model's {width}x{height} (width x height)"
    for count, what in ((reader.scaled, "scaled"), (reader.stretched, "scaled, proportions not kept,")):
        if count:
            print(f"note: {count} {'image was' if count == 1 else 'images were'} {what} to {size}", file=sys.stderr)
    for note in form.notes:
        print(f"note: {note}", file=sys.stderr)
    if writer.boxless:
        print(
            f"note: {writer.boxless} of {writer.objects} objects have no box, for nothing of them is drawn in the "
            "image: COCO's annotations and overlays leave them out, predictions.jsonl does not",
            file=sys.stderr,
        )
    if unlike:
        _warn_of_unlike(unlike, writer.written, model)
    if warning := reader.peaks.note("--scale"):
        print(f"warning: {warning}", file=sys.stderr)
    overlays = f", {OVERLAYS}/" if options.overlay else ""
    folders = "".join(f", {name}/" for name in form.folders)
    print(
        f"wrote {options.output}/  {form.file} ({writer.written} image{'s' * (writer.written != 1)}){folders}{overlays}"
    )
    if reader.unread:
        print(f"{reader.unread} of {len(files)} files could not be read and were left out", file=sys.stderr)
    return reader.unread


def _warn_of_unlike(unlike: Sequence[Source], written: int, model: Model) -> None:
    print(
        f"warning: {len(unlike)} of {written} images are unlike those that the model was validated with or adapted to "
        f"(first {unlike[0].file}): what it draws of them is off by more than {model.unlike_from:.3g} "
        "(reconstruction_error). What it says of them may be wrong, however sure it is: see docs/other_images.md for "
        "what differs, and helps",
        file=sys.stderr,
    )


def batches(read: Iterable[tuple[Source, GivenImage]], size: int) -> Iterator[list[tuple[Source, GivenImage]]]:
    """As many images at a time, fewer where they are large: of photographs no more than fits in memory is held."""
    batch, pixels = [], 0
    for source, image in read:
        batch.append((source, image))
        pixels += math.prod(image.size)
        if len(batch) == size or pixels >= MOST_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


class Reader:
    """The images of files, each with its source; a file that cannot be read is said and left out.

    Args:
        cameras: by which they must be, if by any.
    Attributes:
        unread: files left out. scaled, stretched: images scaled to the model's size in their proportions and not.
        peaks: of the files that could be read.
    """

    def __init__(self, files: Sequence[Path], input_format: InputFormat, cameras: Cameras | None = None) -> None:
        self.files, self.input_format, self.cameras = files, input_format, cameras
        self.unread = self.scaled = self.stretched = 0
        self.peaks = Peaks()

    def __iter__(self) -> Iterator[tuple[Source, GivenImage]]:
        for file in self.files:
            try:
                images, peak = from_file(file, self.input_format)
            except ValueError as error:
                print(f"error: {error}", file=sys.stderr)
                self.unread += 1
                continue
            self.peaks.add(file, peak)
            for index, image in enumerate(images):
                if self.cameras is not None:
                    self.cameras.check(file, image.size)
                if image.view is None:
                    self._count(image.size)
                yield Source(file, index, len(images)), image

    def _count(self, size: tuple[int, int]) -> None:
        _, height, width = self.input_format.shape
        if size == (width, height) or self.input_format.tiled:
            return
        if size[0] * height == size[1] * width:
            self.scaled += 1
        else:
            self.stretched += 1


def _device(accelerator: str) -> str:
    return {"auto": best_device(), "cpu": "cpu", "gpu": "cuda"}[accelerator]
