"""The command line before it is parsed: where a run's own config comes in, and what is not there."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from air_lightning import runs
from air_lightning.cli.commands import SUBCOMMANDS
from air_lightning.runs import RunError

NEEDS_RUN = "{} needs --run_dir DIR, the folder of a fit (or --config and --ckpt_path, for weights from elsewhere)"


def with_run_config(argv: Sequence[str]) -> list[str]:
    """The command line, with `--config DIR/config.yaml` put before the user's arguments where a run is read.

    That is in `fit --resume` and in all other subcommands, if they have `--run_dir DIR`. Whatever the user
    gives comes later, and so wins.

    Raises:
        RunError: DIR is not the folder of a run.
    """
    arguments = list(argv)
    subcommand = next((arg for arg in arguments if arg in SUBCOMMANDS), None)
    given = _peek(arguments)
    asks_help = any(arg in ("-h", "--help") for arg in arguments)
    if subcommand is None or asks_help or given.run_dir is None or (subcommand == "fit" and not given.resume):
        return arguments
    config = runs.config_of(Path(given.run_dir))
    runs.read_config(Path(given.run_dir))  # what is wrong with it shows here
    place = arguments.index(subcommand) + 1
    return [*arguments[:place], "--config", str(config), *arguments[place:]]


def check_given(argv: Sequence[str]) -> None:
    """Look for what the parser would say in words that help nobody.

    Raises:
        RunError: a config holds no arguments; or a subcommand has nothing to start from: no run, no config, and neither
            model nor data.
    """
    check_configs(argv)
    subcommand = next((arg for arg in argv if arg in SUBCOMMANDS), None)
    start = ("--run_dir", "--config", "--model", "--data", "--help", "--print_config", "--print_shtab")
    if subcommand is None or any(arg in ("-h", "-c") or arg.startswith(start) for arg in argv):
        return
    if subcommand != "fit":
        raise RunError(NEEDS_RUN.format(subcommand))
    if _peek(argv).resume:
        raise RunError("--resume needs --run_dir DIR, the folder of the run to continue")
    raise RunError("fit needs --config FILE, configs/scenes3d.yaml for example, or --model.renderer and --data")


def check_configs(argv: Sequence[str]) -> None:
    """RunError where a config on the command line holds no arguments."""
    for path in filter(None, _peek(argv).config):
        _check_config(path)


def _check_config(path: Path) -> None:
    """RunError where a file is not YAML with arguments by name; what is no file is left for the parser."""
    if path.is_file():
        runs.read_arguments(path, "--config")


def _peek(argv: Sequence[str]) -> argparse.Namespace:
    """`run_dir`, `resume` and configs, before the proper parser can run; what is malformed is left for that."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--run_dir", nargs="?")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("-c", "--config", nargs="?", action="append", type=Path, default=[])
    return parser.parse_known_args(argv)[0]
