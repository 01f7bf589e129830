"""`python -m air_lightning reproduce`: an experiment over its seeds, and its section of docs/results.md.

    python -m air_lightning reproduce NAME [--seeds 1 2 3] [--out DIR] [--results FILE] [-- FIT_ARGUMENT ...]

Seed after seed is trained and tested in `DIR/1`, `DIR/2` ... (DIR: `runs/reproduce/NAME`), what a fit printed in
`DIR/1.log`, what came out in `DIR/1.json`. Those called unaided have no network: each image is explained by itself, by
optimisation from random starts. The section has the command, the commit, the machine, every seed, the median and the
worst; it is written when all are there. The same command again goes on after an interruption, without repeating what is
done. Arguments after `--` are given to every fit.

Exit status: 0 done; 1 a seed failed, or something could not be written, on a full disk for example; 2 wrong arguments,
and then nothing was run; 130 (Ctrl-C) or 143 (SIGTERM) interrupted.
"""

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from air_lightning import runs
from air_lightning.cli.checks import check_writable, parsed_with_rest, seed
from air_lightning.cli.exit_status import exit_with, interrupt_status
from air_lightning.commands.reproduce.experiments import EXPERIMENTS, Experiment
from air_lightning.commands.reproduce.section import check_page, section, write
from air_lightning.commands.reproduce.seeds import ROOT, SeedFailed, run_seed

PROG = "python -m air_lightning reproduce"
DEFINITION = "experiment.json"


def main(args: Sequence[str]) -> None:
    """Run the subcommand with the arguments after its name.

    Raises:
        SystemExit: unless all went well, with the status said at the top of this file.
    """
    options, further = parsed_with_rest(arguments(), args)
    experiment = EXPERIMENTS[options.name]
    out = options.out or Path("runs") / "reproduce" / options.name
    try:
        if further and experiment.unaided:
            raise ValueError(f"{options.name} has no fit, and arguments after -- are for fits: leave them out")
        config = find_config(experiment.config)
        check_page(options.results, options.name)
        check_folder(out, {"config": config.read_text(), "arguments": further})
        run(experiment, options, config, out, further)
    except ValueError as error:
        exit_with(2, f"error: {error}")
    except SeedFailed as error:
        exit_with(1, f"error: {error}")
    except KeyboardInterrupt as error:
        exit_with(interrupt_status(error), "interrupted; the same command goes on")


def arguments() -> argparse.ArgumentParser:
    """The subcommand's parser."""
    names = "\n".join(f"  {name}: {experiment.about}" for name, experiment in EXPERIMENTS.items())
    parser = argparse.ArgumentParser(
        prog=PROG,
        description=f"{__doc__.partition(chr(10) * 2)[2]}\nExperiments:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", choices=list(EXPERIMENTS), help="of an experiment")
    parser.add_argument("--seeds", type=seed, nargs="+", help="to run (default: the experiment's own)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of its runs (default: runs/reproduce/NAME)")
    parser.add_argument("--results", type=Path, default=Path("docs/results.md"), help="page (default: docs/results.md)")
    return parser


def run(experiment: Experiment, options: argparse.Namespace, config: Path, out: Path, further: Sequence[str]) -> None:
    """Run the seeds that are not done, and write the section; errors as of ``run_seed``."""
    seeds, results = dict.fromkeys(options.seeds or experiment.seeds), []
    for number, value in enumerate(seeds, 1):
        print(f"seed {value} ({number} of {len(seeds)})", flush=True)
        results.append(run_seed(experiment, config, value, out, further))
    own = ["--seeds", *map(str, seeds)] if options.seeds else []
    command = shlex.join([*PROG.split(), options.name, *own, *(["--", *further] if further else [])])
    text = section(options.name, experiment, results, command)
    write(options.results, options.name, text)
    print(f"{text}\nwrote {options.results}, section {options.name}")


def find_config(name: str) -> Path:
    """The shipped config of this name, where one works or in the repository.

    Raises:
        ValueError: it is in neither.
    """
    places = [Path("configs") / f"{name}.yaml", ROOT / "configs" / f"{name}.yaml"]
    for path in places:
        if path.is_file():
            return path
    raise ValueError(f"configs/{name}.yaml is not here: work in a copy of the repository, where experiments are")


def check_folder(out: Path, definition: dict[str, object]) -> None:
    """Make the experiment's folder, or see that it is that of the same experiment.

    Raises:
        ValueError: it is not, or cannot be written to.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {str(out)!r} is a file: name a folder")
    check_writable("--out", out)
    path = out / DEFINITION
    if not path.is_file():
        if out.is_dir() and any(out.iterdir()):
            raise ValueError(f"--out {str(out)!r} is not empty and holds no experiment: name another folder")
        out.mkdir(parents=True, exist_ok=True)
        runs.write_json(path, definition)
        return
    if json.loads(path.read_text()) != definition:
        raise ValueError(
            f"--out {str(out)!r} holds another experiment, its config or its arguments after -- were different: "
            "name another folder"
        )
