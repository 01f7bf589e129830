"""Accuracy over the number of labels as an image, drawn with Pillow."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 800, 520
LEFT, TOP, RIGHT, BOTTOM = 80, 80, 30, 70
FINE = 2
"""Drawn this many times as large and scaled down, so that lines are smooth."""
COLORS = ("#1f6fb4", "#d9622b", "#3a9d5d", "#8a5bb0")
INK, FAINT = "#222222", "#dddddd"


class _Axes:
    """A frame in which x is logarithmic and y runs from 0 to 1, in pixels of the fine image."""

    def __init__(self, low: float, high: float) -> None:
        # a single number of labels still has a place, in the middle
        self.low, self.high = (low, high) if low < high else (low / 2, high * 2)

    def x(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return FINE * (LEFT + 24 + share * (WIDTH - LEFT - RIGHT - 48))

    def y(self, value: float) -> float:
        return FINE * (HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM))


def draw_chart(path: Path, curves: Mapping[str, Points], title: str, across: str, up: str) -> None:
    """Write a PNG of curves with a point at each measurement; the line passes through the means of equal x.

    Args:
        path: of the file. curves: by name, points (x, y), x positive and y in [0, 1].
        title, across, up: texts above the chart, below its x axis (logarithmic) and beside its y axis.

    Raises:
        ValueError: there are no points.
    """
    places = sorted({x for points in curves.values() for x, _ in points})
    if not places:
        raise ValueError(f"a chart needs at least one point, got none for {str(path)!r}")
    axes = _Axes(places[0], places[-1])
    image = Image.new("RGB", (FINE * WIDTH, FINE * HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    _frame(draw, axes, places)
    for points, color in zip(curves.values(), COLORS):
        _curve(draw, axes, points, color)
    _legend(draw, list(curves))
    draw.text((FINE * LEFT, FINE * 18), title, INK, _font(17))
    draw.text((FINE * (LEFT + WIDTH - RIGHT) / 2, FINE * (HEIGHT - 24)), across, INK, _font(14), "mm")
    _axis_label(image, up)
    image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(path, format="PNG")


def _frame(draw: ImageDraw.ImageDraw, axes: _Axes, places: Sequence[float]) -> None:
    ends = FINE * LEFT, FINE * (WIDTH - RIGHT)
    for tick in range(0, 11, 2):
        y = axes.y(tick / 10)
        draw.line((ends[0], y, ends[1], y), FAINT if tick else INK, FINE)
        draw.text((ends[0] - FINE * 10, y), f"{tick / 10:.1f}", INK, _font(13), "rm")
    last = -math.inf
    for place in places:
        x, y = axes.x(place), axes.y(0)
        draw.line((x, y, x, y + FINE * 5), INK, FINE)
        if x - last >= FINE * 46:  # labels do not run into each other
            draw.text((x, y + FINE * 16), f"{place:,.0f}".replace(",", " "), INK, _font(13), "mm")
            last = x


def _curve(draw: ImageDraw.ImageDraw, axes: _Axes, points: Points, color: str) -> None:
    columns: dict[float, list[float]] = {}
    for x, y in sorted(points):
        columns.setdefault(x, []).append(y)
    line = [(axes.x(x), axes.y(sum(values) / len(values))) for x, values in columns.items()]
    draw.line(line, color, 2 * FINE, joint="curve")
    for x, y in points:
        _dot(draw, axes.x(x), axes.y(y), color)


def _legend(draw: ImageDraw.ImageDraw, names: Sequence[str]) -> None:
    """In one row below the title, where it hides no curve."""
    left, y = FINE * (LEFT + 4), FINE * 54
    for name, color in zip(names, COLORS):
        draw.line((left, y, left + FINE * 24, y), color, 2 * FINE)
        _dot(draw, left + FINE * 12, y, color)
        draw.text((left + FINE * 32, y), name, INK, _font(14), "lm")
        left += FINE * 56 + round(draw.textlength(name, _font(14)))


def _dot(draw: ImageDraw.ImageDraw, x: float, y: float, color: str) -> None:
    reach = 4 * FINE
    draw.ellipse((x - reach, y - reach, x + reach, y + reach), color, "white", FINE // 2)


def _axis_label(image: Image.Image, text: str) -> None:
    """Text beside the y axis, read from below."""
    height = FINE * (HEIGHT - TOP - BOTTOM)
    strip = Image.new("RGB", (height, FINE * 24), "white")
    ImageDraw.Draw(strip).text((height / 2, FINE * 12), text, INK, _font(14), "mm")
    image.paste(strip.rotate(90, expand=True), (FINE * 10, FINE * TOP))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FINE * size)
