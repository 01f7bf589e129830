"""What an evaluation measures: inferred scenes against the truth, batch by batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from air_lightning.distributions import shown
from air_lightning.metrics import BoxPrecision, Objects, SceneMean, SceneMetrics, foreground_ari, segments
from datamodules.base import Batch, SceneDataModule
from renderers.base import Renderer
from renderers.spaces import Categorical

POSITION = ("x", "y", "z")


class Evaluation(nn.Module):
    """The metrics of one model on data with a truth. A module, so that its counters lie where the model does.

    Counts, kinds, positions and rotations (``SceneMetrics``); where batches hold boxes their average precision
    (``BoxPrecision``), every slot being a detection as sure as q(n >= i); where they hold masks ``foreground_ari``, the
    mean over scenes.

    Args:
        renderer: the model's. slots: N. data: what it is evaluated on.
    """

    def __init__(self, renderer: Renderer, slots: int, data: SceneDataModule) -> None:
        super().__init__()
        self._places = renderer.where.indices(POSITION)
        circular = [j for j, c in enumerate(renderer.where.coordinates) if c.circular]
        self._turn = circular[0] if circular else None
        periods: Sequence[float] | None = None
        if self._turn is not None:
            periods = renderer.where.periods(renderer.kinds, torch.zeros(()))[:, self._turn].tolist()
        self._has_kinds = isinstance(renderer.what, Categorical)
        self.scenes = SceneMetrics(data.extent, periods, slots, max(1, data.largest_count))
        self.boxes, self.ari = BoxPrecision(), SceneMean()
        self.confusion: Tensor | None = None  # by true and inferred count, as of the last `compute`

    @torch.no_grad()
    def update(
        self, renderer: Renderer, count: Tensor, posterior: Tensor, what: Tensor, where: Tensor, batch: Batch
    ) -> None:
        """Take in one batch.

        Args:
            renderer: the model's; not kept, for the model's state would then hold it twice.
            count: (B,). posterior: (B, N + 1). what: (B, N, ...), where: (B, N, P), the inferred slots.
            batch: the scenes and their truth.
        """
        self.scenes.update(self._objects(count, what, where), self._objects(batch.count, batch.what, batch.where))
        if batch.boxes is not None:
            self.boxes.update(renderer.boxes(what, where), shown(posterior), batch.boxes, batch.count)
        if batch.masks is not None:
            found = segments(renderer.layers(what, where), count, renderer.compositing, renderer.image_shape[1])
            self.ari.update(foreground_ari(found, batch.masks))

    def compute(self) -> dict[str, Tensor]:
        """Every figure by name, and a fresh start."""
        figures: dict[str, Any] = dict(self.scenes.compute())
        self.confusion = self.scenes.confusion()
        if self.boxes.update_called:
            figures |= self.boxes.compute()
        if self.ari.update_called:
            figures["foreground_ari"] = self.ari.compute()
        for metric in (self.scenes, self.boxes, self.ari):
            metric.reset()
        return {name: value.float() for name, value in figures.items()}

    def _objects(self, count: Tensor, what: Tensor, where: Tensor) -> Objects:
        rotation = None if self._turn is None else where[..., self._turn]
        return Objects(count, what if self._has_kinds else None, where[..., self._places], rotation)
