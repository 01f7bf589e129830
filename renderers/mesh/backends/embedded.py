"""The embedded backend: our own rasteriser, compiled by numba, on the CPU's threads."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers.mesh import rasterizer
from renderers.mesh.backends.base import Backend
from renderers.mesh.threads import deal


class Embedded(Backend):
    """Draws with the kernels of ``renderers.mesh.rasterizer``; tensors of another device travel to the CPU and back."""

    def layers(self, kinds: Tensor, poses: Tensor) -> Tensor:
        s = self.scenery
        layers = np.empty((len(kinds), 4, s.height * s.width), np.float32)
        deal(rasterizer.draw_layers, len(kinds), s, _array(kinds), _array(poses), layers)
        return torch.from_numpy(layers).to(poses.device).view(len(kinds), 4, s.height, s.width)

    def canvases(self, kinds: Tensor, poses: Tensor) -> Tensor:
        s, (batch, slots) = self.scenery, kinds.shape
        shape = (batch, slots + 1, 3, s.height // s.supersample, s.width // s.supersample)
        canvases = np.empty(shape, np.float32)
        deal(rasterizer.draw_canvases, batch, s, _array(kinds), _array(poses), canvases)
        return torch.from_numpy(canvases).to(poses.device)

    def scores(
        self, kinds: Tensor, poses: Tensor, other_kinds: Tensor, other_poses: Tensor, target: Tensor, squared: bool
    ) -> Tensor:
        slots, others = (_array(kinds), _array(poses)), (_array(other_kinds), _array(other_poses))
        scores = np.empty((*other_kinds.shape, kinds.shape[1] + 1), np.float32)
        deal(rasterizer.score_swaps, len(kinds), self.scenery, slots, others, _array(target), squared, scores)
        return torch.from_numpy(scores).to(poses.device)


def _array(tensor: Tensor) -> NDArray:
    return tensor.cpu().contiguous().numpy()
