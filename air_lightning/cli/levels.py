"""Which numbers of an image are black and white, where a command's arguments say it."""

import argparse

from datamodules.image_files.levels import Levels


def add_level_arguments(parser: argparse.ArgumentParser) -> None:
    """``--scale`` and ``--offset``."""
    parser.add_argument("--scale", type=float, help="raw numbers from black to white (4095: 12 bits stored in 16)")
    parser.add_argument("--offset", type=float, help="the raw number that is black")


def given_levels(trained: Levels, options: argparse.Namespace) -> Levels:
    """Those given, and for what is not given those that a model was trained with.

    Errors:
        ValueError as of ``Levels``.
    """
    scale = trained.scale if options.scale is None else options.scale
    return Levels(scale, trained.offset if options.offset is None else options.offset)
