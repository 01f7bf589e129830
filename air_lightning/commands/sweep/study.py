"""Which runs a sweep makes, and what became of them, kept by Optuna in a journal that outlives the process."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from air_lightning.commands.sweep import parameters
from air_lightning.commands.sweep.definition import Sweep
from air_lightning.commands.sweep.parameters import Choice, Parameter
from air_lightning.commands.sweep.shares import LEAST, Shaped, Weighted

JOURNAL = "journal.log"
DEFINITION = "definition"
GRACE = 30
"""Seconds after which the journal's lock is nobody's: it is held for as long as it takes to write a line."""
STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


class Record(NamedTuple):
    """What is known of one run.

    Attributes:
        run: its number, from 1. state: one of ``STATES``. value: the best of its metric, logged at ``step``; None
            where there is none. seconds: it took, its last part where it was interrupted. values: its parameters'.
        error: why it failed, or "".
    """

    run: int
    state: str
    value: float | None
    step: int | None
    seconds: float | None
    values: dict[str, Any]
    error: str


class Study:
    """The runs of a sweep, in ``folder/journal.log``.

    Args:
        sweep: what is searched. folder: of the sweep. seed: of what is drawn. further: arguments of every fit.

    Raises:
        ValueError: the folder holds another sweep, or its journal is damaged.
    """

    def __init__(self, sweep: Sweep, folder: Path, seed: int, further: Sequence[str]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.sweep, self.folder = sweep, folder
        self._search = {n: p for n, p in sweep.parameters.items() if not (isinstance(p, Choice) and len(p.values) == 1)}
        self._study = _open(sweep, folder / JOURNAL)
        self._check_definition({"sweep": repr(sweep), "arguments": list(further)})
        # one seed would draw the same again in a sweep that goes on
        self._study.sampler = _sampler(sweep, seed + len(self._study.trials))

    def _check_definition(self, definition: dict[str, Any]) -> None:
        known = self._study.user_attrs.get(DEFINITION)
        if known is None:
            self._study.set_user_attr(DEFINITION, definition)
        elif known != definition:
            raise ValueError(
                f"{str(self.folder)!r} holds another sweep, its file or its arguments after -- were different: "
                "give another --out"
            )

    def resume(self) -> None:
        """Put runs that were in progress when the sweep was interrupted in line again, with what they had."""
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        in_line = {trial.user_attrs.get("run") for trial in waiting}
        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            number = trial.user_attrs.get("run", self._next_number())
            if number not in in_line:  # a sweep may have been killed right after this
                self._study.enqueue_trial(trial.params, user_attrs={"run": number})
            self._study.tell(trial.number, state=TrialState.FAIL)

    def begin(self, most: int) -> tuple[Trial, int, dict[str, Any]] | None:
        """The next run, its number and its parameters' values; None where ``most`` have begun."""
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        number = self._next_number()
        if not waiting and number > most:
            return None
        if not waiting and self.sweep.method == "grid":
            self._study.enqueue_trial(self._grid_point(number))
        trial = self._study.ask({name: _distribution(p) for name, p in self._search.items()})
        number = trial.user_attrs.get("run", number)
        trial.set_user_attr("run", number)
        return trial, number, self._values(trial.params)

    def report(self, trial: Trial, curve: Sequence[tuple[int, float]], known: int) -> bool:
        """Take in a run's curve of (step, value), of which ``known`` points are; whether it should stop early."""
        for position, (_, value) in enumerate(curve[known:], known + 1):
            trial.report(value, position)
            if trial.should_prune():
                return True
        return False

    def finish(self, trial: Trial, state: str, curve: Sequence[tuple[int, float]], seconds: float, error: str) -> None:
        """Note what became of a run."""
        step, value = self.sweep.metric.best(curve)
        for key, item in {"step": step, "value": value, "seconds": round(seconds, 1), "error": error}.items():
            trial.set_user_attr(key, item)
        finished = {name: key for key, name in STATES.items()}[state]
        self._study.tell(trial, value if state == "finished" else None, state=finished)

    def records(self) -> list[Record]:
        """Every run, the best first, then those without a value."""
        latest = {t.user_attrs["run"]: t for t in self._study.get_trials(deepcopy=False) if "run" in t.user_attrs}
        sign = -1.0 if self.sweep.metric.goal == "maximize" else 1.0
        records = [self._record(trial) for trial in latest.values()]
        return sorted(records, key=lambda r: (r.state == "failed", r.value is None, sign * (r.value or 0.0), r.run))

    def _record(self, trial: FrozenTrial) -> Record:
        known = trial.user_attrs
        values = {} if trial.state is TrialState.WAITING else self._values(trial.params)
        figures = known.get("value"), known.get("step"), known.get("seconds")
        return Record(known["run"], STATES[trial.state], *figures, values, known.get("error", ""))

    def _next_number(self) -> int:
        return 1 + max((t.user_attrs.get("run", 0) for t in self._study.get_trials(deepcopy=False)), default=0)

    def _grid_point(self, number: int) -> dict[str, Any]:
        choices = {name: p for name, p in self.sweep.parameters.items() if isinstance(p, Choice)}  # all, in a grid
        point = parameters.nth(choices, number - 1)
        return {name: _encoded(value) for name, value in point.items() if name in self._search}

    def _values(self, drawn: dict[str, Any]) -> dict[str, Any]:
        return {name: _value(p, drawn.get(name)) for name, p in self.sweep.parameters.items()}


def _open(sweep: Sweep, journal: Path) -> optuna.Study:
    """The study that a journal holds, or is to hold.

    Raises:
        ValueError: it is damaged.
    """
    try:
        storage = JournalStorage(JournalFileBackend(str(journal), _Lock(journal)))
        return optuna.create_study(
            study_name="sweep", storage=storage, direction=sweep.metric.goal, load_if_exists=True, pruner=_pruner(sweep)
        )
    except (ValueError, KeyError) as error:  # it is lines of JSON
        raise ValueError(f"{str(journal)!r} is damaged ({error}): give another --out") from error


class _Lock(JournalFileOpenLock):
    """Optuna's lock of a journal, which processes on several machines may share.

    One that a killed process has left behind is taken over after ``GRACE`` seconds. Half a line that it has left behind
    is cut off before the next is written.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal.absolute()  # Optuna's default lock waits for ever for a relative path's
        super().__init__(str(self._journal), GRACE)

    def acquire(self) -> bool:
        acquired = super().acquire()
        _cut_unfinished(self._journal)
        return acquired


def _cut_unfinished(journal: Path) -> None:
    """Cut off half a line at the end, left by a process that ended as it wrote: the next would be written behind it."""
    if journal.is_file() and not _ends_line(journal):
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _sampler(sweep: Sweep, seed: int) -> optuna.samplers.BaseSampler:
    if sweep.method == "bayes":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(sweep: Sweep) -> optuna.pruners.BasePruner:
    if sweep.early is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.SuccessiveHalvingPruner(sweep.early.first, sweep.early.eta)


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution([_encoded(value) for value in parameter.values])
    if isinstance(parameter, (Shaped, Weighted)):
        return FloatDistribution(LEAST, 1 - LEAST)
    if parameter.integer:
        return IntDistribution(int(parameter.low), int(parameter.high))
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _value(parameter: Parameter, drawn: Any) -> Any:
    if isinstance(parameter, Choice):
        return parameter.values[0] if drawn is None else json.loads(drawn)
    return parameter.value(drawn)


def _encoded(value: Any) -> str:
    """A choice as Optuna keeps any, lists and mappings too."""
    return json.dumps(value)
