"""Which trained model a command is about."""

import argparse
from pathlib import Path

from air_lightning.runs.loading import shipped, shipped_run


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """``--run_dir`` or ``--model``, and ``--ckpt_path``: which trained model a command is about."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run_dir", type=Path, metavar="DIR", help="folder of a fit")
    which.add_argument("--model", metavar="NAME", help=f"a model that comes with the package: {', '.join(shipped())}")
    parser.add_argument("--ckpt_path", default="best", help="best (default) or last of the run, or a file")


def chosen_run(options: argparse.Namespace) -> Path:
    """The run folder that these arguments mean.

    Raises:
        RunError: no model of that name comes with the package.
    """
    folder: Path = options.run_dir if options.model is None else shipped_run(options.model)
    return folder
