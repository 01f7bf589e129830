"""Pictures with the inferred objects marked."""

from PIL import Image, ImageDraw

from air_lightning.pictures import COLORS
from air_lightning.predict.records import FoundObject, Prediction

LEAST = 320
"""Screen pixels that the longer side of an overlay has at least: smaller pictures are enlarged."""


def draw_overlay(original: Image.Image, prediction: Prediction) -> Image.Image:
    """The picture with a box around each object and what it is, told apart by colour in the order they were found."""
    zoom = max(1, -(-LEAST // max(original.size)))
    size = original.width * zoom, original.height * zoom
    scene = original.convert("RGB").resize(size, Image.Resampling.NEAREST)
    for number, found in enumerate(prediction.objects):
        if found.box is not None:
            _mark(scene, [side * zoom for side in found.box], label(found, number), COLORS[number % len(COLORS)])
    return scene


def label(found: FoundObject, number: int) -> str:
    """What is written beside a box: kind, or number in the order of inference; and confidence."""
    return f"{found.kind or f'#{number + 1}'} {found.confidence:.2f}"


def _mark(scene: Image.Image, box: list[float], text: str, color: str) -> None:
    draw = ImageDraw.Draw(scene)
    # ends are excluded; a dark line to both sides keeps it apart from a bright picture
    x0, y0, x1, y1 = box[0], box[1], max(box[0], box[2] - 1), max(box[1], box[3] - 1)
    draw.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline="black")
    draw.rectangle((x0, y0, x1, y1), outline=color)
    left, top, right, bottom = draw.textbbox((0, 0), text)
    x = max(0.0, min(x0, scene.width - right - 1))
    above = y0 - bottom - 3
    draw.text((x, above if above >= 0 else y1 + 3), text, fill=color, stroke_width=1, stroke_fill="black")
