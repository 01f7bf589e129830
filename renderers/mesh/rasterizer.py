"""The embedded z-buffer rasteriser: numba kernels that draw meshes.

Two entry points, both float32, each for the objects or scenes ``start`` to ``stop``:

- ``draw_layers``: one object, one layer (colour and depth);
- ``draw_canvases``: prefix canvases 0..N of a batch of scenes.

``renderers.mesh.swaps`` differences what they draw, in place.

Coverage is by pixel centre (top-left ties may be drawn by both neighbours, which have the same depth there).
Faces with a corner nearer than ``NEAR`` are not drawn. Depth and colour are interpolated with perspective.
An object whose pose is not finite, or whose coordinates add up to more than ``FAR``, is not drawn.
A pose is x, y, z and yaw, or these and the attributes of ``renderers.mesh.attributes``: all of ``COLUMNS``.

A buffer is a flat array (4, samples) here: red, green, blue and nearness, which is 1 / depth and 0 where nothing
is; its sample (y, x) is entry ``y * width + x``. Boxes are (left, top, right, bottom) in samples, the last two
exclusive, all four multiples of ``supersample``; a buffer may be of a box only, the ``window``.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

NEAR = 0.05
FAR = 1e6
Float = NDArray[np.float32]
Int = NDArray[np.int32]

# of float32, so that nothing is promoted to float64
ZERO, HALF, ONE, HUGE, NEAREST, FARTHEST = np.array([0, 0.5, 1, 1e9, NEAR, FAR], np.float32)
LEAST_AREA, LOW = np.float32(1e-12), np.float32(0.2)

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
        if kept.stat().st_mtime < newest:
            kept.unlink(missing_ok=True)


class Scenery(NamedTuple):
    """Everything the kernels need to know besides the objects' identities and poses.

    ``vertices`` (3, V), ``faces`` (3, F), ``planes`` (4, F) and ``colors`` (F, 3, 3) hold all identities one after
    another; identity k owns ``vertex_start[k]:vertex_start[k + 1]`` of the vertices, and likewise of the faces, which
    are indices local to the identity. A face's plane is its outward unit normal n and ``n . p`` of its points p; its
    colours are (corner, rgb). ``flat[k]``: each face has one colour. ``closed[k]``: back faces are skipped.
    ``rotation`` (3, 3) and ``eye`` (3,) are the camera's, ``focal`` in samples, ``light`` (3,) a unit vector
    towards the light, ``ambient`` and ``diffuse`` (3,) its RGB shares, ``background`` (3, height * width) in samples.
    ``near`` is 1 / the light's distance from the origin, 0 for a distant one; a face shines with its colour times its
    light to the power ``gamma``, at most 1.
    Of shadows: a point at height y casts one at ``-y leans[k]`` (x, z) from its foot for each of K directions (K, 2);
    each takes ``darkening`` of the light of those samples that are ``table`` (height * width). Without, K is 0.
    ``views`` (B, 21) are rotation, eye, light, ambient and diffuse of each of B scenes; (0, 21): all have the same.
    """

    vertices: Float
    faces: Int
    planes: Float
    colors: Float
    vertex_start: Int
    face_start: Int
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
    darkening: np.float32
    table: NDArray[np.bool_]
    near: np.float32
    gamma: np.float32
    views: Float = np.empty((0, 21), np.float32)


@inner
def _real(pose: Any) -> bool:
    """Whether a pose can be drawn."""
    total = ZERO
    for j in range(pose.shape[0]):
        total += abs(pose[j])
    return bool(total <= FARTHEST)


@inner
def _turn(pose: Any) -> Any:
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
def _tint(pose: Any) -> Any:
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
    x, y, z, u, v, w, a, b, c, size = _turn(pose)
    rows = r[0, 0], r[0, 1], r[0, 2], r[1, 0], r[1, 1], r[1, 2], r[2, 0], r[2, 1], r[2, 2]
    i, j, k, e, f, g, o, p, q = rows
    right = size * (i * x + j * u + k * a), size * (i * y + j * v + k * b), size * (i * z + j * w + k * c)
    up = size * (e * x + f * u + g * a), size * (e * y + f * v + g * b), size * (e * z + f * w + g * c)
    return *right, *up, size * (o * x + p * u + q * a), size * (o * y + p * v + q * b), size * (o * z + p * w + q * c)


@inner
def _project(s: Any, identity: int, pose: Any, screen: Any) -> int:
    """Vertices of one object to ``screen`` (x, y, 1/z; V), x and y in samples from the top left; their number.

    1/z is -1 for those nearer than NEAR.
    """
    if not _real(pose):
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
def _towards_light(s: Any, pose: Any) -> Any:
    """The unit vector from an object's foot to the light, and how strong it is there."""
    x, y, z = s.light[0] - s.near * pose[0], s.light[1] - s.near * pose[1], s.light[2] - s.near * pose[2]
    nearness = ONE / np.sqrt(x * x + y * y + z * z) if s.near > 0 else ONE
    return x * nearness, y * nearness, z * nearness, nearness * nearness


@inner
def _lean(s: Any, pose: Any, k: int) -> Any:
    """How far an object's shadow in the k-th direction lies back for each unit of height."""
    near = s.near / s.light[1] if s.near > 0 else ZERO
    up = max(LOW, ONE - near * pose[1])
    return (s.leans[k, 0] - near * pose[0]) / up, (s.leans[k, 1] - near * pose[2]) / up


@inner
def _shade(s: Any, c: int, lit: Any) -> Any:
    """What a face shines with of its colour's channel c, ``lit`` from the light's side."""
    light = s.ambient[c] + s.diffuse[c] * lit
    return light if s.gamma == ONE else light**s.gamma


@inner
def _project_shadow(s: Any, identity: int, pose: Any, k: int, screen: Any) -> int:
    """As ``_project``, of the shadow that the k-th direction of the light casts on the table."""
    if not _real(pose):
        return 0
    a0, a1, a2, b0, b1, b2, c0, c1, c2, size = _turn(pose)
    lean_x, lean_z = _lean(s, pose, k)
    r, f = s.rotation, s.focal
    x0, y0, z0 = pose[0] - s.eye[0], -s.eye[1], pose[2] - s.eye[2]
    middle_x, middle_y = np.float32(0.5 * s.width), np.float32(0.5 * s.height)
    start = s.vertex_start[identity]
    for v in range(s.vertex_start[identity + 1] - start):
        x, y, z = size * s.vertices[0, start + v], size * s.vertices[1, start + v], size * s.vertices[2, start + v]
        tall = pose[1] + b0 * x + b1 * y + b2 * z
        a, c = x0 + a0 * x + a2 * z + a1 * y - lean_x * tall, z0 + c0 * x + c2 * z + c1 * y - lean_z * tall
        depth = r[2, 0] * a + r[2, 1] * y0 + r[2, 2] * c
        seen = depth >= NEAREST
        inverse = ONE / (depth if seen else ONE)
        screen[0, v] = middle_x + inverse * f * (r[0, 0] * a + r[0, 1] * y0 + r[0, 2] * c)
        screen[1, v] = middle_y - inverse * f * (r[1, 0] * a + r[1, 1] * y0 + r[1, 2] * c)
        screen[2, v] = inverse if seen else -ONE
    return int(s.vertex_start[identity + 1] - start)


@inner
def _bound(screen: Any, count: int, window: Any, align: int, box: Any) -> None:
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


@inner
def _edge(x: Any, y: Any, dx: Any, dy: Any, left: bool) -> Any:
    """The edge through (x, y) along (dx, dy) as bounds of row y's columns, a + b y to c + d y."""
    if dy == 0:
        return -HUGE, ZERO, HUGE, ZERO
    slope = dx / dy
    at = x - HALF - slope * (y - HALF)
    return (at, slope, HUGE, ZERO) if left else (-HUGE, ZERO, at, slope)


@inner
def _gradient(bx: Any, by: Any, cx: Any, cy: Any, a: Any, b: Any, c: Any) -> Any:
    """Of what is a, b, c at a triangle's corners (0, 0), (bx, by), (cx, cy); times twice its area."""
    return (b - a) * cy - (c - a) * by, (c - a) * bx - (b - a) * cx


@inlined
def _fill(
    screen: Any, i: int, j: int, k: int, paint: Any, flat: bool, shade: Any, buffer: Any, window: Any, box: Any
) -> None:
    """Rasterise the face of vertices i, j, k, where it is nearest. ``paint`` (corner, rgb) is its colours."""
    ax, ay, aw = screen[0, i], screen[1, i], screen[2, i]
    bx, by, bw = screen[0, j], screen[1, j], screen[2, j]
    cx, cy, cw = screen[0, k], screen[1, k], screen[2, k]
    first = max(box[1], int(np.ceil(min(ay, by, cy) - HALF)))
    last = min(box[3] - 1, int(np.floor(max(ay, by, cy) - HALF)))
    start = max(np.float32(box[0]), np.ceil(min(ax, bx, cx) - HALF))
    stop = min(np.float32(box[2] - 1), np.floor(max(ax, bx, cx) - HALF))
    if first > last or start > stop or min(aw, bw, cw) < 0:
        return
    bx, by, cx, cy = bx - ax, by - ay, cx - ax, cy - ay
    area = bx * cy - by * cx
    if abs(area) < LEAST_AREA:
        return
    turn = area > 0  # which side of its edges is inside: those to its left bound a row from the left
    l0, l0y, r0, r0y = _edge(ax, ay, cx, cy, (cy > 0) == turn)
    l1, l1y, r1, r1y = _edge(ax, ay, bx, by, (by < 0) == turn)
    l2, l2y, r2, r2y = _edge(ax + bx, ay + by, cx - bx, cy - by, (by > cy) == turn)
    wx, wy = _gradient(bx, by, cx, cy, aw, bw, cw)
    wx, wy = wx / area, wy / area
    w0 = aw - wx * (ax - HALF) - wy * (ay - HALF)
    red, green = min(ONE, shade[0] * paint[0, 0]), min(ONE, shade[1] * paint[0, 1])
    blue = min(ONE, shade[2] * paint[0, 2])
    for y in range(first, last + 1):
        row, line = (y - window[1]) * (window[2] - window[0]) - window[0], np.float32(y)
        left = max(max(l0 + l0y * line, l1 + l1y * line), max(l2 + l2y * line, start))
        right = min(min(r0 + r0y * line, r1 + r1y * line), min(r2 + r2y * line, stop))
        if not left <= right:
            continue
        for x in range(int(np.ceil(left)), int(right) + 1):
            w = w0 + wy * line + wx * np.float32(x)
            if w > buffer[3, row + x]:
                buffer[3, row + x] = w
                if flat:
                    buffer[0, row + x], buffer[1, row + x], buffer[2, row + x] = red, green, blue
                else:
                    dx, dy = np.float32(x) + HALF - ax, line + HALF - ay
                    for n in range(3):
                        a, b, c = aw * paint[0, n], bw * paint[1, n], cw * paint[2, n]
                        gx, gy = _gradient(bx, by, cx, cy, a, b, c)
                        buffer[n, row + x] = min(ONE, shade[n] * (a + (gx * dx + gy * dy) / area) / w)


@inner
def rows(window: Any, box: Any) -> Any:
    """The rows of ``box`` in a buffer of ``window``: their first sample, and the one after their last."""
    width = window[2] - window[0]
    return (box[1] - window[1]) * width, (box[3] - window[1]) * width


@inner
def draw(s: Any, identity: int, pose: Any, window: Any, screen: Any, buffer: Any, box: Any) -> None:
    """One object into a ``buffer`` of ``window``; ``box`` becomes its bounds.

    Nearness is written in all rows of the box, colour where the object is; the rest stays as it was.
    """
    count = _project(s, identity, pose, screen)
    _bound(screen, count, window, s.supersample, box)
    nearness = buffer[3]
    for p in range(*rows(window, box)):
        nearness[p] = ZERO
    a0, a1, a2, b0, b1, b2, c0, c1, c2, size = _turn(pose)
    lx, ly, lz, strength = _towards_light(s, pose)
    lx, ly, lz = a0 * lx + c0 * lz + b0 * ly, a1 * lx + c1 * lz + b1 * ly, a2 * lx + c2 * lz + b2 * ly
    x, y, z = s.eye[0] - pose[0], s.eye[1] - pose[1], s.eye[2] - pose[2]
    x, y, z = a0 * x + c0 * z + b0 * y, a1 * x + c1 * z + b1 * y, a2 * x + c2 * z + b2 * y
    red, green, blue = _tint(pose)
    flat, closed = s.flat[identity], s.closed[identity]
    for face in range(s.face_start[identity], s.face_start[identity + 1] if box[2] else 0):
        nx, ny, nz = s.planes[0, face], s.planes[1, face], s.planes[2, face]
        outside = nx * x + ny * y + nz * z > size * s.planes[3, face]
        if closed and not outside:
            continue
        facing = nx * lx + ny * ly + nz * lz
        lit = strength * max(ZERO, facing if outside else -facing)
        shade = red * _shade(s, 0, lit), green * _shade(s, 1, lit), blue * _shade(s, 2, lit)
        i, j, k = s.faces[0, face], s.faces[1, face], s.faces[2, face]
        _fill(screen, i, j, k, s.colors[face], flat, shade, buffer, window, box)


@inner
def widen(box: Any, by: Any) -> None:
    """``box`` becomes the smallest around it and another; those of nothing are all 0."""
    if box[2] == 0:
        box[0], box[1], box[2], box[3] = by[0], by[1], by[2], by[3]
    elif by[2] > 0:
        box[0], box[1], box[2], box[3] = min(box[0], by[0]), min(box[1], by[1]), max(box[2], by[2]), max(box[3], by[3])


@inner
def _silhouette(s: Any, identity: int, pose: Any, k: int, screen: Any, buffer: Any, window: Any, box: Any) -> None:
    """Nearness in the ``box`` of the shadow that the k-th direction of the light casts; ``box`` from ``_bound``."""
    for p in range(*rows(window, box)):
        buffer[3, p] = ZERO
    a0, a1, a2, b0, b1, b2, c0, c1, c2, _ = _turn(pose)
    x, z = _lean(s, pose, k)
    lx, ly, lz = a0 * x + c0 * z + b0, a1 * x + c1 * z + b1, a2 * x + c2 * z + b2
    black = ZERO, ZERO, ZERO
    for face in range(s.face_start[identity], s.face_start[identity + 1] if box[2] else 0):
        # the lit side of a closed mesh casts all of its shadow
        if s.closed[identity] and not s.planes[0, face] * lx + s.planes[1, face] * ly + s.planes[2, face] * lz > 0:
            continue
        i, j, m = s.faces[0, face], s.faces[1, face], s.faces[2, face]
        _fill(screen, i, j, m, s.colors[face], True, black, buffer, window, box)


@inner
def shadow(
    s: Any, identity: int, pose: Any, window: Any, dark: Any, screen: Any, part: Any, shade: Any, box: Any
) -> None:
    """What one object lets through of the table's light, ``shade`` of ``window``; ``box`` becomes the shadow's bounds.

    ``dark`` is a buffer to work in, ``part`` a box.
    """
    width = window[2] - window[0]
    for p in range(width * (window[3] - window[1])):
        shade[p] = ONE
    box[:] = 0
    for k in range(s.leans.shape[0]):
        count = _project_shadow(s, identity, pose, k, screen)
        _bound(screen, count, window, s.supersample, part)
        widen(box, part)
        _silhouette(s, identity, pose, k, screen, dark, window, part)
        for y in range(part[1], part[3]):
            for x in range(part[0], part[2]):
                p = (y - window[1]) * width + x - window[0]
                if dark[3, p] > 0 and s.table[y * s.width + x]:
                    shade[p] -= s.darkening


@inner
def dim(shade: Any, shade_width: int, box: Any, window: Any, buffer: Any) -> None:
    """Darken the ground that is seen in a ``buffer`` of ``window`` by the ``box`` of a whole buffer's ``shade``."""
    width = window[2] - window[0]
    for y in range(max(box[1], window[1]), min(box[3], window[3])):
        for x in range(max(box[0], window[0]), min(box[2], window[2])):
            q = (y - window[1]) * width + x - window[0]
            if buffer[3, q] == 0:
                factor = shade[y * shade_width + x]
                for c in range(3):
                    buffer[c, q] *= factor


@njit(cache=True)
def seen(s: Any, b: int) -> Any:
    """The scenery of scene b."""
    if s.views.shape[0] == 0:
        return s
    v = s.views[b if s.views.shape[0] > 1 else 0]
    return Scenery(
        s.vertices, s.faces, s.planes, s.colors, s.vertex_start, s.face_start, s.flat, s.closed,
        v[:9].copy().reshape(3, 3), v[9:12].copy(), s.focal, v[12:15].copy(), v[15:18].copy(), v[18:21].copy(),
        s.background, s.height, s.width, s.supersample, s.leans, s.darkening, s.table, s.near, s.gamma, s.views,
    )  # fmt: skip


@njit(cache=True)
def workspace(s: Any) -> Any:
    """For one thread: the whole buffer as a window, space for vertices on the screen, for a buffer, for a box."""
    most = 0
    for k in range(s.vertex_start.shape[0] - 1):
        most = max(most, s.vertex_start[k + 1] - s.vertex_start[k])
    whole, box = np.array([0, 0, s.width, s.height]), np.zeros(4, np.int64)
    return whole, np.empty((3, most), np.float32), np.empty((4, s.height * s.width), np.float32), box


@njit(cache=True)
def darkroom(s: Any) -> Any:
    """For one thread that draws shadows: a buffer to work in, and space for a box; nothing where there are none."""
    samples = s.height * s.width if s.leans.shape[0] else 0
    return np.empty((4, samples), np.float32), np.zeros(4, np.int64)


@outer
def draw_layers(start: int, stop: int, s: Any, identities: Any, poses: Any, layers: Any) -> None:
    """Draw M objects, identities (M,), poses (M, P), as ``layers`` (M, 4 or 5, SH * SW): red, green, blue, depth,
    shade.

    The shade is there if the light casts shadows.
    """
    whole, screen, _, box = workspace(s)
    dark, part = darkroom(s)
    for m in range(start, stop):
        layer = layers[m]
        layer[:] = ZERO
        layer[3] = np.inf
        t = seen(s, m * s.views.shape[0] // identities.shape[0])
        draw(t, identities[m], poses[m], whole, screen, layer, box)
        for p in range(*rows(whole, box)):
            layer[3, p] = ONE / layer[3, p]
        if s.leans.shape[0]:
            shadow(s, identities[m], poses[m], whole, dark, screen, part, layer[4], box)


@inner
def overlay(source: Any, source_width: int, box: Any, window: Any, buffer: Any) -> None:
    """Put the ``box`` of a whole buffer over the ``buffer`` of ``window`` where it is nearer."""
    width = window[2] - window[0]
    for y in range(max(box[1], window[1]), min(box[3], window[3])):
        for x in range(max(box[0], window[0]), min(box[2], window[2])):
            p, q = y * source_width + x, (y - window[1]) * width + x - window[0]
            if source[3, p] > buffer[3, q]:
                for c in range(4):
                    buffer[c, q] = source[c, p]


@inner
def copy(source: Any, target: Any) -> None:
    """``target`` from ``source``, which may be longer. (A slice assigned to a slice would not be vectorised.)"""
    for p in range(target.shape[0]):
        target[p] = source[p]


@inner
def average(samples: Any, start: int, width: int, factor: int, pixels: Any) -> None:
    """A row of ``pixels``, each the mean of ``factor`` x ``factor`` of the flat ``samples``, the first at ``start``."""
    if factor == 1:
        copy(samples[start : start + pixels.shape[0]], pixels)
        return
    share = ONE / np.float32(factor * factor)
    for x in range(pixels.shape[0]):
        total = ZERO
        for j in range(factor):
            for i in range(factor):
                total += samples[start + j * width + x * factor + i]
        pixels[x] = total * share


@inner
def _reduce(buffer: Any, box: Any, width: int, factor: int, image: Any) -> None:
    """Write the ``box`` of a whole buffer to the ``image`` (3, H, W)."""
    left, right = box[0] // factor, box[2] // factor
    for c in range(3):
        for y in range(box[1] // factor, box[3] // factor):
            average(buffer[c], y * factor * width + box[0], width, factor, image[c, y, left:right])


@outer
def draw_canvases(start: int, stop: int, s: Any, grounds: Any, identities: Any, poses: Any, canvases: Any) -> None:
    """Prefix canvases (B, N + 1, 3, H, W) of identities (B, N), poses (B, N, P); canvas n shows the first n slots.

    ``grounds`` (1 or B, 3, SH * SW) are the backgrounds.
    """
    whole, screen, buffer, box = workspace(s)
    dark, part = darkroom(s)
    scene, empty, shade, cast = (
        np.empty_like(buffer),
        np.empty_like(canvases[0, 0]),
        np.empty_like(dark[0]),
        part.copy(),
    )
    _reduce(grounds[0], whole, s.width, s.supersample, empty)
    for b in range(start, stop):
        ground = grounds[b if grounds.shape[0] > 1 else 0]
        if grounds.shape[0] > 1:
            _reduce(ground, whole, s.width, s.supersample, empty)
        copy(ground.reshape(-1), scene[:3].reshape(-1))
        scene[3] = ZERO
        copy(empty.reshape(-1), canvases[b, 0].reshape(-1))
        t = seen(s, b)
        for n in range(identities.shape[1]):
            draw(t, identities[b, n], poses[b, n], whole, screen, buffer, box)
            overlay(buffer, s.width, box, whole, scene)
            copy(canvases[b, n].reshape(-1), canvases[b, n + 1].reshape(-1))
            if s.leans.shape[0]:
                shadow(s, identities[b, n], poses[b, n], whole, dark, screen, part, shade, cast)
                dim(shade, s.width, cast, whole, scene)
                _reduce(scene, cast, s.width, s.supersample, canvases[b, n + 1])
            _reduce(scene, box, s.width, s.supersample, canvases[b, n + 1])


@inner
def surround(s: Any, identities: Any, poses: Any, whole: Any, screen: Any, box: Any, window: Any) -> None:
    """``window`` becomes the smallest box around objects of identities (M,) and poses (M, P), and their shadows.

    All 0 if none is seen.
    """
    window[:] = 0
    for m in range(identities.shape[0]):
        count = _project(s, identities[m], poses[m], screen)
        _bound(screen, count, whole, s.supersample, box)
        widen(window, box)
        for k in range(s.leans.shape[0]):
            count = _project_shadow(s, identities[m], poses[m], k, screen)
            _bound(screen, count, whole, s.supersample, box)
            widen(window, box)
