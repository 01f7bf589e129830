"""Pages: what the templates show, in words, numbers and images that are ready to be shown."""

import base64
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from air_lightning import runs
from air_lightning.commands.report.chart import Chart, Line, line_chart
from air_lightning.commands.report.figures import Plan, duration, number, plans
from air_lightning.commands.report.record import Evaluation, Run, section
from air_lightning.commands.report.reliability import sureness
from air_lightning.commands.report.scenes import Judged, Judgement
from air_lightning.figures.images import COLORS, ImageArray
from air_lightning.runs import machine
from air_lightning.runs.measures import figure_of, ordered
from air_lightning.version import __version__

AIR = "python -m air_lightning"
TILES = ("count_accuracy", "scene_accuracy", "identity_accuracy", "box_ap50", "elbo", "position_error")
MOST_TILES = 4
BY_COUNT = ("count_accuracy", "box_ap50", "foreground_ari")
LARGEST = 4 * 2**20
"""Bytes of an image or animation that a page takes in."""
ACROSS = {"steps": "training steps", "seconds": "seconds of training"}


class Column(NamedTuple):
    """A column of the table of figures. ``title``: with ``note``, its head. ``values``: by name of the figure."""

    title: str
    note: str
    values: Mapping[str, float | None]


class Panel(NamedTuple):
    """A chart over steps and over seconds, by what it is over."""

    title: str
    unit: str
    charts: dict[str, Chart]


def environment() -> Environment:
    """The templates, which escape whatever is not markup already."""
    made = Environment(
        loader=PackageLoader("air_lightning.commands.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": number, "duration": duration, "thousands": thousands}
    return made


def made_now() -> dict[str, str]:
    """When, with what and where a page is made."""
    return {
        "time": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "version": __version__,
        "machine": machine.describe(),
    }


# ---- one run


def run_page(run: Run, judgement: Judgement | str, compared: tuple[str, list[tuple[str, str, str]]] | None) -> str:
    """The page about one run.

    Args:
        judgement: its best and worst scenes; or why there are none.
        compared: a config's name and (argument, there, here) of every difference from it; None: compared with none.
    """
    columns = figure_columns(run)
    shown = next(iter(run.evaluations.values()), None)
    names = ordered({name for column in columns for name in column.values})
    counted = any(column.values.get("count_accuracy") is not None for column in columns)
    return environment().get_template("run.html").render(
        title="/".join(run.folder.resolve().parts[-2:]),
        run=run,
        made=made_now(),
        parts=parts(run),
        columns=columns,
        names=names,
        figures={name: figure_of(name) for name in names},
        tiles=tiles(columns),
        evaluations=list(run.evaluations.values()),
        notes=[note for evaluation in run.evaluations.values() for note in notes(run, evaluation)],
        counted=counted,
        confusion=None if shown is None else confusion(shown),
        by_count=None if shown is None else by_count(shown),
        sure=None if shown is None else sureness(shown),
        headed={heading: panels([run], some) for heading, some in plans(list(run.curves)).items()},
        judgement=judgement if isinstance(judgement, Judgement) else None,
        missing=judgement if isinstance(judgement, str) else "",
        groups=scene_groups(judgement) if isinstance(judgement, Judgement) else [],
        animations=animations(run),
        compared=compared,
        commands=commands(run),
    )  # fmt: skip


def figure_columns(run: Run) -> list[Column]:
    """What was measured: by `test` and `validate`, and in training at the best and at the last validation."""
    columns = [
        Column(e.command, f"{thousands(e.scenes)} scenes, weights of step {thousands(e.step)}", e.metrics)
        for e in run.evaluations.values()
    ]
    validated = [points[-1].step for name, points in run.curves.items() if name.startswith("val/")]
    last, best = max(validated, default=None), run.best_step
    if best is not None and best != last:
        columns.append(Column("best validation", f"in training, step {thousands(best + 1)}", run.validation(best)))
    if last is not None:
        title = "best and last validation" if best == last else "last validation"
        columns.append(Column(title, f"in training, step {thousands(last + 1)}", run.validation(last)))
    return columns


def tiles(columns: Sequence[Column]) -> list[dict[str, str]]:
    """The most telling figures of the first column."""
    if not columns:
        return []
    first = columns[0]
    names = [name for name in TILES if first.values.get(name) is not None][:MOST_TILES]
    figures = [(figure_of(name), first.values[name]) for name in names]
    return [{"title": f.title, "value": number(v, f.unit), "unit": f.unit, "source": first.title} for f, v in figures]


def notes(run: Run, evaluation: Evaluation) -> list[str]:
    """What a reader must know of an evaluation before comparing its figures."""
    found = []
    if evaluation.overrides:
        given = ", ".join(f"{name} {value}" for name, value in evaluation.overrides.items())
        found.append(f"`{evaluation.command}` was run with arguments other than the run's own: {given}.")
    checkpoint = run.folder / runs.CHECKPOINTS / Path(evaluation.checkpoint).name
    try:
        now = runs.step_of(checkpoint)
    except runs.RunError as error:
        return [*found, f"{error}."]
    if now is not None and evaluation.step is not None and now != evaluation.step:
        found.append(
            f"`{evaluation.command}` measured the weights of step {thousands(evaluation.step)}; {checkpoint.name} "
            f"is now of step {thousands(now)}. Measure again with: {evaluation_command(run, evaluation.command)}"
        )
    return found


def confusion(evaluation: Evaluation) -> list[list[tuple[int, float]]]:
    """(scenes, share of the true count's scenes) by true count (row) and inferred count."""
    return [[(n, n / max(1, sum(row))) for n in row] for row in evaluation.confusion]


def by_count(evaluation: Evaluation) -> Panel | None:
    """A chart of shares over the true number of objects; None where an evaluation has seen fewer than two numbers."""
    rows = evaluation.by_count
    if len(rows) < 2:
        return None
    lines = []
    for style, name in enumerate(BY_COUNT):
        points = [(row["count"], row.get(name)) for row in rows]
        lines.append(Line(figure_of(name).title, [(x, y) for x, y in points if x is not None and y is not None], style))
    title = "By the number of objects"
    chart = line_chart([line for line in lines if line.points], title, "share", "objects there")
    return None if chart is None else Panel(title, "share", {"count": chart})


def panels(shown: Sequence[Run], some: Sequence[Plan]) -> list[Panel]:
    """Charts of one run, a line for each column; or of several runs, a line for each of them."""
    drawn = []
    for plan in some:
        named = [(column, name, run) for run in shown for column, name in plan.columns.items()]
        charts = {}
        for axis, across in ACROSS.items():
            lines = []
            for style, (column, name, run) in enumerate(named):
                points = [
                    (float(p.step + 1) if axis == "steps" else p.seconds, p.value) for p in run.curves.get(column, [])
                ]
                finite = [point for point in points if np.isfinite(point).all()]
                lines.append(Line(name if len(shown) == 1 else run.name, sorted(finite), style))
            chart = line_chart([line for line in lines if line.points], plan.title, plan.unit, across)
            if chart is not None:
                charts[axis] = chart
        if charts:
            drawn.append(Panel(plan.title, plan.unit, charts))
    return drawn


def scene_groups(judgement: Judgement) -> list[tuple[str, list[dict[str, Any]]]]:
    """Headings and scenes."""
    groups = (("Worst", judgement.worst), ("Best", judgement.best), ("As they come", judgement.first))
    return [(title, [scene_card(scene, judgement.has_truth) for scene in scenes]) for title, scenes in groups]


def scene_card(scene: Judged, has_truth: bool) -> dict[str, Any]:
    """What is shown of a scene."""
    boxed = scene.boxed
    parts = np.split(boxed.image, scene.panels, axis=1)
    height, width = parts[0].shape[:2]
    images = [data_uri(png(part), "image/png") for part in parts]
    views = [("inferred", images[0], boxed.inferred)]
    views += [(name, image, []) for name, image in zip(("reconstruction", "background", "objects"), images[1:])]
    if has_truth:
        views.insert(0, ("truth", images[0], boxed.truth))
    return {
        "scene": scene,
        "has_truth": has_truth,
        "wrong": has_truth and scene.inferred != scene.truth,
        "width": width,
        "height": height,
        "views": views,
        "colors": COLORS,
    }


def animations(run: Run) -> list[tuple[str, str, str]]:
    """(caption, data URI or nothing, file) of the run's own images; without a URI it is too large for a page."""
    folder = run.folder / runs.FIGURES
    captions = {
        "steps.gif": "Scenes explained object by object",
        "training.gif": "The same scenes as training went on",
    }
    found = [(caption, folder / name) for name, caption in captions.items() if (folder / name).is_file()]
    drawn = runs.figures_of(folder)
    if not (folder / "training.gif").is_file() and drawn:
        step, path = drawn[-1]
        found.append((f"Validation scenes and their reconstructions at step {thousands(step)}", path))
    return [(caption, inlined(path), f"{runs.FIGURES}/{path.name}") for caption, path in found]


def commands(run: Run) -> list[tuple[str, str]]:
    """(what for, what to type)."""
    again = f"{AIR} fit --config {shlex.quote(str(run.folder / runs.CONFIG))} --run_dir NEW_FOLDER"
    found = [("Repeat the training", again)]
    if run.state.startswith("stopped"):
        found.append(("Go on with it", f"{AIR} fit --resume --run_dir {shlex.quote(str(run.folder))}"))
    found += [(f"Measure it again: {name}", evaluation_command(run, name)) for name in run.evaluations]
    if "test" not in run.evaluations:
        found.append(("Measure on held-out scenes", evaluation_command(run, "test")))
    return found


def evaluation_command(run: Run, command: str) -> str:
    """What to type to measure as before."""
    words = [*AIR.split(), command, "--run_dir", str(run.folder)]
    before = run.evaluations.get(command)
    if before is not None:
        if Path(before.checkpoint).name != "best.ckpt":
            words += ["--ckpt_path", before.checkpoint]
        for name, value in before.overrides.items():
            words += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    return shlex.join(words)


def parts(run: Run) -> list[tuple[str, str]]:
    """What the run is made of."""
    model, data = section(run.config, "model"), section(run.config, "data")
    described = [
        ("data", _class(data)),
        ("renderer", _class(model.get("renderer"))),
        ("inference", _class(model.get("inference"))),
        ("count estimator", _class(model.get("count"))),
        ("slots", model.get("slots")),
        ("seed", run.config.get("seed_everything")),
    ]
    return [(name, str(value)) for name, value in described if value is not None]


def thousands(value: int | float | None) -> str:
    """An integer with thin spaces between thousands."""
    return "–" if value is None else f"{value:,.0f}".replace(",", "\u202f")


def png(image: ImageArray) -> bytes:
    """An image (H, W, 3) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, format="PNG", optimize=True)
    return file.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """A file's content as an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def inlined(path: Path) -> str:
    """An image's file as an address; nothing where it is too large."""
    if path.stat().st_size > LARGEST:
        return ""
    return data_uri(path.read_bytes(), "image/gif" if path.suffix == ".gif" else "image/png")


def _class(value: Any) -> str | None:
    path = value.get("class_path") if isinstance(value, Mapping) else value
    return None if path is None else str(path).rpartition(".")[2]
