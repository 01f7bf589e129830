"""Whether what is told can be of an image: boxes of another size are scaled to it, or refused."""

from pathlib import Path

from datamodules.truth.record import TrueScene

Size = tuple[int, int]
"""Width and height."""


def image_scale(name: str, scene: TrueScene, path: Path, size: Size) -> tuple[float, float]:
    """Pixels of the image in this file for one of the truth's, in x and y.

    Args:
        name: of the truth, for messages. size: of the image.
    Raises:
        ValueError: the truth tells another size, and it has other proportions, or masks, which are not scaled.
    """
    if scene.size is None or scene.size == size:
        return 1.0, 1.0
    (told_width, told_height), (width, height) = scene.size, size
    if scene.masks is not None:
        why = "masks are not scaled"
    elif abs(width - told_width * height / told_height) >= 1 and abs(height - told_height * width / told_width) >= 1:
        why = "its proportions are others"
    else:
        return width / told_width, height / told_height
    raise ValueError(
        f"{name} tells of {scene.file} as of an image of {told_width}x{told_height} (width x height), and {path} has "
        f"{width}x{height}: {why}; give the images of which it tells (`data.resize` scales them, and all that is told)"
    )
