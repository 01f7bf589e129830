"""The best and the worst held-out scenes of a run: its model is loaded and judges them again."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from scipy.optimize import linear_sum_assignment

from air_lightning.callbacks.figures import isolated
from air_lightning.gallery import Box, Exhibit, gallery
from air_lightning.module import AIRModule
from air_lightning.report.record import Run
from datamodules.base import Batch, SceneDataModule
from renderers.spaces import Categorical

PARTS = ("model", "data")
OVERLAP = (
    "overlap with the truth: the intersection over union of matched boxes, 0 for a pair of different kinds, summed "
    "and divided by the true or the inferred count, whichever is larger; 1 is perfect"
)
ERROR = "the root mean square error of the reconstruction, pixel values from 0 to 1; 0 is perfect"


class Judged(NamedTuple):
    """A scene and what the model made of it.

    Attributes:
        index: in the test split. score: see ``Judgement.criterion``. count: inferred. truth: the true count, -1: unknown.
        error: root mean square error of the reconstruction. exhibit: the pictures, a pixel for each of theirs.
    """

    index: int
    score: float
    count: int  # type: ignore[assignment]  # hides tuple.count
    truth: int
    error: float
    exhibit: Exhibit


class Judgement(NamedTuple):
    """Scenes of one run.

    Attributes:
        scenes: how many were judged. criterion: of the score, in words. known: whether there is a truth.
        best, worst: by score, the best one first and the worst one first. first: as they come.
    """

    scenes: int
    criterion: str
    known: bool
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
    judged = list(_judged(model, data, most))
    known = any(scene.exhibit.truth for scene in judged)
    if not known:
        judged = [scene._replace(score=scene.error) for scene in judged]
    ranked = sorted(judged, key=lambda scene: (-scene.score if known else 0.0, scene.error))
    # of an empty scene there is little to get right: the best ones hold something
    best = [scene for scene in ranked if (scene.truth if known else scene.count) > 0]
    criterion = OVERLAP if known else ERROR
    return Judgement(len(judged), criterion, known, best[:shown], ranked[::-1][:shown], judged[:shown])


def load(run: Run) -> tuple[AIRModule, SceneDataModule]:
    """The model with the run's checkpoint, frozen, on the accelerator where there is one, and the data.

    Raises:
        ValueError: there is no checkpoint, or one of them cannot be built or read.
    """
    if run.checkpoint is None:
        raise ValueError("nothing was saved in checkpoints/ yet")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(AIRModule, "model")
    parser.add_subclass_arguments(SceneDataModule, "data")
    try:
        built = parser.instantiate_classes(_arguments(parser, run))
        weights = torch.load(run.checkpoint, map_location="cpu", weights_only=True)
        built.model.load_state_dict(weights["state_dict"])
        built.model.check_data(built.data)
        built.data.prepare_data()
    except Exception as error:  # jsonargparse, constructors, torch and downloads all have their own
        raise ValueError(f"{type(error).__name__}: {error}") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return built.model.to(device).eval().requires_grad_(False), built.data


def _arguments(parser: ArgumentParser, run: Run) -> Namespace:
    """Model and data of the config, with the overrides of the evaluation shown, as they were given there."""
    config = parser.parse_object({name: run.config[name] for name in PARTS})
    shown = next(iter(run.evaluations.values()), None)
    overrides: Mapping[str, Any] = {} if shown is None else shown.overrides
    given = [f"--{name}={_word(value)}" for name, value in overrides.items() if name.partition(".")[0] in PARTS]
    return parser.parse_args(given, namespace=config)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _judged(model: AIRModule, data: SceneDataModule, most: int) -> Iterator[Judged]:
    """The first ``most`` test scenes, in order."""
    done = 0
    for batch in data.loader("test"):
        part = data.transfer_batch_to_device(_first(batch, most - done), model.device, 0)
        yield from isolated(model, lambda scenes, start=done: _judge_batch(model, scenes, start), part)
        done += len(part.images)
        if done >= most:
            return


def _judge_batch(model: AIRModule, batch: Batch, start: int) -> list[Judged]:
    """The scenes of a batch on the model's device, numbered from ``start``."""
    seen, renderer = model.infer(batch.images), model.renderer
    exhibits = gallery(
        renderer, batch, seen.count, seen.posterior, seen.slots.what, seen.slots.where, seen.reconstruction, zoom=1
    )
    errors = (seen.reconstruction - batch.images).pow(2).flatten(1).mean(1).sqrt().tolist()
    kinds = isinstance(renderer.what, Categorical)
    judged = []
    for b, (exhibit, count, truth) in enumerate(zip(exhibits, seen.count.tolist(), batch.count.tolist())):
        score = overlap(exhibit.truth, exhibit.inferred, max(truth, count), kinds)
        judged.append(Judged(start + b, score, count, truth, errors[b], exhibit))
    return judged


def overlap(truth: Sequence[Box], inferred: Sequence[Box], most: int, kinds: bool) -> float:
    """How well boxes explain a scene, in [0, 1], see ``OVERLAP``; 1 where there is nothing to find and nothing found.

    Args:
        most: the larger of both counts, which boxes that cannot be seen belong to. kinds: whether a pair's must agree.
    """
    if most == 0:
        return 1.0
    if not truth or not inferred:
        return 0.0
    worth = np.array([[_iou(t, i) if t.kind == i.kind or not kinds else 0.0 for i in inferred] for t in truth])
    return float(worth[linear_sum_assignment(-worth)].sum()) / most


def _iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    corners = np.array([one.corners, other.corners])
    sides = np.minimum(*corners[:, 2:]) - np.maximum(*corners[:, :2])
    both = float(np.prod(sides.clip(0)))
    return both / (float(np.prod(corners[:, 2:] - corners[:, :2], axis=1).sum()) - both)


def _first(batch: Batch, most: int) -> Batch:
    parts: list[Any] = [None if part is None else part[:most] for part in batch]
    return Batch(*parts)
