"""`python -m air_lightning scenes`: what a data module draws, written for other programs.

    python -m air_lightning scenes --config configs/scenes3d.yaml --count 1000 --output DIR --format coco
    python -m air_lightning scenes --data MultiSprites --data.canvas 128 --count 1000 --output DIR --split train

The scenes are the first ones of a split, those that `test` measures on unless --split says otherwise, with their
truth. Of a config of `fit` its data is used, and its model's renderer where the data draws with that. Formats: png
(images, masks, depth, scenes.json), coco, clevr, bop (both of 3D scenes drawn by MeshRenderer) and hdf5. Images are of
8 bits a value unless --bits 32 wants them as they are drawn; in HDF5 they are as drawn unless --bits 8 says otherwise.

DIR appears when all of it is written. Until then it is DIR.partial, and the same command goes on with that, whenever it
was stopped: the files are the same, bit for bit.

Exit status: 0 done, or there already; 1 a file could not be read or written, on a full disk for example; 2 wrong
arguments; 130 (Ctrl-C) or 143 (SIGTERM) stopped.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import yaml
from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]
from jsonargparse.typing import Path as ConfigPath
from tqdm import tqdm

from air_lightning import runs
from air_lightning.cli.arguments import check_configs
from air_lightning.cli.checks import check_writable
from air_lightning.cli.exit_status import end_unwritten, exit_with, interrupt_status
from air_lightning.cli.parsers import Natural, Parser, Positive, check_data_given
from air_lightning.commands.scenes.draft import Draft
from air_lightning.commands.scenes.formats import FORMATS, Format
from air_lightning.commands.scenes.scene import Source
from air_lightning.plugins.constructor_errors import named_message
from air_lightning.runs import RunError
from air_lightning.runs.writing import naming
from air_lightning.version import __version__
from datamodules.base import SceneDataModule
from renderers.base import Renderer

AT_ONCE = 64
"""Scenes that are drawn together, and lost together where the process is killed."""


OWN: tuple[str, ...] = ("count", "output", "format", "split", "seed", "bits", "data")
"""What counts of a config file, besides the model's renderer."""


class OwnPart(ActionConfigFile):
    """Reads of a config file of `fit` only what counts here; relative paths start from the file's folder, as there."""

    def __call__(self, parser: Any, cfg: Any, values: Any, option_string: Any = None) -> None:
        """The file's arguments go into ``cfg``. Errors: RunError where it cannot be read, or holds no arguments."""
        own = yaml.safe_dump(_content(Path(values)), sort_keys=False)
        with ConfigPath(values, mode="fr").relative_path_context():
            super().__call__(parser, cfg, own, option_string)  # type: ignore[no-untyped-call]


def _content(path: Path) -> dict[str, Any]:
    _, content = runs.read_arguments(path, "--config")
    own = {name: content[name] for name in OWN if name in content}
    model = content.get("model")
    if isinstance(model, dict) and "renderer" in model:
        own["model"] = {"renderer": model["renderer"]}
    return own


def main(args: Sequence[str]) -> None:
    """Run the subcommand with the arguments after its name.

    Raises:
        SystemExit: unless all went well, with the status said at the top of this file.
    """
    parser = arguments()
    config = parsed(parser, args)
    try:
        source, made_from = opened(parser, config)
        write(source, made_from, config)
    except ValueError as error:
        if os.environ.get("JSONARGPARSE_DEBUG"):
            raise
        exit_with(2, f"error: {named_message(error, config.as_dict(), {})}")
    except OSError as error:
        end_unwritten(error, "the same command goes on")
        exit_with(1, f"error: {error}: once that is mended, the same command goes on")
    except KeyboardInterrupt as error:
        exit_with(interrupt_status(error), "stopped: the same command goes on")


def arguments() -> Parser:
    """The subcommand's parser."""
    title, _, rest = __doc__.split("\n\n", 2)  # jsonargparse fills lines, examples too
    parser = Parser(prog="python -m air_lightning scenes", description=f"{title} {rest}")
    parser.add_argument("-c", "--config", action=OwnPart, help="Path to a YAML file of `fit`, or of these arguments.")
    parser.add_argument("--count", type=Positive, required=True, help="How many scenes.")
    parser.add_argument("--output", type=Path, required=True, help="Folder to make.")
    parser.add_argument("--format", type=Literal[tuple(FORMATS)], default="png", help="Of the files.")
    parser.add_argument("--split", type=Literal["train", "val", "test"], default="test", help="Whose scenes.")
    parser.add_argument("--seed", type=Natural | None, default=None, help="The data's, if not its own.")
    parser.add_argument("--bits", type=Literal[8, 32] | None, default=None, help="Of a value: 8, or 32 as drawn.")
    parser.add_subclass_arguments(SceneDataModule, "data", help="What draws the scenes.")
    parser.add_argument("--model.renderer", type=Renderer | None, default=None, help="Of data that draws with it.")
    return parser


def parsed(parser: Parser, args: Sequence[str]) -> Namespace:
    """The arguments; of config files, which are `fit`'s, only those that count here."""
    try:
        check_configs(args)
        config = parser.parse_args(list(args))
    except RunError as error:
        exit_with(2, f"error: {error}")
    check_data_given(config, "scenes")
    if config.seed is not None:
        given = config.data.get("init_args", {})
        if "seed" not in given:
            exit_with(2, f"error: --seed is for data with an argument `seed`, {config.data.class_path} has none")
        given["seed"] = int(config.seed)  # a plain one, which YAML can say
    return config


def opened(parser: Parser, config: Namespace) -> tuple[Source, dict[str, Any]]:
    """The scenes, and all that decides what they are, as JSON has it."""
    built = parser.instantiate_classes(config)
    data, renderer = built.data, built.model.renderer
    # data that draws with the model's renderer asks its trainer for it
    data.trainer = (
        SimpleNamespace(lightning_module=SimpleNamespace(renderer=renderer)) if renderer is not None else None
    )
    data.prepare_data()
    drawing = renderer if data.renderer is None else data.renderer
    source = Source(data, config.split, config.count, drawing)
    given = yaml.safe_load(parser.dump(config, skip_none=False, skip_validation=True))
    made_from = {"air-lightning": __version__, "count": config.count, "split": config.split, "format": config.format}
    made_from |= {"bits": bits(config), "data": given["data"], "renderer": (given.get("model") or {}).get("renderer")}
    return source, made_from | {"digests": {} if drawing is None else drawing.digests}


def bits(config: Namespace) -> int:
    """Of each value of an image."""
    return FORMATS[config.format].usual_bits if config.bits is None else int(config.bits)


def write(source: Source, made_from: dict[str, Any], config: Namespace) -> None:
    """Write all scenes, or those that are missing yet."""
    output = config.output.absolute()
    check_writable("--output", output.parent)
    draft = Draft(output, made_from)
    form = FORMATS[config.format](draft.files, draft.scratch, source.facts, bits(config))
    if draft.is_done():
        print(f"{config.output}/ holds these {config.count} scenes already")
        return
    with naming(draft.place):
        done = draft.open() * AT_ONCE
        try:
            _draw(source, form, draft, done, config.count)
            form.finish(draft)
            draft.finish()
        finally:
            draft.close()
    print(
        f"wrote {config.output}/  {config.count} scenes of {source.facts.data}, {config.split} split ({config.format})"
    )


def _draw(source: Source, form: Format, draft: Draft, done: int, count: int) -> None:
    with tqdm(total=count, initial=min(done, count), unit="scene", desc=form.name, mininterval=0.5) as bar:
        for first in range(done, count, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, count))
            draft.keep(first // AT_ONCE, [form.add(scene) for scene in source.batch(numbers)])
            bar.update(len(numbers))
