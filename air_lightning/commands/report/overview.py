"""The page over several runs."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from air_lightning import runs
from air_lightning.commands.report.figures import Plan, duration, number
from air_lightning.commands.report.page import LARGEST, TILES, environment, inlined, made_now, notes, panels, thousands
from air_lightning.commands.report.record import Run
from air_lightning.commands.report.shipped import differing
from air_lightning.runs.measures import figure_of, ordered

COMPARED = (*TILES, "rotation_error", "foreground_ari", "log_evidence")
SAID_BY_OTHERS = ("position_error_share", "position_error_mean", "box_ap", "box_ap75")
"""Columns that have no chart over several runs."""
TRAINED = ("train/elbo", "train/loss")
IMAGES = 6 * 2**20
"""Bytes of all the runs' images together."""
ROUNDING = 1e-6
"""What figures, which are float32, may lack of a goal as a share of it: 95 of 100 is logged as 0.94999999."""


class Goal(NamedTuple):
    """What a run must reach to count as a success: a figure, at least where more is better, else at most."""

    name: str
    value: float

    def reached(self, value: float | None) -> bool:
        """Whether this is enough; no figure is not."""
        if value is None:
            return False
        lacking = self.value - value if figure_of(self.name).up else value - self.value
        return lacking <= ROUNDING * abs(self.value)

    def __str__(self) -> str:
        return f"{figure_of(self.name).title.lower()} {'≥' if figure_of(self.name).up else '≤'} {self.value:g}"


class Row(NamedTuple):
    """A run in the table.

    Attributes:
        values: figures by name. source: where they come from. success: whether it reached the goal.
        first: seconds of training at the first validation that did; None: none did, or it is not logged.
    """

    run: Run
    values: dict[str, float | None]
    source: str
    success: bool
    first: float | None


def overview_page(shown: Sequence[Run], goal: Goal) -> str:
    """The page over several runs."""
    rows = [row_of(run, goal) for run in shown]
    measured = {name for row in rows for name, value in row.values.items() if value is not None}
    names = [name for name in dict.fromkeys((goal.name, *COMPARED)) if name in measured]
    times = [row.first for row in rows if row.first is not None]
    return environment().get_template("runs.html").render(
        title=f"{len(shown)} runs",
        made=made_now(),
        rows=rows,
        goal=goal,
        succeeded=sum(row.success for row in rows),
        unmeasured=[row.run.name for row in rows if row.values.get(goal.name) is None],
        names=names,
        figures={name: figure_of(name) for name in names},
        medians={name: _median(rows, name) for name in names},
        worst={name: _worst(rows, name) for name in names},
        times=len(times),
        middle=duration(median(times) if times else None),
        notes=[f"{run.name}: {note}" for run in shown for e in run.evaluations.values() for note in notes(run, e)],
        headed={heading: panels(shown, some) for heading, some in overlaid(shown).items() if some},
        arguments=differing(shown),
        images=images(shown),
    )  # fmt: skip


def row_of(run: Run, goal: Goal) -> Row:
    """A run's figures: of `test`, else of `validate`, else of its best validation in training."""
    first = next((p.seconds for p in run.curves.get(f"val/{goal.name}", []) if goal.reached(p.value)), None)
    first = None if first is None or first != first else first
    for evaluation in run.evaluations.values():
        return Row(run, evaluation.metrics, evaluation.command, goal.reached(evaluation.metrics.get(goal.name)), first)
    best = run.best_step
    values: dict[str, float | None] = dict(run.validation(best))
    source = "none yet" if best is None else f"validation, step {thousands(best + 1)}"
    return Row(run, values, source, goal.reached(values.get(goal.name)), first)


def overlaid(shown: Sequence[Run]) -> dict[str, list[Plan]]:
    """The charts by heading: a column each."""
    columns = {name for run in shown for name in run.curves}
    validated = {name.removeprefix("val/") for name in columns if name.startswith("val/")}.difference(SAID_BY_OTHERS)
    return {
        "What validation measures": [_plan(f"val/{name}") for name in ordered(validated)],
        "Training": [_plan(name) for name in TRAINED if name in columns],
    }


def images(shown: Sequence[Run]) -> list[tuple[Run, str, str]]:
    """(run, data URI or nothing, caption) of the last image of every run that has any, of limited size in all."""
    found, left = [], IMAGES
    for run in shown:
        drawn = runs.figures_of(run.folder / runs.FIGURES)
        if drawn:
            step, path = drawn[-1]
            size = path.stat().st_size
            fits = size <= min(left, LARGEST)
            left -= size if fits else 0
            found.append((run, inlined(path) if fits else "", f"step {thousands(step)}"))
    return found


def _plan(column: str) -> Plan:
    split, _, name = column.partition("/")
    figure = figure_of(name)
    return Plan(figure.title + (" in training" if split == "train" else ""), figure.unit, {column: figure.title})


def _values(rows: Sequence[Row], name: str) -> list[float]:
    values = [row.values.get(name) for row in rows]
    return [value for value in values if value is not None and value == value]


def _median(rows: Sequence[Row], name: str) -> str:
    values = _values(rows, name)
    return number(median(values) if values else None, figure_of(name).unit)


def _worst(rows: Sequence[Row], name: str) -> str:
    values, figure = _values(rows, name), figure_of(name)
    worst = (min if figure.up else max)(values, default=None)
    return number(worst, figure.unit)
