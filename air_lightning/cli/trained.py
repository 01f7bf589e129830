"""Which trained model a command is about."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from air_lightning.runs.loading import named_run, run_folder, shipped


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """``--run_dir`` or ``--model``, and ``--ckpt_path``: which trained model a command is about."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run_dir", metavar="DIR", help="folder of a fit; or hf://OWNER/NAME[@REVISION]")
    which.add_argument(
        "--model",
        metavar="NAME",
        help=f"a model that comes with the package: {', '.join(shipped())}; or hf://OWNER/NAME[@REVISION]",
    )
    parser.add_argument("--ckpt_path", default="best", help="best (default) or last of the run, or a file")


def chosen_run(options: argparse.Namespace) -> Path:
    """The run folder that these arguments mean.

    Raises:
        RunError: no model of that name comes with the package, or it cannot be had from the Hub.
    """
    return run_folder(options.run_dir) if options.model is None else named_run(options.model)


def split_model_options(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command's own arguments, and those ``--model.NAME VALUE`` that win over the run's (``runs.loading``)."""
    split: tuple[list[str], list[str]] = ([], [])
    place = 0
    for argument in args:
        if argument.startswith("--"):
            place = int(argument.startswith("--model."))
        split[place].append(argument)
    return split
