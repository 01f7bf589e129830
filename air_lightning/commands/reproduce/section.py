"""A section of a page of results: every seed, the median and the worst, and what it was measured with."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from air_lightning import runs
from air_lightning.commands.reproduce.experiments import Experiment
from air_lightning.commands.reproduce.seeds import Result
from air_lightning.runs.measures import figure_of

HEADING = """
## Reproduced

Written by `python -m air_lightning reproduce`; each section is replaced when its experiment is run again.
"""


def section(name: str, experiment: Experiment, results: Sequence[Result], command: str) -> str:
    """The section's text, in Markdown, without its markers."""
    columns = [(test, metric) for test, _ in experiment.tests for metric in experiment.metrics]
    figures = [[r.figures[test][metric] for r in results] for test, metric in columns]
    ups = [figure_of(metric).up for _, metric in columns]
    columns_of_times = {"milliseconds an image": [1000 * r.an_image for r in results]}
    if not experiment.unaided:
        columns_of_times = {"minutes of training": [r.seconds / 60 for r in results]} | columns_of_times
    times = list(columns_of_times.values())
    head = ["seed", *(_title(*column) for column in columns), *columns_of_times]
    rows = [
        [str(r.seed), *(_text(column[k]) for column in figures), *(_time(column[k]) for column in times)]
        for k, r in enumerate(results)
    ]
    rows.append(["median", *(_median(column) for column in figures), *(_time(median(column)) for column in times)])
    worst = [_worst(column, up) for column, up in zip(figures, ups)]
    rows.append(["worst", *worst, *(_time(max(column)) for column in times)])
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])
    scenes = ", ".join(sorted({str(r.scenes) for r in results}))
    made = f"{_all(r.commit for r in results)}; {_all(r.machine for r in results)}"
    return (
        f"**`{name}`**: {experiment.about}; {scenes} held-out scenes a seed. Every seed that was run. `{command}`, "
        f"commit {made}.\n\n{table}"
    )


def check_page(page: Path, name: str) -> None:
    """ValueError where a section cannot be written to a page."""
    if page.is_dir() or not page.parent.is_dir():
        raise ValueError(
            f"--results {str(page)!r} must be a file in a folder that is there, docs/results.md for example"
        )
    text = page.read_text() if page.is_file() else ""
    first, last = _markers(name)
    if (text.count(first), text.count(last)) not in ((0, 0), (1, 1)) or text.find(first) > text.find(last):
        raise ValueError(
            f"--results {str(page)!r} must have the section of {name!r} once or not at all, between {first} and {last}"
        )


def write(page: Path, name: str, text: str) -> None:
    """Put a section in the place of its earlier one, or at the page's end; the rest stays as it is."""
    first, last = _markers(name)
    before = page.read_text() if page.is_file() else ""
    whole = f"{first}\n\n{text}\n\n{last}"
    if first in before:
        start, end = before.index(first), before.index(last) + len(last)
        runs.write_atomically(page, before[:start] + whole + before[end:])
        return
    heading = "" if HEADING in before else HEADING
    runs.write_atomically(page, f"{before.rstrip()}\n{heading}\n{whole}\n".lstrip())


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- reproduce {name} -->", f"<!-- end of {name} -->"


def _title(test: str, metric: str) -> str:
    figure = figure_of(metric)
    title = figure.title if figure.up else f"{figure.title}, {figure.unit}"
    return f"{title} {test}".strip()


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _time(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _median(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _text(median(known) if known else None)


def _worst(values: Sequence[float | None], up: bool) -> str:
    """A seed without a figure is the worst of all."""
    known = [value for value in values if value is not None]
    return _text(None if len(known) < len(values) else (min if up else max)(known))


def _all(texts: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(texts))
