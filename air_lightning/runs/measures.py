"""What the figures of evaluations are called, in which unit they are, and which way is better."""

from collections.abc import Iterable
from typing import NamedTuple


class Figure(NamedTuple):
    """A figure that an evaluation measures.

    Attributes:
        title: for people. unit: of the value. up: whether more is better. meaning: in half a sentence.
    """

    title: str
    unit: str
    up: bool
    meaning: str


FIGURES = {
    "count_accuracy": Figure("Count accuracy", "share of scenes", True, "the right number of objects"),
    "scene_accuracy": Figure(
        "Scene accuracy", "share of scenes", True, "right as a whole: counts, identities, positions, rotations"
    ),
    "identity_accuracy": Figure("Identity accuracy", "share of objects", True, "matched objects of the right identity"),
    "over_count": Figure("Too many objects", "share of scenes", False, "more objects inferred than there are"),
    "under_count": Figure("Too few objects", "share of scenes", False, "fewer objects inferred than there are"),
    "position_error": Figure("Position error, median", "renderer's units", False, "over matched objects"),
    "position_error_mean": Figure("Position error, mean", "renderer's units", False, "over matched objects"),
    "position_error_share": Figure("Position error, relative", "share of the scene's width", False, "the median"),
    "rotation_error": Figure("Rotation error, median", "degrees", False, "modulo symmetry, identity being right"),
    "size_error": Figure("Size error, median", "share of the true size", False, "over matched objects"),
    "color_accuracy": Figure("Colour accuracy", "share", True, "the nearest of the true palette, matched objects"),
    "color_error": Figure("Colour error, median", "share", False, "mean of the channels, over matched objects"),
    "metal_accuracy": Figure("Metal accuracy", "share", True, "on the true side of one half, matched objects"),
    "metal_error": Figure("Metal error, median", "share", False, "over matched objects"),
    "camera_azimuth_error": Figure("Camera's azimuth, error", "degrees", False, "the median over scenes"),
    "camera_elevation_error": Figure("Camera's elevation, error", "degrees", False, "likewise"),
    "camera_distance_error": Figure("Camera's distance, error", "share of the true one", False, "likewise"),
    "box_ap": Figure("Box AP", "average precision", True, "mean over overlaps from 0.5 to 0.95"),
    "box_ap50": Figure("Box AP at 0.5", "average precision", True, "boxes that overlap by half"),
    "box_ap75": Figure("Box AP at 0.75", "average precision", True, "boxes that overlap by three quarters"),
    "foreground_ari": Figure("Foreground ARI", "adjusted Rand index", True, "segments, the background left out"),
    "ari": Figure("ARI", "adjusted Rand index", True, "segments, the background being one"),
    "expected_count": Figure("Objects expected", "mean of scenes", True, "by the posterior over their number"),
    "true_count": Figure("Objects there", "mean of scenes", True, "which is what should be expected"),
    "count_log_loss": Figure("Log loss of the count", "nats a scene", False, "−log q(true number), mean over scenes"),
    "stated_precision": Figure("Precision, stated", "share of objects", True, "mean confidence of those reported"),
    "precision": Figure("Precision", "share of objects", True, "of those reported, near a true one of their own"),
    "recall": Figure("Recall", "share of objects", True, "of the true ones, near one reported"),
    "calibration_error": Figure("Calibration error", "share", False, "confidence less how often right, mean of slots"),
    "identity_calibration_error": Figure("Calibration error of identities", "share", False, "likewise, objects found"),
    "coverage50": Figure("Coverage of 50 % intervals", "share of coordinates", True, "0.5 is right"),
    "coverage90": Figure("Coverage of 90 % intervals", "share of coordinates", True, "0.9 is right"),
    "reconstruction_error": Figure(
        "Reconstruction error", "root mean square", False, "of values in [0, 1]; 99 of 100 scenes have less"
    ),
    "elbo": Figure("ELBO", "nats", True, "the bound on log p(x), mean over scenes"),
    "log_evidence": Figure("Log evidence", "nats", True, "importance-weighted bound on log p(x)"),
    "loss": Figure("Loss", "", False, "what training minimises"),
}  # fmt: skip
UNDIRECTED = ("expected_count", "true_count", "stated_precision", "coverage50", "coverage90")
"""Figures of which neither the most nor the least is best."""
BETTER = {"max": "more", "min": "less"}
"""In a word what each of the modes of ``best_mode`` takes for better."""


def figure_of(name: str) -> Figure:
    """What is known of a figure, given without its split; the name itself where nothing is."""
    return FIGURES.get(name) or Figure(name.replace("_", " "), "", True, "")


def ordered(names: Iterable[str]) -> list[str]:
    """Known figures in our order, then the others by name."""
    there = set(names)
    return [name for name in FIGURES if name in there] + sorted(there - set(FIGURES))


def best_mode(name: str) -> str | None:
    """Whether the "max" or the "min" of a figure is best, given with its split or without; None where nobody knows."""
    own = name.rpartition("/")[2]
    if own not in FIGURES or own in UNDIRECTED:
        return None
    return "max" if FIGURES[own].up else "min"
