"""Downstream tasks: what inferred objects are worth to a classifier with few labels (AIR, section 3.1, figure 6)."""

from air_lightning.commands.downstream.chart import draw_chart
from air_lightning.commands.downstream.classifiers import PairClassifier, PixelClassifier
from air_lightning.commands.downstream.latents import Latents, infer
from air_lightning.commands.downstream.study import Material, Result, compare, material
from air_lightning.commands.downstream.tasks import CLASSES, Task, labels
from air_lightning.commands.downstream.training import PAIRS, PIXELS, Plan, accuracy, train

__all__ = [
    "CLASSES",
    "PAIRS",
    "PIXELS",
    "Latents",
    "Material",
    "PairClassifier",
    "PixelClassifier",
    "Plan",
    "Result",
    "Task",
    "accuracy",
    "compare",
    "draw_chart",
    "infer",
    "labels",
    "material",
    "train",
]
