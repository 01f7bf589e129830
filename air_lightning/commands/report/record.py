"""What a run folder says of its run, without its model."""

import csv
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from air_lightning import runs
from air_lightning.model.calibration import Powers
from air_lightning.runs import RunError
from air_lightning.runs.curves import SECONDS, Point, curves

EVALUATIONS = ("test", "validate")


class Bin(NamedTuple):
    """Forecasts of about one confidence. ``number``: how many, 1 or more. ``confidence``, ``right``: their means."""

    number: int
    confidence: float
    right: float


class Calibration(NamedTuple):
    """What was expected beside what came true.

    Attributes:
        reliability: of `presence` and, where there are kinds, `identity`, the bins that hold forecasts.
        coverage: of each coordinate by name, the shares `coverage50` and `coverage90`; None: no objects.
        powers: those that posteriors were raised to, in words; empty where they are as learnt.
    """

    reliability: dict[str, list[Bin]]
    coverage: dict[str, dict[str, float | None]]
    powers: str


@dataclass(frozen=True)
class Evaluation:
    """What `test` or `validate` wrote.

    Attributes:
        command: `test` or `validate`. metrics: by name without split; None: nothing to measure.
        checkpoint: the weights. step: theirs. scenes: how many were judged.
        overrides: arguments that were not the run's own, by dotted name.
        confusion: scenes by true count (row) and inferred count (column); empty without a truth.
        calibration: how sure it was and how often right; None without a truth.
        by_count: figures of the scenes of each true count by name, `count` among them; empty where it has none.
    """

    command: str
    metrics: dict[str, float | None]
    checkpoint: str
    step: int | None
    scenes: int | None
    overrides: dict[str, Any] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    calibration: "Calibration | None" = None
    by_count: list[dict[str, float | None]] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes:
        folder: as the user gave it. name: short, different from those of the runs beside it.
        text: config.yaml, of which config is the content. curves: by column of metrics.csv; empty where there is none.
        evaluations: by command, those there are. in_use: whether a fit trains into it now.
        logged: whether there is a metrics.csv; a folder that was exported may have none.
    """

    folder: Path
    name: str
    text: str
    config: dict[str, Any]
    curves: dict[str, list[Point]]
    evaluations: dict[str, Evaluation]
    in_use: bool
    logged: bool

    @cached_property
    def header(self) -> list[str]:
        """The comments at the top of the config: versions, and the machine."""
        lines = self.text.splitlines()
        end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
        return [line.lstrip("# ") for line in lines[:end]]

    @property
    def steps(self) -> int:
        """Optimizer steps that have been logged."""
        return 1 + max((points[-1].step for points in self.curves.values()), default=-1)

    @property
    def seconds(self) -> float | None:
        """Of training, validations left out; None where that was not logged."""
        points = self.curves.get(SECONDS, [])
        return max((point.value for point in points), default=None)

    @property
    def planned_steps(self) -> int | None:
        """Where the config ends training at a step."""
        most = self.trainer.get("max_steps")
        return most if isinstance(most, int) and most > 0 else None

    @property
    def trainer(self) -> Mapping[str, Any]:
        return section(self.config, "trainer")

    @property
    def state(self) -> str:
        """In words: in progress, finished, or where it stopped. A last epoch may have been cut short."""
        if self.in_use:
            return f"in progress, last logged step {self._place}"
        if not self.logged:
            return f"no {runs.METRICS} here"
        if self.planned_steps is not None and self.steps >= self.planned_steps:
            return "finished"
        ended = self.planned_steps is None and self._epochs is not None and self._epochs[0] >= self._epochs[1]
        return f"{'ended' if ended else 'stopped'}; last logged step {self._place}"

    @property
    def _place(self) -> str:
        if self.planned_steps is not None:
            return f"{self.steps} of {self.planned_steps}"
        return f"{self.steps}" + ("" if self._epochs is None else ", epoch {} of {}".format(*self._epochs))

    @property
    def _epochs(self) -> tuple[int, int] | None:
        """The epoch last logged, counted from 1, and how many there are to be; None where the config does not say."""
        most = self.trainer.get("max_epochs")
        last = max((point.value for point in self.curves.get("epoch", [])), default=-1)
        return (int(last) + 1, most) if isinstance(most, int) and most > 0 else None

    @property
    def checkpoint(self) -> Path | None:
        """The weights to show: those that were tested, where they still are; else the best, else the last."""
        tested = [self.folder / runs.CHECKPOINTS / Path(e.checkpoint).name for e in self.evaluations.values()]
        named = [self.folder / runs.CHECKPOINTS / f"{name}.ckpt" for name in runs.NAMED_CHECKPOINTS]
        return next((path for path in (*tested, *named) if path.is_file()), None)

    @property
    def best_step(self) -> int | None:
        """The last logged step of the validation that `checkpoint.monitor` was best at; None without validations."""
        settings = section(self.config, "checkpoint")
        points = [p for p in self.curves.get(str(settings.get("monitor")), []) if math.isfinite(p.value)]
        if not points:
            return None
        best = max if settings.get("mode", "max") == "max" else min
        return best(points, key=lambda point: point.value).step

    def validation(self, step: int | None) -> dict[str, float]:
        """Figures of the validation logged at a step, without their split."""
        found = {}
        for name, points in self.curves.items():
            value = next((point.value for point in points if point.step == step), None)
            if name.startswith("val/") and value is not None:
                found[name.removeprefix("val/")] = value
        return found


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in these folders.

    Raises:
        RunError: one of them holds no run, or neither metrics.csv nor a checkpoint nor what was measured of one, or a
            file of it cannot be read; or it is given twice.
    """
    places = [folder.resolve() for folder in folders]
    twice = [str(folder) for folder, place in zip(folders, places) if places.count(place) > 1]
    if twice:
        raise RunError(f"a run is given more than once: {', '.join(twice)}; name each folder once")
    return [read_run(folder, name) for folder, name in zip(folders, short_names(places))]


def read_run(folder: Path, name: str) -> Run:
    """One run, see `read_runs`."""
    within = [path.name for path in sorted(folder.glob("*")) if path.is_dir() and runs.holds_run(path)]
    if within and not runs.holds_run(folder):
        raise RunError(
            f"{str(folder)!r} is no run itself but holds {len(within)}, {within[0]!r} first: give {folder}/*"
        )
    text, config = runs.read_config(folder)
    evaluations = {command: read_evaluation(folder, command) for command in EVALUATIONS}
    there = {command: evaluation for command, evaluation in evaluations.items() if evaluation is not None}
    logged = (folder / runs.METRICS).is_file()
    curves = _curves(folder / runs.METRICS) if logged else {}
    run = Run(folder, name, text, config, curves, there, runs.in_use(folder), logged)
    if not (logged or there or run.checkpoint):
        raise RunError(
            f"run_dir {str(folder)!r} has no {runs.METRICS} and no checkpoint: its fit has logged and saved nothing "
            "yet; a report needs one of them"
        )
    return run


def read_evaluation(folder: Path, command: str) -> Evaluation | None:
    """What `command` wrote there; None if it was not run.

    Raises:
        RunError: the file is not what the command writes.
    """
    path = runs.evaluation_of(folder, command)
    if not path.is_file():
        return None
    try:
        record = json.loads(_text(path))
        metrics = {name.rpartition("/")[2]: _figure(value) for name, value in record["metrics"].items()}
        confusion = [[int(n) for n in row] for row in record.get("count_confusion", [])]
        return Evaluation(
            command, metrics, str(record.get("checkpoint")), _whole(record.get("step")), _whole(record.get("scenes")),
            dict(record.get("overrides") or {}), confusion, _calibration(record.get("calibration")),
            [{name: _figure(value) for name, value in row.items()} for row in record.get("by_count", [])],
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(
            f"{path} is not what `{command}` writes ({type(error).__name__}: {error}): run "
            f"`{command} --run_dir {shlex.quote(str(folder))}` again"
        ) from error


def short_names(places: Sequence[Path]) -> list[str]:
    """The ends of absolute paths from the first part in which they differ; of a single one its last part.

    >>> short_names([Path("/runs/digits/1"), Path("/runs/digits/2")])
    ['1', '2']
    """
    if len(places) == 1:
        return [places[0].name]
    parts = [place.parts for place in places]
    shared = 0
    while all(len(p) > shared + 1 for p in parts) and len({p[shared] for p in parts}) == 1:
        shared += 1
    return ["/".join(p[shared:]) for p in parts]


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a config; empty where it has none."""
    part = config.get(name)
    return part if isinstance(part, Mapping) else {}


def _figure(value: Any) -> float | None:
    return None if value is None else float(value)


def _calibration(record: Any) -> Calibration | None:
    if not record:
        return None
    bins = {
        name: [Bin(int(r["number"]), float(r["confidence"]), float(r["right"])) for r in table if r["number"]]
        for name, table in record["reliability"].items()
    }
    levels = ("coverage50", "coverage90")
    coverage = {name: {k: _figure(shares[k]) for k in levels} for name, shares in record["coverage"].items()}
    powers = Powers(**record["powers"])
    return Calibration(bins, coverage, "" if powers.are_none else str(powers))


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _curves(path: Path) -> dict[str, list[Point]]:
    try:
        with path.open(newline="") as file:
            head = next(csv.reader(file), [])
        if head and "step" not in head:
            raise RunError(f"{path} is not what `fit` logs, for it has no column 'step': put back the one it wrote")
        return curves(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"could not read {path}: {error}") from error


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"could not read {path}: {error}") from error
