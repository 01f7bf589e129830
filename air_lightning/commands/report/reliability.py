"""How sure a model was, beside how often it was right: a table, and a reliability diagram as inline SVG."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

from air_lightning.commands.report.chart import HEIGHT, WIDTH, Frame, axes
from air_lightning.commands.report.record import Bin, Evaluation

LINES = {"presence": "an object of its own is there", "identity": "its identity is the true one"}
PAIRS = {
    "Objects in a scene, mean": ("expected_count", "true_count"),
    "Precision of the objects reported": ("stated_precision", "precision"),
}
QUARTERS = [0.0, 0.25, 0.5, 0.75, 1.0]


class Sureness(NamedTuple):
    """What a page shows.

    Attributes:
        rows: (what, expected, realised). diagram: the drawing. legend: (colour, what, number) of its lines.
        powers: those that posteriors were raised to, in words; empty where they are as learnt.
    """

    rows: list[tuple[str, float | None, float | None]]
    diagram: Markup
    legend: list[tuple[int, str, int]]
    powers: str


def sureness(evaluation: Evaluation) -> Sureness | None:
    """Of what an evaluation wrote; None where it wrote nothing of it, for there was no truth."""
    found = evaluation.calibration
    if found is None:
        return None
    tables = {name: found.reliability[key] for key, name in LINES.items() if key in found.reliability}
    legend = [(style, name, sum(one.number for one in some)) for style, (name, some) in enumerate(tables.items())]
    return Sureness(rows(evaluation.metrics, found.coverage), diagram(tables), legend, found.powers)


def interval(one: Bin) -> tuple[float, float]:
    """Where the share that comes true lies with 95 % (Wilson 1927): in bins of few forecasts not where it seems to."""
    z, n, share = 1.96, one.number, one.right
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    middle = share + z**2 / (2 * n)
    return (middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)


def rows(
    metrics: Mapping[str, float | None], coverage: Mapping[str, Mapping[str, float | None]]
) -> list[tuple[str, float | None, float | None]]:
    """What is expected beside what came true, line by line."""
    found = [(what, metrics.get(expected), metrics.get(realised)) for what, (expected, realised) in PAIRS.items()]
    for coordinate, shares in coverage.items():
        for level in (50, 90):
            found.append((f"{coordinate} within its {level} % interval", level / 100, shares[f"coverage{level}"]))
    return found


def diagram(tables: Mapping[str, Sequence[Bin]]) -> Markup:
    """The share that came true over the confidence, a line for each sort of forecast; on the diagonal they agree."""
    frame = Frame(0.0, 1.0, 1.0)
    svg = Element("svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "class": "chart"})
    said = "; ".join(f"{name}: " + _in_words(some) for name, some in tables.items())
    svg.set("aria-label", f"Share that came true over confidence; {said}")
    axes(svg, frame, QUARTERS, QUARTERS, "share that came true", "confidence")
    ends = {"x1": f"{frame.x(0):g}", "y1": f"{frame.y(0):g}", "x2": f"{frame.x(1):g}", "y2": f"{frame.y(1):g}"}
    SubElement(svg, "line", ends | {"class": "axis", "stroke-dasharray": "4 4"})
    for style, (name, some) in enumerate(tables.items()):
        _draw(SubElement(svg, "g", {"class": f"line c{style}"}), frame, name, some)
    return Markup(ElementTree.tostring(svg, encoding="unicode"))  # escaped by ElementTree


def _draw(group: Element, frame: Frame, name: str, some: Sequence[Bin]) -> None:
    points = " ".join(f"{frame.x(one.confidence):g},{frame.y(one.right):g}" for one in some)
    SubElement(group, "polyline", {"points": points})
    for one in some:
        x, (low, high) = f"{frame.x(one.confidence):g}", interval(one)
        reach = {"x1": x, "x2": x, "y1": f"{frame.y(low):g}", "y2": f"{frame.y(high):g}"}
        SubElement(group, "line", reach | {"class": "reach"})
        dot = SubElement(group, "circle", {"cx": x, "cy": f"{frame.y(one.right):g}", "r": "2.6"})
        SubElement(dot, "title").text = f"{name}: {one.right:.3f} of {one.number}, confidence {one.confidence:.3f}"


def _in_words(some: Sequence[Bin]) -> str:
    return ", ".join(f"{one.right:.2f} at {one.confidence:.2f}" for one in some) or "none"
