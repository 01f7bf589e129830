"""One seed of an experiment: trained and tested in a folder of its own, once, however often that is interrupted."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from air_lightning import runs
from air_lightning.commands.reproduce.experiments import Experiment
from air_lightning.commands.reproduce.timing import seconds_an_image
from air_lightning.commands.reproduce.unaided import explain
from air_lightning.commands.sweep.fits import Fit
from air_lightning.model.random_starts import RandomStarts
from air_lightning.runs.curves import SECONDS, curve
from air_lightning.runs.machine import describe
from air_lightning.version import __version__

ROOT = Path(__file__).parents[3]
SOURCES = ("air_lightning", "renderers", "datamodules", "configs")
QUIET = ("--trainer.enable_progress_bar", "false")
POLL = 1.0
"""Seconds between two looks at a fit."""


class Result(NamedTuple):
    """What became of a seed.

    Attributes:
        seed: its number. commit, machine: in words. seconds: of training steps and their data. an_image: seconds that
            an image takes, trained. scenes: that were tested, or None. figures: of each test by its name, by metric.
    """

    seed: int
    commit: str
    machine: str
    seconds: float
    an_image: float
    scenes: int | None
    figures: dict[str, dict[str, float | None]]


class SeedFailed(RuntimeError):
    """A seed's training or test has failed; the message has its last words."""


def run_seed(experiment: Experiment, config: Path, seed: int, out: Path, further: Sequence[str]) -> Result:
    """What becomes of a seed: trained and tested in ``out/seed``, or unaided; ``out/seed.json`` says that it is done.

    Raises:
        SeedFailed: a command of it ended with an error.
        RunError: what says that it is done is damaged.
    """
    record = out / f"{seed}.json"
    if record.is_file():
        return read(record)
    result = (
        unaided(experiment, config, seed) if experiment.unaided else trained(experiment, config, seed, out, further)
    )
    runs.write_json(record, result._asdict())
    return result


def unaided(experiment: Experiment, config: Path, seed: int) -> Result:
    """What optimisation of each image makes of the scenes."""
    found, seconds = explain(config, seed, experiment.unaided, RandomStarts())
    figures = {name: found.get(name) for name in experiment.metrics}
    return Result(seed, commit(), describe(), 0.0, seconds, experiment.unaided, {"": figures})


def trained(experiment: Experiment, config: Path, seed: int, out: Path, further: Sequence[str]) -> Result:
    """Train and test a seed in ``out/seed``, or go on with it; errors as of ``run_seed``."""
    folder = out / str(seed)
    air, seeds = (sys.executable, "-m", "air_lightning"), ("--seed_everything", str(seed), "--data.seed", str(seed))
    train([*air, "fit", "--config", str(config), *seeds, *QUIET, *experiment.fit, *further], folder, seed)
    measured = {
        name: test([*air, "test", "--run_dir", str(folder), *QUIET, *more], folder, seed)
        for name, more in experiment.tests
    }
    times = [point.value for point in curve(folder / runs.METRICS, SECONDS)]
    scenes = next(iter(measured.values()))["scenes"]
    figures = {name: {key: _figure(one, key) for key in experiment.metrics} for name, one in measured.items()}
    return Result(seed, commit(), describe(), max(times, default=0.0), seconds_an_image(folder), scenes, figures)


def train(command: Sequence[str], folder: Path, seed: int) -> None:
    """Train to the end, from the last checkpoint where there is one; on an interruption it saves one."""
    fit = Fit(command, folder, os.environ)
    try:
        while (status := fit.status()) is None:
            time.sleep(POLL)
    finally:
        if fit.status() is None:
            fit.terminate()
            fit.wait()
    if status != 0:
        raise SeedFailed(f"seed {seed}: fit ended with status {status}: {fit.last_words()}; its log is {fit.log}")


def test(command: Sequence[str], folder: Path, seed: int) -> dict[str, Any]:
    """What `test` writes."""
    measured = runs.evaluation_of(folder, "test")
    measured.unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise SeedFailed(f"seed {seed}: test ended with status {done.returncode}: {last}")
    return dict(json.loads(measured.read_text()))


def read(record: Path) -> Result:
    """What became of a seed earlier.

    Raises:
        RunError: the file is damaged.
    """
    try:
        return Result(**json.loads(record.read_text()))
    except (ValueError, TypeError) as error:
        raise runs.RunError(f"{str(record)!r} is damaged: delete it, and the seed is tested again") from error


def commit() -> str:
    """The commit of the code, and whether it was changed since; the version where it is not in a repository."""
    with suppress(OSError, subprocess.CalledProcessError):
        if changed := _git("status", "--porcelain", "--untracked-files=no", "--", *SOURCES):
            changed = ", with changes"
        return _git("rev-parse", "--short=9", "HEAD") + changed
    return f"version {__version__}"


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout.strip()


def _figure(measured: dict[str, Any], name: str) -> float | None:
    """A figure of `test`; None where it was not finite, or is not measured on such scenes."""
    value = measured["metrics"].get(f"test/{name}")
    return None if value is None else float(value)
