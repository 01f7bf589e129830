"""The command line before it is parsed: where a run's own config comes in, and what is not there."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from air_lightning import runs
from air_lightning.cli.commands import SUBCOMMANDS
from air_lightning.runs import RunError
from air_lightning.runs.hub import is_shared, shared_run

NEEDS_RUN = "{} needs --run_dir DIR, the folder of a fit (or --config and --ckpt_path, for weights from elsewhere)"


def with_run_config(argv: Sequence[str]) -> list[str]:
    """The command line, with `--config DIR/config.yaml` put before the user's arguments where a run is read.

    That is in `fit --resume` and in all other subcommands, if they have `--run_dir DIR`. Whatever the user
    gives comes later, and so wins.

    Raises:
        RunError: DIR is not the folder of a run.
    """
    arguments = with_shared_run(argv)
    subcommand = next((arg for arg in arguments if arg in SUBCOMMANDS), None)
    given = _peek(arguments)
    asks_help = any(arg in ("-h", "--help") for arg in arguments)
    if subcommand is None or asks_help or given.run_dir is None or (subcommand == "fit" and not given.resume):
        return arguments
    config = runs.config_of(Path(given.run_dir))
    runs.read_config(Path(given.run_dir))  # what is wrong with it shows here
    place = arguments.index(subcommand) + 1
    return [*arguments[:place], "--config", str(config), *arguments[place:]]


def with_shared_run(argv: Sequence[str]) -> list[str]:
    """The command line, with the config and the weights of a shared model in the place of `--run_dir hf://...`.

    Nothing is written to its copy, and so it is not a run folder here.

    Raises:
        RunError: it cannot be had, or it is to be written to.
    """
    arguments, name = list(argv), _peek(argv).run_dir
    if name is None or not is_shared(name):
        return arguments
    subcommand = next((arg for arg in arguments if arg in SUBCOMMANDS), None)
    if subcommand == "fit":
        raise RunError(f"--run_dir {name!r} cannot be written to: `fit --start_from {name}` begins with its weights")
    if "--calibrate" in arguments:
        raise RunError(
            f"--calibrate writes to the checkpoint, and --run_dir {name!r} is not yours: make a folder of it by "
            f"`export --model {name} --format checkpoint` first"
        )
    folder = shared_run(name)
    place = next(i for i, arg in enumerate(arguments) if arg in ("--run_dir", f"--run_dir={name}"))
    del arguments[place : place + 1 + (arguments[place] == "--run_dir")]
    after = arguments.index(subcommand) + 1 if subcommand else 0
    theirs = ["--config", str(runs.config_of(folder)), "--ckpt_path", str(runs.checkpoint_of(folder, "best"))]
    return [*arguments[:after], *theirs, *arguments[after:]]


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
