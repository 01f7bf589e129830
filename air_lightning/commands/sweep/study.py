"""Which runs a sweep makes, and what became of them, kept by Optuna in a journal that outlives the process.

Several processes may share it. A run in progress belongs to the one that holds its lease (``leases``); one that has
been abandoned is taken again, with its parameters. What reads the journal and then writes to it does so alone.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from air_lightning import runs
from air_lightning.commands.sweep import parameters
from air_lightning.commands.sweep.definition import Sweep
from air_lightning.commands.sweep.journal import folder_lock, open_study
from air_lightning.commands.sweep.leases import Leases
from air_lightning.commands.sweep.parameters import Choice, Parameter
from air_lightning.commands.sweep.shares import LEAST, Shaped, Weighted

JOURNAL = "journal.log"
DEFINITION = "definition"
RUN = "run"
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
        self.sweep, self.folder, self.leases = sweep, folder, Leases(folder)
        self._search = {n: p for n, p in sweep.parameters.items() if not (isinstance(p, Choice) and len(p.values) == 1)}
        self._study = open_study(folder / JOURNAL, sweep.metric.goal, _pruner(sweep))
        self._lock, self._seed = folder_lock(folder), seed
        with self.alone():
            self._check_definition({"sweep": repr(sweep), "arguments": list(further)})

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While no other process begins or finishes a run, or writes a table of them."""
        self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def _check_definition(self, definition: dict[str, Any]) -> None:
        known = self._study.user_attrs.get(DEFINITION)
        if known is None:
            self._study.set_user_attr(DEFINITION, definition)
        elif known != definition:
            raise ValueError(
                f"{str(self.folder)!r} holds another sweep, its file or its arguments after -- were different: "
                "give another --out"
            )

    def begin(self, most: int) -> tuple[Trial, int, dict[str, Any]] | None:
        """A run to make now, ours alone, its number and its parameters' values; None where there is none.

        Those that were abandoned come first, then new ones, until ``most`` have begun.
        """
        if not (self._trials(TrialState.WAITING) or self._abandoned() or self._next_number() <= most):
            return None
        with self.alone():
            self._put_abandoned_in_line()
            if not self._trials(TrialState.WAITING):
                if (number := self._next_number()) > most:
                    return None
                self._put_in_line(number, self._grid_point(number) if self.sweep.method == "grid" else {})
            return self._take()

    def _abandoned(self) -> list[FrozenTrial]:
        """What is in progress and nobody's; a trial without a number is of a process that was killed as it began it."""
        return [t for t in self._trials(TrialState.RUNNING) if (n := _number(t)) is None or self._nobodys(n)]

    def _nobodys(self, number: int) -> bool:
        return self.leases.abandoned(number) and not runs.in_use(folder_of(self.folder, number))

    def _put_abandoned_in_line(self) -> None:
        """In an order in which nothing is lost, nor done twice, wherever this process is killed."""
        in_line = {_number(trial) for trial in self._trials(TrialState.WAITING)}
        for trial in self._abandoned():
            if (number := _number(trial)) is not None:
                self.leases.release(number)
                if number not in in_line:
                    self._put_in_line(number, trial.params)
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _put_in_line(self, number: int, values: dict[str, Any]) -> None:
        self._study.enqueue_trial(values, user_attrs={RUN: number})

    def _take(self) -> tuple[Trial, int, dict[str, Any]] | None:
        """The first in line. What is drawn of it depends on the seed and its number, not on which process draws it."""
        first = _number(self._trials(TrialState.WAITING)[0]) or 0
        (seed,) = np.random.SeedSequence([self._seed, first]).generate_state(1)
        self._study.sampler = _sampler(self.sweep, int(seed))
        trial = self._study.ask({name: _distribution(p) for name, p in self._search.items()})
        number = trial.user_attrs.get(RUN)
        if number is None or not self.leases.claim(number):  # this process stood still for longer than a lock lasts
            trial.set_user_attr(RUN, None)
            self._study.tell(trial, state=TrialState.FAIL)
            return None
        return trial, number, self._values(trial.params)

    def report(self, trial: Trial, curve: Sequence[tuple[int, float]], known: int) -> bool:
        """Take in a run's curve of (step, value), of which ``known`` points are; whether it should stop early."""
        for position, (_, value) in enumerate(curve[known:], known + 1):
            trial.report(value, position)
            if trial.should_prune():
                return True
        return False

    def finish(self, trial: Trial, state: str, curve: Sequence[tuple[int, float]], seconds: float, error: str) -> bool:
        """Note what became of a run; whether it was ours to the end, and that is noted."""
        number = trial.user_attrs[RUN]
        step, value = self.sweep.metric.best(curve)
        with self.alone():
            if not self.leases.keep(number):
                return False
            for key, item in {"step": step, "value": value, "seconds": round(seconds, 1), "error": error}.items():
                trial.set_user_attr(key, item)
            finished = {name: key for key, name in STATES.items()}[state]
            self._study.tell(trial, value if state == "finished" else None, state=finished)
            self.leases.release(number)
        return True

    def records(self) -> list[Record]:
        """Every run, the best first, then those without a value."""
        latest = {number: t for t in self._trials() if (number := _number(t)) is not None}
        sign = -1.0 if self.sweep.metric.goal == "maximize" else 1.0
        records = [self._record(trial) for trial in latest.values()]
        return sorted(records, key=lambda r: (r.state == "failed", r.value is None, sign * (r.value or 0.0), r.run))

    def _record(self, trial: FrozenTrial) -> Record:
        known = trial.user_attrs
        values = {} if trial.state is TrialState.WAITING else self._values(trial.params)
        figures = known.get("value"), known.get("step"), known.get("seconds")
        return Record(known[RUN], STATES[trial.state], *figures, values, known.get("error", ""))

    def _next_number(self) -> int:
        return 1 + max((_number(t) or 0 for t in self._trials()), default=0)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _grid_point(self, number: int) -> dict[str, Any]:
        choices = {name: p for name, p in self.sweep.parameters.items() if isinstance(p, Choice)}  # all, in a grid
        point = parameters.nth(choices, number - 1)
        return {name: _encoded(value) for name, value in point.items() if name in self._search}

    def _values(self, drawn: dict[str, Any]) -> dict[str, Any]:
        return {name: _value(p, drawn.get(name)) for name, p in self.sweep.parameters.items()}


def folder_of(sweep: Path, number: int) -> Path:
    """The folder of a run."""
    return sweep / f"{number:03d}"


def _number(trial: FrozenTrial) -> int | None:
    """Of a trial's run."""
    return trial.user_attrs.get(RUN)


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
