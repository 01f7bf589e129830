"""How well inferred scenes agree with the truth: pure functions, and a torchmetrics class over them."""

from air_lightning.metrics.averages import Rows, SceneMean, SceneQuantile, median
from air_lightning.metrics.boxes import BoxPrecision
from air_lightning.metrics.calibration import Correction, calibration_error, central_mass, objects_found, reliability
from air_lightning.metrics.comparison import (
    Comparison,
    compare_objects,
    rotation_error,
    scene_accuracy,
    scene_right,
)
from air_lightning.metrics.confidence import Calibration, Fit, Identities, PoseGaps
from air_lightning.metrics.counts import CountRates, count_confusion, count_rates
from air_lightning.metrics.matching import Matching, match_objects
from air_lightning.metrics.objects import Objects
from air_lightning.metrics.scenes import SceneMetrics
from air_lightning.metrics.segmentation import adjusted_rand_index, all_pixels_ari, foreground_ari, segments

__all__ = [
    "BoxPrecision",
    "Calibration",
    "Comparison",
    "Correction",
    "CountRates",
    "Fit",
    "Identities",
    "Matching",
    "Objects",
    "PoseGaps",
    "Rows",
    "SceneMean",
    "SceneMetrics",
    "SceneQuantile",
    "adjusted_rand_index",
    "all_pixels_ari",
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
