"""`validate --calibrate`: what makes posteriors as sure as they were right, kept in the checkpoint; when it holds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jsonargparse import Namespace
from pytorch_lightning.utilities import rank_zero_only

from air_lightning import runs
from air_lightning.model.calibration import POWERS, Powers
from air_lightning.model.jackknife import basis
from air_lightning.runs import RunError
from air_lightning.runs.loading import overridden

FEW = 50
"""Scenes or objects, of fewer of which corrections say little of other scenes."""
MORE = "validate on more scenes (--data.val_scenes, of image files --data.val_share)"


@runtime_checkable
class Calibrated(Protocol):
    """A module that knows how sure it was, and how sure it should have been. Modules need not.

    Attributes:
        calibrating: whether the next evaluation is of posteriors as they were learnt, and finds what they lack.
        overrides: of the arguments that posteriors depend on, those that are not the checkpoint's run's own, by name.
    """

    calibrating: bool
    overrides: Mapping[str, Any]

    @property
    def sureness(self) -> dict[str, Any] | None:
        """What the last evaluation expected beside what came true; None without a truth."""

    @property
    def fitted_powers(self) -> Powers | None:
        """The powers under which it would have been as sure as it was right; None unless it was calibrating."""

    @property
    def fitted_cases(self) -> Mapping[str, int]:
        """How many there were of what these were fitted to, by name: ``scenes``, ``true objects``, ..."""


def check(arguments: Namespace, subcommand: str, run_dir: Path | None) -> None:
    """Look whether powers may be kept in the checkpoint, if that is asked for.

    Raises:
        RunError: the subcommand validates nothing, the checkpoint is not a file here, or a fit is at work on it.
    """
    if not arguments.calibrate:
        return
    if subcommand != "validate":
        raise RunError(f"--calibrate is for validate, not for {subcommand}: leave it out")
    if arguments.ckpt_path is None or not Path(arguments.ckpt_path).is_file():
        raise RunError(f"--calibrate needs a checkpoint that is a file, got {arguments.ckpt_path!r}: powers go into it")
    if run_dir is not None and runs.in_use(run_dir):
        raise RunError(f"run_dir {str(run_dir)!r} is in use by a fit, which writes its checkpoints: wait for its end")


def check_truth(arguments: Namespace, model: Any, data: Any) -> None:
    """ValueError where powers are asked for and neither the data's truth nor refined poses tell any."""
    if arguments.calibrate and not getattr(data, "has_truth", False) and not getattr(model, "refines", False):
        raise ValueError(
            f"--calibrate needs scenes whose truth is known, and {type(data).__name__} has none: what makes a wrong "
            "explanation likely makes it sure of itself, too, and only poses that model.refinement fits to the images "
            "tell more without a truth; give --data of the same kind of scenes with one"
        )


def prepare(model: Any, checkpoint: str | None, arguments: Mapping[str, Any], calibrate: bool) -> None:
    """Tell a model whether to find powers, and which of its arguments are not those of its checkpoint's run."""
    if not isinstance(model, Calibrated) or checkpoint is None or not Path(checkpoint).is_file():
        return
    model.calibrating = calibrate
    own = runs.trained_with(Path(checkpoint))
    if own and (calibrate or POWERS in runs.read_checkpoint(Path(checkpoint), mmap=True)):
        model.overrides = overridden(own, arguments)


@rank_zero_only
def keep(model: Any, checkpoint: Path) -> None:
    """Put the powers that the last evaluation calls for into a checkpoint, and say so, and if they rest on few cases.

    Raises:
        ValueError: the model says nothing of how sure it is, or there was no object in any scene.
    """
    powers = model.fitted_powers if isinstance(model, Calibrated) else None
    if powers is None:
        raise ValueError(f"{type(model).__name__} says nothing of how sure it is: --calibrate has nothing to keep")
    cases = model.fitted_cases
    if 0 in (cases.get("true objects"), cases.get("objects found")):
        scenes = f"{cases['scenes']} validation scenes" if "scenes" in cases else "validation images"
        raise ValueError(f"--calibrate needs objects, and there is none in the {scenes}, so nothing is kept: {MORE}")
    few = ", ".join(f"{number} {_of(name)}" for name, number in cases.items() if number < FEW)
    if few:
        print(
            f"warning: corrections that are fitted to fewer than {FEW} cases say little: {few}; {MORE}", file=sys.stderr
        )
    runs.amend_checkpoint(checkpoint, {POWERS: powers.state()})
    how = f" (no truth is known: {basis(cases)})" if "objects found" in cases else ""
    print(f"kept in {checkpoint}: posteriors to the power of {powers}{how}")


def _of(name: str) -> str:
    return name if name in ("scenes", "true objects", "objects found", "identities") else f"of {name}"
