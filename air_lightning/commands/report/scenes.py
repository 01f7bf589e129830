"""The best and the worst held-out scenes of a run: its model is loaded and judges them again."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import yaml
from jsonargparse import ArgumentParser, Namespace
from pytorch_lightning.callbacks import Callback
from scipy.optimize import linear_sum_assignment

from air_lightning.cli.exit_status import interruptions_raised
from air_lightning.commands.report.record import Run
from air_lightning.figures.gallery import Box, BoxedScene, gallery
from air_lightning.model.air import Inference
from air_lightning.model.data_checks import check_data
from air_lightning.model.module import AIRModule, drawn
from air_lightning.plugins.constructor_errors import named_message, root_cause
from air_lightning.runs.loading import overridden, restore
from datamodules.base import Batch, SceneDataModule
from renderers.base import Renderer
from renderers.spaces import Categorical

PARTS = ("model", "data")
OVERLAP = (
    "overlap with the truth: the intersection over union of matched boxes, 0 for a pair of different identities, "
    "summed and divided by the true or the inferred count, whichever is larger; 1 is perfect. Rotations do not count"
)
ERROR = "the root mean square error of the reconstruction, pixel values from 0 to 1; 0 is perfect"


class Judged(NamedTuple):
    """A scene and what the model made of it.

    Attributes:
        number: in the test split. score: see ``Judgement.criterion``.
        inferred: how many objects were inferred. truth: how many there are, -1: unknown.
        error: root mean square error of the reconstruction. boxed: the images, a pixel for each of theirs.
        panels: images side by side in ``boxed.image``: 2, or 4 where background and objects are shown apart.
    """

    number: int
    score: float
    inferred: int
    truth: int
    error: float
    boxed: BoxedScene
    panels: int = 2


class Judgement(NamedTuple):
    """Scenes of one run.

    Attributes:
        scenes: how many were judged. criterion: of the score, in words. has_truth: whether there is a truth.
        best, worst: by score, the best one first and the worst one first. first: as they come.
    """

    scenes: int
    criterion: str
    has_truth: bool
    best: list[Judged]
    worst: list[Judged]
    first: list[Judged]


def judge(run: Run, most: int, shown: int) -> Judgement:
    """Judge the first ``most`` test scenes; keep ``shown`` of the best, of the worst and of the first.

    Model and data are the run's own, with what was overridden in the evaluation that its report shows.

    Raises:
        ValueError: the model or its data cannot be had; the message says why.
    """
    model, data = load(run)
    judged = judge_all(model, data, most)
    has_truth = any(scene.boxed.truth for scene in judged)
    if not has_truth:
        judged = [scene._replace(score=scene.error) for scene in judged]
    ranked = sorted(judged, key=lambda scene: (-scene.score if has_truth else 0.0, scene.error))
    # of an empty scene there is little to get right: the best ones hold something
    best = [scene for scene in ranked if (scene.truth if has_truth else scene.inferred) > 0]
    criterion = OVERLAP if has_truth else ERROR
    return Judgement(len(judged), criterion, has_truth, best[:shown], ranked[::-1][:shown], judged[:shown])


def load(run: Run) -> tuple[AIRModule, SceneDataModule]:
    """The model with the run's checkpoint, and the data.

    Raises:
        ValueError: there is no checkpoint, or one of them cannot be built or read.
    """
    if missing := [name for name in PARTS if name not in run.config]:
        raise ValueError(f"config.yaml has no `{missing[0]}`")
    if run.checkpoint is None:
        raise ValueError("nothing was saved in checkpoints/ yet")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(AIRModule, "model")
    parser.add_subclass_arguments(SceneDataModule, "data")
    try:
        arguments = _arguments(parser, run)
        built = parser.instantiate_classes(arguments)
        given = yaml.safe_load(parser.dump(arguments, skip_none=False, skip_validation=True))
        built.model.overrides = overridden(run.config["model"], given["model"])  # which powers may not hold for
        restore(built.model, run.checkpoint)
        check_data(built.model, built.data)
        built.data.prepare_data()
    except Exception as error:  # jsonargparse, constructors, torch and downloads all have their own
        own = root_cause(error)
        raise ValueError(f"{type(own).__name__}: {named_message(own, run.config, {'model': AIRModule})}") from error
    return built.model, built.data


def _arguments(parser: ArgumentParser, run: Run) -> Namespace:
    """Model and data of the config, with the overrides of the evaluation shown, as they were given there."""
    config = parser.parse_object({name: run.config[name] for name in PARTS})
    shown = next(iter(run.evaluations.values()), None)
    overrides: Mapping[str, Any] = {} if shown is None else shown.overrides
    given = [f"--{name}={_word(value)}" for name, value in overrides.items() if name.partition(".")[0] in PARTS]
    return parser.parse_args(given, namespace=config)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class _Judge(Callback):
    """Judges every batch that a trainer predicts, for as long as there are fewer than ``most`` scenes."""

    def __init__(self, most: int) -> None:
        self.most, self.judged = most, list[Judged]()

    def on_predict_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        assert isinstance(pl_module, AIRModule)
        fresh = judge_batch(pl_module.renderer, batch, outputs, len(self.judged))
        self.judged += fresh[: self.most - len(self.judged)]


def judge_all(model: AIRModule, data: SceneDataModule, most: int) -> list[Judged]:
    """The first ``most`` scenes of the test split, which is what is predicted, or all there are."""
    judge = _Judge(most)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # what devices there are is not news here
    trainer = pl.Trainer(
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_predict_batches=math.ceil(most / data.batch_size),
        callbacks=[judge],
    )
    with interruptions_raised():
        trainer.predict(model, datamodule=data, return_predictions=False)
    return judge.judged


def judge_batch(renderer: Renderer, batch: Batch, seen: Inference, start: int) -> list[Judged]:
    """The scenes of a batch, numbered from ``start``, as the model has explained them."""
    boxed_scenes = gallery(
        renderer, batch, seen.count, seen.posterior, seen.slots.what, seen.slots.where, drawn(renderer, seen), zoom=1
    )
    errors = (seen.reconstruction - batch.images).pow(2).flatten(1).mean(1).sqrt().tolist()
    identities = isinstance(renderer.what, Categorical)
    judged = []
    for b, (boxed, count, truth) in enumerate(zip(boxed_scenes, seen.count.tolist(), batch.count.tolist())):
        score = overlap(boxed.truth, boxed.inferred, max(truth, count), identities)
        panels = boxed.image.shape[1] // renderer.image_shape[2]
        judged.append(Judged(start + b, score, count, truth, errors[b], boxed, panels))
    return judged


def overlap(truth: Sequence[Box], inferred: Sequence[Box], most: int, identities: bool) -> float:
    """How well boxes explain a scene, in [0, 1], see ``OVERLAP``; 1 where there is nothing to find and nothing found.

    Args:
        most: the larger of both counts, which boxes that cannot be seen belong to. identities: whether a pair's must
            agree.
    """
    if most == 0:
        return 1.0
    if not truth or not inferred:
        return 0.0
    overlaps = np.array(
        [[_iou(t, i) if t.identity == i.identity or not identities else 0.0 for i in inferred] for t in truth]
    )
    return float(overlaps[linear_sum_assignment(-overlaps)].sum()) / most


def _iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    corners = np.array([one.corners, other.corners])
    sides = np.minimum(*corners[:, 2:]) - np.maximum(*corners[:, :2])
    both = float(np.prod(sides.clip(0)))
    return both / (float(np.prod(corners[:, 2:] - corners[:, :2], axis=1).sum()) - both)
