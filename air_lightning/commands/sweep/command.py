"""`python -m air_lightning sweep`: many fits of one experiment, as a W&B sweep file says.

    python -m air_lightning sweep FILE                         # says what to type to run it with W&B
    python -m air_lightning sweep FILE --local [--count N] [--jobs J] [--out DIR] [-- FIT_ARGUMENT ...]

With --local no server is needed. Run 1 lies in `DIR/001` (DIR: `runs/sweeps/<name of the file>`), what it printed in
`DIR/001.log`; `DIR/results.csv` and `results.json` have all runs, the best first. The same command again goes on after
an interruption, without repeating what is done. Given several times at once, on one machine or on several that share
DIR, the commands share the runs, and take over those of a command that is killed. Arguments after `--` are given to
every fit.

Exit status: 0 done; 1 five runs in a row have failed, or all of them, or DIR could not be written to, on a full disk
for example; 2 wrong arguments, and then nothing was run; 130 (Ctrl-C) or 143 (SIGTERM) interrupted.
"""

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from air_lightning.cli.checks import check_writable, parsed_with_rest, positive, seed
from air_lightning.cli.exit_status import exit_with, interrupt_status
from air_lightning.commands.sweep import parameters
from air_lightning.commands.sweep.definition import Sweep, load
from air_lightning.commands.sweep.parameters import Choice

PROG = "python -m air_lightning sweep"


def main(args: Sequence[str]) -> None:
    """Run the subcommand with the arguments after its name.

    Raises:
        SystemExit: unless all went well, with the status said at the top of this file.
    """
    options, further = parsed_with_rest(arguments(), args)
    try:
        sweep = load(options.file)
        check_goal(sweep)
        if not options.local:
            check_remote(options, further)
            print(how_to_use_wandb(options.file))
            return
        run(sweep, options, further)
    except ValueError as error:
        exit_with(2, f"error: {error}")


def arguments() -> argparse.ArgumentParser:
    """The subcommand's parser."""
    parser = argparse.ArgumentParser(
        prog=PROG, description=__doc__.partition("\n\n")[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="a W&B sweep file, such as configs/sweeps/scenes3d.yaml")
    parser.add_argument("--local", action="store_true", help="run it here, without W&B")
    parser.add_argument("--count", type=positive, help="runs in all (default: the file's run_cap; a grid's size)")
    parser.add_argument("--jobs", type=positive, default=1, help="fits at a time (default: 1)")
    parser.add_argument("--out", type=Path, help="folder of the sweep (default: runs/sweeps/<name of the file>)")
    parser.add_argument(
        "--no_wait", action="store_true", help="end when nothing is left to begin, though other commands' runs go on"
    )
    parser.add_argument("--seed", type=seed, default=1, help="of methods random and bayes (default: 1)")
    return parser


def check_goal(sweep: Sweep) -> None:
    """ValueError where the worst of a known figure would be searched for, W&B's default being to minimise."""
    from air_lightning.runs.measures import BETTER, best_mode  # its package has torch

    name, goal = sweep.metric.name, sweep.metric.goal
    right = best_mode(name)
    if right is not None and not goal.startswith(right):
        raise ValueError(
            f"metric.name {name!r} is better the {BETTER[right]} it is, and goal {goal} (that of files without one: "
            f"minimize) searches for the worst: give goal: {right}imize"
        )


def check_remote(options: argparse.Namespace, further: Sequence[str]) -> None:
    """ValueError where there are arguments that only a local sweep heeds."""
    if further or options.count or options.out or options.jobs > 1 or options.no_wait:
        raise ValueError(
            "--count, --jobs, --out, --no_wait and arguments after -- are for sweeps on this machine: add --local"
        )


def how_to_use_wandb(file: Path) -> str:
    """What to type."""
    return (
        f"{file} is a W&B sweep. With an account (pip install wandb; wandb login):\n"
        f"  wandb sweep {shlex.quote(str(file))}\n"
        "and, on every machine that takes part, the `wandb agent` command that it prints. Without W&B, on this one:\n"
        f"  {PROG} {shlex.quote(str(file))} --local"
    )


def run(sweep: Sweep, options: argparse.Namespace, further: Sequence[str]) -> None:
    """The sweep on this machine.

    Raises:
        ValueError: something is missing, or in the way; nothing was run then.
        SystemExit: it did not come to its end.
    """
    most = run_count(sweep, options.count)
    try:
        import_module("optuna")
    except ModuleNotFoundError as error:
        raise ValueError(
            "sweep --local needs Optuna, which is not installed: pip install 'air-lightning[sweep]'"
        ) from error
    from air_lightning.commands.sweep.local import LocalSweep, TooManyFailures, table

    folder = options.out or Path("runs") / "sweeps" / options.file.stem
    check_program(sweep)
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    local = LocalSweep(sweep, folder, most, options.jobs, options.seed, further, not options.no_wait)
    try:
        records = local.run()
    except TooManyFailures as error:
        exit_with(1, f"error: {error}")
    except KeyboardInterrupt as error:
        exit_with(interrupt_status(error), "interrupted; the same command goes on with the sweep")
    print(f"{table(sweep, records)}\nwrote {folder}/  results.csv, results.json")
    if records and all(record.state == "failed" for record in records):
        exit_with(1, f"error: every run has failed; their logs are {folder}/*.log")


def run_count(sweep: Sweep, count: int | None) -> int:
    """How many runs there are to be.

    Raises:
        ValueError: nothing says so.
    """
    limits = [limit for limit in (count or sweep.run_cap, _grid_size(sweep)) if limit is not None]
    if not limits:
        raise ValueError(f"method {sweep.method} has no end: give --count N, or run_cap in the file")
    return min(limits)


def check_program(sweep: Sweep) -> None:
    """ValueError where what a run's command starts with cannot be run."""
    program = sweep.argv(sys.executable, {})[0]
    if shutil.which(program) is None:
        raise ValueError(f"command starts with {program!r}, which is no program here: ${{interpreter}} is this Python")


def check_folder(folder: Path) -> None:
    """ValueError where a folder is somebody else's, or cannot be written to."""
    from air_lightning.commands.sweep.study import JOURNAL

    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {str(folder)!r} is a file: name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / JOURNAL).is_file():
        raise ValueError(f"--out {str(folder)!r} is not empty and holds no sweep: name another folder")
    check_writable("--out", folder)


def _grid_size(sweep: Sweep) -> int | None:
    if sweep.method != "grid":
        return None
    return parameters.size({name: p for name, p in sweep.parameters.items() if isinstance(p, Choice)})
