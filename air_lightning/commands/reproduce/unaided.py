"""An experiment's scenes explained without a network, by optimisation from random starts, and what that takes."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser

from air_lightning import runs
from air_lightning.metrics.evaluation import Evaluation, InferredScenes
from air_lightning.model.module import AIRModule
from air_lightning.model.random_starts import SD, RandomStarts
from air_lightning.runs.loading import without_deprecations
from datamodules.base import SceneDataModule

AT_A_TIME = 8
"""Images, each of them as often as it has starts."""


def explain(config: Path, seed: int, scenes: int, method: RandomStarts) -> tuple[dict[str, float], float]:
    """The figures that `test` has, of so many of its scenes, and the seconds that an image took.

    Args:
        config: of an experiment with identities; its network is built and not used. seed: of data and starts.

    Raises:
        RunError: the config cannot be read. ValueError: its renderer has no identities.
    """
    model, data = built(runs.read_arguments(config, "config")[1], seed, scenes)
    evaluation = Evaluation(model.renderer, model.slots, data)
    generator, seconds, seen = torch.Generator().manual_seed(seed), 0.0, 0
    for batch in data.test_dataloader():
        if not seen:  # renderers compile what they are when they first draw
            RandomStarts(1, 1)(model.renderer, model.observed(batch.images), model.log_prior, torch.Generator())
        begin = time.perf_counter()
        posterior, slots = method(model.renderer, model.observed(batch.images), model.log_prior, generator)
        seconds, seen = seconds + time.perf_counter() - begin, seen + len(posterior)
        spread = torch.full_like(slots.where, SD)
        likely = posterior.argmax(1), posterior.log()
        found = InferredScenes(*likely, slots.what, slots.where, spread, slots.what_parameters)
        evaluation.update(model.renderer, found, data.renumbered(batch, model.renderer))
    return {name: float(value) for name, value in evaluation.compute().items()}, seconds / seen


def built(config: Mapping[str, Any], seed: int, scenes: int) -> tuple[AIRModule, SceneDataModule]:
    """The model and the test scenes of a config; scenes that borrow the model's renderer are given it."""
    parts = {name: dict(config[name]) for name in ("model", "data")}
    arguments = parts["data"].setdefault("init_args", {})
    parts["data"]["init_args"] = {"renderer": parts["model"]["renderer"]} | arguments
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(AIRModule, "model")
    parser.add_subclass_arguments(SceneDataModule, "data")
    sizes: Sequence[str] = (f"--data.seed={seed}", f"--data.test_scenes={scenes}", f"--data.batch_size={AT_A_TIME}")
    with without_deprecations():
        made = parser.instantiate_classes(parser.parse_args(list(sizes), parser.parse_object(parts)))
    made.data.prepare_data()
    made.data.setup("test")
    return made.model.eval(), made.data
