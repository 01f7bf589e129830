"""The embedded rasteriser on CUDA: launches the Triton kernels, with the meshes kept on the device."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from renderers.mesh import triton_kernels as kernels
from renderers.mesh.backends.base import Backend, Holdings, Scoring, to_device
from renderers.mesh.projection import Scenery
from renderers.pixel_loss import PixelLoss

FACES = 16
"""Faces that a program holds at a time, against each of its samples."""
SAMPLES = 256
"""Samples of a tile."""


class _DeviceScenery(NamedTuple):
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
    table: Tensor


class Triton(Backend):
    """Draws with the kernels of ``renderers.mesh.triton_kernels`` where the tensors lie: nothing travels to the CPU.

    Arguments and results as of every Backend. Needs Triton, which comes with torch for CUDA on Linux.
    """

    def __init__(self, scenery: Scenery) -> None:
        super().__init__(scenery)
        self._held = Holdings(scenery, _hold)
        root = 1 << (scenery.supersample - 1).bit_length()  # samples a pixel and direction, filled up
        self._tile = {
            "SIDE": max(1, int(SAMPLES**0.5) // root),
            "SUB": root * root,
            "FACES": FACES,
            "LEANS": len(scenery.leans),
        }

    def layers(self, identities: Tensor, poses: Tensor) -> Tensor:
        self._check(identities)
        layers = self._layers(identities, poses, depth=True)
        return layers.view(*layers.shape[:2], self.scenery.height, self.scenery.width)

    def canvases(self, identities: Tensor, poses: Tensor, background: Tensor | None = None) -> Tensor:
        self._check(identities)
        s, (batch, slots) = self.scenery, identities.shape
        canvases = poses.new_empty(batch, slots + 1, 3, s.height // s.supersample, s.width // s.supersample)
        if batch:
            scene, step = self._scene(poses, background)
            self._launch(kernels.draw_canvases, batch, (identities, poses, canvases), scene, slots, step)
        return canvases

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
        self._check(identities)
        self._check(other_identities)
        batch, slots, others = other_identities.shape
        scores, scoring = poses.new_zeros(batch, slots, others, slots + 1, self._tiles()), Scoring.of(loss, target)
        if other_identities.numel():
            layers = self._layers(identities.flatten(), poses.flatten(0, 1), depth=False)
            given = (other_identities, other_poses, layers, target, scores, scoring.scale)
            scene, step = self._scene(poses, background)
            rest = slots, others, scoring.parameter, step
            self._launch(kernels.score_swaps, other_identities.numel(), given, scene, *rest, CODE=scoring.code)
        return scores.sum(-1) * scoring.factor

    def _check(self, identities: Tensor) -> None:
        """RuntimeError for an identity that is none: the kernels do not look where they read. On CUDA it comes later,
        as an assertion of the device, for which nobody has waited."""
        known = len(self.scenery.face_start) - 1
        message = f"`what` must hold indices of the {known} identities, 0 to {known - 1}"
        torch._assert_async(((identities >= 0) & (identities < known)).all(), message)

    def _layers(self, identities: Tensor, poses: Tensor, depth: bool) -> Tensor:
        layers = poses.new_empty(
            len(identities), 5 if len(self.scenery.leans) else 4, self.scenery.height * self.scenery.width
        )
        if len(identities):
            scene = tuple(self._held.on(poses.device))[1:]  # no background
            self._launch(kernels.draw_layers, len(identities), (identities, poses, layers), scene, int(depth))
        return layers

    def _launch(
        self,
        kernel: Any,
        programs: int,
        tensors: tuple[Tensor, ...],
        scene: tuple[Any, ...],
        *rest: float,
        **given: Any,
    ) -> None:
        """``programs`` for every tile. (CUDA has room for 2^31 in a grid's first dimension, 65 535 in the others.)"""
        s = self.scenery
        size = (s.height, s.width, s.supersample)
        held = [tensor.contiguous() for tensor in tensors]  # poses come second
        kernel[(self._tiles() * programs,)](*held, *scene, *size, *rest, POSE=held[1].shape[-1], **given, **self._tile)

    def _tiles(self) -> int:
        s, side = self.scenery, self._tile["SIDE"]
        return -(-(s.height // s.supersample) // side) * -(-(s.width // s.supersample) // side)

    def _scene(self, like: Tensor, background: Tensor | None) -> tuple[tuple[Any, ...], int]:
        """The scenery, and how many numbers lie between the backgrounds of two images: 0 where all have one."""
        held = self._held.on(like.device)
        if background is None:
            return tuple(held), 0
        return tuple(held._replace(background=background.contiguous())), background[0].numel() * (len(background) > 1)


def _hold(s: Scenery, device: torch.device) -> _DeviceScenery:
    shadows = np.concatenate([s.leans, s.darkening[:, None]], 1)
    light = [s.focal], s.ambient, s.diffuse, [s.near, s.gamma], s.mirror, shadows.ravel()
    camera = np.concatenate([s.rotation.ravel(), s.eye, s.light, *light]).astype(np.float32)
    return _DeviceScenery(
        background=to_device(s.background, device),
        vertices=to_device(s.vertices, device),
        faces=to_device(s.faces, device),
        planes=to_device(s.planes, device),
        colors=to_device(s.colors, device),
        vertex_start=to_device(s.vertex_start, device),
        face_start=to_device(s.face_start, device),
        closed=to_device(s.closed.astype(np.int32), device),
        vertex_total=s.vertices.shape[1],
        face_total=s.faces.shape[1],
        camera=to_device(camera, device),
        table=to_device(s.table.astype(np.float32), device),
    )
