"""The renderer contract: what AIR needs to know of a decoder, and what a decoder gets for free."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar, Self, get_args

import torch
from torch import Tensor, nn

from renderers.compositing import Compositing, Layer, blank, boxes, compose, downsample, each, transmittance
from renderers.finite_differences import central, differenced, perturb
from renderers.frames import Frames
from renderers.pixel_loss import PixelLoss, check_scale
from renderers.spaces import FULL_TURN, Categorical, Coordinate, What, Where


class Renderer(nn.Module, ABC):
    """Draws one object at a time. A plug-in subclasses this, calls ``__init__`` and writes ``draw``.

    Axes: images are (C, H, W), rows from the top, values in [0, 1]. ``what`` is a tensor (M,) of identity indices or
    (M, D) of appearance codes; ``where`` is (M, P), its coordinates in their own units and in the order stated.

    Args:
        what: the space of ``what``.
        where: the coordinates of ``where``.
        image_shape: (C, H, W).
        differentiable: whether autograd passes through ``draw``. If not, canvases get their gradient in ``where`` by
            central finite differences with each coordinate's step, and none in ``what``.
        compositing: how layers become canvases, ``zbuffer`` (opaque objects, nearest wins), ``additive``, or ``over``
            (each slot lies over those before it, layers have alpha).
        shared: what all images of a data set share and nobody knows, the light for example, each with the value that
            it has until it is learnt. The values are the buffer ``shared_values``, which ``draw`` reads and
            checkpoints keep.
        scene: what the objects of one image share and is inferred with them, a camera that moves from image to image
            for example. Empty: nothing. The values are ``scene_values``; ``draw``, ``project``, ``unproject`` and
            ``window`` read theirs by ``scene_of``, ``background`` draws one for each row.
    """

    shared_values: Tensor
    for_other_images: ClassVar[dict[str, Any]] = {}
    """Arguments of the constructor under which all is learnt that images which it has not drawn do not tell."""

    def __init__(
        self,
        what: What,
        where: tuple[Coordinate, ...],
        image_shape: tuple[int, int, int],
        differentiable: bool = False,
        compositing: Compositing = "zbuffer",
        shared: Sequence[tuple[Coordinate, float]] = (),
        scene: tuple[Coordinate, ...] = (),
    ) -> None:
        super().__init__()
        if len(image_shape) != 3 or min(image_shape) < 1:
            raise ValueError(
                f"{type(self).__name__}: image_shape must be channels, height and width, all positive, "
                f"got {tuple(image_shape)}"
            )
        if compositing not in get_args(Compositing):
            known = ", ".join(get_args(Compositing))
            raise ValueError(f"{type(self).__name__}: compositing must be one of {known}, got {compositing!r}")
        self.what, self.where, self.image_shape = what, Where(where), tuple(image_shape)
        self.differentiable, self.compositing = differentiable, compositing
        self.shared = Where(tuple(coordinate for coordinate, _ in shared)) if shared else None
        if self.shared is not None:
            start = torch.tensor([value for _, value in shared])
            self.register_buffer("shared_values", self.shared.clamp(start))
        self.scene = Where(scene) if scene else None
        self._scene_values: Tensor | None = None
        for c in self.where.coordinates:
            if c.periods and len(c.periods) != self.identity_count:
                raise ValueError(
                    f"coordinate {c.name!r}: periods must hold one turn for each of the {self.identity_count} "
                    f"identities, or none at all, got {len(c.periods)}"
                )

    @abstractmethod
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        """M objects, each alone: colour (M, C, S H, S W), depth (M, S H, S W), and for ``over`` alpha, likewise.

        S is 1, or a whole number of samples a pixel and direction: canvases are averaged after compositing.
        """

    def background(self) -> Tensor:
        """What an empty scene shows, (C, S H, S W). Default: black.

        With coordinates of the scene that change it, one for each of ``scene_values``, (B, C, S H, S W).
        """
        return torch.zeros(self.image_shape, device=self.device)

    def image_background(self) -> Tensor:
        """The empty scene at the images' own size, (C, H, W), or of each scene (B, C, H, W)."""
        empty = self.background()
        return downsample(empty.unsqueeze(-4), self.image_shape[1]).squeeze(-4)

    def ground(self, batch: int, background: Tensor | None = None) -> Tensor:
        """What lies behind the objects of ``batch`` images, at the samples' size.

        Args:
            background: (C, h, w), or one an image (B, C, h, w), h and w those of images or of samples: an image's
                pixels are repeated over their samples. None: the renderer's own.
        Returns:
            (C, S H, S W) or (B, C, S H, S W).
        Errors:
            ValueError for a background of another size.
        """
        own = self.background()
        if background is None:
            return own
        self._check_background(background, batch, tuple(own.shape[-2:]))
        if background.shape[-2:] == own.shape[-2:]:
            return background
        factor = own.shape[-2] // self.image_shape[1]
        return background.repeat_interleave(factor, -2).repeat_interleave(factor, -1)

    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        """Poses (..., P) to image coordinates of the object's centre (..., 2), in [-1, 1], x right and y down, and
        half its size in the image (...), in the same unit.

        Default: the coordinates ``x`` and ``y`` are such image coordinates, and half the size is ``scale`` or 0.25.
        """
        x, y = self._column(where, "x"), self._column(where, "y")
        half = self._column(where, "scale") if "scale" in self.where.names else torch.full_like(x, 0.25)
        return torch.stack([x, y], -1), half

    def unproject(self, image: Tensor) -> dict[str, Tensor]:
        """Image coordinates (..., 2) to those coordinates of ``where`` that they determine, by name, each (...).

        Default: ``x`` and ``y``. The inverse of ``project`` for an object at its usual height.
        """
        return {"x": image[..., 0], "y": image[..., 1]}

    def facing(self, image: Tensor) -> dict[str, Tensor]:
        """By name, the angles (...) at which objects seen at image coordinates (..., 2) show the viewer one side.

        What an image tells of an angle is how far it is from this one. Default: none, and 0 is that angle everywhere,
        which is right where the viewer stays.
        """
        return {}

    def window(self, where: Tensor) -> Tensor:
        """The affine map (..., 2, 3) from a window's own coordinates (u, v, 1) in [-1, 1] to image coordinates.

        The window is what an object at these poses (..., P) covers: where the inference network looks for ``what``
        (the spatial transformer of AIR, Eslami et al. 2016, section 3.1). Default: the square of ``project``.
        """
        center, half = self.project(where)
        return affine(half, half, center)

    @torch.no_grad()
    def boxes(self, what: Tensor, where: Tensor, share: float | None = None) -> Tensor:
        """Boxes (B, N, 4) of slots ``what`` (B, N, ...) at ``where`` (B, N, P), each drawn alone.

        x0, y0, x1, y1 in pixels from the upper left corner, ends excluded: the extent of the pixels that the object
        covers by more than ``share`` of what it covers most; None: half, of additive layers a fifth of its own peak,
        however faint it is. An override may give more, up to the object's window. Zeros where nothing of it is drawn.
        """
        layers = self.layers(what, where)
        return boxes(layers, self.compositing, share) * (self.image_shape[1] / layers.color.shape[-2])

    def share(self, values: Tensor) -> None:
        """Draw with these values (S,) of what all images share, in their own units.

        They are clamped to their supports, angles turned into theirs by whole turns.
        """
        if self.shared is None or values.shape != (len(self.shared),) or not values.isfinite().all():
            names = "none" if self.shared is None else ", ".join(self.shared.names)
            raise ValueError(
                f"{type(self).__name__}: shared values must be finite numbers, one for each of its shared coordinates "
                f"({names}), got {values.tolist()}"
            )
        self.shared_values.copy_(self.shared.clamp(values))
        for j in self.shared.circular:
            low = self.shared.coordinates[j].low
            self.shared_values[j] = low + (self.shared_values[j] - low) % FULL_TURN
        self.shared_changed()

    # ---- coordinates of the scene

    @property
    def scene_values(self) -> Tensor:
        """The values (B, S) of the scenes that it draws, in their own units; (1, S), the prior's middle, unless ``at``
        has said others."""
        if self._scene_values is not None:
            return self._scene_values
        if self.scene is None:
            return torch.zeros(1, 0, device=self.device)
        return self.scene.constrain(torch.zeros(1, len(self.scene), device=self.device))

    def at(self, values: Tensor | None) -> Self:
        """The renderer of B images whose scenes have these values (B, S); None: the renderer itself.

        It draws ``what`` and ``where`` of as many images. Gradients pass to the values through ``canvases``.
        Errors:
            ValueError for values of another number than its coordinates of the scene.
        """
        if values is None:
            return self
        wanted = 0 if self.scene is None else len(self.scene)
        if values.dim() != 2 or values.shape[1] != wanted:
            names = "none" if self.scene is None else ", ".join(self.scene.names)
            raise ValueError(
                f"{type(self).__name__}: values of the scene must have shape (batch, {wanted}), got "
                f"{tuple(values.shape)}: its coordinates of the scene are {names}"
            )
        placed = copy.copy(self)
        placed._scene_values = values
        placed.scene_changed()
        return placed

    def of(self, images: Tensor) -> Self:
        """The renderer of some of the images, (M,) indices."""
        return self if self._scene_values is None else self.at(self._scene_values[images])

    def scene_changed(self) -> None:
        """Called when ``scene_values`` are others than before: renew what was made of them. Default: nothing was."""

    def scene_of(self, where: Tensor) -> Tensor:
        """The scene's values (..., S) that go with poses (..., P), whose first axis is images or objects of theirs.

        Errors:
            ValueError where the first axis is no multiple of the number of images.
        """
        values, rows = self.scene_values.to(where), where.shape[0] if where.dim() > 1 else 1
        if len(values) > 1 and rows % len(values):
            raise ValueError(
                f"{type(self).__name__} draws {len(values)} scenes, got poses of {rows}: give each scene as many"
            )
        values = values.repeat_interleave(rows // len(values), 0) if len(values) > 1 else values
        shape = (len(values), *[1] * (where.dim() - 2), values.shape[1])
        return values.view(shape if where.dim() > 1 else shape[1:]).expand(*where.shape[:-1], -1)

    @torch.no_grad()
    def contract_scene(
        self, what: Tensor, where: Tensor, gradient: Tensor, coarseness: float = 1.0, background: Tensor | None = None
    ) -> Tensor:
        """Finite-difference gradient (B, S) in the scene's values, as ``contract`` has it: 2 S more scenes to draw."""
        assert self.scene is not None
        columns, values = [], self.scene_values
        for move in torch.diag(self.scene.steps(values) * coarseness):
            up, down = (self.at(values + side * move).render(what, where, background) for side in (1, -1))
            columns.append(((up - down) * gradient).flatten(1).sum(1) / (2 * move.sum()))
        return torch.stack(columns, 1)

    def shared_changed(self) -> None:
        """Called when ``shared_values`` are others than before: renew what was made of them. Default: nothing was."""

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if self.shared is not None:
            self.shared_changed()

    def frames(self, what: Tensor, where: Tensor) -> Frames | None:
        """Slots ``what`` (B, N, ...) at ``where`` (B, N, P) as rigid bodies in the world and in the camera's frame.

        Default: None, nothing is known of lengths or of a camera.
        """
        return None

    def intersecting(self, what: Tensor, where: Tensor) -> Tensor:
        """Which pairs of slots ``what`` (B, N, ...) at ``where`` (B, N, P) cannot both be there, (B, N, N), bool.

        Symmetric, no slot with itself. Solid objects whose bodies would pass through one another. Default: none.
        """
        return torch.zeros(*where.shape[:2], where.shape[1], dtype=torch.bool, device=where.device)

    def finer(self, factor: int) -> "Renderer":
        """A renderer that draws the same with ``factor`` times as many samples a pixel in each direction.

        Default: the renderer itself, which has no more to give.
        """
        return self

    def traceable(self) -> "Renderer":
        """A renderer that draws the same in torch operations alone, which ``torch.export`` can follow.

        Default: the renderer itself. One with kernels of its own overrides it, for its models to be exported.
        """
        return self

    @property
    def device(self) -> torch.device:
        """Where the renderer's parameters and buffers lie."""
        held = next(chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if held is None else held.device

    @property
    def digests(self) -> dict[str, str]:
        """Digests of what it draws that is not in its arguments, files that it read, by name. Checkpoints keep them."""
        return {}

    @property
    def identity_count(self) -> int:
        """Number of identities; 1 for a continuous ``what``."""
        return len(self.what) if isinstance(self.what, Categorical) else 1

    @property
    def kinds(self) -> int:
        """``identity_count`` by its name of before, for plug-ins that read it."""
        return self.identity_count

    def canvases(
        self, what: Tensor, where: Tensor, coarseness: float = 1.0, background: Tensor | None = None
    ) -> Tensor:
        """Prefix canvases (B, N + 1, C, H, W) of slots ``what`` (B, N, ...) and ``where`` (B, N, P).

        Differentiable in both where the renderer is; otherwise in ``where``, by central finite differences whose
        steps are ``coarseness`` times the coordinates' own. Always in the ``background``, which is as ``ground`` says:
        its gradient is the incoming one where the canvases show it.
        """
        self._check(what, where)
        if self.differentiable:
            return self.render(what, where, background)
        behind = None if background is None else background.detach()
        values = self._scene_values
        still = self if values is None else self.at(values.detach())
        canvases = differenced(
            where,
            lambda w: still.render(what, w, behind),
            lambda w, g: still.contract(what, w, g, coarseness, behind),
        )
        if values is not None:  # nothing more, with the gradient in the scene
            place = where.detach()
            canvases = canvases + differenced(
                values,
                lambda v: torch.zeros_like(canvases[:1, :1]).expand_as(canvases),
                lambda v, g: still.contract_scene(what, place, g, coarseness, behind),
            )
        if background is None or not (background.requires_grad and torch.is_grad_enabled()):
            return canvases
        nothing = self.ground(where.shape[0], background - background.detach())  # zeros, with the background's gradient
        with torch.no_grad():
            seen = transmittance(self.layers(what, where), self.compositing)
        return canvases + downsample(seen.unsqueeze(2) * nothing.unsqueeze(-4), self.image_shape[1])

    @torch.no_grad()
    def transmittance(self, what: Tensor, where: Tensor) -> Tensor:
        """The share (B, N + 1, H, W) of the background that each prefix canvas shows: canvases are linear in it.

        In [0, 1]: what no object covers (of additive layers all), less the shadows on it.
        """
        seen = transmittance(self.layers(what, where), self.compositing)
        return downsample(seen.unsqueeze(2), self.image_shape[1]).squeeze(2)

    @torch.no_grad()
    def contract(
        self,
        what: Tensor,
        where: Tensor,
        gradient: Tensor,
        coarseness: float = 1.0,
        background: Tensor | None = None,
    ) -> Tensor:
        """Finite-difference gradient (B, N, P) for the canvases' incoming ``gradient`` (B, N + 1, C, H, W)."""
        steps = self.where.steps(where) * coarseness
        moved = perturb(where, steps)
        alternatives = what.unsqueeze(2).expand(*what.shape[:2], moved.shape[2], *what.shape[2:])
        scores = self.swap_scores(what, where, alternatives, moved, gradient, background=background)
        return central(scores.sum(-1), steps)

    def swap_losses(
        self,
        images: Tensor,
        what: Tensor,
        where: Tensor,
        other_what: Tensor,
        other_where: Tensor,
        loss: PixelLoss,
        background: Tensor | None = None,
    ) -> Tensor:
        """How canvases' losses change when one slot is drawn otherwise, the others staying as they are.

        Args:
            images: (B, C, H, W), what was observed.
            what, where: (B, N, ...) and (B, N, P), the slots.
            other_what, other_where: (B, N, M, ...) and (B, N, M, P), M alternatives for every slot.
            loss: of each number of an image, given the canvas's.
            background: behind all objects, as ``ground`` says; None: the renderer's own.
        Returns:
            (B, N, M, N + 1), nats: the loss of canvas n with slot i drawn as alternative m, less its loss with slot i
            left out. Zero where canvas n does not show slot i. No gradient.
        """
        self._check(what, where)
        self._check_others(images, where, other_what, other_where)
        check_scale(loss, self.image_shape)
        return self.swap_scores(what, where, other_what, other_where, images.unsqueeze(1), loss, background)

    def layers(self, what: Tensor, where: Tensor) -> Layer:
        """The slots ``what`` (B, N, ...) at ``where`` (B, N, P), each drawn alone, (B, N, ...)."""
        batch, slots = where.shape[:2]
        layers = self.draw(what.flatten(0, 1), where.flatten(0, 1))
        return each(lambda part: part.view(batch, slots, *part.shape[1:]), layers)

    def render(self, what: Tensor, where: Tensor, background: Tensor | None = None) -> Tensor:
        """Prefix canvases as ``canvases`` gives them, without finite differences."""
        layers, ground = self.layers(what, where), self.ground(where.shape[0], background)
        return downsample(compose(layers, ground, self.compositing), self.image_shape[1])

    @torch.no_grad()
    def swap_scores(
        self,
        what: Tensor,
        where: Tensor,
        other_what: Tensor,
        other_where: Tensor,
        target: Tensor,
        loss: PixelLoss | None = None,
        background: Tensor | None = None,
    ) -> Tensor:
        """Change (B, N, M, N + 1) of each canvas's objective when slot i is drawn as alternative m, against left out.

        With a ``loss``, ``target`` (B, 1, C, H, W) are images, the objective is a canvas's loss. Without,
        ``target`` (B, N + 1, C, H, W), the objective of canvas n is its inner product with ``target[:, n]``.
        Only slot i is drawn again, over the cached layers of the others. Renderers with a faster way override it.
        """
        batch, slots, others = other_where.shape[:3]
        layers, ground = self.layers(what, where), self.ground(batch, background)
        result = target.new_zeros(batch, slots, others, slots + 1)
        for i in range(slots):
            nothing = blank(each(lambda part: part[:, 0], layers))
            without = self._objective(_replace(layers, i, nothing), ground, target, loss)
            for m in range(others):
                layer = self.draw(other_what[:, i, m], other_where[:, i, m])
                change = self._objective(_replace(layers, i, layer), ground, target, loss) - without
                result[:, i, m] = change if loss is None else change.flatten(2).sum(2)
        return result

    def _objective(self, layers: Layer, ground: Tensor, target: Tensor, loss: PixelLoss | None) -> Tensor:
        """Inner products (B, N + 1), or losses (B, N + 1, C, H, W): sums of these would hide what changes."""
        canvases = downsample(compose(layers, ground, self.compositing), self.image_shape[1])
        return (canvases * target).flatten(2).sum(2) if loss is None else loss(canvases, target)

    @property
    def _code(self) -> tuple[int, ...]:
        """What ``what`` has besides batch and slots."""
        return () if isinstance(self.what, Categorical) else (self.what.dim,)

    def _column(self, where: Tensor, name: str) -> Tensor:
        if name not in self.where.names:
            raise ValueError(
                f"{type(self).__name__} has no coordinate {name!r} (it has {', '.join(self.where.names)}): "
                "override project and unproject to say where in the image a pose lies"
            )
        return where[..., self.where.names.index(name)]

    def _check(self, what: Tensor, where: Tensor) -> None:
        expected = f"(batch, slots, {len(self.where)})"
        if where.dim() != 3 or where.shape[-1] != len(self.where):
            raise ValueError(
                f"`where` must have shape {expected}, got {tuple(where.shape)}: the renderer's pose has "
                f"{len(self.where)} coordinates ({', '.join(self.where.names)})"
            )
        wanted = where.shape[:2] + self._code
        if what.shape != wanted:
            raise ValueError(f"`what` must have shape {tuple(wanted)} to go with `where`, got {tuple(what.shape)}")

    def _check_background(self, background: Tensor, batch: int, samples: tuple[int, ...]) -> None:
        shape, (channels, *pixels) = tuple(background.shape), self.image_shape
        fits = len(shape) == 3 or (len(shape) == 4 and shape[0] == batch)
        if not fits or shape[-3] != channels or shape[-2:] not in (tuple(pixels), samples):
            sizes = dict.fromkeys((channels, *size) for size in (tuple(pixels), samples))
            raise ValueError(
                f"`background` must have shape {' or '.join(str(size) for size in sizes)}, or that of one for each of "
                f"the {batch} images, got {shape}: give it the images' size"
            )

    def _check_others(self, images: Tensor, where: Tensor, other_what: Tensor, other_where: Tensor) -> None:
        expected = (where.shape[0], *self.image_shape)
        if images.shape != expected:
            raise ValueError(f"`images` must have shape {expected}, got {tuple(images.shape)}")
        if other_where.dim() != 4 or (*other_where.shape[:2], other_where.shape[3]) != tuple(where.shape):
            raise ValueError(
                f"`other_where` must have shape ({where.shape[0]}, {where.shape[1]}, alternatives, {where.shape[2]}), "
                f"got {tuple(other_where.shape)}"
            )
        wanted = other_where.shape[:3] + self._code
        if other_what.shape != wanted:
            raise ValueError(f"`other_what` must have shape {tuple(wanted)}, got {tuple(other_what.shape)}")


def affine(across: Tensor, down: Tensor, center: Tensor, turn: Tensor | None = None) -> Tensor:
    """Maps (..., 2, 3) that scale by ``across`` and ``down`` (...), turn by ``turn`` and shift to ``center``."""
    if turn is None:
        zero = torch.zeros_like(across)
        linear = torch.stack([across, zero, zero, down], -1)
    else:
        cos, sin = turn.cos(), turn.sin()
        linear = torch.stack([across * cos, -down * sin, across * sin, down * cos], -1)
    return torch.cat([linear.view(*linear.shape[:-1], 2, 2), center.unsqueeze(-1)], -1)


def _replace(layers: Layer, i: int, layer: Layer) -> Layer:
    """The layers (B, N, ...) with slot i replaced by ``layer`` (B, ...)."""
    return each(lambda a, b: torch.cat([a[:, :i], b.unsqueeze(1), a[:, i + 1 :]], 1), layers, layer)
