"""What is known of images from elsewhere, read from files of several formats: for evaluation only.

A format is a short module with ``holds(content)`` and ``scenes(content)``, named in ``FORMATS``.
"""

import json
from pathlib import Path
from typing import Any

from datamodules.truth import coco, scenes_json
from datamodules.truth.record import TrueObject, TrueScene, Truth, TruthError

__all__ = ["FORMATS", "TrueObject", "TrueScene", "Truth", "TruthError", "read_truth"]

FORMATS = (coco, scenes_json)
"""In the order in which they are tried."""


def read_truth(path: Path) -> Truth:
    """The truth that a file holds.

    Errors:
        ValueError, with the path, for one that cannot be read, is of no known format, or contradicts itself.
    """
    try:
        return Truth(path, _scenes(json.loads(path.read_text())))
    except (OSError, ValueError) as error:
        raise ValueError(f"truth={str(path)!r}: {error}") from error


def _scenes(content: Any) -> tuple[TrueScene, ...]:
    known = next((form for form in FORMATS if form.holds(content)), None)
    if known is None:
        raise TruthError(
            'expected JSON {"images": [{"file": ..., "objects": [...]}, ...]}, or COCO\'s with `images`, `annotations` '
            "and `categories`"
        )
    try:
        return known.scenes(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise TruthError(f"an entry is not as the format has it ({type(error).__name__}: {error})") from error
