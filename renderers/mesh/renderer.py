"""The mesh renderer: coloured triangle meshes on a table, seen by a perspective camera."""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from renderers.base import Renderer
from renderers.compositing import Layer
from renderers.frames import Frames
from renderers.mesh.attributes import ATTRIBUTES, COLUMNS, UPRIGHT, Range, coordinates, drawable, finite
from renderers.mesh.axes import Unit, check_unit
from renderers.mesh.backends import make_backend
from renderers.mesh.built_in import BUILT_IN, COLORS
from renderers.mesh.camera import Camera
from renderers.mesh.dense import DenseMeshes
from renderers.mesh.extents import Extents, check_scales
from renderers.mesh.files import BareMesh, MeshFile
from renderers.mesh.files.source import check_identities, mesh_file
from renderers.mesh.frames import rigid_frames
from renderers.mesh.projection import NEAR
from renderers.mesh.scenery import WHITE, Light, check_eye, pack, paint_background
from renderers.mesh.shapes import RGB, Mesh, check_color
from renderers.mesh.shared_light import COORDINATES, chosen, relit, values_of, with_shadow
from renderers.mesh.table import Table
from renderers.mesh.views import CAMERA, Views
from renderers.mesh.views import coordinates as view_coordinates
from renderers.pixel_loss import PixelLoss
from renderers.renamed import renamed_arguments
from renderers.rotations import rotation_matrix
from renderers.spaces import Categorical, Coordinate

DEFAULT = ("cube", "sphere", "cylinder")
CLOSEST = 0.9
"""Share of two solids' widths that must lie between their axes: poses are never exact."""


class MeshRenderer(Renderer):
    """Draws triangle meshes, one for each identity, with a z-buffer, without gradients of its own.

    ``what`` is the identity, ``where`` the free ones of x, y, z (world units; the object's foot, or a kept mesh's own
    origin), yaw (radians) and the attributes size, pitch, roll (radians), red, green, blue and metal.

    Args:
        identities: names of what is drawn: built-in shapes (cube, sphere, cylinder, cone, drum, plate, cup, pan,
            bottle) and those of ``meshes``.
            Null: all those of ``meshes``; without any, cube, sphere and cylinder.
        meshes: what an identity is drawn from: a mesh file's path, a ``MeshFile``, or a built-in shape's name.
        colors: RGB in [0, 1] by identity, where the built-in or the file's own colours are not wanted.
        sizes: factor by identity on the built-in size (about 0.8) or that of mesh files (1); 1 where not given.
        image_size: height and width in pixels.
        camera: where from, where to, how wide; or its intrinsic and extrinsic matrices.
        light: direction, strength and colour of the light, and whether objects cast shadows on the table.
        table: the ground in the background.
        x, y, z: a pair [low, high] frees the coordinate over that support, a number fixes it.
        yaw: null frees it, a number (radians) fixes it.
        size: factor on the identity's size, about its foot: a pair frees it, a number fixes it.
        pitch, roll: tilt about the foot, radians, by pitch towards the viewer and by roll to the left, likewise.
            (``renderers.rotations.rotation_matrix``; what turns by its own axis goes on to.)
        color: a pair within [0, 1] frees red, green and blue over it: what the object reflects of each, as images have
            it (sRGB), times the mesh's own colours. Built-in shapes that ``colors`` does not name are then white
            themselves, so that it is their colour. Null: identities keep their own.
        metal: how much of a mirror objects are: the share of what they shine with that ``light.mirror`` says, in their
            colour, in the place of ``light``'s ambient and diffuse. A pair within [0, 1] frees it, a number fixes it.
        position_step, yaw_step: central finite-difference steps, world units and radians, the latter of tilt, too. An
            image with hard edges is piecewise constant: take about half a pixel to a pixel.
        size_step, color_step, metal_step: likewise.
        supersample: samples a pixel in each direction; 1 leaves hard edges.
        backend: what draws: ``embedded``, our own rasteriser (numba on the CPU, Triton on CUDA), or ``pytorch3d``,
            where that is installed.
        shared: what of the light is learnt for a data set, for nobody knows it: names of coordinates
            (``renderers.mesh.shared_light``), or of groups of them, ``light`` (direction, ambient and diffuse shares),
            ``tint`` (their colours), ``shadow`` (strength, softness) and ``all``. ``light`` is what they start from.
        scene: what of camera and light differs from image to image and is inferred with the objects, by name and range
            (``renderers.mesh.views``): camera_azimuth, camera_elevation (radians, about the camera's target) and
            camera_distance, light_azimuth, light_elevation, light_ambient and light_diffuse, exposure (factor on the
            image). On the CPU, without shadows.
        units: what a world unit is, m, cm or mm; every length here is in it. Null: nobody says, and where another
            format must know it is a metre; meshes that keep their scale want it said.
    Errors:
        ValueError for what cannot be drawn, above all an unknown identity or a support that the camera does not see.
        An object whose pose is not finite is not drawn: its layer is empty, its finite differences are 0.
    """

    for_other_images: ClassVar[dict[str, Any]] = {"shared": ["all"], "light": {"linear": True, "ambient": 0.1}}

    @renamed_arguments(kinds="identities")
    def __init__(
        self,
        identities: Sequence[str] | None = None,
        meshes: dict[str, BareMesh | MeshFile | str] | None = None,
        colors: dict[str, RGB] | None = None,
        sizes: dict[str, float] | None = None,
        image_size: tuple[int, int] = (64, 64),
        camera: Camera = Camera(),
        light: Light = Light(),
        table: Table = Table(),
        x: Range | float = (-1.9, 1.9),
        y: Range | float = 0.0,
        z: Range | float = (-1.9, 1.9),
        yaw: float | None = None,
        size: Range | float = 1.0,
        pitch: Range | float = 0.0,
        roll: Range | float = 0.0,
        color: Range | None = None,
        metal: Range | float = 0.0,
        position_step: float = 0.06,
        yaw_step: float = 0.08,
        size_step: float = 0.1,
        color_step: float = 0.05,
        metal_step: float = 0.1,
        supersample: int = 1,
        backend: str = "embedded",
        shared: Sequence[str] = (),
        scene: dict[str, Range] | None = None,
        units: Unit | None = None,
    ) -> None:
        if len(image_size) != 2 or min(image_size) < 1:
            raise ValueError(f"image_size must be a positive height and width, got {tuple(image_size)}")
        if supersample < 1:
            raise ValueError(f"supersample must be at least 1 (one sample a pixel, hard edges), got {supersample}")
        if units is not None:
            check_unit("units", units)
        identities = tuple(identities if identities is not None else meshes or DEFAULT)
        check_eye(camera, table)
        learnt = chosen(shared)
        light = with_shadow(light, learnt)
        if light.shadow is not None and not table.width > 0:
            raise ValueError(
                "light.shadow falls on the table, and table width is 0: draw a table, or leave the shadow out"
            )
        sources = _sources(identities, meshes or {})
        kept = check_scales(sources, sizes or {}, size, units)
        own = COLORS if color is None else dict.fromkeys(COLORS, WHITE)
        drawn = _meshes(sources, colors or {}, sizes or {}, own, units)
        self._digests = {
            f"mesh {identity!r}": mesh.digest
            for (identity, source), mesh in zip(sources.items(), drawn)
            if isinstance(source, MeshFile)
        }
        self._fixed: dict[str, float] = {}
        free: list[Coordinate] = []
        for name, value in (("x", x), ("y", y), ("z", z)):
            if isinstance(value, (int, float)):
                self._fixed[name] = finite(name, value)
            else:
                free.append(Coordinate(name, units or "world units", float(value[0]), float(value[1]), position_step))
        if yaw is None:
            periods = tuple(mesh.symmetry for mesh in drawn)
            free.append(Coordinate("yaw", "radians", -math.pi, math.pi, yaw_step, circular=True, periods=periods))
        else:
            self._fixed["yaw"] = finite("yaw", yaw)
        steps = {"size": size_step, "pitch": yaw_step, "roll": yaw_step, "color": color_step, "metal": metal_step}
        attributes, fixed = coordinates(size, pitch, roll, color, metal, steps)
        free, self._fixed = free + attributes, self._fixed | fixed
        self._columns = COLUMNS if attributes or fixed != {name: ATTRIBUTES[name] for name in fixed} else UPRIGHT
        if not free:
            raise ValueError("every one of x, y, z and yaw is fixed: free at least one, there is nothing to infer")
        height, width = image_size
        views, given = view_coordinates(scene or {}), values_of(light)
        if views and (backend != "embedded" or learnt):
            raise ValueError(
                "scene's coordinates go with backend 'embedded' and a light that is not `shared`: leave these out, or "
                "scene"
            )
        super().__init__(
            Categorical(identities),
            tuple(free),
            (3, height, width),
            shared=[(COORDINATES[name], given[name]) for name in learnt],
            scene=views,
        )
        self._views = None if self.scene is None else Views(self.scene.names, camera, light, table)
        if self._views is not None:  # a shadow's light must not set: said at once, and not in a scene where it is low
            self._views.rows(torch.tensor([[coordinate.low for coordinate in views]]).double(), width / height)
        self.camera, self.light, self.table, self.supersample = camera, light, table, supersample
        self.identities, self.units, self.extents = identities, units, Extents(drawn, bool(kept))
        self.heights = self.extents.high
        self._check_view()
        self._check_reach(kept)
        self._drawn, self._backend_name = drawn, backend
        self._finer: dict[tuple[int, torch.device], MeshRenderer] = {}
        self._empty: Tensor | None = None  # the scenes without objects, once they have been drawn
        self._set_samples(supersample)

    @property
    def _aspect(self) -> float:
        return self.image_shape[2] / self.image_shape[1]

    @property
    def _focal(self) -> float:
        """Of windows, in units of half the image: where pixels of calibrated images were scaled, the longer one."""
        lens = self.camera.lens(self._aspect)
        return lens.down if self.camera.intrinsics is None else max(lens.down, lens.across / lens.aspect)

    @property
    def _samples(self) -> tuple[int, int]:
        """Down and across the image."""
        return self.image_shape[1] * self.supersample, self.image_shape[2] * self.supersample

    def _set_samples(self, supersample: int) -> None:
        """Make what draws, for so many samples a pixel in each direction."""
        self.supersample = supersample
        background = paint_background(self.camera, self.table, *self._samples)
        scenery = pack(self._drawn, self.camera, self.light, background, supersample, self.table)
        self._backend = make_backend(self._backend_name, scenery)
        self.register_buffer("_background", torch.from_numpy(background).to(self.device), persistent=False)
        self.shared_changed()
        if self.scene is not None:
            self.scene_changed()

    def shared_changed(self) -> None:
        if self.shared is not None:
            learnt = dict(zip(self.shared.names, self.shared_values.tolist()))
            self._backend = make_backend(self._backend_name, relit(self._backend.scenery, self.light, learnt))
        self._finer.clear()

    def scene_changed(self) -> None:
        assert self._views is not None
        values, samples = self.scene_values.detach(), self._samples
        rows = self._views.rows(values.double(), self._aspect)
        self._backend = self._backend.viewed(rows, self._views.tables(values, *samples))
        self._finer, self._empty = {}, None

    def finer(self, factor: int) -> Renderer:
        if factor == 1:
            return self
        key = factor, self.device
        if key not in self._finer:
            finer = copy.deepcopy(self)
            finer._set_samples(self.supersample * factor)
            self._finer[key] = finer
        return self._finer[key]

    def intersecting(self, what: Tensor, where: Tensor) -> Tensor:
        """Pairs whose upright cores, what is solid about their axes whatever their yaw, pass through one another.

        By a tenth of their width at least: those that touch are not meant.
        """
        foot = self.full_pose(where)[..., :3]
        low, high, core = (where.new_tensor(x)[what] * self._size(where) for x in self.extents.bounds)
        apart = torch.cdist(foot[..., [0, 2]], foot[..., [0, 2]])
        near = apart < CLOSEST * (core.unsqueeze(-1) + core.unsqueeze(-2))
        low, high = foot[..., 1] + low, foot[..., 1] + high
        below, above = low.unsqueeze(-1) < high.unsqueeze(-2), high.unsqueeze(-1) > low.unsqueeze(-2)
        return near & below & above & ~torch.eye(where.shape[1], dtype=torch.bool, device=where.device)

    @property
    def digests(self) -> dict[str, str]:
        return dict(self._digests)

    @property
    def drawn_meshes(self) -> tuple[Mesh, ...]:
        """By identity, as they are drawn: sized and coloured, y up, in world units."""
        return tuple(self._drawn)

    def background(self) -> Tensor:
        if self._views is None:
            return self.get_buffer("_background")
        if self._empty is None:
            self._empty = self._views.backgrounds(self.scene_values.detach(), *self._samples)
        return self._empty

    @torch.no_grad()
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        layers = self._backend.layers(*self._objects(what, where)).to(where.dtype)
        return Layer(layers[:, :3], layers[:, 3], shade=layers[:, 4] if layers.shape[1] > 4 else None)

    @torch.no_grad()
    def render(self, what: Tensor, where: Tensor, background: Tensor | None = None) -> Tensor:
        return self._backend.canvases(*self._objects(what, where), self._background_samples(where, background)).to(
            where.dtype
        )

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
        if loss is not None and loss.code is None:  # one that kernels do not know
            return super().swap_scores(what, where, other_what, other_where, target, loss, background)
        slots, others = self._objects(what, where), self._objects(other_what, other_where)
        # kernels do not look where they read
        targets = where.shape[1] + 1 if loss is None else 1
        assert target.shape == (len(where), targets, *self.image_shape), target.shape
        assert others[0].shape[:2] == slots[0].shape, others[0].shape
        behind = self._background_samples(where, background)
        return self._backend.scores(*slots, *others, target.detach().float(), loss, behind).to(target.dtype)

    def traceable(self) -> Renderer:
        if self.scene is not None:
            raise ValueError("MeshRenderer's coordinates of the scene are not drawn in torch operations alone")
        scenery, (colors, height, width) = self._backend.scenery, self.image_shape
        return DenseMeshes(self.what, self.where.coordinates, (colors, height, width), self.full_pose, scenery)

    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        """Image coordinates (..., 2) of the object's middle (half the mean height up) and half its size (...)."""
        _, height, width = self.image_shape
        pose, lift = self.full_pose(where), self.extents.middle
        middle = torch.stack([pose[..., 0], pose[..., 1] + lift, pose[..., 2]], -1)
        size = torch.ones_like(pose[..., 0])
        if len(self._columns) > len(UPRIGHT):
            axis = rotation_matrix(*pose[..., [3, 5, 6]].unbind(-1))[..., 1]
            middle, size = pose[..., :3] + lift * pose[..., 4:5] * axis, pose[..., 4]
        image, depth = self.camera.project(middle, width / height, self._frame(where))
        return image, self._focal * self.extents.half * 1.3 / depth * size

    def unproject(self, image: Tensor) -> dict[str, Tensor]:
        """x and z (those that are free) of an object whose middle is seen at ``image`` (..., 2)."""
        _, height, width = self.image_shape
        foot = self._fixed.get("y", 0.0)
        lift = self.extents.middle * self._usual("size")
        point = self.camera.unproject(image, foot + lift, width / height, self._frame(image))
        return {name: point[..., axis] for name, axis in (("x", 0), ("z", 2)) if name in self.where.names}

    @torch.no_grad()
    def frames(self, what: Tensor, where: Tensor) -> Frames | None:
        if self.units is None:
            return None
        return rigid_frames(self._drawn, self.camera, self.units, what, self.full_pose(where), self._frame(where))

    def facing(self, image: Tensor) -> dict[str, Tensor]:
        """The yaw (...) that faces the camera from where an object is seen; nothing where cameras stay."""
        if self._views is None or "yaw" not in self.where.names or not set(CAMERA) & set(self._views.names):
            return {}
        _, eye = self._views.frame(self.scene_of(image))
        seen = self.unproject(image)
        x, z = (seen[name] if name in seen else self._fixed[name] for name in ("x", "z"))
        return {"yaw": torch.atan2(eye[..., 0] - x, eye[..., 2] - z)}

    def _frame(self, where: Tensor) -> tuple[Tensor, Tensor] | None:
        """The cameras that see poses or places (..., P); None: all the same."""
        return None if self._views is None else self._views.frame(self.scene_of(where))

    def full_pose(self, where: Tensor) -> Tensor:
        """Free coordinates (..., P) to all of x, y, z, yaw (..., 4), and with attributes to ``COLUMNS`` (..., 11)."""
        columns = []
        for name in self._columns:
            if name in self._fixed:
                columns.append(torch.full_like(where[..., 0], self._fixed[name]))
            else:
                columns.append(where[..., self.where.names.index(name)])
        return drawable(torch.stack(columns, -1))

    def _size(self, where: Tensor) -> Tensor | float:
        """Of objects at poses (..., P), (...)."""
        return self.full_pose(where)[..., 4] if len(self._columns) > len(UPRIGHT) else 1.0

    def _usual(self, name: str) -> float:
        """The value of an attribute that is fixed, or the middle of its support."""
        if name in self._fixed:
            return self._fixed[name]
        free = self.where.coordinates[self.where.names.index(name)]
        return (free.low + free.high) / 2

    def _background_samples(self, where: Tensor, background: Tensor | None) -> Tensor | None:
        """A background (1 or B, 3, SH, SW), float32, for the backend, which has the renderer's own."""
        if background is None and self._views is None:
            return None
        if background is None:
            return self.background()
        ground = self.ground(where.shape[0], background.detach().to(where.device, torch.float32))
        return ground if ground.dim() == 4 else ground.unsqueeze(0)

    def _objects(self, what: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        """Identities (...,), int64, and whole poses (..., 4 or 11), float32, for the backend."""
        self.where.check(where)
        if what.shape != where.shape[:-1]:
            raise ValueError(
                f"`what` must have shape {tuple(where.shape[:-1])} to go with `where`, got {tuple(what.shape)}"
            )
        identities = what.detach().long()
        # On a GPU the answer would have to be waited for, in every step.
        if (
            identities.device.type == "cpu"
            and identities.numel()
            and not 0 <= identities.min() <= identities.max() < self.identity_count
        ):
            raise ValueError(
                f"`what` must hold indices of the {self.identity_count} identities, "
                f"got {identities.min()} to {identities.max()}"
            )
        return identities, self.full_pose(where.detach().float())

    def _extreme_frames(self) -> list[tuple[Tensor, Tensor] | None]:
        """The cameras at the ends and the middle of the support of the scene's coordinates."""
        if self._views is None or self.scene is None:
            return [None]
        ends = [(c.low, (c.low + c.high) / 2, c.high) for c in self.scene.coordinates]
        moving = [side if c.name in CAMERA else side[1:2] for side, c in zip(ends, self.scene.coordinates)]
        return [self._views.frame(torch.tensor(values)) for values in product(*moving)]

    def _check_view(self) -> None:
        """Every corner of the pose support must project into the image."""
        axes = [c.name for c in self.where.coordinates if c.name in ("x", "y", "z")]
        spans = [(c.low, c.high) for c in self.where.coordinates if c.name in axes]
        others = [0.0] * (len(self.where) - len(axes))
        for corner, frame in product(np.ndindex(*(2,) * len(spans)), self._extreme_frames()):
            values = [span[side] for span, side in zip(spans, corner)]
            point = self.full_pose(torch.tensor(values + others))[:3]
            image, depth = self.camera.project(point, self._aspect, frame)
            if not (depth > NEAR and image.abs().max() <= 1):  # nor NaN
                place = ", ".join(f"{a}={v:g}" for a, v in zip(axes, values)) or "the fixed position"
                raise ValueError(
                    f"the pose support reaches outside the camera's view: {place} is seen at image coordinates "
                    f"({image[0]:.2f}, {image[1]:.2f}), depth {depth:.2f}, and the image spans [-1, 1]: "
                    "narrow x, y or z, move the camera back or "
                    + (
                        f"widen its field_of_view ({self.camera.field_of_view:g} degrees)"
                        if self.camera.intrinsics is None
                        else "look at its intrinsics and extrinsics"
                    )
                )

    def _check_reach(self, kept: Mapping[str, str]) -> None:
        """Meshes that keep their scale must not reach the camera, nor vanish in a pixel: their units are wrong then."""
        middle = [(c.low + c.high) / 2 for c in self.where.coordinates]
        _, depth = self.camera.project(self.full_pose(torch.tensor(middle))[:3], self._aspect)
        for identity, told in kept.items():
            reach = self.extents.reach[self.identities.index(identity)]
            pixels = float(reach * self._focal / depth * self.image_shape[1])
            if not (reach < depth and pixels >= 1):
                raise ValueError(
                    f"meshes[{identity!r}] reaches {reach:.3g} {self.units} from its origin, and the camera is "
                    f"{float(depth):.3g} {self.units} away, from where that is {pixels:.3g} pixels: its file's lengths "
                    f"are taken for {told}; say by its units what they are"
                )


def _sources(identities: Sequence[str], meshes: dict[str, BareMesh | MeshFile | str]) -> dict[str, MeshFile | str]:
    """By identity, the file or the built-in shape that it is drawn from."""
    check_identities("meshes", meshes)
    _check_names("meshes", meshes, identities)
    for identity in identities:
        if identity not in meshes and identity not in BUILT_IN:
            raise ValueError(
                f"unknown identity {identity!r}: the built-in shapes are {', '.join(BUILT_IN)}; for one of your own, "
                f"say in `meshes` which file it is in, {identity}: FILE"
            )
    given = {identity: meshes.get(identity, identity) for identity in identities}
    files = {identity: mesh_file(f"meshes[{identity!r}]", value) for identity, value in given.items()}
    return {identity: str(file.path) if file.path in BUILT_IN else file for identity, file in files.items()}


def _meshes(
    sources: dict[str, MeshFile | str],
    colors: dict[str, RGB],
    sizes: dict[str, float],
    own: dict[str, RGB],
    units: str | None,
) -> list[Mesh]:
    for name, given in (("colors", colors), ("sizes", sizes)):
        _check_names(name, given, list(sources))
    for identity, color in colors.items():
        check_color(f"colors[{identity!r}]", color)
    for identity, size in sizes.items():
        if not 0 < size < math.inf:
            raise ValueError(f"sizes[{identity!r}] must be positive and finite, got {size}: 1 is the built-in size")
    return [
        _mesh(source, colors.get(identity), identity, own, units or "m").scaled(sizes.get(identity, 1.0))
        for identity, source in sources.items()
    ]


def _mesh(source: MeshFile | str, color: RGB | None, identity: str, own: dict[str, RGB], units: str) -> Mesh:
    if isinstance(source, MeshFile):
        from renderers.mesh.files.building import built  # much to import, and wanted only here

        try:
            return built(source, color, units)
        except ValueError as error:
            raise ValueError(f"meshes[{identity!r}] {error}") from error
    return BUILT_IN[source](own[source] if color is None else color)


def _check_names(name: str, given: Iterable[str], identities: Sequence[str]) -> None:
    for identity in given:
        if identity not in identities:
            raise ValueError(
                f"{name} has {identity!r}, which is not one of the identities drawn: {', '.join(identities)}"
            )
