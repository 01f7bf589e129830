"""What an evaluation measures: inferred scenes against the truth, batch by batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from air_lightning.metrics import BoxPrecision, Objects, SceneMetrics, foreground_ari, segments
from datamodules.base import Batch, SceneDataModule
from renderers.base import Renderer
from renderers.spaces import Categorical

POSITION = ("x", "y", "z")


class Evaluation:
    """The metrics of one model on data with a truth.

    Counts, kinds, positions and rotations (``SceneMetrics``); where batches hold boxes their average precision, every
    slot being a detection as sure as q(n >= i); where they hold masks the mean adjusted Rand index of the foreground.

    Args:
        renderer: the model's. slots: N. data: what it is evaluated on.
    """

    def __init__(self, renderer: Renderer, slots: int, data: SceneDataModule) -> None:
        self.renderer = renderer
        self._places = renderer.where.indices(POSITION)
        circular = [j for j, c in enumerate(renderer.where.coordinates) if c.circular]
        self._turn = circular[0] if circular else None
        periods: Sequence[float] | None = None
        if self._turn is not None:
            periods = renderer.where.periods(renderer.kinds, torch.zeros(()))[:, self._turn].tolist()
        self.scenes = SceneMetrics(data.extent, periods, slots, max(1, data.largest_count))
        self.boxes, self.ari = BoxPrecision(), MeanMetric()
        self._seen: set[str] = set()

    @torch.no_grad()
    def update(self, count: Tensor, posterior: Tensor, what: Tensor, where: Tensor, batch: Batch) -> None:
        """Take in one batch.

        Args:
            count: (B,). posterior: (B, N + 1). what: (B, N, ...), where: (B, N, P), the inferred slots.
            batch: the scenes and their truth.
        """
        self.scenes.update(self._objects(count, what, where), self._objects(batch.count, batch.what, batch.where))
        if batch.boxes is not None:
            confidence = posterior.flip(1).cumsum(1).flip(1)[:, 1:]
            self.boxes.update(self.renderer.boxes(what, where), confidence, batch.boxes, batch.count)
            self._seen.add("boxes")
        if batch.masks is not None:
            found = segments(self.renderer.layers(what, where), count, self.renderer.compositing)
            self.ari.update(foreground_ari(found, batch.masks).cpu())
            self._seen.add("masks")

    def compute(self) -> dict[str, Tensor]:
        """Every figure by name, and a fresh start."""
        figures: dict[str, Any] = dict(self.scenes.compute())
        if "boxes" in self._seen:
            figures |= self.boxes.compute()
        if "masks" in self._seen:
            figures["foreground_ari"] = self.ari.compute()
        for metric in (self.scenes, self.boxes, self.ari):
            metric.reset()
        return {name: value.float() for name, value in figures.items()}

    def _objects(self, count: Tensor, what: Tensor, where: Tensor) -> Objects:
        identity = what if isinstance(self.renderer.what, Categorical) else None
        rotation = None if self._turn is None else where[..., self._turn]
        return Objects(count, identity, where[..., self._places], rotation)
