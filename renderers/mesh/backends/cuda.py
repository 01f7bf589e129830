"""The embedded rasteriser on CUDA: launches the Triton kernels, with the meshes kept on the device."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from renderers.mesh import triton_kernels as kernels
from renderers.mesh.backends.base import Backend
from renderers.mesh.rasterizer import Scenery

FACES = 16
"""Faces that a program holds at a time, against each of its samples."""
SAMPLES = 256
"""Samples of a tile."""


class _Held(NamedTuple):
    """The scenery as the kernels read it, in one device's memory."""

    background: Tensor
    vertices: Tensor
    faces: Tensor
    planes: Tensor
    colors: Tensor
    vertex_start: Tensor
    face_start: Tensor
    closed: Tensor
    vertex_total: int
    face_total: int
    camera: Tensor


class Triton(Backend):
    """Draws with the kernels of ``renderers.mesh.triton_kernels`` where the tensors lie: nothing travels to the CPU.

    Arguments and results as of every Backend. Needs Triton, which comes with torch for CUDA on Linux.
    """

    def __init__(self, scenery: Scenery) -> None:
        super().__init__(scenery)
        self._held: dict[torch.device, _Held] = {}
        root = 1 << (scenery.supersample - 1).bit_length()  # samples a pixel and direction, filled up
        self._tile = {"SIDE": max(1, int(SAMPLES**0.5) // root), "SUB": root * root, "FACES": FACES}

    def __getstate__(self) -> dict[str, Any]:
        """Without what lies on devices: it comes again with the first picture."""
        return {**self.__dict__, "_held": {}}

    def layers(self, kinds: Tensor, poses: Tensor) -> Tensor:
        return self._layers(kinds, poses, depth=True).view(-1, 4, self.scenery.height, self.scenery.width)

    def canvases(self, kinds: Tensor, poses: Tensor) -> Tensor:
        s, (batch, slots) = self.scenery, kinds.shape
        canvases = poses.new_empty(batch, slots + 1, 3, s.height // s.supersample, s.width // s.supersample)
        if batch:
            self._launch(kernels.draw_canvases, batch, (kinds, poses, canvases), self._scene(poses), slots)
        return canvases

    def scores(
        self, kinds: Tensor, poses: Tensor, other_kinds: Tensor, other_poses: Tensor, target: Tensor, squared: bool
    ) -> Tensor:
        batch, slots, others = other_kinds.shape
        scores = poses.new_zeros(batch, slots, others, slots + 1, self._tiles())
        if other_kinds.numel():
            layers = self._layers(kinds.flatten(), poses.flatten(0, 1), depth=False)
            given = (other_kinds, other_poses, layers, target, scores)
            programs, scene = other_kinds.numel(), self._scene(poses)
            self._launch(kernels.score_swaps, programs, given, scene, slots, others, SQUARED=squared)
        return scores.sum(-1)

    def _layers(self, kinds: Tensor, poses: Tensor, depth: bool) -> Tensor:
        layers = poses.new_empty(len(kinds), 4, self.scenery.height * self.scenery.width)
        if len(kinds):
            scene = self._scene(poses)[1:]  # no background
            self._launch(kernels.draw_layers, len(kinds), (kinds, poses, layers), scene, int(depth))
        return layers

    def _launch(
        self, kernel: Any, programs: int, tensors: tuple[Tensor, ...], scene: tuple[Any, ...], *rest: int, **given: Any
    ) -> None:
        """``programs`` for every tile. (CUDA has room for 2^31 in a grid's first dimension, 65 535 in the others.)"""
        s = self.scenery
        size = (s.height, s.width, s.supersample)
        held = [tensor.contiguous() for tensor in tensors]
        kernel[(self._tiles() * programs,)](*held, *scene, *size, *rest, **given, **self._tile)

    def _tiles(self) -> int:
        s, side = self.scenery, self._tile["SIDE"]
        return -(-(s.height // s.supersample) // side) * -(-(s.width // s.supersample) // side)

    def _scene(self, like: Tensor) -> tuple[Any, ...]:
        if like.device not in self._held:
            self._held[like.device] = _hold(self.scenery, like.device)
        return tuple(self._held[like.device])


def _hold(s: Scenery, device: torch.device) -> _Held:
    camera = np.concatenate([s.rotation.ravel(), s.eye, s.light, [s.focal, s.ambient, s.diffuse]]).astype(np.float32)

    def on_device(array: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    return _Held(
        background=on_device(s.background),
        vertices=on_device(s.vertices),
        faces=on_device(s.faces),
        planes=on_device(s.planes),
        colors=on_device(s.colors),
        vertex_start=on_device(s.vertex_start),
        face_start=on_device(s.face_start),
        closed=on_device(s.closed.astype(np.int32)),
        vertex_total=s.vertices.shape[1],
        face_total=s.faces.shape[1],
        camera=on_device(camera),
    )
