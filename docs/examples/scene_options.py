"""Draws scene_options.png: one scene under every option of camera, light, table and background.

python docs/examples/scene_options.py [FILE]        # default: docs/scene_options.png
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from renderers import MeshRenderer
from renderers.mesh import Camera, Light, Shadow, Table

IDENTITIES = ("cube", "sphere", "cylinder", "cone")
POSES = [[-0.9, -0.5, 0.4], [0.8, -0.8, 0.0], [0.7, 0.7, 2.2], [-0.5, 0.9, 0.8]]
SIZE, SAMPLES, LABEL, COLUMNS = 168, 2, 18, 4

OPTIONS: dict[str, dict[str, Camera | Light | Table]] = {
    "as they are": {},
    "camera.position [4, 3, 4]": {"camera": Camera((4.0, 3.0, 4.0))},
    "camera.target [1, 0, 0]": {"camera": Camera(target=(1.0, 0.0, 0.0))},
    "camera.field_of_view 75": {"camera": Camera(field_of_view=75.0)},
    "light.direction [-1, 0.5, 0]": {"light": Light((-1.0, 0.5, 0.0))},
    "light.ambient 0.1": {"light": Light(ambient=0.1)},
    "light.ambient 1": {"light": Light(ambient=1.0)},
    "light.diffuse 0.2": {"light": Light(diffuse=0.2)},
    "light.color [1, .7, .4]": {"light": Light(color=(1.0, 0.7, 0.4))},
    "light.shadow.strength .5": {"light": Light(shadow=Shadow())},
    "... softness 15, samples 12": {"light": Light(shadow=Shadow(softness=15.0, samples=12))},
    "... softness 0, samples 1": {"light": Light(shadow=Shadow(softness=0.0, samples=1))},
    "table.width 3": {"table": Table(width=3.0)},
    "table.width 0": {"table": Table(width=0.0)},
    "table.color [.4, .25, .15]": {"table": Table(color=(0.4, 0.25, 0.15))},
    "table.beyond [.6, .8, 1]": {"table": Table(beyond=(0.6, 0.8, 1.0))},
    "table.checker [.35, .35, .3]": {"table": Table(checker=(0.35, 0.35, 0.3))},
    "... and table.squares 3": {"table": Table(checker=(0.35, 0.35, 0.3), squares=3)},
    "table.width 100, checker": {"table": Table(100.0, checker=(0.35, 0.35, 0.3), squares=100)},
    "supersample 1": {},
}


def image(name: str) -> Image.Image:
    """The scene with one option changed, as a renderer of 64x64 draws it where hard edges are shown, else larger."""
    size, samples = (SIZE // 3, 1) if name == "supersample 1" else (SIZE, SAMPLES)
    renderer = MeshRenderer(
        IDENTITIES, image_size=(size, size), x=(-1.2, 1.2), z=(-1.2, 1.2), supersample=samples, **OPTIONS[name]
    )
    scene = renderer.render(torch.arange(len(IDENTITIES)).unsqueeze(0), torch.tensor([POSES]))[0, -1]
    pixels = (255 * scene.permute(1, 2, 0).numpy()).round().astype(np.uint8)
    return Image.fromarray(pixels).resize((SIZE, SIZE), Image.Resampling.NEAREST)


def grid() -> Image.Image:
    """All options, each with its name above it."""
    rows = -(-len(OPTIONS) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIZE, rows * (SIZE + LABEL)), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for i, name in enumerate(OPTIONS):
        left, top = i % COLUMNS * SIZE, i // COLUMNS * (SIZE + LABEL)
        draw.text((left + 4, top + 4), name, fill=(0, 0, 0))
        sheet.paste(image(name), (left, top + LABEL))
    return sheet


if __name__ == "__main__":
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "scene_options.png"
    grid().quantize(128).save(file, optimize=True)
    print(f"wrote {file}")
