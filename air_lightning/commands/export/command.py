"""`python -m air_lightning export`: a trained model for other programs.

    python -m air_lightning export --run_dir DIR --output model.pt2
    python -m air_lightning export --model scenes3d --output model.onnx --format onnx
    python -m air_lightning export --run_dir DIR --output FOLDER --format checkpoint [--push hf://OWNER/NAME]

torch and onnx write the inference network, for batches of any size: images (batch, channels, height, width) in [0, 1]
to count_probabilities, object_what and object_where. What is written is read back and compared with the original, on
noise and on scenes that its renderer draws. Refinement through the renderer is not part of it: where the model has
one, predict gives finer poses. checkpoint writes a run folder of config, weights and curves with a model card, for
predict and load, and with --push puts it on the Hugging Face Hub, where --model hf://OWNER/NAME finds it.

Exit status: 0 done; 1 what was written is not what the model says, and is removed, or it could not be written, on a
full disk for example; 2 wrong arguments, or a model that cannot be exported, and then nothing was written, or that the
Hub does not take; 130 (Ctrl-C) or 143 (SIGTERM) interrupted, and then no half of anything was written.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from air_lightning.cli.checks import check_writable
from air_lightning.cli.exit_status import exit_with
from air_lightning.cli.trained import add_model_arguments, chosen_run
from air_lightning.commands.export.card import CARD
from air_lightning.commands.export.formats import SUFFIXES, WRITERS, check_packages
from air_lightning.commands.export.program import TOLERANCE, agrees, differences, metadata, trace
from air_lightning.commands.export.push import push
from air_lightning.commands.export.weights import write_weights
from air_lightning.runs import hub
from air_lightning.runs.loading import load_module
from air_lightning.runs.writing import drafted

PROG = "python -m air_lightning export"


def main(args: Sequence[str]) -> None:
    """Run the subcommand with the arguments after its name.

    Raises:
        SystemExit: unless all went well, with the status said at the top of this file.
    """
    options = arguments().parse_args(list(args))
    try:
        check(options)
        run_dir = chosen_run(options)
        if options.format == "checkpoint":
            share(run_dir, options)
        else:
            write(run_dir, options)
    except ValueError as error:
        exit_with(2, f"error: {error}")


def arguments() -> argparse.ArgumentParser:
    """The subcommand's parser."""
    parser = argparse.ArgumentParser(
        prog=PROG, description=__doc__.partition("\n\n")[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="file to write; checkpoint: folder")
    parser.add_argument("--format", choices=[*WRITERS, "checkpoint"], default="torch", help="default: torch")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists; not for checkpoint")
    sharing = parser.add_argument_group("with --format checkpoint")
    sharing.add_argument(
        "--license", metavar="ID", help="what others may do with it, as the Hub names it: mit, cc-by-4.0"
    )
    sharing.add_argument("--push", metavar="hf://OWNER/NAME", help="put it on the Hub, too (@BRANCH after it: there)")
    sharing.add_argument("--private", action="store_true", help="on the Hub, for its owner alone")
    return parser


def check(options: argparse.Namespace) -> None:
    """ValueError where nothing can be written to the output."""
    output: Path = options.output
    if output.exists() and (options.format == "checkpoint" or output.is_dir()):
        raise ValueError(f"--output {str(output)!r} exists: name another")
    if output.exists() and not options.overwrite:
        raise ValueError(f"--output {str(output)!r} exists: add --overwrite, or name another file")
    suffix = SUFFIXES.get(options.format)
    if suffix is not None and output.suffix != suffix:
        raise ValueError(f"--output {str(output)!r} must end in {suffix} with --format {options.format}")
    check_writable("--output", output.parent)
    if options.format == "onnx":
        check_packages()
    check_sharing(options)


def check_sharing(options: argparse.Namespace) -> None:
    """ValueError where a model is to be shared and something is missing for it."""
    if options.format != "checkpoint" and (options.push or options.license or options.private):
        raise ValueError("--license, --push and --private are for --format checkpoint")
    if options.private and not options.push:
        raise ValueError("--private is for models on the Hub: add --push hf://OWNER/NAME")
    if not options.push:
        return
    hub.parse(options.push)
    hub.library()
    if not options.license:
        raise ValueError("--push needs --license, what others may do with the model: mit or cc-by-4.0, for example")


def share(run_dir: Path, options: argparse.Namespace) -> None:
    """Write a folder for others, and put it on the Hub where that is asked for; errors as of what it calls."""
    module = load_module(run_dir, options.ckpt_path)  # an unusable one shows here
    path = write_weights(run_dir, options.ckpt_path, options.output, module, options.license)
    print(f"wrote {options.output}/  config.yaml, checkpoints/best.ckpt ({path.stat().st_size / 1e6:.1f} MB), {CARD}")
    if options.push:
        print(f"pushed to {options.push}: {push(options.output, options.push, options.private)}")


def write(run_dir: Path, options: argparse.Namespace) -> None:
    """Export, and compare what was written with the original.

    Raises:
        ValueError: the model cannot be exported.
        SystemExit: status 1, what was written differs from the original, and is removed.
    """
    module, output = load_module(run_dir, options.ckpt_path), options.output
    program = trace(module)
    output.parent.mkdir(parents=True, exist_ok=True)
    with drafted(output) as draft:
        gaps = differences(WRITERS[options.format](program, draft, metadata(module)), module)
        comparison = (
            f"largest difference from the original {gaps.max():.2g}, median {gaps.median():.2g}; "
            f"{int((gaps > TOLERANCE).sum())} of {len(gaps)} images differ by more than {TOLERANCE:g}"
        )
        if not agrees(gaps):
            exit_with(1, f"error: the exported program is not the model: {comparison}. Nothing was written")
    print(f"wrote {output}: {comparison}")
    if module.refinement is not None:
        print("note: refinement through the renderer is not part of it; predict has it")
