"""`python -m air_lightning report`: one self-contained HTML page about a run, or over several.

    python -m air_lightning report DIR [--output FILE] [--overwrite] [--judge 256] [--shown 6] [--config FILE]
    python -m air_lightning report DIR DIR ... [--output FILE] [--overwrite] [--success count_accuracy 0.95]

    python -m air_lightning report hf://OWNER/NAME

About one run: its figures, learning curves, count confusion matrix, worst and best held-out scenes, animations, config
and versions, in `DIR/report.html`. Over several: a table of all with the share that succeeds, the median and the worst,
their curves in common charts, and the arguments in which they differ, in `report.html`.

Exit status: 0 done; 1 the page could not be written, on a full disk for example; 2 wrong arguments, and then nothing
was written; 130 (Ctrl-C) or 143 (SIGTERM) interrupted, and then nothing was written. Scenes that cannot be judged, for
the model or the data cannot be loaded any more, are left out with the reason on the page.
"""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from air_lightning import runs
from air_lightning.cli.checks import check_writable, natural
from air_lightning.cli.exit_status import exit_with
from air_lightning.commands.report.overview import Goal, overview_page
from air_lightning.commands.report.page import run_page
from air_lightning.commands.report.record import Run, read_runs
from air_lightning.commands.report.scenes import Judgement, judge
from air_lightning.commands.report.shipped import compare, shipped_config
from air_lightning.runs.hub import is_shared
from air_lightning.runs.loading import run_folder
from air_lightning.runs.measures import FIGURES

PAGE = "report.html"


def main(args: Sequence[str]) -> None:
    """Run the subcommand with the arguments after its name.

    Raises:
        SystemExit: with status 2 where they are wrong.
    """
    options = arguments().parse_args(list(args))
    try:
        shared = len(options.folders) == 1 and is_shared(options.folders[0])
        options.folders = [run_folder(name, "DIR") for name in options.folders]
        if shared and options.output is None:
            options.output = Path(PAGE)  # its copy is not the user's to write to
        output = output_of(options)
        goal = goal_of(options)
        shown = read_runs(options.folders)
        text = about(shown[0], options) if len(shown) == 1 else overview_page(shown, goal)
    except (ValueError, OSError) as error:
        if os.environ.get("JSONARGPARSE_DEBUG"):
            raise
        exit_with(2, f"error: {error}")
    runs.write_atomically(output, text)
    print(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB)")


def arguments() -> argparse.ArgumentParser:
    """The subcommand's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m air_lightning report",
        description=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="+", metavar="DIR", help="folder of a run, finished or not; or hf://OWNER/NAME"
    )
    parser.add_argument("--output", type=Path, help=f"the page (default: DIR/{PAGE}; of several runs {PAGE})")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier page")
    single = parser.add_argument_group("about one run")
    single.add_argument("--judge", type=natural, default=256, help="test scenes to judge (default: 256; 0: none)")
    single.add_argument("--shown", type=natural, default=6, help="worst and best scenes shown, of each (default: 6)")
    single.add_argument("--config", type=Path, help="to compare with (default: the shipped one DIR is named after)")
    parser.add_argument_group("over several runs").add_argument(
        "--success", nargs=2, metavar=("METRIC", "VALUE"), default=["count_accuracy", "0.95"],
        help="what a run must reach to count as a success (default: count_accuracy 0.95)",
    )  # fmt: skip
    return parser


def output_of(options: argparse.Namespace) -> Path:
    """Where the page goes.

    Raises:
        ValueError: it cannot go there.
    """
    single = len(options.folders) == 1
    if options.config is not None and not single:
        raise ValueError("--config is for a report about one run; over several, it shows the arguments that differ")
    output: Path = options.output or (options.folders[0] / PAGE if single else Path(PAGE))
    if options.output is None and single and not output.parent.is_dir():
        runs.config_of(output.parent)  # says what is wrong with the folder
    if output.is_dir():
        raise ValueError(f"--output {str(output)!r} is a folder: name a file, {str(output / PAGE)!r} for example")
    if output.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--output {str(output)!r} must end in .html, for that is what is written")
    if output.exists() and not options.overwrite:
        raise ValueError(f"{str(output)!r} is there already: give --overwrite to replace it, or another --output")
    if not output.parent.is_dir():
        raise ValueError(f"--output {str(output)!r}: there is no folder {str(output.parent)!r}; make it first")
    check_writable("--output", output.parent)
    return output


def goal_of(options: argparse.Namespace) -> Goal:
    """What is a success.

    Raises:
        ValueError: the metric is not known, or the value no number.
    """
    name, text = options.success
    name = name.rpartition("/")[2]
    if name not in FIGURES:
        raise ValueError(f"--success {name!r} is no metric: give one of {', '.join(FIGURES)}")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"--success {name} {text!r}: the second must be a number, 0.95 for example")
    return Goal(name, value)


def about(run: Run, options: argparse.Namespace) -> str:
    """The page about one run."""
    if options.config is not None and not options.config.is_file():
        raise ValueError(f"--config {str(options.config)!r} is not a file: name a config such as configs/scenes3d.yaml")
    file = options.config or shipped_config(run)
    compared = None if file is None else (file.name, compare(run, file))
    return run_page(run, judged(run, options.judge, options.shown), compared)


def judged(run: Run, most: int, shown: int) -> Judgement | str:
    """The run's scenes, or why there are none."""
    if most == 0:
        return "none were asked for (--judge 0)."
    try:
        return judge(run, most, shown)
    except ValueError as error:
        print(f"note: the page shows no scenes: {error}", file=sys.stderr)
        return f"model and data could not be loaded. {error}"
