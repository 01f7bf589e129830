"""Line charts as inline SVG, whose colours and fonts are those of the page around them (classes in `style.css`)."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

WIDTH, HEIGHT = 420, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 24, 38
COLORS = 8
"""Colours that style.css has for lines; further lines have them again, dashed."""
DASHES = ("", "6 3", "2 3", "8 3 2 3")
MOST_POINTS = 400
MARKED = 40
"""Points of a line that are still marked one by one."""
YOUNG = 0.1
"""Share of training whose figures may lie off the chart, where they would flatten all the rest."""
FLATTENS = 4.0

_numbers = itertools.count(1)  # of clipping paths, whose names must differ within a page


class Line(NamedTuple):
    """A curve: (x, y), ascending in x, finite. ``style``: which colour and dash."""

    name: str
    points: list[tuple[float, float]]
    style: int


class Chart(NamedTuple):
    """A chart and what stands around it.

    Attributes:
        svg: the drawing. note: what is not on it; empty if all is. lines: with their last values, for a legend.
    """

    svg: Markup
    note: str
    lines: list[Line]


def line_chart(lines: Sequence[Line], title: str, unit: str, across: str) -> Chart | None:
    """Lines over a common x, from 0 on; None where there is no point.

    Args:
        title: what is shown, for those who do not see it. unit: of y. across: what x is, with its unit.
    """
    shown = [Line(line.name, thinned(line.points), line.style) for line in lines if line.points]
    if not shown:
        return None
    last = max(x for line in shown for x, _ in line.points)
    low, high, all_low, all_high = _reach([point for line in shown for point in line.points], last)
    rows, columns = ticks(low, high), ticks(0, last, 6)
    frame = _Frame(min(low, rows[0]), max(high, rows[-1]), last)
    values = ", ".join(f"{line.name} {line.points[-1][1]:.4g}" for line in shown)
    svg = Element("svg", {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "class": "chart"})
    svg.set("aria-label", f"{title} over {across}; at the end: {values}")
    _axes(svg, frame, rows, [x for x in columns if x <= last], unit, across)
    _draw(svg, frame, shown)
    off = [f"{value:.3g}" for value, out in ((all_low, all_low < frame.low), (all_high, all_high > frame.high)) if out]
    note = f"Early values reach {' and '.join(off)}, off this chart." if off else ""
    return Chart(Markup(ElementTree.tostring(svg, encoding="unicode")), note, [*lines])  # escaped by ElementTree


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most ``MOST_POINTS``: the ends, and of every stretch the lowest and the highest, so that outliers stay."""
    if len(points) <= MOST_POINTS:
        return list(points)
    inner, kept = points[1:-1], [points[0]]
    stretches = MOST_POINTS // 2 - 1
    for i in range(stretches):
        part = inner[i * len(inner) // stretches : (i + 1) * len(inner) // stretches]
        kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return [*kept, points[-1]]


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers, ascending, that span [low, high]: about ``most`` of them, at most one more outside at each end.

    >>> ticks(0.0, 1.0)
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    rough = (high - low) / (most - 1)
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def label(value: float, step: float) -> str:
    """A tick's number, with as many places as the distance to the next one asks.

    >>> [label(v, s) for v, s in ((0.25, 0.25), (3, 1), (12000, 2000), (-2500, 500), (2e-6, 1e-6))]
    ['0.25', '3', '12k', '−2500', '2e-06']
    """
    if step >= 100 and abs(value) >= 1e4:
        text = f"{value / 1e6:g}M" if abs(value) >= 1e6 else f"{value / 1e3:g}k"
    elif step < 1e-4:
        text = f"{value:.2g}"
    else:
        text = f"{value:.{next(n for n in range(9) if round(step, n) == round(step, 9))}f}"
    return text.replace("-", "−") if value < 0 else text


def _reach(points: Sequence[tuple[float, float]], last: float) -> tuple[float, float, float, float]:
    """The y to show, lowest and highest, and those there are; both ends of each pair differ in what is shown."""
    every = [y for _, y in points]
    settled = [y for x, y in points if x > YOUNG * last] or every
    low, high = min(settled), max(settled)
    if not max(every) - min(every) > FLATTENS * (high - low) > 0:
        low, high = min(every), max(every)
    if low == high:
        margin = abs(low) * 0.1 or 1.0
        return low - margin, high + margin, min(every), max(every)
    return low, high, min(every), max(every)


class _Frame:
    """Places in the drawing."""

    def __init__(self, low: float, high: float, last: float) -> None:
        self.low, self.high, self.last = low, high, last or 1.0

    def x(self, value: float) -> float:
        return round(LEFT + value / self.last * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - self.low) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM), 1)


def _axes(svg: Element, frame: _Frame, rows: Sequence[float], columns: Sequence[float], unit: str, across: str) -> None:
    ends = str(LEFT), str(WIDTH - RIGHT)
    for row in rows:
        y = str(frame.y(row))
        SubElement(svg, "line", {"x1": ends[0], "x2": ends[1], "y1": y, "y2": y, "class": "grid"})
        _text(svg, LEFT - 6, frame.y(row) + 4, label(row, rows[1] - rows[0]), "end")
    floor = HEIGHT - BOTTOM
    SubElement(svg, "line", {"x1": ends[0], "x2": ends[1], "y1": str(floor), "y2": str(floor), "class": "axis"})
    apart = columns[1] - columns[0] if columns[1:] else 1.0
    for column in columns:
        x = str(frame.x(column))
        SubElement(svg, "line", {"x1": x, "x2": x, "y1": str(floor), "y2": str(floor + 4), "class": "axis"})
        _text(svg, frame.x(column), floor + 16, label(column, apart), "middle")
    _text(svg, 2, 12, unit, "start")
    _text(svg, WIDTH - RIGHT, HEIGHT - 4, across, "end")


def _text(svg: Element, x: float, y: float, text: str, anchor: str) -> None:
    SubElement(svg, "text", {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor}).text = text


def _draw(svg: Element, frame: _Frame, lines: Sequence[Line]) -> None:
    name = f"plot-{next(_numbers)}"
    clip = SubElement(SubElement(svg, "defs"), "clipPath", {"id": name})
    size = {"width": str(WIDTH - LEFT - RIGHT + 8), "height": str(HEIGHT - TOP - BOTTOM + 8)}
    SubElement(clip, "rect", {"x": str(LEFT - 4), "y": str(TOP - 4), **size})
    plot = SubElement(svg, "g", {"clip-path": f"url(#{name})"})
    for line in lines:
        group = SubElement(plot, "g", {"class": f"line c{line.style % COLORS}"})
        path = " ".join(f"{frame.x(x):g},{frame.y(y):g}" for x, y in line.points)
        dash = DASHES[line.style // COLORS % len(DASHES)]
        drawn = SubElement(group, "polyline", {"points": path} | ({"stroke-dasharray": dash} if dash else {}))
        SubElement(drawn, "title").text = line.name
        if len(line.points) <= MARKED:
            radius = "2.2" if len(line.points) > 1 else "4"
            for x, y in line.points:
                dot = SubElement(group, "circle", {"cx": f"{frame.x(x):g}", "cy": f"{frame.y(y):g}", "r": radius})
                SubElement(dot, "title").text = f"{line.name}: {y:.4g} at {x:.6g}"
