"""`python -m air_lightning --help`, without torch, which takes seconds to import."""

import argparse
from typing import NoReturn

from air_lightning.cli.commands import COMMANDS, SUBCOMMANDS

PROGRAM = "python -m air_lightning"
DESCRIPTION = (
    "Attend, Infer, Repeat with plug-in renderers: how many objects a scene holds, where each is and what it is."
)
EPILOG = "There are also: " + "; ".join(f"{name} --help ({purpose})" for name, (_, purpose) in COMMANDS.items()) + "."


def show_help() -> NoReturn:
    """Print what the program and its subcommands are for, and end with status 0."""
    parser = argparse.ArgumentParser(PROGRAM, description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("-c", "--config", help="file with arguments, YAML or JSON, of the subcommand `fit` and others")
    subcommands = parser.add_subparsers(
        title="subcommands", description="Each has --help, with all its arguments.", required=True
    )
    for name, purpose in SUBCOMMANDS.items():
        subcommands.add_parser(name, help=purpose)
    parser.print_help()
    raise SystemExit(0)
