"""What light the faces of objects show, in torch operations: of ``renderers.mesh.projection``, for whole batches."""

from typing import Protocol

import torch
from torch import Tensor

from renderers.mesh.attributes import metal_of, sizes_of, tints_of, turned_back
from renderers.mesh.projection import FADE, Scenery


class Lit(Protocol):
    """Where the eye and a distant light are, and the shares (3,) that shine from everywhere and from its side."""

    @property
    def eye(self) -> Tensor: ...
    @property
    def light(self) -> Tensor: ...
    @property
    def ambient(self) -> Tensor: ...
    @property
    def diffuse(self) -> Tensor: ...


def shaded(planes: Tensor, poses: Tensor, lit: Lit, s: Scenery) -> tuple[Tensor, Tensor]:
    """Whether the eye is outside of each face, (M, F), and what shares of its colour that shows, (M, F, 3).

    Args:
        planes: (M, F, 4), of the objects at whole poses (M, P).
    """
    normal, offset = planes[..., :3], planes[..., 3]
    light, strength = lit_from(lit.light, poses, s)
    light, eye = turned_back(light, poses), turned_back(lit.eye - poses[:, :3], poses)
    outside = _along(normal, eye) > sizes_of(poses) * offset
    facing = _along(normal, light)
    towards = strength.unsqueeze(1) * torch.where(outside, facing, -facing).clamp(min=0)
    shares = lit.ambient + lit.diffuse * towards.unsqueeze(-1)
    if (metal := metal_of(poses)) is not None:
        up = turned_back(poses.new_tensor([0.0, 1.0, 0.0]).expand_as(eye), poses)
        glow, lamp = _mirrored(normal, eye, light, up, s)
        mirrored = lit.ambient * glow.unsqueeze(-1) + lit.diffuse * (strength.unsqueeze(1) * lamp).unsqueeze(-1)
        shares = shares + metal * (mirrored - shares)
    shares = shares if s.gamma == 1 else shares ** float(s.gamma)
    return outside, shares * tints_of(poses).unsqueeze(1)


def _along(normal: Tensor, vector: Tensor) -> Tensor:
    """Of normals (M, F, 3) with the object's vector (M, 3), the inner product (M, F)."""
    return (normal * vector.unsqueeze(1)).sum(-1)


def _mirrored(normal: Tensor, eye: Tensor, light: Tensor, up: Tensor, s: Scenery) -> tuple[Tensor, Tensor]:
    """What mirrors show of what shines from everywhere, and of a light as strong as that from its side, (M, F)."""
    ground, bright, highlight, sharpness = s.mirror.tolist()
    sight = torch.nn.functional.normalize(eye, dim=1)
    twice = 2 * _along(normal, sight)
    height = twice * _along(normal, up) - (sight * up).sum(1, keepdim=True)
    nearness = twice * _along(normal, light) - (sight * light).sum(1, keepdim=True)
    rise = (height / float(FADE) + 1).clamp(0, 1)
    sky = rise * rise * (3 - 2 * rise)
    level = (light * up).sum(1, keepdim=True).clamp(min=0)
    lamp = ground * (1 - sky) * level + highlight * (sharpness * (nearness - 1)).exp()
    return ground * (1 - sky) + bright * sky, lamp


def lit_from(light: Tensor, pose: Tensor, s: Scenery) -> tuple[Tensor, Tensor]:
    """Unit vectors (M, 3) from objects' feet to the light of direction (3,), and how strong it is there (M,)."""
    towards = light - float(s.near) * pose[:, :3]
    length = towards.norm(dim=1) if s.near > 0 else torch.ones_like(towards[:, 0])
    return towards / length.unsqueeze(1), length**-2
