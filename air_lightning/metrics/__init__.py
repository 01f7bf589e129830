"""How well inferred scenes agree with the truth: pure functions, and a torchmetrics class over them."""

from air_lightning.metrics.functional import (
    Comparison,
    CountRates,
    Matching,
    Objects,
    compare_objects,
    count_confusion,
    count_rates,
    match_objects,
    median,
    rotation_error,
    scene_accuracy,
    scene_right,
)
from air_lightning.metrics.scenes import SceneMetrics

__all__ = [
    "Comparison",
    "CountRates",
    "Matching",
    "Objects",
    "SceneMetrics",
    "compare_objects",
    "count_confusion",
    "count_rates",
    "match_objects",
    "median",
    "rotation_error",
    "scene_accuracy",
    "scene_right",
]
