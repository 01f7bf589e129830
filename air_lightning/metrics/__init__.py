"""How well inferred scenes agree with the truth: pure functions, and a torchmetrics class over them."""

from air_lightning.metrics.boxes import BoxPrecision
from air_lightning.metrics.calibration import calibration_error, central_mass, objects_found, reliability
from air_lightning.metrics.confidence import Calibration, Fit, Kinds, PoseGaps
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
from air_lightning.metrics.mean import SceneMean
from air_lightning.metrics.scenes import SceneMetrics
from air_lightning.metrics.segmentation import adjusted_rand_index, foreground_ari, segments

__all__ = [
    "BoxPrecision",
    "Calibration",
    "Comparison",
    "CountRates",
    "Fit",
    "Kinds",
    "Matching",
    "Objects",
    "PoseGaps",
    "SceneMean",
    "SceneMetrics",
    "adjusted_rand_index",
    "calibration_error",
    "central_mass",
    "compare_objects",
    "count_confusion",
    "count_rates",
    "foreground_ari",
    "match_objects",
    "median",
    "objects_found",
    "reliability",
    "rotation_error",
    "scene_accuracy",
    "scene_right",
    "segments",
]
