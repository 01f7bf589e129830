"""The embedded z-buffer rasteriser: numba kernels that draw meshes.

Two entry points, both float32, each for the objects or scenes ``start`` to ``stop``:

- ``draw_layers``: one object, one layer (colour and depth);
- ``draw_canvases``: prefix canvases 0..N of a batch of scenes.

``renderers.mesh.swaps`` differences what they draw, in place.

Coverage is by pixel centre (top-left ties may be drawn by both neighbours, which have the same depth there).
Depth and colour are interpolated with perspective. What is too near or too far is not drawn
(``renderers.mesh.projection``, which also says what a pose is).

A buffer is a flat array (4, samples) here: red, green, blue and nearness, which is 1 / depth and 0 where nothing
is; its sample (y, x) is entry ``y * width + x``. Boxes are (left, top, right, bottom) in samples, the last two
exclusive, all four multiples of ``supersample``; a buffer may be of a box only, the ``window``.
"""

from typing import Any

import numpy as np
from numba import njit

from renderers.mesh import projection
from renderers.mesh.projection import (
    HALF,
    HUGE,
    LEAST_AREA,
    ONE,
    ZERO,
    Scenery,
    bound,
    face_light,
    inlined,
    inner,
    lean,
    metal,
    metal_light,
    mirrored,
    outer,
    project,
    project_shadow,
    renew_cache,
    tint,
    towards_light,
    turning,
)


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
def _shine(s: Any, pose: Any, normal: Any, sight: Any, light: Any, up: Any, strength: Any, lit: Any) -> Any:
    """The factors on a face's colours of any object in any light. Apart, for a power in ``draw`` would slow it down."""
    (red, green, blue), share = tint(pose), metal(pose)
    if share == 0:
        return red * face_light(s, 0, lit), green * face_light(s, 1, lit), blue * face_light(s, 2, lit)
    glow, lamp = mirrored(s, normal, sight, light, up, strength)
    return (
        red * metal_light(s, 0, share, lit, glow, lamp),
        green * metal_light(s, 1, share, lit, glow, lamp),
        blue * metal_light(s, 2, share, lit, glow, lamp),
    )


@inner
def draw(s: Any, identity: int, pose: Any, window: Any, screen: Any, buffer: Any, box: Any) -> None:
    """One object into a ``buffer`` of ``window``; ``box`` becomes its bounds.

    Nearness is written in all rows of the box, colour where the object is; the rest stays as it was.
    """
    count = project(s, identity, pose, screen)
    bound(screen, count, window, s.supersample, box)
    start, stop = rows(window, box)
    nearness = buffer[3, start:stop]
    for p in range(stop - start):
        nearness[p] = ZERO
    a0, a1, a2, b0, b1, b2, c0, c1, c2, size = turning(pose)
    lx, ly, lz, strength = towards_light(s, pose)
    lx, ly, lz = a0 * lx + c0 * lz + b0 * ly, a1 * lx + c1 * lz + b1 * ly, a2 * lx + c2 * lz + b2 * ly
    x, y, z = s.eye[0] - pose[0], s.eye[1] - pose[1], s.eye[2] - pose[2]
    x, y, z = a0 * x + c0 * z + b0 * y, a1 * x + c1 * z + b1 * y, a2 * x + c2 * z + b2 * y
    red, green, blue = tint(pose)
    away = ONE / max(LEAST_AREA, np.sqrt(x * x + y * y + z * z))
    sight, light, up = (away * x, away * y, away * z), (lx, ly, lz), (b0, b1, b2)
    flat, closed, plain = s.flat[identity], s.closed[identity], metal(pose) == 0 and s.gamma == ONE
    for face in range(s.face_start[identity], s.face_start[identity + 1] if box[2] else 0):
        nx, ny, nz = s.planes[0, face], s.planes[1, face], s.planes[2, face]
        outside = nx * x + ny * y + nz * z > size * s.planes[3, face]
        if closed and not outside:
            continue
        facing = nx * lx + ny * ly + nz * lz
        lit = strength * max(ZERO, facing if outside else -facing)
        if plain:
            shade = (
                red * (s.ambient[0] + s.diffuse[0] * lit),
                green * (s.ambient[1] + s.diffuse[1] * lit),
                blue * (s.ambient[2] + s.diffuse[2] * lit),
            )
        else:
            shade = _shine(s, pose, (nx, ny, nz), sight, light, up, strength, lit)
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
def _turned(s: Any, identity: int, pose: Any, k: int) -> Any:
    """The k-th direction of the light, as an object sees it."""
    a0, a1, a2, b0, b1, b2, c0, c1, c2, _ = turning(pose)
    x, z = lean(s, pose, k)
    return a0 * x + c0 * z + b0, a1 * x + c1 * z + b1, a2 * x + c2 * z + b2


@inner
def _fill_shadow(s: Any, identity: int, pose: Any, k: int, screen: Any, buffer: Any, window: Any, box: Any) -> None:
    """``buffer[3]`` becomes positive in the ``box`` where the k-th direction of the light casts a shadow, 0 elsewhere.

    Face by face, of any mesh.
    """
    for p in range(*rows(window, box)):
        buffer[3, p] = ZERO
    lx, ly, lz = _turned(s, identity, pose, k)
    black = ZERO, ZERO, ZERO
    for face in range(s.face_start[identity], s.face_start[identity + 1]):
        # the lit side of a closed mesh casts all of its shadow
        if s.closed[identity] and not s.planes[0, face] * lx + s.planes[1, face] * ly + s.planes[2, face] * lz > 0:
            continue
        i, j, m = s.faces[0, face], s.faces[1, face], s.faces[2, face]
        _fill(screen, i, j, m, s.colors[face], True, black, buffer, window, box)


@inner
def _outline_shadow(s: Any, identity: int, pose: Any, k: int, screen: Any, buffer: Any, window: Any, box: Any) -> None:
    """As ``_fill_shadow``, of a mesh whose edges are known: by those between its lit side and the other.

    From the left, each edge that is crossed adds or takes away one of the lit faces that lie over a sample.
    """
    width = window[2] - window[0]
    lx, ly, lz = _turned(s, identity, pose, k)
    first, faces = s.face_start[identity], s.face_start[identity + 1] - s.face_start[identity]
    nx, ny, nz = s.planes[0, first:], s.planes[1, first:], s.planes[2, first:]
    lit, over = buffer[0], buffer[3]
    for face in range(faces):
        lit[face] = ONE if nx[face] * lx + ny[face] * ly + nz[face] * lz > 0 else ZERO
    for y in range(box[1], box[3]):
        start = (y - window[1]) * width - window[0]
        for x in range(box[0], box[2]):
            over[start + x] = ZERO
    for e in range(s.edge_start[identity], s.edge_start[identity + 1]):
        sign = lit[s.edges[2, e]] - lit[s.edges[3, e]]
        if sign == 0:
            continue
        i, j = s.edges[0, e], s.edges[1, e]
        if screen[1, i] > screen[1, j]:
            i, j, sign = j, i, -sign
        x, y, low = screen[0, i], screen[1, i], screen[1, j]
        slope = (screen[0, j] - x) / (low - y) if low > y else ZERO
        for row in range(max(box[1], int(np.ceil(y - HALF))), min(box[3], int(np.ceil(low - HALF)))):
            at = x + slope * (np.float32(row) + HALF - y) - HALF
            if at < box[2]:
                column = max(box[0], int(np.ceil(at)))
                if column < box[2]:
                    over[(row - window[1]) * width + column - window[0]] += sign
    for y in range(box[1], box[3]):
        start, count = (y - window[1]) * width - window[0], ZERO
        for x in range(box[0], box[2]):
            count += over[start + x]
            over[start + x] = abs(count)


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
        count = project_shadow(s, identity, pose, k, screen)
        bound(screen, count, window, s.supersample, part)
        if part[2] == 0:
            continue
        widen(box, part)
        whole = s.edge_start[identity + 1] - s.edge_start[identity] > 0
        whole = whole and s.face_start[identity + 1] - s.face_start[identity] <= dark.shape[1]
        for v in range(count):
            whole = whole and screen[2, v] > 0
        if whole:
            _outline_shadow(s, identity, pose, k, screen, dark, window, part)
        else:
            _fill_shadow(s, identity, pose, k, screen, dark, window, part)
        for y in range(part[1], part[3]):
            for x in range(part[0], part[2]):
                p = (y - window[1]) * width + x - window[0]
                if dark[3, p] > 0 and s.table[y * s.width + x]:
                    shade[p] -= s.darkening[k]


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
def scenery_of(s: Any, b: int) -> Any:
    """The scenery of scene b."""
    if s.views.shape[0] == 0:
        return s
    b = b if s.views.shape[0] > 1 else 0
    v = s.views[b]
    return Scenery(
        s.vertices, s.faces, s.planes, s.colors, s.vertex_start, s.face_start, s.edges, s.edge_start, s.flat, s.closed,
        v[:9].copy().reshape(3, 3), v[9:12].copy(), s.focal, v[12:15].copy(), v[15:18].copy(), v[18:21].copy(),
        s.background, s.height, s.width, s.supersample, v[21:].copy().reshape(-1, 2), s.darkening,
        s.tables[b] if s.tables.shape[0] else s.table, s.near, s.gamma, s.mirror, s.views, s.tables,
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
        t = scenery_of(s, m * s.views.shape[0] // identities.shape[0])
        draw(t, identities[m], poses[m], whole, screen, layer, box)
        for p in range(*rows(whole, box)):
            layer[3, p] = ONE / layer[3, p]
        if s.leans.shape[0]:
            shadow(t, identities[m], poses[m], whole, dark, screen, part, layer[4], box)


@inner
def overlay(source: Any, source_width: int, box: Any, window: Any, buffer: Any) -> None:
    """Put the ``box`` of a whole buffer over the ``buffer`` of ``window`` where it is nearer."""
    width = window[2] - window[0]
    left, across = max(box[0], window[0]), min(box[2], window[2]) - max(box[0], window[0])
    for y in range(max(box[1], window[1]), min(box[3], window[3])):
        p, q = y * source_width + left, (y - window[1]) * width + left - window[0]
        own, other = source[:, p : p + across], buffer[:, q : q + across]
        for x in range(across):
            nearer = own[3, x] > other[3, x]
            for c in range(4):
                other[c, x] = own[c, x] if nearer else other[c, x]


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
        t = scenery_of(s, b)
        for n in range(identities.shape[1]):
            draw(t, identities[b, n], poses[b, n], whole, screen, buffer, box)
            overlay(buffer, s.width, box, whole, scene)
            copy(canvases[b, n].reshape(-1), canvases[b, n + 1].reshape(-1))
            if s.leans.shape[0]:
                shadow(t, identities[b, n], poses[b, n], whole, dark, screen, part, shade, cast)
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
        count = project(s, identities[m], poses[m], screen)
        bound(screen, count, whole, s.supersample, box)
        widen(window, box)
        for k in range(s.leans.shape[0]):
            count = project_shadow(s, identities[m], poses[m], k, screen)
            bound(screen, count, whole, s.supersample, box)
            widen(window, box)


renew_cache(draw_canvases, projection.__file__)
