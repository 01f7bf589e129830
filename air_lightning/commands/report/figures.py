"""In which charts the figures of a run are shown, and how their values are written."""

from collections.abc import Sequence
from typing import NamedTuple


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
