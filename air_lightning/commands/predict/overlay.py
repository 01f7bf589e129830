"""Images with the inferred objects marked."""

from PIL import Image, ImageDraw

from air_lightning.commands.predict.records import FoundObject, Prediction
from air_lightning.figures.images import COLORS

LEAST = 320
"""Screen pixels that the longer side of an overlay has at least: smaller images are enlarged."""


def draw_overlay(original: Image.Image, prediction: Prediction) -> Image.Image:
    """The image with a box around each object and what it is, told apart by colour in the order they were found."""
    zoom = max(1, -(-LEAST // max(original.size)))
    size = original.width * zoom, original.height * zoom
    scene = original.convert("RGB").resize(size, Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(scene)
    marked = [(number, found) for number, found in enumerate(prediction.objects) if found.box is not None]
    boxes = [tuple(side * zoom for side in found.box or ()) for _, found in marked]
    for box, (number, _) in zip(boxes, marked):
        _frame(draw, box, COLORS[number % len(COLORS)])
    for box, (number, found) in zip(boxes, marked):  # over all boxes, so that it can be read where objects are close
        _name(draw, box, label(found, number), COLORS[number % len(COLORS)], scene.width)
    return scene


def label(found: FoundObject, number: int) -> str:
    """What is written beside a box: identity, or number in the order of inference; and confidence."""
    return f"{found.kind or f'#{number + 1}'} {found.confidence:.2f}"


def _frame(draw: ImageDraw.ImageDraw, box: tuple[float, ...], color: str) -> None:
    # a dark line to both sides keeps it apart from a bright image
    x0, y0, x1, y1 = _drawn(box)
    draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline="black")
    draw.rectangle((x0, y0, x1, y1), outline=color)


def _name(draw: ImageDraw.ImageDraw, box: tuple[float, ...], text: str, color: str, width: int) -> None:
    x0, y0, _, y1 = _drawn(box)
    left, top, right, bottom = draw.textbbox((0, 0), text)
    x = max(0.0, min(x0, width - right - 1))
    above = y0 - bottom - 3
    draw.text((x, above if above >= 0 else y1 + 3), text, fill=color, stroke_width=1, stroke_fill="black")


def _drawn(box: tuple[float, ...]) -> tuple[float, float, float, float]:
    """The pixels of its line: ends are excluded."""
    x0, y0, x1, y1 = box
    return x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)
