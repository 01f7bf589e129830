"""What a subcommand starts from: its run folder, made or found, and its checkpoint."""

import os
from pathlib import Path

from jsonargparse import Namespace

from air_lightning import parallel, runs
from air_lightning.cli.arguments import NEEDS_RUN
from air_lightning.runs import RunError, RunFolder


def fit_folder(arguments: Namespace) -> Path:
    """The folder of a fit: the one given, or one named after its config and the time.

    Raises:
        RunError: none is given where one is needed, or an empty name.
    """
    if arguments.resume and arguments.run_dir is None:
        raise RunError("--resume needs --run_dir DIR, the folder of the run to continue")
    return _unnamed_folder(arguments) if arguments.run_dir is None else runs.named_folder(arguments.run_dir)


def check_kept(trainer: Namespace) -> None:
    """RunError where Lightning is told to keep nothing of what a run folder holds."""
    told = "barebones" if trainer.barebones else "enable_checkpointing" if trainer.enable_checkpointing is False else ""
    if told:
        raise RunError(
            f"trainer.{told} {trainer[told]} is not supported, for a run keeps its metrics, and its best and its last "
            "checkpoint: leave it out; fit --trainer.fast_dev_run 5 tries five steps and writes nothing"
        )


def make_folder(path: Path, arguments: Namespace) -> RunFolder:
    """The folder of a fit, made or opened again, and locked.

    Raises:
        RunError: it holds a run and is not to be continued, or the other way round; or it cannot be written to.
    """
    if arguments.resume:
        return RunFolder.existing(path)
    return RunFolder.new(path) if arguments.run_dir is not None else RunFolder.new_default(path)


def evaluation_folder(arguments: Namespace, subcommand: str) -> Path | None:
    """The folder of the run that is evaluated; None for weights from elsewhere.

    Raises:
        RunError: there is neither a run nor a checkpoint to start from, or the run has an empty name.
    """
    if arguments.resume:
        raise RunError(f"--resume is for fit, not for {subcommand}: leave it out")
    if arguments.run_dir is None and arguments.ckpt_path is None:
        raise RunError(NEEDS_RUN.format(subcommand))
    return None if arguments.run_dir is None else runs.named_folder(arguments.run_dir)


def checkpoint(arguments: Namespace, run_dir: Path | None, default: str | None) -> str | None:
    """The checkpoint to start from, a file in the place of `best` and `last`.

    Raises:
        RunError: it is not there.
    """
    wanted = arguments.ckpt_path or default
    if wanted in runs.NAMED_CHECKPOINTS:
        if run_dir is None:
            raise RunError(f"--ckpt_path {wanted} needs --run_dir DIR: it names a checkpoint of that run")
        return str(runs.checkpoint_of(run_dir, wanted))
    if wanted is not None and _is_local(str(wanted)) and not Path(wanted).is_file():
        raise RunError(f"--ckpt_path {str(wanted)!r} is not a file: give one, or `best` or `last` of --run_dir")
    return wanted


def training_checkpoint(arguments: Namespace, run_dir: Path) -> str | None:
    """The checkpoint with whose training a fit goes on; None where it begins anew.

    Raises:
        RunError: it is not there, or holds weights alone, or has been trained for longer than is asked for.
    """
    if arguments.resume and arguments.ckpt_path is None:
        _check_saved(run_dir)
    path = checkpoint(arguments, run_dir, "last" if arguments.resume else None)
    if path is not None and Path(path).is_file():
        runs.check_resumable(Path(path))
        _check_steps(arguments.trainer.max_steps, path)
    return path


def _check_steps(most: int, path: str) -> None:
    """RunError where a checkpoint has more steps than are asked for: the run's config would say the fewer."""
    step = runs.step_of(path)
    if 0 <= most < (step or 0):
        raise RunError(
            f"trainer.max_steps {most} is less than the {step} steps that {path!r} has been trained for: "
            f"give --trainer.max_steps more than {step}, or an earlier checkpoint as --ckpt_path"
        )


def _check_saved(run_dir: Path) -> None:
    """RunError where a run has other checkpoints than its last one: those are named of which one can be resumed."""
    saved = sorted((run_dir / runs.CHECKPOINTS).glob("*.ckpt"))
    if not saved or "last.ckpt" in [path.name for path in saved]:
        return
    usable = [path.name for path in saved if _may_be_resumed(path)]
    if not usable:
        runs.check_resumable(saved[0])
    raise RunError(f"run_dir {str(run_dir)!r} has no {runs.CHECKPOINTS}/last.ckpt: give one of {usable} as --ckpt_path")


def _may_be_resumed(checkpoint: Path) -> bool:
    try:
        return runs.is_resumable(checkpoint)
    except RunError:  # damaged
        return False


def _unnamed_folder(arguments: Namespace) -> Path:
    first = parallel.rank() == 0
    folder = runs.default_folder(_name(arguments)) if first else parallel.told_folder()
    if folder is None or (first and not parallel.can_tell_folder()):
        raise RunError("several processes started from outside need --run_dir DIR, one folder for all of them")
    return folder


def _name(arguments: Namespace) -> str:
    """The stem of the last config file given, or `run`."""
    files = [path for path in arguments.get("config") or [] if path is not None]
    return Path(os.fspath(files[-1])).stem if files else "run"


def _is_local(path: str) -> bool:
    """Whether it is a file of this machine, not a URL nor one of Lightning's special words."""
    return "://" not in path and path != "hpc" and not path.startswith("registry")
