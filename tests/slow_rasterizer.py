"""A reference for the rasteriser that shares nothing with it: float64 rays against every triangle, in world space."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from renderers.mesh import Camera, Light, Mesh

Array = NDArray[np.float64]


class Sight(NamedTuple):
    """What each sample (H, W) sees: depth (inf: nothing), colour (H, W, 3), and whether an edge passes too close by."""

    depth: Array
    color: Array
    edge: NDArray[np.bool_]


def rays(camera: Camera, height: int, width: int) -> Array:
    """Directions (H, W, 3) whose component along the optical axis is 1."""
    forward = np.subtract(camera.target, camera.position)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 1, 0])
    right /= np.linalg.norm(right)
    unit = np.tan(np.radians(camera.field_of_view) / 2) / (height / 2)
    across = (np.arange(width) + 0.5 - width / 2) * unit
    up = (height / 2 - np.arange(height) - 0.5) * unit
    return forward + across[None, :, None] * right + up[:, None, None] * np.cross(right, forward)


def stand(mesh: Mesh, pose: Array) -> Array:
    """Vertices turned by yaw (from z towards x) about the y axis and moved to x, y, z.

    With attributes they are then turned by roll (from x towards y) about z and by pitch (from y towards z) about x, and
    made larger, before they are moved.
    """
    x, y, z, yaw = pose[:4]
    a, b, c = mesh.vertices.astype(np.float64).T
    a, c = np.cos(yaw) * a + np.sin(yaw) * c, np.cos(yaw) * c - np.sin(yaw) * a
    if len(pose) > 4:
        size, pitch, roll = pose[4:7]
        a, b = np.cos(roll) * a - np.sin(roll) * b, np.cos(roll) * b + np.sin(roll) * a
        b, c = np.cos(pitch) * b - np.sin(pitch) * c, np.cos(pitch) * c + np.sin(pitch) * b
        a, b, c = size * a, size * b, size * c
    return np.stack([a + x, b + y, c + z], 1)


def hit(corners: Array, eye: Array, directions: Array) -> tuple[Array, Array]:
    """Moeller-Trumbore: distance (H, W) in units of the directions, barycentric weights (H, W, 3) of a face (3, 3)."""
    first, second = corners[1] - corners[0], corners[2] - corners[0]
    p = np.cross(directions, second)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / (p @ first)
        s = eye - corners[0]
        q = np.cross(s, first)
        u, v = (p @ s) * scale, (directions @ q) * scale
        return (q @ second) * scale, np.stack([1 - u - v, u, v], -1)


def look(mesh: Mesh, pose: Array, camera: Camera, light: Light, height: int, width: int) -> Sight:
    """One object alone."""
    directions, eye = rays(camera, height, width), np.asarray(camera.position)
    sun = np.asarray(light.direction) / np.linalg.norm(light.direction)
    depth, color, edge = np.full((height, width), np.inf), np.zeros((height, width, 3)), np.zeros((height, width), bool)
    vertices, tint, metal = stand(mesh, pose), *((pose[7:10], pose[10]) if len(pose) > 4 else (np.ones(3), 0.0))
    sight = (eye - pose[:3]) / np.linalg.norm(eye - pose[:3])
    for face, paint in zip(mesh.faces, mesh.colors.astype(np.float64)):
        corners = vertices[face]
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        towards = normal @ (eye - corners[0]) > 0
        if mesh.closed and not towards:
            continue
        distance, weights = hit(corners, eye, directions)
        least = weights.min(-1)
        edge |= np.abs(least) < 2e-3
        nearer = (least >= 0) & (distance < depth)
        normal /= np.linalg.norm(normal)
        facing = (normal if towards else -normal) @ sun
        shine = (1 - metal) * (light.ambient + light.directed * max(0.0, facing))
        shine += metal * environment(2 * (normal @ sight) * normal - sight, light)
        depth[nearer] = distance[nearer]
        color[nearer] = np.minimum(1, shine * (weights @ (paint * tint))[nearer])
    return Sight(depth, color, edge)


def environment(direction: Array, light: Light) -> float:
    """How bright what metal mirrors in that direction is, in white light."""
    sun, mirror = np.asarray(light.direction) / np.linalg.norm(light.direction), light.mirror
    ground = mirror.ground * (light.ambient + light.directed * max(0.0, sun[1]))
    share = np.clip(1 + 2 * direction[1], 0, 1)
    sky = share**2 * (3 - 2 * share)
    spot = mirror.highlight * light.directed * np.exp(mirror.sharpness * (direction @ sun - 1))
    return float((1 - sky) * ground + sky * mirror.sky * light.ambient + spot)
