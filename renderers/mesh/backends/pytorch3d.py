"""The PyTorch3D backend: its rasteriser, on the device where the poses lie, and torch for the rest.

PyTorch3D (Ravi et al. 2020, https://arxiv.org/abs/2007.08501) is installed as its own documentation says. Its camera
looks along +z with x to the left and y up; the shorter side of its images spans [-1, 1].
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from renderers.compositing import Layer, compose, downsample, each
from renderers.mesh.attributes import turned
from renderers.mesh.backends.base import Backend, Holdings, to_device
from renderers.mesh.dense import leaning
from renderers.mesh.projection import FAR, NEAR, Scenery
from renderers.mesh.shading import shaded
from renderers.pixel_loss import Normal, PixelLoss

# Samples and faces in work at once. A step of 64 small scenes takes a few rounds, each with enough to do for a GPU's
# threads, and a round takes about 170 bytes for each: 170 MB.
AT_ONCE = 2**20
# Of the squares of distances, the shorter side being 2. A sample on the edge between two faces is in neither for
# PyTorch3D; those so near a face belong to it.
EDGE = 1e-12


class PyTorch3D(Backend):
    """Draws with PyTorch3D's ``rasterize_meshes``; nothing but images' sizes is known to the host within a step.

    Raises:
        ValueError: PyTorch3D is not installed.
    """

    def __init__(self, scenery: Scenery) -> None:
        super().__init__(scenery)
        self._rasterize = _rasterizer()
        self._stocks = Holdings(scenery, _Stock.of)
        most_faces = int(np.diff(scenery.face_start).max())
        self._objects = max(1, AT_ONCE // (scenery.height * scenery.width + most_faces))

    def layers(self, identities: Tensor, poses: Tensor) -> Tensor:
        parts = [self._draw(identities[part], poses[part]) for part in _parts(len(identities), self._objects)]
        return torch.cat([_channels(part) for part in parts])

    def canvases(self, identities: Tensor, poses: Tensor, background: Tensor | None = None) -> Tensor:
        scenes = max(1, self._objects // max(1, identities.shape[1]))
        grounds = self._grounds(poses, background)
        parts = _parts(len(identities), scenes)
        return torch.cat([self._canvases(identities[part], poses[part], grounds[part]) for part in parts])

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
        batch, slots, choices = other_identities.shape
        scores = poses.new_zeros(batch, slots, choices, slots + 1)
        if not scores.numel():
            return scores
        scenes = max(1, self._objects // (slots * max(slots, choices)))
        most = max(1, self._objects // (slots * scenes))
        grounds = self._grounds(poses, background)
        for part in _parts(batch, scenes):
            stage = self._stage(identities[part], poses[part], target[part], loss, grounds[part])
            for some in _parts(choices, most):
                images = self._layers(other_identities[part, :, some], other_poses[part, :, some])
                _score(images, stage, loss, scores[part, :, some])
        return scores

    def _grounds(self, poses: Tensor, background: Tensor | None) -> Tensor:
        """Backgrounds (B, 3, SH, SW)."""
        own = self._stock(poses.device).background if background is None else background
        return own.expand(len(poses), *own.shape[-3:])

    def _canvases(self, identities: Tensor, poses: Tensor, grounds: Tensor) -> Tensor:
        return downsample(compose(self._layers(identities, poses), grounds, "zbuffer"), self._height)

    def _stage(
        self, identities: Tensor, poses: Tensor, target: Tensor, loss: PixelLoss | None, grounds: Tensor
    ) -> "_Stage":
        slots, layers = identities.shape[1], self._layers(identities, poses)
        itself = torch.eye(slots, dtype=torch.bool, device=poses.device)[..., None, None]
        depth = layers.depth.unsqueeze(1).masked_fill(itself, torch.inf)
        shade = None if layers.shade is None else layers.shade.unsqueeze(1).masked_fill(itself, 1)
        others = Layer(layers.color.unsqueeze(1).expand(-1, slots, -1, -1, -1, -1), depth, shade=shade)
        canvases = compose(others, grounds.unsqueeze(1), "zbuffer")[:, :, 1:]
        shown = slots if loss is None else 1
        wanted = target[:, None, -shown:].expand(-1, slots, slots, -1, -1, -1)
        means = wanted if loss is None else downsample(canvases, self._height)
        return _Stage(canvases, depth.cummin(2).values, means, wanted)

    def _layers(self, identities: Tensor, poses: Tensor) -> Layer:
        """Identities (...) and poses (..., P) to layers (..., 3, SH, SW) and (..., SH, SW), all at once."""
        layers = self._draw(identities.flatten(), poses.flatten(0, -2))
        return each(lambda part: part.view(*identities.shape, *part.shape[1:]), layers)

    def _fragments(self, visible: "_Visible") -> tuple[Tensor, Tensor, Tensor]:
        """What ``rasterize_meshes`` sees in every sample: face (-1: none), depth, and the corners' shares."""
        found, depth, weights, _ = self._rasterize(
            visible,
            image_size=(self.scenery.height, self.scenery.width),
            blur_radius=EDGE,
            faces_per_pixel=1,
            bin_size=0,  # the default reserves megabytes for each image on CUDA
            max_faces_per_bin=0,
            perspective_correct=True,
            clip_barycentric_coords=True,
        )
        return found.squeeze(-1), depth.squeeze(-1), weights.squeeze(-2)

    def _draw(self, identities: Tensor, poses: Tensor) -> Layer:
        """Identities (M,) and poses (M, P) to layers, all at once."""
        s, stock = self.scenery, self._stock(poses.device)
        visible = _visible(s, stock, identities, poses)
        found, depth, weights = self._fragments(visible)
        drawn, face = found >= 0, found.clamp(min=0)
        paint = stock.colors[visible.places.flatten()[face]]
        color = (torch.einsum("...c,...cr->...r", weights, paint) * visible.shade.flatten(0, 1)[face]).clamp(max=1)
        color = color.masked_fill(~drawn.unsqueeze(-1), 0).movedim(-1, 1)
        shade = self._shade(visible, identities, poses) if len(s.leans) else None
        return Layer(color, depth.masked_fill(~drawn, torch.inf), shade=shade)

    def _shade(self, visible: "_Visible", identities: Tensor, poses: Tensor) -> Tensor:
        """What each object lets through of the table's light, (M, SH, SW)."""
        s, stock = self.scenery, self._stock(poses.device)
        taken = poses.new_zeros(len(identities), s.height, s.width)
        for lean, darkening in zip(stock.leans.unbind(), s.darkening.tolist()):
            cast = _cast(s, stock, identities, poses, leaning(lean, poses, s))
            taken += darkening * (self._fragments(cast)[0] >= 0)
        return 1 - taken * stock.table

    @property
    def _height(self) -> int:
        return self.scenery.height // self.scenery.supersample

    def _stock(self, device: torch.device) -> "_Stock":
        return self._stocks.on(device)


class _Stage(NamedTuple):
    """What alternatives are drawn over: of slot i and canvas n + 1 without it at ``[:, i, n]``, where i <= n.

    ``color`` (B, N, N, 3, SH, SW), ``depth`` (B, N, N, SH, SW), ``means`` (B, N, N, 3, H, W) the colour's, which losses
    read, and ``target`` likewise.
    """

    color: Tensor
    depth: Tensor
    means: Tensor
    target: Tensor


class _Stock(NamedTuple):
    """Those arrays of ``Scenery`` that drawing reads, as tensors of one device; items come first, axes last."""

    vertices: Tensor
    vertex_start: Tensor
    faces: Tensor
    face_start: Tensor
    planes: Tensor
    colors: Tensor
    closed: Tensor
    rotation: Tensor
    eye: Tensor
    light: Tensor
    background: Tensor
    ambient: Tensor
    diffuse: Tensor
    leans: Tensor
    table: Tensor

    @classmethod
    def of(cls, s: Scenery, device: torch.device) -> "_Stock":
        return cls(
            vertices=to_device(s.vertices.T, device),
            vertex_start=to_device(s.vertex_start, device).long(),
            faces=to_device(s.faces.T, device).long(),
            face_start=to_device(s.face_start, device).long(),
            planes=to_device(s.planes.T, device),
            colors=to_device(s.colors, device),
            closed=to_device(s.closed, device),
            rotation=to_device(s.rotation, device),
            eye=to_device(s.eye, device),
            light=to_device(s.light, device),
            background=to_device(s.background, device).view(3, s.height, s.width),
            ambient=to_device(s.ambient, device),
            diffuse=to_device(s.diffuse, device),
            leans=to_device(np.insert(s.leans, 1, 1, axis=1), device),  # of y: all of it
            table=to_device(s.table, device).view(s.height, s.width),
        )


class _Visible(NamedTuple):
    """The faces of M objects that can be seen, as ``rasterize_meshes`` reads them from ``pytorch3d.structures.Meshes``.

    Making such ``Meshes`` loops over the objects and waits for their sizes. Here every object has as many faces as the
    largest identity: the ``number`` to be drawn first, then others that are never looked at, so they cost no drawing.

    ``vertices`` (M, V, 3) x, y and depth; ``faces`` (M, F, 3) indices into all vertices, one after another; ``number``
    (M,); ``places`` (M, F), the faces' indices in ``_Stock``; ``shade`` (M, F, 3), the light's factor on their colours.
    """

    vertices: Tensor
    faces: Tensor
    number: Tensor
    places: Tensor
    shade: Tensor

    @property
    def device(self) -> torch.device:
        return self.vertices.device

    def verts_packed(self) -> Tensor:
        return self.vertices.flatten(0, 1)

    def faces_packed(self) -> Tensor:
        return self.faces.flatten(0, 1)

    def mesh_to_faces_packed_first_idx(self) -> Tensor:
        return torch.arange(len(self.faces), device=self.device) * self.faces.shape[1]

    def num_faces_per_mesh(self) -> Tensor:
        return self.number


def _visible(s: Scenery, stock: _Stock, identities: Tensor, poses: Tensor) -> _Visible:
    vertices = _project(s, stock, identities, poses)
    places, drawn = _owned(stock.face_start, identities, int(np.diff(s.face_start).max()))
    outside, shade = shaded(stock.planes[places], poses, stock, s)
    faces = stock.faces[places]
    near = vertices[..., 2].gather(1, faces.flatten(1)).view(faces.shape) < NEAR
    drawn &= (outside | ~stock.closed[identities].unsqueeze(1)) & ~near.any(-1)
    drawn &= poses.abs().sum(-1, keepdim=True) <= FAR  # nor NaN
    order = drawn.sort(stable=True, dim=1, descending=True).indices  # of equal depths the first face is seen
    places, shade = places.gather(1, order), shade.gather(1, order.unsqueeze(-1).expand(-1, -1, 3))
    return _Visible(vertices, stock.faces[places] + _first(vertices), drawn.sum(1), places, shade)


def _cast(s: Scenery, stock: _Stock, identities: Tensor, poses: Tensor, lean: Tensor) -> _Visible:
    """The shadows: all faces, flat on the table, where a point is y high, ``lean`` (M, 3) times y less."""
    vertices = _project(s, stock, identities, poses, lean)
    places, drawn = _owned(stock.face_start, identities, int(np.diff(s.face_start).max()))
    near = vertices[..., 2].gather(1, stock.faces[places].flatten(1)).view(*places.shape, 3) < NEAR
    drawn &= ~near.any(-1) & (poses.abs().sum(-1, keepdim=True) <= FAR)  # nor NaN
    places = places.gather(1, drawn.sort(stable=True, dim=1, descending=True).indices)
    unlit = poses.new_zeros(*places.shape, 3)
    return _Visible(vertices, stock.faces[places] + _first(vertices), drawn.sum(1), places, unlit)


def _first(vertices: Tensor) -> Tensor:
    """Where each object's vertices (M, V, 3) begin among all, (M, 1, 1)."""
    return torch.arange(len(vertices), device=vertices.device)[:, None, None] * vertices.shape[1]


def _owned(start: Tensor, identities: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Where each object's vertices or faces are, (M, most), and which are its own: smaller identities run into the
    next.
    """
    places = start[identities].unsqueeze(1) + torch.arange(most, device=identities.device)
    return torch.minimum(places, start[-1] - 1), places < start[identities + 1].unsqueeze(1)


def _project(s: Scenery, stock: _Stock, identities: Tensor, poses: Tensor, lean: Tensor | None = None) -> Tensor:
    """Vertices (M, V, 3) of each object as PyTorch3D's camera sees them: x to the left, y up, depth.

    With ``lean`` (M, 3) those of its shadow.
    """
    places, _ = _owned(stock.vertex_start, identities, int(np.diff(s.vertex_start).max()))
    placed = turned(stock.vertices[places], poses)
    if lean is not None:
        placed = placed - (placed[..., 1:2] + poses[:, None, 1:2]) * lean.unsqueeze(1)
    across, up, depth = (placed @ stock.rotation.T + (poses[:, None, :3] - stock.eye) @ stock.rotation.T).unbind(-1)
    scale = 2 * float(s.focal) / min(s.height, s.width) / torch.where(depth < NEAR, 1, depth)
    return torch.stack([-across * scale, up * scale, depth], -1)


def _channels(layers: Layer) -> Tensor:
    """Red, green, blue, depth, and shade where there is one, (M, 4 or 5, SH, SW)."""
    planes = [part.unsqueeze(1) for part in (layers.depth, layers.shade) if part is not None]
    return torch.cat([layers.color, *planes], 1)


def _parts(count: int, most: int) -> list[slice]:
    """Slices of at most ``most`` that cover ``count``; an empty one where there is nothing."""
    return [slice(start, start + most) for start in range(0, max(1, count), most)]


def _score(images: Layer, stage: _Stage, loss: PixelLoss | None, scores: Tensor) -> None:
    """Write the ``scores`` (B, N, M, N + 1) of alternatives (B, N, M, ...), defined by ``Renderer.swap_scores``."""
    for n in range(scores.shape[1]):  # canvas n + 1 shows slots 0 to n
        color, depth, means, target = (part[:, : n + 1, n].unsqueeze(2) for part in stage)
        shown = images.depth[:, : n + 1] < depth
        change = (images.color[:, : n + 1] - color).masked_fill(~shown.unsqueeze(3), 0)
        if images.shade is not None:  # of the ground that is seen
            dark = (images.shade[:, : n + 1] - 1).masked_fill(shown | depth.isfinite(), 0)
            change = change + dark.unsqueeze(3) * color
        change = downsample(change, target.shape[-2])
        scores[:, : n + 1, :, n + 1] = _effect(change, means, target, loss).flatten(3).sum(3)


def _effect(change: Tensor, means: Tensor, target: Tensor, loss: PixelLoss | None) -> Tensor:
    """What a ``change`` (..., 3, H, W) of canvases makes of their objective in each pixel."""
    if loss is None:
        return change * target
    if isinstance(loss, Normal):  # a parabola: fewer steps than its value twice
        return change * (means - target + 0.5 * change) / loss.scale**2
    return loss(means + change, target) - loss(means, target)


def _rasterizer() -> Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]]:
    try:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    except ImportError as error:
        raise ValueError(
            f"mesh backend 'pytorch3d' needs PyTorch3D, and importing that failed ({error}): install it as its own "
            "documentation says, INSTALL.md of https://github.com/facebookresearch/pytorch3d, "
            "or choose backend 'embedded', which needs no installation"
        ) from error
    made: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]] = rasterize_meshes
    return made
