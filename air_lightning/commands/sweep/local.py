"""A sweep on this machine: fits side by side, the early end of poor ones, and the table of what came out."""

import csv
import json
import math
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import Trial

from air_lightning import runs
from air_lightning.commands.sweep.definition import Sweep
from air_lightning.commands.sweep.fits import Curve, Fit, environment
from air_lightning.commands.sweep.study import Record, Study, folder_of
from air_lightning.runs.curves import columns

# No server is needed, nor W&B's package, although the file's command asks for it; a progress bar would fill the log.
LOCALLY = ("--no_wandb", "--trainer.logger", "null", "--trainer.enable_progress_bar", "false")
FAILURES = 5
"""So many failures in a row end a sweep."""
POLL = 1.0
"""Seconds between two looks at the fits."""


class TooManyFailures(RuntimeError):
    """Run after run has failed; the message names the last one's error."""


@dataclass
class _Job:
    trial: Trial
    number: int
    fit: Fit
    reported: int = 0
    stopped: bool = False
    diverged: str = ""
    curve: Curve = field(default_factory=list)


class LocalSweep:
    """Runs a sweep to its end.

    Args:
        sweep: what is searched. folder: of the sweep; run 1 lies in ``folder/001``. most: runs at most.
        jobs: fits at a time. seed: of what is drawn. further: arguments of every fit. wait: for runs that other
            processes make of the same sweep, so as to take over what they abandon.

    Raises:
        ValueError: the folder holds another sweep.
    """

    def __init__(
        self, sweep: Sweep, folder: Path, most: int, jobs: int, seed: int, further: Sequence[str], wait: bool = True
    ) -> None:
        self.sweep, self.folder, self.most, self.jobs, self.wait = sweep, folder, most, jobs, wait
        self._further = [*LOCALLY, *further]
        self._study = Study(sweep, folder, seed, further)
        self._environment = environment(jobs)
        self._running: list[_Job] = []
        self._said_target, self._said_waiting = False, list[int]()
        self._failed: deque[bool] = deque(maxlen=FAILURES)

    def run(self) -> list[Record]:
        """Begin and follow runs until there are no more.

        Raises:
            TooManyFailures: ``FAILURES`` runs in a row have failed. Those still running are interrupted then, as by
                any other exception, and go on when the sweep is run again.
        """
        try:
            while self._begin() or self._running or self._waits():
                self._look()
                self._check_failures()
                time.sleep(POLL)
        finally:
            self._interrupt()
            self.write()
        return self._study.records()

    def write(self) -> None:
        """Write `results.csv` and `results.json`, the best run first."""
        with self._study.alone():
            write_results(self.folder, self.sweep, self._study.records())

    def _begin(self) -> bool:
        """Begin as many runs as there is room for; whether any began."""
        began = False
        if self._target_reached():
            return False
        while len(self._running) < self.jobs and (begun := self._study.begin(self.most)) is not None:
            trial, number, values = begun
            command = self.sweep.argv(sys.executable, values, self._further)
            fit = Fit(command, folder_of(self.folder, number), self._environment)
            self._study.leases.keep(number, fit.process)
            self._running.append(_Job(trial, number, fit))
            shown = ", ".join(f"{name}={_short(value)}" for name, value in values.items())
            print(f"run {number} of {self.most}: {shown}", flush=True)
            began = True
        return began

    def _waits(self) -> bool:
        """Whether others still make runs, which it may fall to this process to take over; who, is said."""
        others = [record.run for record in self._study.records() if record.state in ("running", "waiting")]
        if not (others and self.wait) or self._target_reached():
            return False
        if others != self._said_waiting:
            self._said_waiting = others
            holders = ", ".join(f"run {number} of {self._study.leases.holder(number)}" for number in others)
            print(f"nothing to begin; waiting for {holders}, to take over what is abandoned", flush=True)
        return True

    def _look(self) -> None:
        for job in list(self._running):
            if not self._study.leases.keep(job.number):
                self._drop(job)
                continue
            status = job.fit.status()  # before the file is read: what an ended fit has written is whole
            job.curve = job.fit.curve(self.sweep.metric.name)
            self._judge(job)
            if status is not None:
                self._end(job, status)

    def _judge(self, job: _Job) -> None:
        """End a run that has diverged, or is poor."""
        if job.stopped or job.diverged:
            return
        job.diverged = divergence(self.sweep.metric.name, job.curve)
        job.stopped = not job.diverged and self._study.report(job.trial, job.curve, job.reported)
        job.reported = len(job.curve)
        if job.diverged or job.stopped:
            job.fit.terminate()

    def _target_reached(self) -> bool:
        """Whether a run has reached the metric's target; the word of it is said once."""
        metric = self.sweep.metric
        going_on = [(job.number, metric.best(job.curve)[1]) for job in self._running]
        known = going_on + [(r.run, r.value) for r in self._study.records() if r.state != "failed"]
        first = next((number for number, value in known if metric.reached(value)), None)
        if first is not None and not self._said_target:
            self._said_target = True
            print(f"run {first} has reached metric.target {_short(metric.target)}: no more runs begin", flush=True)
        return first is not None

    def _drop(self, job: _Job) -> None:
        """A run that another process has taken over, for this one stood still, or its disk was away."""
        job.fit.kill()
        self._running.remove(job)
        holder = self._study.leases.holder(job.number)
        print(f"run {job.number} is left to {holder}, for it stood still here", flush=True)

    def _end(self, job: _Job, status: int) -> None:
        state, error = self._outcome(job, status)
        if not self._study.finish(job.trial, state, job.curve, job.fit.seconds, error):
            self._drop(job)
            return
        self._running.remove(job)
        self._failed.append(state == "failed")
        metric = self.sweep.metric
        value = metric.best(job.curve)[1]
        best = "" if value is None else f", {metric.name} {_short(value)}"
        print(f"run {job.number} {state}{best}{': ' + error if error else ''}", flush=True)
        self.write()

    def _outcome(self, job: _Job, status: int) -> tuple[str, str]:
        """What became of a run, and why it failed."""
        if job.diverged:
            return "failed", job.diverged
        if status != 0 and not job.stopped:
            return "failed", f"exit status {status}: {job.fit.last_words()}"
        if not job.curve:
            there = sorted(n for n in columns(job.fit.folder / runs.METRICS) if n.startswith("val/"))
            return "failed", f"it has logged no metric {self.sweep.metric.name!r}; logged were {there}"
        if self.sweep.metric.best(job.curve)[1] is None:
            return "failed", f"{self.sweep.metric.name} has never been finite"
        return ("finished" if status == 0 else "stopped early"), ""

    def _check_failures(self) -> None:
        if len(self._failed) == FAILURES and all(self._failed):
            raise TooManyFailures(f"{FAILURES} runs in a row have failed; their logs are {self.folder}/*.log")

    def _interrupt(self) -> None:
        for job in self._running:
            job.fit.terminate()
        for job in self._running:
            job.fit.wait()
            if self._study.leases.keep(job.number):  # still ours
                self._study.leases.release(job.number)


def divergence(metric: str, curve: Curve) -> str:
    """What to say of a run whose metric has become NaN, or infinite after it had been finite; "" of any other."""
    finite = False
    for step, value in curve:
        if math.isnan(value) or (finite and math.isinf(value)):
            return f"it has diverged: {metric} is {value} at step {step}"
        finite = finite or math.isfinite(value)
    return ""


def write_results(folder: Path, sweep: Sweep, records: Sequence[Record]) -> None:
    """Write `results.csv` and `results.json` of these runs, in their order."""
    rows = [record._asdict() | {"folder": f"{record.run:03d}"} for record in records]
    runs.write_json(folder / "results.json", {"metric": vars(sweep.metric), "runs": rows})
    with runs.drafted(folder / "results.csv") as draft, draft.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["run", "state", sweep.metric.name, "step", "seconds", *sweep.parameters, "error"])
        for r in records:
            values = [_text(r.values.get(name)) for name in sweep.parameters]
            writer.writerow([r.run, r.state, r.value, r.step, r.seconds, *values, r.error])


def table(sweep: Sweep, records: Sequence[Record]) -> str:
    """The runs as lines of text, in their order; constants are left out."""
    varied = [name for name in sweep.parameters if len({_text(r.values.get(name)) for r in records}) > 1]
    rows = [["run", sweep.metric.name, "step", "state", *varied]]
    for r in records:
        cells = ["" if value is None else _short(value) for value in (r.value, r.step)]
        rows.append([str(r.run), *cells, r.state, *(_short(r.values.get(name, "")) for name in varied)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
