"""Images for people: scenes beside their reconstructions, with the inferred objects marked; and their animations."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

ImageArray = NDArray[np.uint8]

COLORS = ("#ffffff", "#00e5ff", "#ffea00", "#ff40ff", "#76ff03", "#ff9100")
MARGIN = 4
CORNERS = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))
SMALLEST = 2.0
"""Screen pixels that a mark reaches to each side at least, to be seen."""
CAPTION = 16
"""Height of the strip above an animation's frames, screen pixels."""


def image_rows(
    images: Tensor,
    reconstructions: Tensor,
    count: Tensor,
    window: Tensor,
    identities: Tensor | None = None,
    names: Sequence[str] | None = None,
    columns: int = 4,
    zoom: int = 3,
) -> ImageArray:
    """A grid of pairs (scene with marks, reconstruction), ``columns`` pairs a row, (height, width, 3) uint8.

    Args:
        images, reconstructions: (B, C, H, W) in [0, 1], grey or colour. count: (B,), objects to mark.
        window: (B, N, 2, 3), maps from an object's window to image coordinates (``Renderer.window``).
        identities, names: (B, N) identities and their names, written beside the marks.
        zoom: screen pixels a pixel.
    """
    pairs = []
    for b in range(len(images)):
        scene = enlarged(images[b], zoom)
        labels = None if identities is None or names is None else [names[int(k)] for k in identities[b]]
        _mark(scene, window[b, : int(count[b])], labels)
        pairs.append(np.concatenate([np.asarray(scene), np.asarray(enlarged(reconstructions[b], zoom))], 1))
    return _grid(pairs, columns)


def image_steps(
    images: Tensor, canvases: Tensor, count: Tensor, window: Tensor, most: int = 4, zoom: int = 4
) -> list[ImageArray]:
    """Images explained step by step: frames (height, width, 3) of the scenes above their canvases so far.

    The first frame shows the empty canvas; then each slot gives two, one with its window in scene and canvas, and one
    with the canvas on which it is drawn. A scene of fewer objects than others waits for them.

    Args:
        images: (B, C, H, W) in [0, 1]. canvases: (B, N + 1, C, H, W), the first n slots on canvas n.
        count: (B,), objects to show. window: (B, N, 2, 3), as in ``image_rows``. zoom: screen pixels a pixel.
        most: show no more than so many scenes, those of most objects, in their order.
    """
    frames = []
    shown = sorted(count.argsort(dim=0, descending=True, stable=True)[:most].tolist())
    for step in range(2 * int(count.max()) + 1):
        columns = []
        for b in shown:
            marked, drawn = min((step + 1) // 2, int(count[b])), min(step // 2, int(count[b]))
            scene, canvas = enlarged(images[b], zoom), enlarged(canvases[b, drawn], zoom)
            _mark(scene, window[b, :marked])
            if marked > drawn:
                _outline(canvas, window[b, drawn], COLORS[drawn % len(COLORS)])
            between = np.full((MARGIN, scene.width, 3), 255, np.uint8)
            columns.append(np.concatenate([np.asarray(scene), between, np.asarray(canvas)]))
        frames.append(_grid(columns, len(columns)))
    return frames


def write_gif(
    path: Path, images: Iterable[ImageArray], captions: Sequence[str], milliseconds: int = 250, rest: int = 2000
) -> None:
    """Write images (H, W, 3) of uint8, each below its caption, as an animation that starts over and over.

    Args:
        path: of the GIF file. captions: one for each image; where neighbours have the same, frames of equal
            images become one. milliseconds: time each frame is shown. rest: that of the last one.

    Raises:
        ValueError: there is no image.
    """
    frames = [_captioned(image, caption) for image, caption in zip(images, captions)]
    if not frames:
        raise ValueError(f"an animation needs at least one image, got none for {str(path)!r}")
    size = tuple(max(frame.size[axis] for frame in frames) for axis in (0, 1))
    frames = [_padded(frame, size) for frame in frames]
    times = [milliseconds] * (len(frames) - 1) + [rest]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)


def _captioned(image: ImageArray, caption: str) -> Image.Image:
    """The image below a strip with the caption, in a palette of its own, as GIF has it."""
    font = ImageFont.load_default()
    height, width = image.shape[:2]
    frame = Image.new("RGB", (max(width, round(font.getlength(caption)) + 2 * MARGIN), height + CAPTION), "white")
    ImageDraw.Draw(frame).text((MARGIN, 2), caption, fill="black", font=font)
    frame.paste(Image.fromarray(image), (0, CAPTION))
    return frame.quantize(256, dither=Image.Dither.NONE)  # dither would flicker


def _padded(frame: Image.Image, size: tuple[int, ...]) -> Image.Image:
    """The frame on white of this size: GIF has one size for all."""
    if frame.size == size:
        return frame
    whole = Image.new("RGB", (size[0], size[1]), "white")
    whole.paste(frame.convert("RGB"), (0, 0))
    return whole.quantize(256, dither=Image.Dither.NONE)


def _grid(parts: Sequence[ImageArray], columns: int) -> ImageArray:
    """Images of one size, each in a white frame, ``columns`` a row."""
    parts = [*parts, *[np.zeros_like(parts[0])] * (-len(parts) % columns)]
    framed = [np.pad(part, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), constant_values=255) for part in parts]
    rows = [np.concatenate(framed[i : i + columns], 1) for i in range(0, len(framed), columns)]
    return np.concatenate(rows)


def enlarged(image: Tensor, zoom: int) -> Image.Image:
    """An image (C, H, W) in [0, 1], grey or colour, with ``zoom`` x ``zoom`` screen pixels for each of its own."""
    pixels = image.detach().float().cpu().clamp(0, 1)
    if pixels.shape[0] == 1:
        pixels = pixels.expand(3, -1, -1)
    array: NDArray[Any] = (pixels * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    height, width = array.shape[:2]
    return Image.fromarray(array).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)


def _mark(scene: Image.Image, window: Tensor, labels: Sequence[str] | None = None) -> None:
    """Outline the windows (n, 2, 3) of the inferred objects, told apart by colour in the order of inference."""
    for i in range(len(window)):
        color = COLORS[i % len(COLORS)]
        left, top = _outline(scene, window[i], color)
        if labels is not None:
            ImageDraw.Draw(scene).text((left, top - 11), labels[i], fill=color)


def _outline(scene: Image.Image, window: Tensor, color: str) -> tuple[float, float]:
    """Draw a window (2, 3); return the upper left corner of what it spans, screen pixels."""
    shape = torch.tensor(scene.size, dtype=torch.float64)
    affine = window.detach().cpu().double()
    reach = affine[:, :2] * shape.unsqueeze(1) / 2
    length = reach.norm(dim=0)
    # of a window too small to be seen, each direction is lengthened; one of no size has none
    direction = torch.where(length > 1e-6, reach / length.clamp_min(1e-6), torch.eye(2, dtype=torch.float64))
    reach = direction * length.clamp_min(SMALLEST)
    center = (affine[:, 2] + 1) * shape / 2
    corners = [center + reach @ torch.tensor(side, dtype=torch.float64) for side in CORNERS]
    points = [(float(x), float(y)) for x, y in corners]
    ImageDraw.Draw(scene).polygon(points, outline=color)
    return min(x for x, _ in points), min(y for _, y in points)
