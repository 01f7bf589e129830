"""What stands still in a mesh scene: light, table, background, and the meshes packed for the kernels."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from renderers.mesh.camera import Camera
from renderers.mesh.projection import Scenery
from renderers.mesh.shapes import RGB, Mesh, check_color
from renderers.mesh.table import Table

WHITE = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Shadow:
    """Each object's shadow on the table: its mesh, cast along the light onto ``y = 0``, darkens what is table there.

    An edge is soft by the light's size: the shadow is the mean of those of ``samples`` directions over the light's
    disc, so it blurs with the height of what casts it (distributed ray tracing, Cook et al. 1984). Shadows of several
    objects multiply. They fall on the table alone, not on objects, and objects hide them.

    Attributes:
        strength: the share of the table's colour that a full shadow takes away, in [0, 1].
        softness: the light's angular radius, degrees; the sun's is 0.27, a lamp's some 5 to 20.
        samples: directions; 1: hard edges, whatever the softness. Each costs about as much as drawing the object.
    """

    strength: float = 0.5
    softness: float = 6.0
    samples: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"shadow strength must lie between 0 and 1, got {self.strength}: 1 leaves no light")
        if not 0 <= self.softness < 45:
            raise ValueError(f"shadow softness must lie between 0 and 45 degrees, got {self.softness}: 6 is a lamp's")
        if self.samples < 1:
            raise ValueError(f"shadow samples must be at least 1 (hard edges), got {self.samples}")


@dataclass(frozen=True)
class Lamp:
    """Another lamp than the light: the shadow that it takes its own share of the table's light in.

    What it adds to objects is a part of the light's ``ambient``.

    Attributes:
        direction: from the scene towards the lamp, any length; it is distant.
        shadow: that objects cast in it.
    """

    direction: tuple[float, float, float]
    shadow: Shadow = Shadow(0.1)

    def __post_init__(self) -> None:
        _check_direction("lamp", self.direction, self.shadow)


@dataclass(frozen=True)
class Mirror:
    """What metal mirrors: ground, sky and the light, by the mirrored direction of sight alone.

    That is an environment map (Blinn and Newell 1976), looked up by direction. Objects do not mirror one another. The
    sight is that of the object's foot: a face mirrors by its normal, wherever on the object it is, which from a few
    units away is a few degrees off. The highlight is nearly Phong's (1975) power of the cosine, without its cut.

    Attributes:
        ground: share of the light that falls on level ground that the ground sends back, in [0, 1]. It is seen from 30
            degrees below the horizon on, and fades up to there.
        sky: how bright all above the horizon is, as a factor on what shines from everywhere.
        highlight: how bright the light itself is, as a factor on what shines from its side.
        sharpness: of the highlight, which falls as ``exp(sharpness (cos - 1))``: 16 to 1 / e at 20 degrees.
    """

    ground: float = 0.65
    sky: float = 0.9
    highlight: float = 2.0
    sharpness: float = 16.0

    def __post_init__(self) -> None:
        if not 0 <= self.ground <= 1:
            raise ValueError(f"mirror ground must lie between 0 and 1, got {self.ground}: 1 sends all light back")
        for name in ("sky", "highlight"):
            if not 0 <= (value := getattr(self, name)) < np.inf:
                raise ValueError(f"mirror {name} must not be negative, and be finite, got {value}: 0 is black")
        if not 0 < self.sharpness < np.inf:
            raise ValueError(
                f"mirror sharpness must be positive and finite, got {self.sharpness}: 16 is a lamp's, higher is a "
                "smaller highlight"
            )


@dataclass(frozen=True)
class Light:
    """A distant light. A face shines with ``ambient + diffuse color max(0, cos)`` times its colour.

    Attributes:
        direction: from the scene towards the light, any length.
        ambient: share of the colour that shines from everywhere, in [0, 1].
        diffuse: share that shines from the light's side; together at most 1. Null: what ``ambient`` leaves of 1.
        color: RGB factor of what shines from the light's side, each in [0, 1].
        ambient_color: RGB factor of what shines from everywhere.
        shadow: which objects cast on the table; null: none.
        distance: from the table's centre, world units: each object sees the light where it stands from there, and its
            share falls with the square of the distance. Null: the light is distant.
        linear: whether the shares are of light, which adds up in linear numbers, and images have them as sRGB, as
            cameras' and path tracers' do; then a face that gets a fifth of the light shines half as bright.
        mirror: what metal objects (``MeshRenderer(metal=...)``) mirror.
        lamps: others, each with a shadow of its own, which adds to the light's.
    """

    direction: tuple[float, float, float] = (0.5, 0.8, 0.35)
    ambient: float = 0.4
    diffuse: float | None = None
    color: RGB = WHITE
    ambient_color: RGB = WHITE
    shadow: Shadow | None = None
    distance: float | None = None
    linear: bool = False
    mirror: Mirror = Mirror()
    lamps: tuple[Lamp, ...] = ()

    def __post_init__(self) -> None:
        _check_direction("light", self.direction, self.shadow)
        if not (self.ambient >= 0 and self.directed >= 0 and self.ambient + self.directed <= 1 + 1e-6):
            raise ValueError(
                f"light ambient and diffuse must not be negative and add up to at most 1, got {self.ambient:g} and "
                f"{self.directed:g}: an image's colours end at 1"
            )
        if self.distance is not None and not 0 < self.distance < np.inf:
            raise ValueError(f"light distance must be positive and finite, got {self.distance}: null is far away")
        check_color("light color", self.color)
        check_color("light ambient_color", self.ambient_color)
        if self.lamps and self.shadow is None:
            raise ValueError(f"light lamps cast shadows, and light shadow is null beside {len(self.lamps)}: give one")
        if self.lamps and self.distance is not None:
            raise ValueError(f"light lamps are distant, got {len(self.lamps)} beside light distance {self.distance:g}")
        taken = self.taken_by_lamps + (self.shadow.strength if self.shadow else 0)
        if not taken <= 1 + 1e-6:
            raise ValueError(f"shadow strengths of light and lamps must add up to at most 1, got {taken:g}")

    @property
    def directed(self) -> float:
        """``diffuse``, or what ``ambient`` leaves of 1."""
        return 1 - self.ambient if self.diffuse is None else self.diffuse

    @property
    def taken_by_lamps(self) -> float:
        """The share of the table's light that the other lamps' shadows take away."""
        return sum(each.shadow.strength for each in self.lamps)

    def directions(self) -> NDArray[np.float64]:
        """Unit vectors (samples, 3) towards the light's disc, evenly spread (Vogel 1979); its middle where hard."""
        return _disc(self.direction, self.shadow)


def _disc(direction: tuple[float, float, float], shadow: Shadow | None) -> NDArray[np.float64]:
    middle = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    if shadow is None or shadow.samples == 1:
        return middle[None]
    # two directions across: the first level, or along x where the light stands straight above
    level = np.cross(middle, (0.0, 1.0, 0.0) if abs(middle[1]) < 0.999 else (1.0, 0.0, 0.0))
    level /= np.linalg.norm(level)
    order = np.arange(shadow.samples)[:, None]
    radius = np.tan(np.radians(shadow.softness)) * np.sqrt((order + 0.5) / shadow.samples)
    turn = order * np.pi * (3 - np.sqrt(5))
    rays = middle + radius * (np.cos(turn) * level + np.sin(turn) * np.cross(middle, level))
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def _check_direction(name: str, direction: tuple[float, float, float], shadow: Shadow | None) -> None:
    if not 1e-6 < np.linalg.norm(direction) < np.inf:
        raise ValueError(f"{name} direction must have a length, got {direction}: (0, 1, 0) shines straight from above")
    if shadow is not None and not (rays := _disc(direction, shadow))[:, 1].min() > 0.05:
        height = np.degrees(np.arcsin(rays[0, 1]))
        raise ValueError(
            f"a {name} that casts shadows must stand above the table, its whole disc by 3 degrees at least, got "
            f"direction {direction}, {height:.0f} degrees high, and softness {shadow.softness:g}: raise its y"
        )


def check_eye(camera: Camera, table: Table) -> None:
    """ValueError unless the camera is above the table, where there is one."""
    if table.width > 0 and not camera.eye[1] > 0:
        raise ValueError(
            f"camera position {camera.eye} is not above the table (y = 0), which would hide what stands on it: "
            "give it a positive y, or draw no table (table width 0)"
        )


def paint_background(camera: Camera, table: Table, height: int, width: int) -> NDArray[np.float32]:
    """The empty scene (3, height, width): each pixel's ray met with the table."""
    ground, inside = _ground(camera, table, height, width)
    x, z = (torch.from_numpy(np.where(inside, ground[..., axis], np.nan)).flatten() for axis in (0, 2))
    return np.ascontiguousarray(table.colors_at(x, z).numpy().reshape(3, height, width), np.float32)


def _ground(camera: Camera, table: Table, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Where each pixel's ray meets the plane ``y = 0``, (height, width, 3), and whether the table is there."""
    rays = camera.lens(width / height).rays(height, width) @ camera.rotation()
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = -camera.eye[1] / rays[..., 1]
        ground = np.asarray(camera.eye) + reach[..., None] * rays
        inside = (reach > 0) & (np.abs(ground[..., [0, 2]]) <= table.half).all(-1)
    return ground, inside


def falling(light: Light) -> dict[str, Any]:
    """Of what kernels read, where the light comes from and what shadows it casts."""
    direction = np.asarray(light.direction, np.float32)
    sources: list[Light | Lamp] = [light, *light.lamps]
    cast = [(each.direction, each.shadow) for each in sources if each.shadow]
    rays = np.concatenate([np.empty((0, 3)), *(_disc(*each) for each in cast)])
    return {
        "light": direction / np.linalg.norm(direction),
        "leans": np.ascontiguousarray(rays[:, [0, 2]] / rays[:, 1:2], np.float32),
        "darkening": np.array([s.strength / s.samples for _, s in cast for _ in range(s.samples)], np.float32),
        "near": np.float32(0 if light.distance is None else 1 / light.distance),
        "gamma": np.float32(1 / 2.2 if light.linear else 1),
    }


def pack(
    meshes: Sequence[Mesh],
    camera: Camera,
    light: Light,
    background: NDArray[np.float32],
    supersample: int,
    table: Table = Table(),
) -> Scenery:
    """All that the kernels read, for images of ``background``'s size.

    They know one focal length and an axis in the middle of the image: what else a lens does is in the ``rotation``.
    """
    _, height, width = background.shape
    edges = [edges_of(m) for m in meshes]
    return Scenery(
        vertices=np.ascontiguousarray(np.concatenate([m.vertices for m in meshes]).T),
        faces=np.ascontiguousarray(np.concatenate([m.faces for m in meshes]).T),
        planes=np.ascontiguousarray(np.concatenate([_planes(m) for m in meshes]).T),
        colors=np.concatenate([m.drawn for m in meshes]),
        vertex_start=np.cumsum([0] + [len(m.vertices) for m in meshes]).astype(np.int32),
        face_start=np.cumsum([0] + [len(m.faces) for m in meshes]).astype(np.int32),
        edges=np.ascontiguousarray(np.concatenate(edges).T),
        edge_start=np.cumsum([0] + [len(each) for each in edges]).astype(np.int32),
        flat=np.array([bool((m.drawn == m.drawn[:, :1]).all()) for m in meshes]),
        closed=np.array([m.closed for m in meshes]),
        rotation=(camera.lens(width / height).sheared(width / height) @ camera.rotation()).astype(np.float32),
        eye=np.asarray(camera.eye, np.float32),
        focal=np.float32(camera.focal() * height / 2),
        ambient=np.float32(light.ambient) * np.asarray(light.ambient_color, np.float32),
        diffuse=np.float32(light.directed) * np.asarray(light.color, np.float32),
        table=_ground(camera, table, height, width)[1].ravel(),
        mirror=np.array(astuple(light.mirror), np.float32),
        background=background.reshape(3, -1),
        height=height,
        width=width,
        supersample=supersample,
        **falling(light),
    )


def _planes(mesh: Mesh) -> NDArray[np.float32]:
    """(F, 4): each face's unit normal n and ``n . p`` of its points p."""
    a, b, c = (mesh.vertices[mesh.faces[:, corner]].astype(np.float64) for corner in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return np.concatenate([normal, (normal * a).sum(1, keepdims=True)], 1).astype(np.float32)


def edges_of(mesh: Mesh) -> NDArray[np.int32]:
    """(E, 4): the edges of a closed mesh as ``Scenery`` has them; none if one has no second face.

    Vertices at the same place are one, whatever their number.
    """
    _, first, place = np.unique(mesh.vertices, axis=0, return_index=True, return_inverse=True)
    starts = first[place.reshape(-1)][mesh.faces]
    ends, faces = np.roll(starts, -1, 1), np.arange(len(starts)).repeat(3)

    def ascending(a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.intp]:
        rows = np.stack([a.ravel(), b.ravel(), faces], 1)[(a < b).ravel()]
        return rows[np.lexsort(rows.T[::-1])]

    one, other = ascending(starts, ends), ascending(ends, starts)
    if not mesh.closed or not np.array_equal(one[:, :2], other[:, :2]):
        return np.empty((0, 4), np.int32)
    return np.concatenate([one, other[:, 2:]], 1).astype(np.int32)
