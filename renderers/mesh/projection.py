"""Where the corners of a mesh and of its shadow fall on the screen, and what light its faces get: numba kernels.

Also what all numba kernels of this folder share: the ``Scenery`` that they draw, how they are compiled, constants.

Faces with a corner nearer than ``NEAR`` are not drawn. An object whose pose is not finite, or whose coordinates add up
to more than ``FAR``, is not drawn. A pose is x, y, z and yaw, or these and the attributes of
``renderers.mesh.attributes``: all of ``COLUMNS``.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

GEOMETRY = 7
"""So many of a pose's numbers say where an object is, how turned, and how large; the others are its colour."""
NEAR = 0.05
FAR = 1e6
Float = NDArray[np.float32]
Int = NDArray[np.int32]

# of float32, so that nothing is promoted to float64
ZERO, HALF, ONE, TWO, THREE, HUGE, NEAREST, FARTHEST = np.array([0, 0.5, 1, 2, 3, 1e9, NEAR, FAR], np.float32)
LEAST_AREA, LOW = np.float32(1e-12), np.float32(0.2)
FADE = np.float32(0.5)  # the sine of how far below the horizon a mirrored ground begins to fade into the sky

# fastmath without its promise that no number is NaN or infinite: poses and gradients may be.
FAST: dict[str, Any] = {"fastmath": {"reassoc", "contract", "arcp", "nsz"}, "error_model": "numpy", "cache": True}
# What runs once an object or more often only borrows its arrays. Counting references to them (nrt) would cost half a
# microsecond an object, as much again as a cube's faces.
LEAN: dict[str, Any] = {**FAST, "_nrt": False}
outer, inner, inlined = njit(**FAST, nogil=True), njit(**LEAN), njit(**LEAN, inline="always")


def renew_cache(kernel: Any, *sources: str) -> None:
    """Drop what numba keeps of the file of ``kernel`` if one of the files ``sources`` is newer.

    Numba itself compares with the function's own file, not with the files of what it calls.
    """
    newest = max(Path(source).stat().st_mtime for source in sources)
    name = kernel.py_func.__module__.rpartition(".")[2]
    for kept in Path(kernel.stats.cache_path).glob(f"{name}.*.nb[ci]"):
        with suppress(FileNotFoundError):  # another process may be at it
            if kept.stat().st_mtime < newest:
                kept.unlink()


class Scenery(NamedTuple):
    """Everything the kernels need to know besides the objects' identities and poses.

    ``vertices`` (3, V), ``faces`` (3, F), ``planes`` (4, F) and ``colors`` (F, 3, 3) hold all identities one after
    another; identity k owns ``vertex_start[k]:vertex_start[k + 1]`` of the vertices, and likewise of the faces, which
    are indices local to the identity. A face's plane is its outward unit normal n and ``n . p`` of its points p; its
    colours are (corner, rgb). ``flat[k]``: each face has one colour. ``closed[k]``: back faces are skipped.
    ``edges`` (4, E), where ``edge_start`` says, are those of closed meshes: from one vertex to another, the face to
    whose boundary an edge belongs so, and the one to which it belongs the other way round; none of a mesh with a hole.
    ``rotation`` (3, 3) and ``eye`` (3,) are the camera's, ``focal`` in samples, ``light`` (3,) a unit vector
    towards the light, ``ambient`` and ``diffuse`` (3,) its RGB shares, ``background`` (3, height * width) in samples.
    ``near`` is 1 / the light's distance from the origin, 0 for a distant one; a face shines with its colour times its
    light to the power ``gamma``, at most 1. ``mirror`` (4,) is ground, sky, highlight and sharpness of a ``Mirror``.
    Of shadows: a point at height y casts one at ``-y leans[k]`` (x, z) from its foot for each of K directions (K, 2);
    each takes ``darkening[k]`` of the light of those samples that are ``table`` (height * width). Without, K is 0.
    ``views`` (B, 21 + 2 K) are rotation, eye, light, ambient, diffuse and ``leans`` of each of B scenes, ``tables``
    (B, height * width) what is ``table`` in each, where K is not 0; with 0 in the place of B all have the same.
    """

    vertices: Float
    faces: Int
    planes: Float
    colors: Float
    vertex_start: Int
    face_start: Int
    edges: Int
    edge_start: Int
    flat: NDArray[np.bool_]
    closed: NDArray[np.bool_]
    rotation: Float
    eye: Float
    focal: np.float32
    light: Float
    ambient: Float
    diffuse: Float
    background: Float
    height: int
    width: int
    supersample: int
    leans: Float
    darkening: Float
    table: NDArray[np.bool_]
    near: np.float32
    gamma: np.float32
    mirror: Float
    views: Float = np.empty((0, 21), np.float32)
    tables: NDArray[np.bool_] = np.empty((0, 0), np.bool_)


@inner
def is_real(pose: Any) -> bool:
    """Whether a pose can be drawn."""
    total = ZERO
    for j in range(pose.shape[0]):
        total += abs(pose[j])
    return bool(total <= FARTHEST)


@inner
def turning(pose: Any) -> Any:
    """An object's rotation ``Rx(pitch) Rz(roll) Ry(yaw)`` row by row, and its size."""
    c, s = np.cos(pose[3]), np.sin(pose[3])
    if pose.shape[0] == 4:
        return c, ZERO, s, ZERO, ONE, ZERO, -s, ZERO, c, ONE
    size, cp, sp, cr, sr = pose[4], np.cos(pose[5]), np.sin(pose[5]), np.cos(pose[6]), np.sin(pose[6])
    first = cr * c, -sr, cr * s
    second = cp * sr * c + sp * s, cp * cr, cp * sr * s - sp * c
    third = sp * sr * c - cp * s, sp * cr, sp * sr * s + cp * c
    return (*first, *second, *third, size)


@inner
def moved(pose: Any, before: Any) -> bool:
    """Whether one of two poses is elsewhere, turned, or larger: what differs is more than the colour."""
    same = is_real(pose) and is_real(before)
    for j in range(min(GEOMETRY, pose.shape[0])):
        same = same and pose[j] == before[j]
    return not same


@inner
def tint(pose: Any) -> Any:
    """The factors on an object's colours."""
    return (ONE, ONE, ONE) if pose.shape[0] == 4 else (pose[7], pose[8], pose[9])


@inner
def _axes(r: Any, pose: Any) -> Any:
    """An object's axes, as long as it is large, seen in a frame of axes ``r``, row by row."""
    if pose.shape[0] == 4:
        c, s = np.cos(pose[3]), np.sin(pose[3])
        right = r[0, 0] * c - r[0, 2] * s, r[0, 1], r[0, 0] * s + r[0, 2] * c
        up = r[1, 0] * c - r[1, 2] * s, r[1, 1], r[1, 0] * s + r[1, 2] * c
        return *right, *up, r[2, 0] * c - r[2, 2] * s, r[2, 1], r[2, 0] * s + r[2, 2] * c
    x, y, z, u, v, w, a, b, c, size = turning(pose)
    rows = r[0, 0], r[0, 1], r[0, 2], r[1, 0], r[1, 1], r[1, 2], r[2, 0], r[2, 1], r[2, 2]
    i, j, k, e, f, g, o, p, q = rows
    right = size * (i * x + j * u + k * a), size * (i * y + j * v + k * b), size * (i * z + j * w + k * c)
    up = size * (e * x + f * u + g * a), size * (e * y + f * v + g * b), size * (e * z + f * w + g * c)
    return *right, *up, size * (o * x + p * u + q * a), size * (o * y + p * v + q * b), size * (o * z + p * w + q * c)


@inner
def project(s: Any, identity: int, pose: Any, screen: Any) -> int:
    """Vertices of one object to ``screen`` (x, y, 1/z; V), x and y in samples from the top left; their number.

    1/z is -1 for those nearer than NEAR.
    """
    if not is_real(pose):
        return 0
    r, f = s.rotation, s.focal
    # the object's axes seen from the camera, and its foot; across and down in samples at depth 1
    xx, xy, xz, yx, yy, yz, zx, zy, zz = _axes(r, pose)
    xx, xy, xz, yx, yy, yz = f * xx, f * xy, f * xz, f * yx, f * yy, f * yz
    a, b, c = pose[0] - s.eye[0], pose[1] - s.eye[1], pose[2] - s.eye[2]
    x0 = f * (r[0, 0] * a + r[0, 1] * b + r[0, 2] * c)
    y0 = f * (r[1, 0] * a + r[1, 1] * b + r[1, 2] * c)
    z0 = r[2, 0] * a + r[2, 1] * b + r[2, 2] * c
    middle_x, middle_y = np.float32(0.5 * s.width), np.float32(0.5 * s.height)
    start, stop = s.vertex_start[identity], s.vertex_start[identity + 1]
    # slices of their own: the loop below is vectorised only over arrays that start at index 0
    ax, ay, az = s.vertices[0, start:stop], s.vertices[1, start:stop], s.vertices[2, start:stop]
    px, py, pw = screen[0], screen[1], screen[2]
    for v in range(stop - start):
        x, y, z = ax[v], ay[v], az[v]
        depth = z0 + zx * x + zy * y + zz * z
        seen = depth >= NEAREST
        inverse = ONE / (depth if seen else ONE)
        px[v] = middle_x + inverse * (x0 + xx * x + xy * y + xz * z)
        py[v] = middle_y - inverse * (y0 + yx * x + yy * y + yz * z)
        pw[v] = inverse if seen else -ONE
    return stop - start


@inner
def towards_light(s: Any, pose: Any) -> Any:
    """The unit vector from an object's foot to the light, and how strong it is there."""
    x, y, z = s.light[0] - s.near * pose[0], s.light[1] - s.near * pose[1], s.light[2] - s.near * pose[2]
    nearness = ONE / np.sqrt(x * x + y * y + z * z) if s.near > 0 else ONE
    return x * nearness, y * nearness, z * nearness, nearness * nearness


@inner
def lean(s: Any, pose: Any, k: int) -> Any:
    """How far an object's shadow in the k-th direction lies back for each unit of height."""
    near = s.near / s.light[1] if s.near > 0 else ZERO
    up = max(LOW, ONE - near * pose[1])
    return (s.leans[k, 0] - near * pose[0]) / up, (s.leans[k, 1] - near * pose[2]) / up


@inner
def face_light(s: Any, c: int, lit: Any) -> Any:
    """What a face shines with of its colour's channel c, ``lit`` from the light's side."""
    light = s.ambient[c] + s.diffuse[c] * lit
    return light if s.gamma == ONE else light**s.gamma


@inner
def metal(pose: Any) -> Any:
    """The share of an object's light that it mirrors."""
    return ZERO if pose.shape[0] == 4 else min(ONE, pose[10])


@inner
def _dot(a: Any, b: Any) -> Any:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inner
def mirrored(s: Any, normal: Any, sight: Any, light: Any, up: Any, strength: Any) -> Any:
    """What a mirror of that normal shows: how much of what shines from everywhere, and from the light's side.

    ``sight`` is the direction towards the eye, ``light`` that towards the light, which is so strong; unit vectors all.
    """
    twice = TWO * _dot(normal, sight)
    height, nearness = twice * _dot(normal, up) - _dot(sight, up), twice * _dot(normal, light) - _dot(sight, light)
    rise = min(ONE, max(ZERO, (height + FADE) / FADE))
    sky = rise * rise * (THREE - TWO * rise)
    ground = s.mirror[0] * (ONE - sky)
    lamp = ground * max(ZERO, _dot(up, light)) + s.mirror[2] * np.exp(s.mirror[3] * (nearness - ONE))
    return ground + s.mirror[1] * sky, strength * lamp


@inner
def metal_light(s: Any, c: int, share: Any, lit: Any, glow: Any, lamp: Any) -> Any:
    """As ``face_light``, of a face that mirrors a share, in which ``glow`` and ``lamp`` are seen (``mirrored``)."""
    light = s.ambient[c] * (ONE + share * (glow - ONE)) + s.diffuse[c] * (lit + share * (lamp - lit))
    return light if s.gamma == ONE else light**s.gamma


@inner
def project_shadow(s: Any, identity: int, pose: Any, k: int, screen: Any) -> int:
    """As ``project``, of the shadow that the k-th direction of the light casts on the table."""
    if not is_real(pose):
        return 0
    a0, a1, a2, b0, b1, b2, c0, c1, c2, size = turning(pose)
    lean_x, lean_z = lean(s, pose, k)
    r, f = s.rotation, s.focal
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = (
        f * r[0, 0], f * r[0, 1], f * r[0, 2], f * r[1, 0], f * r[1, 1], f * r[1, 2], r[2, 0], r[2, 1], r[2, 2]
    )  # fmt: skip
    x0, y0, z0 = pose[0] - s.eye[0], -s.eye[1], pose[2] - s.eye[2]
    middle_x, middle_y = np.float32(0.5 * s.width), np.float32(0.5 * s.height)
    start, stop = s.vertex_start[identity], s.vertex_start[identity + 1]
    ax, ay, az = s.vertices[0, start:stop], s.vertices[1, start:stop], s.vertices[2, start:stop]
    px, py, pw = screen[0], screen[1], screen[2]
    for v in range(stop - start):
        x, y, z = size * ax[v], size * ay[v], size * az[v]
        tall = pose[1] + b0 * x + b1 * y + b2 * z
        a, c = x0 + a0 * x + a2 * z + a1 * y - lean_x * tall, z0 + c0 * x + c2 * z + c1 * y - lean_z * tall
        depth = r20 * a + r21 * y0 + r22 * c
        seen = depth >= NEAREST
        inverse = ONE / (depth if seen else ONE)
        px[v] = middle_x + inverse * (r00 * a + r01 * y0 + r02 * c)
        py[v] = middle_y - inverse * (r10 * a + r11 * y0 + r12 * c)
        pw[v] = inverse if seen else -ONE
    return stop - start


@inner
def bound(screen: Any, count: int, window: Any, align: int, box: Any) -> None:
    """``box`` becomes the samples in ``window`` whose centres the first ``count`` vertices enclose; all 0 if none."""
    low_x, low_y, high_x, high_y = HUGE, HUGE, -HUGE, -HUGE
    for v in range(count):
        x, y = screen[0, v], screen[1, v]
        if screen[2, v] > 0:
            low_x, high_x, low_y, high_y = min(low_x, x), max(high_x, x), min(low_y, y), max(high_y, y)
    box[0] = max(window[0], int(np.ceil(low_x - HALF)) // align * align)
    box[1] = max(window[1], int(np.ceil(low_y - HALF)) // align * align)
    box[2] = min(window[2], int(np.floor(high_x - HALF)) // align * align + align)
    box[3] = min(window[3], int(np.floor(high_y - HALF)) // align * align + align)
    if box[0] >= box[2] or box[1] >= box[3]:
        box[:] = 0
