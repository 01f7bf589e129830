"""The embedded backend: our own rasteriser, compiled by numba for the CPU's threads and by Triton for CUDA."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers.mesh import rasterizer, swaps
from renderers.mesh.backends.base import Backend, Scoring
from renderers.mesh.projection import Scenery
from renderers.pixel_loss import PixelLoss
from renderers.threads import deal

if TYPE_CHECKING:
    from renderers.mesh.backends.cuda import Triton


class Embedded(Backend):
    """Draws where the tensors lie: on the CPU with ``CPU``, on CUDA with ``renderers.mesh.backends.cuda.Triton``."""

    def __init__(self, scenery: Scenery) -> None:
        super().__init__(scenery)
        self._cpu = CPU(scenery)
        self._cuda: Triton | None = None

    def viewed(self, rows: NDArray[Any], tables: NDArray[np.bool_]) -> Backend:
        return Embedded(self.scenery._replace(views=rows, tables=tables))

    def layers(self, identities: Tensor, poses: Tensor) -> Tensor:
        return self._on(poses.device).layers(identities, poses)

    def canvases(self, identities: Tensor, poses: Tensor, background: Tensor | None = None) -> Tensor:
        return self._on(poses.device).canvases(identities, poses, background)

    def scores(
        self,
        identities: Tensor,
        poses: Tensor,
        other_identities: Tensor,
        other_poses: Tensor,
        target: Tensor,
        loss: PixelLoss | None,
        background: Tensor | None = None,
    ) -> Tensor:
        return self._on(poses.device).scores(identities, poses, other_identities, other_poses, target, loss, background)

    def _on(self, device: torch.device) -> Backend:
        if device.type != "cuda":
            return self._cpu
        if len(self.scenery.views):
            raise ValueError(
                "coordinates of the scene are drawn on the CPU alone as yet: train with --trainer.accelerator cpu, or "
                "leave the renderer's `scene` out"
            )
        if self._cuda is None:
            if find_spec("triton") is None:
                raise ValueError(
                    "the mesh renderer draws on CUDA with Triton, which is not installed: pip install triton (it comes "
                    "with torch for CUDA on Linux), or train with --trainer.accelerator cpu"
                )
            from renderers.mesh.backends.cuda import Triton

            self._cuda = Triton(self.scenery)
        return self._cuda


class CPU(Backend):
    """Draws with the kernels of ``rasterizer`` and ``swaps``; tensors of other devices travel to the CPU and back."""

    def layers(self, identities: Tensor, poses: Tensor) -> Tensor:
        s = self.scenery
        layers = np.empty((len(identities), 5 if len(s.leans) else 4, s.height * s.width), np.float32)
        deal(rasterizer.draw_layers, len(identities), s, _array(identities), _array(poses), layers)
        return torch.from_numpy(layers).to(poses.device).view(*layers.shape[:2], s.height, s.width)

    def canvases(self, identities: Tensor, poses: Tensor, background: Tensor | None = None) -> Tensor:
        s, (batch, slots) = self.scenery, identities.shape
        shape = (batch, slots + 1, 3, s.height // s.supersample, s.width // s.supersample)
        canvases = np.empty(shape, np.float32)
        deal(rasterizer.draw_canvases, batch, s, self._grounds(background), _array(identities), _array(poses), canvases)
        return torch.from_numpy(canvases).to(poses.device)

    def scores(
        self,
        identities: Tensor,
        poses: Tensor,
        other_identities: Tensor,
        other_poses: Tensor,
        target: Tensor,
        loss: PixelLoss | None,
        background: Tensor | None = None,
    ) -> Tensor:
        slots, others = (_array(identities), _array(poses)), (_array(other_identities), _array(other_poses))
        scores = np.empty((*other_identities.shape, identities.shape[1] + 1), np.float32)
        code, parameter, scale, factor = Scoring.of(loss, target)
        scoring, grounds = (code, np.float32(parameter), _array(scale)), self._grounds(background)
        deal(
            swaps.score_swaps,
            len(identities),
            self.scenery,
            grounds,
            slots,
            others,
            _array(target),
            scoring,
            scores,
        )
        return torch.from_numpy(scores).to(poses.device) * factor

    def _grounds(self, background: Tensor | None) -> NDArray[Any]:
        """(1 or B, 3, SH * SW)."""
        return self.scenery.background[None] if background is None else _array(background.flatten(2))


def _array(tensor: Tensor) -> NDArray[Any]:
    return tensor.cpu().contiguous().numpy()
