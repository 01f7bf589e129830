"""What the figures are called, in which unit they are, and in which charts they are shown."""

from collections.abc import Iterable, Sequence
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


def figure_of(name: str) -> Figure:
    """What is known of a figure, given without its split; the name itself where nothing is."""
    return FIGURES.get(name) or Figure(name.replace("_", " "), "", True, "")


def ordered(names: Iterable[str]) -> list[str]:
    """Known figures in our order, then the others by name."""
    there = set(names)
    return [name for name in FIGURES if name in there] + sorted(there - set(FIGURES))


class Plan(NamedTuple):
    """A chart to draw: columns of metrics.csv that share a unit.

    Attributes:
        title: above it. unit: of its y axis. columns: drawn with these labels, those that there are.
    """

    title: str
    unit: str
    columns: dict[str, str]


VALIDATION = (
    Plan(
        "Right scenes", "share", {
            "val/count_accuracy": "counts", "val/scene_accuracy": "whole scenes", "val/identity_accuracy": "identities",
        },
    ),
    Plan("Wrong counts", "share of scenes", {"val/over_count": "too many", "val/under_count": "too few"}),
    Plan("Evidence lower bound", "nats", {"val/elbo": "validation, at the final likelihood"}),
    Plan("The same in training", "nats", {"train/elbo": "training, at the likelihood of the step"}),
    Plan(
        "Boxes and segments", "share", {
            "val/box_ap50": "box AP at 0.5", "val/box_ap75": "box AP at 0.75", "val/box_ap": "box AP",
            "val/foreground_ari": "foreground ARI", "val/ari": "ARI",
        },
    ),
    Plan("Position error", "renderer's units", {"val/position_error": "median", "val/position_error_mean": "mean"}),
    Plan("Rotation error", "degrees", {"val/rotation_error": "median"}),
    Plan(
        "Size, colour and metal errors", "share", {
            "val/size_error": "size", "val/color_error": "colour", "val/metal_error": "metal",
        },
    ),
    Plan("Objects in a scene", "mean", {"val/expected_count": "expected", "val/true_count": "true"}),
    Plan(
        "Precision and recall", "share of objects", {
            "val/precision": "precision", "val/stated_precision": "as stated", "val/recall": "recall",
        },
    ),
    Plan("Coverage of intervals", "share", {"val/coverage50": "of 50 %", "val/coverage90": "of 90 %"}),
    Plan(
        "Calibration error", "share", {
            "val/calibration_error": "of presence", "val/identity_calibration_error": "of identities",
        },
    ),
    Plan("Log loss of the count", "nats a scene", {"val/count_log_loss": "of the true number"}),
)  # fmt: skip
DRIVING = (
    Plan("Learning rate", "", {"lr/model": "model", "lr/baselines": "baselines"}),
    Plan("Likelihood's sd", "pixel value", {"schedule/likelihood_sd": "likelihood sd"}),
    Plan("Coarseness", "factor on finite differences", {"schedule/coarseness": "coarseness"}),
    Plan("Speed", "steps a second", {"speed/steps_per_second": "steps"}),
    Plan("Throughput", "images a second", {"speed/images_per_second": "images"}),
    Plan("GPU memory", "MiB", {"gpu/memory_mib": "most so far"}),
)
LEFT_OUT = ("epoch", "step", "time/training_seconds", "val/position_error_share")


def plans(columns: Sequence[str]) -> dict[str, list[Plan]]:
    """The charts of what was logged, by heading: every column is on one, but for those that say the same twice."""
    losses = sorted(name for name in columns if name.startswith("train/") and name not in ("train/elbo", "train/loss"))
    terms = [Plan(_plain(name), "as weighted in the loss", {name: _plain(name)}) for name in ("train/loss", *losses)]
    known = {name for plan in (*VALIDATION, *DRIVING, *terms) for name in plan.columns} | set(LEFT_OUT)
    others = [Plan(name, "", {name: name}) for name in columns if name not in known]
    headed = {
        "What validation measures": VALIDATION,
        "Losses by term": terms,
        "Rates, schedules and speed": DRIVING,
        "Other columns": others,
    }
    there = {heading: [plan for plan in some if set(plan.columns) & set(columns)] for heading, some in headed.items()}
    return {heading: some for heading, some in there.items() if some}


def _plain(name: str) -> str:
    """
    >>> _plain("train/what_kl")
    'What kl'
    """
    words = name.partition("/")[2].replace("_kl", " KL").replace("_", " ")
    return words[:1].upper() + words[1:]


def number(value: float | None, unit: str = "") -> str:
    """A figure as tables show it: shares to four places, nats to one, all else to four significant digits."""
    if value is None or value != value:
        return "–"
    if unit.startswith("share") or unit in ("average precision", "adjusted Rand index"):
        return f"{value:.4f}"
    return f"{value:,.1f}".replace(",", "\u202f") if unit == "nats" else f"{value:.4g}"


def duration(seconds: float | None) -> str:
    """
    >>> [duration(s) for s in (None, 8.25, 75, 3720)]
    ['–', '8.2 s', '1 min 15 s', '1 h 2 min']
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
