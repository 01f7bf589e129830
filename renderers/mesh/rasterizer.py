"""The embedded z-buffer rasteriser: numba kernels that draw meshes and difference them in place.

Three entry points, all parallel over scenes or objects, all float32:

- ``draw_layers``: one object, one layer (colour and inverse depth);
- ``draw_canvases``: prefix canvases 0..N of a batch of scenes;
- ``score_swaps``: for every slot and every alternative pose or kind of it, how a per-pixel objective of the
  canvases changes. It draws, composites, contracts and forgets: memory does not grow with the alternatives.

Coverage is by pixel centre (top-left ties may be drawn by both neighbours, which have the same depth there).
Faces with a corner nearer than ``NEAR`` are not drawn. Inverse depth and colour are interpolated with perspective.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

NEAR = 0.05
Float = NDArray[np.float32]
Int = NDArray[np.int32]


class Scenery(NamedTuple):
    """Everything the kernels need to know besides the objects' kinds and poses.

    ``vertices`` (V, 3), ``faces`` (F, 3), ``normals`` (F, 3) and ``colors`` (F, 3, 3) hold all kinds one after
    another; kind k owns rows ``vertex_start[k]:vertex_start[k + 1]`` and likewise faces (indices local to the
    kind). ``flat[k]``: each face has one colour. ``closed[k]``: back faces are skipped. ``rotation`` (3, 3) and
    ``eye`` (3,) are the camera's, ``focal`` in samples, ``light`` (3,) a unit vector towards the light.
    """

    vertices: Float
    faces: Int
    normals: Float
    colors: Float
    vertex_start: Int
    face_start: Int
    flat: NDArray[np.bool_]
    closed: NDArray[np.bool_]
    rotation: Float
    eye: Float
    focal: float
    light: Float
    ambient: float
    diffuse: float
    background: Float  # (3, S*H, S*W)
    supersample: int


@njit(fastmath=True, cache=True)
def _project(s: Any, kind: int, pose: Any, height: int, width: int, screen: Any, box: Any) -> bool:
    """Vertices of one object to (x, y, 1/z) in ``screen``; its clipped bounding ``box``; False where unseen."""
    cos, sin = np.cos(pose[3]), np.sin(pose[3])
    r, eye = s.rotation, s.eye
    tx, ty, tz = pose[0] - eye[0], pose[1] - eye[1], pose[2] - eye[2]
    low_x, low_y, high_x, high_y = np.float32(1e9), np.float32(1e9), np.float32(-1e9), np.float32(-1e9)
    half_w, half_h = np.float32(0.5 * width), np.float32(0.5 * height)
    start = s.vertex_start[kind]
    seen = False
    for v in range(s.vertex_start[kind + 1] - start):
        a, b, c = s.vertices[start + v, 0], s.vertices[start + v, 1], s.vertices[start + v, 2]
        x, y, z = cos * a + sin * c + tx, b + ty, cos * c - sin * a + tz
        depth = r[2, 0] * x + r[2, 1] * y + r[2, 2] * z
        if depth < NEAR:
            screen[v, 2] = np.float32(-1.0)
            continue
        inverse = np.float32(1.0) / depth
        px = half_w + s.focal * inverse * (r[0, 0] * x + r[0, 1] * y + r[0, 2] * z)
        py = half_h - s.focal * inverse * (r[1, 0] * x + r[1, 1] * y + r[1, 2] * z)
        screen[v, 0], screen[v, 1], screen[v, 2] = px, py, inverse
        low_x, high_x = min(low_x, px), max(high_x, px)
        low_y, high_y = min(low_y, py), max(high_y, py)
        seen = True
    if not seen or high_x < 0 or high_y < 0 or low_x > width or low_y > height:
        box[0], box[1], box[2], box[3] = 0, 0, 0, 0
        return False
    box[0], box[1] = max(0, int(low_x)), max(0, int(low_y))
    box[2], box[3] = min(width, int(high_x) + 1), min(height, int(high_y) + 1)
    return True


@njit(fastmath=True, cache=True)
def _fill(
    s: Any, face: int, flat: bool, shade: Any, screen: Any, color: Any, inverse: Any, box: Any, flip: bool
) -> None:
    """Rasterise one face by row spans into ``color`` (H, W, 3) and ``inverse`` (H, W) where it is nearest."""
    i0, i1, i2 = s.faces[face, 0], s.faces[face, 1], s.faces[face, 2]
    if flip:
        i1, i2 = i2, i1
    ax, ay, aw = screen[i0, 0], screen[i0, 1], screen[i0, 2]
    bx, by, bw = screen[i1, 0] - ax, screen[i1, 1] - ay, screen[i1, 2] - aw
    cx, cy, cw = screen[i2, 0] - ax, screen[i2, 1] - ay, screen[i2, 2] - aw
    area = bx * cy - by * cx
    scale = np.float32(1.0) / area
    # u, v: barycentric weights of the second and third corner, linear on the screen
    ux, uy, vx, vy = cy * scale, -cx * scale, -by * scale, bx * scale
    wx, wy = ux * bw + vx * cw, uy * bw + vy * cw
    low_y, high_y = min(np.float32(0), by, cy) + ay, max(np.float32(0), by, cy) + ay
    low_x, high_x = min(np.float32(0), bx, cx) + ax, max(np.float32(0), bx, cx) + ax
    first = max(box[1], int(np.ceil(low_y - np.float32(0.5))))
    last = min(box[3] - 1, int(np.floor(high_y - np.float32(0.5))))
    left_edge = max(np.float32(box[0]), low_x - np.float32(0.5))
    right_edge = min(np.float32(box[2] - 1), high_x - np.float32(0.5))
    if left_edge > right_edge:
        return
    gx = -(ux + vx)  # gradient of the first corner's weight
    red, green, blue = shade * s.colors[face, 0, 0], shade * s.colors[face, 0, 1], shade * s.colors[face, 0, 2]
    base = np.float32(0.5) - ax
    for y in range(first, last + 1):
        dy = np.float32(y) + np.float32(0.5) - ay
        u0, v0 = ux * base + uy * dy, vx * base + vy * dy  # weights at x = 0
        t0 = np.float32(1.0) - u0 - v0
        left, right = left_edge, right_edge
        if ux > 0:
            left = max(left, -u0 / ux)
        elif ux < 0:
            right = min(right, -u0 / ux)
        elif u0 < 0:
            continue
        if vx > 0:
            left = max(left, -v0 / vx)
        elif vx < 0:
            right = min(right, -v0 / vx)
        elif v0 < 0:
            continue
        if gx > 0:
            left = max(left, -t0 / gx)
        elif gx < 0:
            right = min(right, -t0 / gx)
        elif t0 < 0:
            continue
        w0 = aw + wx * base + wy * dy
        for x in range(int(np.ceil(left)), int(np.floor(right)) + 1):
            w = w0 + wx * np.float32(x)
            if w <= inverse[y, x]:
                continue
            inverse[y, x] = w
            if flat:
                color[y, x, 0], color[y, x, 1], color[y, x, 2] = red, green, blue
            else:
                u, v = u0 + ux * np.float32(x), v0 + vx * np.float32(x)
                t = np.float32(1.0) - u - v
                p, q, o = t * aw / w, u * (aw + bw) / w, v * (aw + cw) / w
                one, two = (2, 1) if flip else (1, 2)
                for c in range(3):
                    color[y, x, c] = shade * (
                        p * s.colors[face, 0, c] + q * s.colors[face, one, c] + o * s.colors[face, two, c]
                    )


@njit(fastmath=True, cache=True)
def _draw(s: Any, kind: int, pose: Any, screen: Any, color: Any, inverse: Any, box: Any) -> None:
    """One object into ``color`` (H, W, 3) and ``inverse`` (H, W); only the pixels of ``box`` are written."""
    height, width = inverse.shape
    if not _project(s, kind, pose, height, width, screen, box):
        return
    for y in range(box[1], box[3]):
        for x in range(box[0], box[2]):
            inverse[y, x] = np.float32(0.0)
    cos, sin = np.cos(pose[3]), np.sin(pose[3])
    lx, ly, lz = cos * s.light[0] - sin * s.light[2], s.light[1], sin * s.light[0] + cos * s.light[2]
    flat, closed = s.flat[kind], s.closed[kind]
    for face in range(s.face_start[kind], s.face_start[kind + 1]):
        i0, i1, i2 = s.faces[face, 0], s.faces[face, 1], s.faces[face, 2]
        if screen[i0, 2] < 0 or screen[i1, 2] < 0 or screen[i2, 2] < 0:
            continue
        ax, ay = screen[i0, 0], screen[i0, 1]
        area = (screen[i1, 0] - ax) * (screen[i2, 1] - ay) - (screen[i1, 1] - ay) * (screen[i2, 0] - ax)
        # rows run down the screen, so a face turned towards the viewer has negative area
        if area == 0 or (closed and area > 0):
            continue
        facing = s.normals[face, 0] * lx + s.normals[face, 1] * ly + s.normals[face, 2] * lz
        if area > 0:
            facing = -facing
        shade = np.float32(s.ambient + s.diffuse * max(np.float32(0.0), facing))
        _fill(s, face, flat, shade, screen, color, inverse, box, False)


@njit(cache=True)
def _most_vertices(s: Any) -> int:
    most = 0
    for k in range(s.vertex_start.shape[0] - 1):
        most = max(most, s.vertex_start[k + 1] - s.vertex_start[k])
    return most


@njit(parallel=True, fastmath=True, cache=True)
def draw_layers(s: Any, kinds: Any, poses: Any, color: Any, inverse: Any) -> None:
    """Draw M objects, kinds (M,) and poses (M, 4), into ``color`` (M, 3, SH, SW) and ``inverse`` (M, SH, SW)."""
    count, height, width = inverse.shape
    chunk = 16
    most = _most_vertices(s)
    for job in prange((count + chunk - 1) // chunk):
        screen = np.empty((most, 3), np.float32)
        tile = np.empty((height, width, 3), np.float32)
        depth = np.empty((height, width), np.float32)
        box = np.zeros(4, np.int64)
        for m in range(job * chunk, min(count, (job + 1) * chunk)):
            _draw(s, kinds[m], poses[m], screen, tile, depth, box)
            color[m] = np.float32(0.0)
            inverse[m] = np.float32(0.0)
            for y in range(box[1], box[3]):
                for x in range(box[0], box[2]):
                    if depth[y, x] > 0:
                        inverse[m, y, x] = depth[y, x]
                        for c in range(3):
                            color[m, c, y, x] = tile[y, x, c]


@njit(fastmath=True, cache=True)
def _average(fine: Any, coarse: Any, factor: int) -> None:
    """(3, SH, SW) to (3, H, W) by the mean over ``factor`` x ``factor`` samples."""
    if factor == 1:
        coarse[:] = fine
        return
    scale = np.float32(1.0 / (factor * factor))
    for c in range(3):
        for y in range(coarse.shape[1]):
            for x in range(coarse.shape[2]):
                total = np.float32(0.0)
                for j in range(factor):
                    for i in range(factor):
                        total += fine[c, y * factor + j, x * factor + i]
                coarse[c, y, x] = total * scale


@njit(parallel=True, fastmath=True, cache=True)
def draw_canvases(s: Any, kinds: Any, poses: Any, canvases: Any) -> None:
    """Prefix canvases (B, N + 1, 3, H, W) of kinds (B, N) and poses (B, N, 4); canvas n shows the first n slots."""
    batch, slots = kinds.shape
    height, width = s.background.shape[1], s.background.shape[2]
    most = _most_vertices(s)
    for b in prange(batch):
        screen = np.empty((most, 3), np.float32)
        tile = np.empty((height, width, 3), np.float32)
        depth = np.empty((height, width), np.float32)
        nearest = np.zeros((height, width), np.float32)
        box = np.zeros(4, np.int64)
        fine = s.background.copy()
        _average(fine, canvases[b, 0], s.supersample)
        for n in range(slots):
            _draw(s, kinds[b, n], poses[b, n], screen, tile, depth, box)
            for y in range(box[1], box[3]):
                for x in range(box[0], box[2]):
                    if depth[y, x] > nearest[y, x]:
                        nearest[y, x] = depth[y, x]
                        for c in range(3):
                            fine[c, y, x] = tile[y, x, c]
            _average(fine, canvases[b, n + 1], s.supersample)


@njit(fastmath=True, cache=True)
def _score_tile(
    s: Any, i: int, tile: Any, depth: Any, box: Any, tiles: Any, depths: Any, boxes: Any, target: Any, squared: bool,
    with_it: Any, without: Any, scores: Any,
) -> None:  # fmt: skip
    """Add up, over the pixels of one drawn alternative of slot i, its effect on the objective of each canvas."""
    slots = tiles.shape[0]
    factor = s.supersample
    scale = np.float32(1.0 / (factor * factor))
    for y in range(box[1] // factor, (box[3] + factor - 1) // factor):
        for x in range(box[0] // factor, (box[2] + factor - 1) // factor):
            touched = False
            for sub in range(factor * factor):
                sy, sx = y * factor + sub // factor, x * factor + sub % factor
                if box[1] <= sy < box[3] and box[0] <= sx < box[2] and depth[sy, sx] > 0:
                    touched = True
                    break
            if not touched:
                continue
            with_it[:] = np.float32(0.0)
            without[:] = np.float32(0.0)
            for sub in range(factor * factor):
                sy, sx = y * factor + sub // factor, x * factor + sub % factor
                mine = np.float32(0.0)
                if box[1] <= sy < box[3] and box[0] <= sx < box[2]:
                    mine = depth[sy, sx]
                nearest = np.float32(0.0)
                red, green, blue = s.background[0, sy, sx], s.background[1, sy, sx], s.background[2, sy, sx]
                for j in range(slots):
                    if j != i and boxes[j, 1] <= sy < boxes[j, 3] and boxes[j, 0] <= sx < boxes[j, 2]:
                        if depths[j, sy, sx] > nearest:
                            nearest = depths[j, sy, sx]
                            red, green, blue = tiles[j, sy, sx, 0], tiles[j, sy, sx, 1], tiles[j, sy, sx, 2]
                    if j >= i:  # canvas j + 1 is the first that shows slots 0..j
                        without[j, 0] += red
                        without[j, 1] += green
                        without[j, 2] += blue
                        if mine > nearest:
                            with_it[j, 0] += tile[sy, sx, 0]
                            with_it[j, 1] += tile[sy, sx, 1]
                            with_it[j, 2] += tile[sy, sx, 2]
                        else:
                            with_it[j, 0] += red
                            with_it[j, 1] += green
                            with_it[j, 2] += blue
            for j in range(i, slots):
                total = np.float32(0.0)
                for c in range(3):
                    new, old = with_it[j, c] * scale, without[j, c] * scale
                    if squared:
                        total += (new - old) * (new + old - np.float32(2.0) * target[0, c, y, x])
                    else:
                        total += (new - old) * target[j + 1, c, y, x]
                scores[j + 1] += total


@njit(parallel=True, fastmath=True, cache=True)
def score_swaps(
    s: Any,
    kinds: Any,
    poses: Any,
    alternative_kinds: Any,
    alternative_poses: Any,
    target: Any,
    squared: bool,
    scores: Any,
) -> None:
    """Effect on each canvas of slot i drawn as alternative m, against slot i left out.

    Args:
        kinds, poses: (B, N) and (B, N, 4), the slots as they are.
        alternative_kinds, alternative_poses: (B, N, M) and (B, N, M, 4).
        target: ``squared``: images (B, 1, 3, H, W), the objective of a canvas is its squared error; otherwise
            (B, N + 1, 3, H, W), the objective of canvas n is its inner product with ``target[:, n]``.
        scores: (B, N, M, N + 1), written; zero for canvases that do not show slot i.
    """
    batch, slots = kinds.shape
    most = _most_vertices(s)
    height, width = s.background.shape[1], s.background.shape[2]
    for b in prange(batch):
        screen = np.empty((most, 3), np.float32)
        tiles = np.empty((slots, height, width, 3), np.float32)
        depths = np.empty((slots, height, width), np.float32)
        boxes = np.zeros((slots, 4), np.int64)
        tile = np.empty((height, width, 3), np.float32)
        depth = np.empty((height, width), np.float32)
        box = np.zeros(4, np.int64)
        with_it = np.empty((slots, 3), np.float32)
        without = np.empty((slots, 3), np.float32)
        for j in range(slots):
            _draw(s, kinds[b, j], poses[b, j], screen, tiles[j], depths[j], boxes[j])
        scores[b] = np.float32(0.0)
        for i in range(slots):
            for m in range(alternative_kinds.shape[2]):
                _draw(s, alternative_kinds[b, i, m], alternative_poses[b, i, m], screen, tile, depth, box)
                _score_tile(
                    s, i, tile, depth, box, tiles, depths, boxes, target[b], squared, with_it, without, scores[b, i, m]
                )
