"""Scenes of meshes that differ from image to image: camera, light and exposure, by their coordinates."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers.mesh.camera import Camera
from renderers.mesh.scenery import Light, falling
from renderers.mesh.shared_light import COORDINATES as LIGHTS
from renderers.mesh.shared_light import values_of
from renderers.mesh.table import Table
from renderers.spaces import Coordinate

Range = tuple[float, float]
RIGHT_ANGLE = math.pi / 2
CAMERA = {
    "camera_azimuth": ("radians", 0.03),
    "camera_elevation": ("radians", 0.03),
    "camera_distance": ("world units", 0.1),
}
LIT = ("light_azimuth", "light_elevation", "light_ambient", "light_diffuse")
KNOWN = {**CAMERA, **{name: (LIGHTS[name].unit, LIGHTS[name].step) for name in LIT}, "exposure": ("factor", 0.03)}
"""Unit and finite-difference step of every coordinate of the scene, by name."""


def coordinates(ranges: Mapping[str, Range]) -> tuple[Coordinate, ...]:
    """The coordinates of these names and ranges, in their own order.

    Errors:
        ValueError for an unknown name, an elevation that is not above the table and below the zenith, a distance or an
        exposure that is not positive.
    """
    for name, (low, high) in ranges.items():
        if name not in KNOWN:
            raise ValueError(f"scene names {name!r}, which is none of {', '.join(KNOWN)}")
        if name.endswith("elevation") and not 0.05 <= low <= high <= RIGHT_ANGLE - 0.05:
            raise ValueError(f"scene {name} must lie between 0.05 and 1.52 radians, got {low} to {high}")
        if not name.endswith(("azimuth", "elevation")) and not low >= 0.01:
            raise ValueError(f"scene {name} must be at least 0.01, got {low} to {high}")
    return tuple(
        Coordinate(name, unit, float(ranges[name][0]), float(ranges[name][1]), step)
        for name, (unit, step) in KNOWN.items()
        if name in ranges
    )


class Views:
    """Camera, light and exposure of scenes, by the values (..., S) of their coordinates; what is not one stays.

    Args:
        names: of the coordinates, in order. camera, light, table: as they are otherwise.
    Errors:
        ValueError where the camera is to move about a target, and extrinsics say where it is, which has none, and for a
        light that casts shadows and would go below the table.
    """

    def __init__(self, names: tuple[str, ...], camera: Camera, light: Light, table: Table) -> None:
        self.names, self.camera, self.light, self.table = names, camera, light, table
        self._moves = [name for name in names if name in CAMERA]
        if self._moves and camera.extrinsics is not None:
            raise ValueError(
                f"scene names {self._moves[0]}, which moves a camera about its target, and camera has extrinsics: "
                "give position and target"
            )
        off = np.subtract(camera.position, camera.target)
        distance = float(np.linalg.norm(off))
        self.usual = values_of(light) | {
            "camera_azimuth": math.atan2(off[0], off[2]),
            "camera_elevation": math.asin(off[1] / distance),
            "camera_distance": distance,
            "exposure": 1.0,
        }
        self._turns = light.shadow is not None and bool({"light_azimuth", "light_elevation"} & set(names))

    def column(self, values: Tensor, name: str) -> Tensor:
        """One coordinate of all scenes, (...)."""
        if name in self.names:
            return values[..., self.names.index(name)]
        return torch.full_like(values[..., 0], self.usual[name])

    def frame(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The cameras' rotations (..., 3, 3), rows right, up and forward, and eyes (..., 3)."""
        if not self._moves:
            rotation, eye = values.new_tensor(self.camera.rotation()), values.new_tensor(self.camera.eye)
            return rotation.expand(*values.shape[:-1], 3, 3), eye.expand(*values.shape[:-1], 3)
        azimuth = self.column(values, "camera_azimuth")
        away = _direction(azimuth, self.column(values, "camera_elevation"))
        eye = values.new_tensor(self.camera.target) + self.column(values, "camera_distance").unsqueeze(-1) * away
        right = torch.stack([azimuth.cos(), torch.zeros_like(azimuth), -azimuth.sin()], -1)
        return torch.stack([right, torch.linalg.cross(right, -away), -away], -2), eye

    def rows(self, values: Tensor, aspect: float) -> NDArray[np.float32]:
        """What kernels read of each scene (B, 21 + 2 K): rotation, eye, light, ambient and diffuse shares, shadows.

        ``aspect``: the images' width / height.
        """
        rotation, eye = self.frame(values)
        rotation = torch.from_numpy(self.camera.lens(aspect).sheared(aspect)).to(rotation) @ rotation
        light = _direction(self.column(values, "light_azimuth"), self.column(values, "light_elevation"))
        bright = self.column(values, "exposure").unsqueeze(-1)
        bright = bright**2.2 if self.light.linear else bright
        shares = [
            bright * self.column(values, name).unsqueeze(-1) * values.new_tensor(color)
            for name, color in (("light_ambient", self.light.ambient_color), ("light_diffuse", self.light.color))
        ]
        row = torch.cat([rotation.flatten(-2), eye, light, *shares, self._leans(light).flatten(-2)], -1)
        return np.ascontiguousarray(row.detach().cpu().numpy().astype(np.float32))

    def _leans(self, light: Tensor) -> Tensor:
        """Of shadows in the light of directions (B, 3), as ``Scenery.leans``: (B, K, 2)."""
        lights = [replace(self.light, direction=tuple(row)) for row in light.tolist()] if self._turns else [self.light]
        leans = np.stack([falling(each)["leans"] for each in lights])
        return torch.from_numpy(leans).to(light).expand(len(light), -1, -1)

    def backgrounds(self, values: Tensor, height: int, width: int) -> Tensor:
        """The empty scenes (B, 3, height, width): each pixel's ray met with the table."""
        image = self.table.colors_at(*self._ground(values, height, width))
        image = (image * self.column(values, "exposure").float().view(-1, 1, 1)).clamp_(max=1)
        return image.view(-1, 3, height, width)

    def tables(self, values: Tensor, height: int, width: int) -> NDArray[np.bool_]:
        """Which samples of each scene are table, (B, height * width); none at all where nobody asks, (0, 0)."""
        if self.light.shadow is None:
            return np.empty((0, 0), np.bool_)
        x, z = self._ground(values, height, width)
        across, along = self.table.half
        inside: NDArray[np.bool_] = ((x.abs() <= across) & (z.abs() <= along)).cpu().numpy()
        return inside

    def _ground(self, values: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """x and z (B, height * width) of where each pixel's ray meets the plane ``y = 0``; x is nan where none does."""
        rotation, eye = (part.float() for part in self.frame(values.double()))
        level = torch.from_numpy(self.camera.lens(width / height).rays(height, width)).to(eye).view(-1, 3)
        rays = (rotation.mT.reshape(-1, 3) @ level.T).view(-1, 3, height * width)
        reach = -eye[:, 1, None] / rays[:, 1]
        x, z = (eye[:, axis, None] + reach * rays[:, axis] for axis in (0, 2))
        return torch.where(reach > 0, x, math.nan), z


def _direction(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Unit vectors (..., 3) of angles (...) from z towards x, and above the table."""
    return torch.stack([elevation.cos() * azimuth.sin(), elevation.sin(), elevation.cos() * azimuth.cos()], -1)
