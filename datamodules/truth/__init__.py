"""What is known of images from elsewhere, read from files of several formats: for evaluation only.

A format is a short module with ``holds(source)`` and ``truth(source)``, named in ``FORMATS``.
"""

from pathlib import Path

from datamodules.truth import bop, clevr, coco, counts_csv, scenes_json
from datamodules.truth.record import Masks, Placed, SeenFrom, TrueObject, TrueScene, Truth, TruthError
from datamodules.truth.source import Source

__all__ = [
    "FORMATS",
    "Masks",
    "Placed",
    "SeenFrom",
    "Source",
    "TrueObject",
    "TrueScene",
    "Truth",
    "TruthError",
    "read_truth",
]

FORMATS = (bop, counts_csv, coco, clevr, scenes_json)
"""In the order in which they are tried."""
KNOWN = (
    'JSON {"images": [{"file": ..., "objects": [...]}, ...]}, COCO\'s with `images`, `annotations` and `categories`, '
    "CLEVR's with `scenes`, a .csv file of counts, or a folder in BOP's layout (scene_gt.json)"
)


def read_truth(path: Path) -> Truth:
    """The truth that a file or a folder holds.

    Errors:
        ValueError, with the path, for one that cannot be read, is of no known format, or contradicts itself.
    """
    try:
        return _truth(Source(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"truth={str(path)!r}: {error}") from error


def _truth(source: Source) -> Truth:
    known = next((form for form in FORMATS if form.holds(source)), None)
    if known is None:
        raise TruthError(f"expected {KNOWN}")
    try:
        told = known.truth(source)
    except (KeyError, TypeError, AttributeError) as error:
        raise TruthError(f"an entry is not as the format has it ({type(error).__name__}: {error})") from error
    if not told.scenes:
        raise TruthError(
            "it tells of no images: give an entry for each image in the folder, also for those without objects"
        )
    return told
