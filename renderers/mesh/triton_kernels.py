"""The embedded rasteriser for CUDA: Triton kernels with the images of ``renderers.mesh.rasterizer``.

One program draws one object, or one scene, in one tile of an image: it holds the tile's samples in registers and goes
through the object's faces, ``FACES`` at a time, keeping for every sample the nearest face. So nothing but results is
written, and differences (draw, composite, contract, forget) need no memory for what they draw.

A tile has ``SIDE`` x ``SIDE`` pixels of ``SUB`` samples each (``factor`` squared, filled up to a power of two), flat in
the order (pixel, sample). Meshes, camera and light come as in ``rasterizer.Scenery``; ``camera`` is one array of
rotation (9), eye (3), light (3), focal, ambient (3), diffuse (3), darkening, near, gamma and ``LEANS`` times lean (2).
Poses have ``POSE`` numbers: 4, or with the objects' attributes 10, as in ``rasterizer``.
"""

import triton
import triton.language as tl

from renderers import pixel_loss

NEAR = tl.constexpr(0.05)
FAR = tl.constexpr(1e6)
LEAST_AREA, LOW = tl.constexpr(1e-12), tl.constexpr(0.2)
HUGE = tl.constexpr(1e9)
LINEAR, SQUARED = tl.constexpr(pixel_loss.LINEAR), tl.constexpr(pixel_loss.SQUARED)
STUDENT_T, MIXTURE = tl.constexpr(pixel_loss.STUDENT_T), tl.constexpr(pixel_loss.MIXTURE)
POISSON_GAUSSIAN = tl.constexpr(pixel_loss.POISSON_GAUSSIAN)


@triton.jit
def _samples(tile, height, width, factor, SIDE: tl.constexpr, SUB: tl.constexpr):
    """Of a tile: column, row and flat number of every sample, whether it is in the image; its pixels' and theirs."""
    across = (width // factor + SIDE - 1) // SIDE
    pixel, sub = tl.arange(0, SIDE * SIDE), tl.arange(0, SUB)
    px, py = tile % across * SIDE + pixel % SIDE, tile // across * SIDE + pixel // SIDE
    inside = (px < width // factor) & (py < height // factor)
    x = px[:, None] * factor + (sub % factor)[None, :]
    y = py[:, None] * factor + (sub // factor)[None, :]
    real = inside[:, None] & (sub < factor * factor)[None, :]
    count: tl.constexpr = SIDE * SIDE * SUB
    x, y, real = tl.reshape(x, (count,)), tl.reshape(y, (count,)), tl.reshape(real, (count,))
    return x, y, y * width + x, real, py * (width // factor) + px, inside


@triton.jit
def _where(height, width, factor, SIDE: tl.constexpr):
    """This program's tile, the number of its object or scene, and how many tiles there are."""
    tiles = ((width // factor + SIDE - 1) // SIDE) * ((height // factor + SIDE - 1) // SIDE)
    program = tl.program_id(0)
    return program % tiles, (program // tiles).to(tl.int64), tiles


@triton.jit
def _means(values, factor, SIDE: tl.constexpr, SUB: tl.constexpr):
    """Samples of a tile (0 where they are not real) to its pixels."""
    return tl.sum(tl.reshape(values, (SIDE * SIDE, SUB)), 1) / (factor * factor)


@triton.jit
def _real(pose, POSE: tl.constexpr):
    """Whether a pose can be drawn: not if one of its numbers is NaN."""
    size = tl.abs(tl.load(pose))
    for j in tl.static_range(1, POSE):
        size += tl.abs(tl.load(pose + j))
    return size <= FAR


@triton.jit
def _placed(pose, x, y, z):
    """Vectors of an object with attributes about its foot: turned by yaw, then by roll and pitch, and of its size."""
    size, cos, sin = tl.load(pose + 4), tl.cos(tl.load(pose + 3)), tl.sin(tl.load(pose + 3))
    x, y, z = size * (cos * x + sin * z), size * y, size * (cos * z - sin * x)
    cos, sin = tl.cos(tl.load(pose + 6)), tl.sin(tl.load(pose + 6))
    x, y = cos * x - sin * y, sin * x + cos * y
    cos, sin = tl.cos(tl.load(pose + 5)), tl.sin(tl.load(pose + 5))
    return x, cos * y - sin * z, sin * y + cos * z


@triton.jit
def _turned_back(pose, x, y, z, POSE: tl.constexpr):
    """Vectors in the frame of an object, its size left out."""
    if POSE > 4:
        cos, sin = tl.cos(tl.load(pose + 5)), tl.sin(tl.load(pose + 5))
        y, z = cos * y + sin * z, cos * z - sin * y
        cos, sin = tl.cos(tl.load(pose + 6)), tl.sin(tl.load(pose + 6))
        x, y = cos * x + sin * y, cos * y - sin * x
    cos, sin = tl.cos(tl.load(pose + 3)), tl.sin(tl.load(pose + 3))
    return cos * x - sin * z, y, sin * x + cos * z


@triton.jit
def _corner(
    vertices, total, index, known, pose, lean_x, lean_z, camera, height, width, FLAT: tl.constexpr, POSE: tl.constexpr
):
    """Vertices of an object to the screen: column, row, nearness (-1: nearer than NEAR).

    ``FLAT``: those of its shadow, flat on the table, where what is y high lies ``lean`` y back.
    """
    x0, y0 = tl.load(pose) - tl.load(camera + 9), tl.load(pose + 1) - tl.load(camera + 10)
    z0, focal = tl.load(pose + 2) - tl.load(camera + 11), tl.load(camera + 15)
    x = tl.load(vertices + index, known, 0.0)
    y = tl.load(vertices + total + index, known, 0.0)
    z = tl.load(vertices + 2 * total + index, known, 0.0)
    if POSE > 4:
        x, y, z = _placed(pose, x, y, z)
        a, b, c = x0 + x, y0 + y, z0 + z
    else:
        cos, sin = tl.cos(tl.load(pose + 3)), tl.sin(tl.load(pose + 3))
        a, b, c = x0 + cos * x + sin * z, y0 + y, z0 - sin * x + cos * z
    if FLAT:
        tall = tl.load(pose + 1) + y
        a, b, c = a - lean_x * tall, b - tall, c - lean_z * tall
    right = tl.load(camera) * a + tl.load(camera + 1) * b + tl.load(camera + 2) * c
    up = tl.load(camera + 3) * a + tl.load(camera + 4) * b + tl.load(camera + 5) * c
    depth = tl.load(camera + 6) * a + tl.load(camera + 7) * b + tl.load(camera + 8) * c
    seen = depth >= NEAR
    inverse = 1.0 / tl.where(seen, depth, 1.0)
    return 0.5 * width + inverse * focal * right, 0.5 * height - inverse * focal * up, tl.where(seen, inverse, -1.0)


@triton.jit
def _corners(
    vertices,
    vertex_total,
    faces,
    face_total,
    base,
    face,
    known,
    pose,
    lean_x,
    lean_z,
    camera,
    height,
    width,
    FLAT: tl.constexpr,
    POSE: tl.constexpr,
):
    """The three corners of faces on the screen, each as ``_corner`` gives it."""
    i = base + tl.load(faces + face, known, 0)
    j = base + tl.load(faces + face_total + face, known, 0)
    k = base + tl.load(faces + 2 * face_total + face, known, 0)
    ax, ay, aw = _corner(vertices, vertex_total, i, known, pose, lean_x, lean_z, camera, height, width, FLAT, POSE)
    bx, by, bw = _corner(vertices, vertex_total, j, known, pose, lean_x, lean_z, camera, height, width, FLAT, POSE)
    cx, cy, cw = _corner(vertices, vertex_total, k, known, pose, lean_x, lean_z, camera, height, width, FLAT, POSE)
    return ax, ay, aw, bx, by, bw, cx, cy, cw


@triton.jit
def _side(planes, face_total, face, known, eye_x, eye_y, eye_z):
    """Faces' normals, and whether the eye is on their outer side."""
    nx, ny = tl.load(planes + face, known, 0.0), tl.load(planes + face_total + face, known, 0.0)
    nz = tl.load(planes + 2 * face_total + face, known, 0.0)
    offset = tl.load(planes + 3 * face_total + face, known, 0.0)
    return nx, ny, nz, nx * eye_x + ny * eye_y + nz * eye_z > offset


@triton.jit
def _beyond(x, y, ax, ay, bx, by, turn):
    """Whether samples (P, 1) lie outside the edge from a to b of faces (1, F): ``turn`` is which way they are wound."""
    dx, dy = bx - ax, by - ay
    level = dy == 0
    slope = dx / tl.where(level, 1.0, dy)
    bound = ax - 0.5 - slope * (ay - 0.5) + slope * y
    left = (dy > 0) == turn
    return (~level) & tl.where(left, x < bound, x > bound)


@triton.jit
def _span(x, real):
    """The first and the last of a tile's columns, or rows, of samples."""
    return tl.min(tl.where(real, x, 1 << 30)), tl.max(tl.where(real, x, -1))


@triton.jit
def _touches(low_x, high_x, low_y, high_y, ax, ay, aw, bx, by, bw, cx, cy, cw):
    """Which faces are in front of the camera, have an area, and may cover one of a tile's samples."""
    left, right = tl.minimum(ax, tl.minimum(bx, cx)), tl.maximum(ax, tl.maximum(bx, cx))
    top, bottom = tl.minimum(ay, tl.minimum(by, cy)), tl.maximum(ay, tl.maximum(by, cy))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    near = (tl.minimum(aw, tl.minimum(bw, cw)) > 0) & (tl.abs(area) >= LEAST_AREA)
    return near & (right >= low_x) & (left <= high_x + 1) & (bottom >= low_y) & (top <= high_y + 1)


@triton.jit
def _nearness(x, y, drawn, ax, ay, aw, bx, by, bw, cx, cy, cw):
    """Of each of the faces that are ``drawn`` in each sample, (P, F); 0 where it is not."""
    column, row = x.to(tl.float32)[:, None], y.to(tl.float32)[:, None]
    left, right = tl.minimum(ax, tl.minimum(bx, cx)), tl.maximum(ax, tl.maximum(bx, cx))
    top, bottom = tl.minimum(ay, tl.minimum(by, cy)), tl.maximum(ay, tl.maximum(by, cy))
    ux, uy, vx, vy = bx - ax, by - ay, cx - ax, cy - ay
    area = tl.where(drawn, ux * vy - uy * vx, 1.0)
    wx, wy = ((bw - aw) * vy - (cw - aw) * uy) / area, ((cw - aw) * ux - (bw - aw) * vx) / area
    w0 = aw - wx * (ax - 0.5) - wy * (ay - 0.5)
    turn = area > 0
    miss = _beyond(column, row, ax[None, :], ay[None, :], cx[None, :], cy[None, :], turn[None, :])
    miss |= _beyond(column, row, bx[None, :], by[None, :], ax[None, :], ay[None, :], turn[None, :])
    miss |= _beyond(column, row, cx[None, :], cy[None, :], bx[None, :], by[None, :], turn[None, :])
    miss |= (column < left[None, :] - 0.5) | (column > right[None, :] - 0.5)
    miss |= (row < top[None, :] - 0.5) | (row > bottom[None, :] - 0.5)
    return tl.where(drawn[None, :] & (~miss), w0[None, :] + wy[None, :] * row + wx[None, :] * column, 0.0)


@triton.jit
def _shadow(
    what, pose, vertices, faces, vertex_start, face_start, vertex_total, face_total, camera, table, height, width,
    x, y, real, COUNT: tl.constexpr, FACES: tl.constexpr, LEANS: tl.constexpr, POSE: tl.constexpr,
):  # fmt: skip
    """What one object lets through of the table's light in a tile's samples."""
    shade = tl.full((COUNT,), 1.0, tl.float32)
    start, stop, base = tl.load(face_start + what), tl.load(face_start + what + 1), tl.load(vertex_start + what)
    if _real(pose, POSE):
        darkening = tl.where(real, tl.load(table + y * width + x, real, 0.0), 0.0) * tl.load(camera + 22)
        low_x, high_x = _span(x, real)
        low_y, high_y = _span(y, real)
        for k in range(LEANS):
            near = tl.load(camera + 23) / tl.load(camera + 13)
            up = tl.maximum(1.0 - near * tl.load(pose + 1), LOW)
            lean_x = (tl.load(camera + 25 + 2 * k) - near * tl.load(pose)) / up
            lean_z = (tl.load(camera + 26 + 2 * k) - near * tl.load(pose + 2)) / up
            covered = tl.zeros((COUNT,), tl.float32)
            for first in range(start, stop, FACES):
                face = first + tl.arange(0, FACES)
                known = face < stop
                ax, ay, aw, bx, by, bw, cx, cy, cw = _corners(
                    vertices, vertex_total, faces, face_total, base, face, known, pose, lean_x, lean_z, camera,
                    height, width, True, POSE,
                )  # fmt: skip
                drawn = known & _touches(low_x, high_x, low_y, high_y, ax, ay, aw, bx, by, bw, cx, cy, cw)
                if tl.max(drawn.to(tl.int32)) > 0:
                    w = _nearness(x, y, drawn, ax, ay, aw, bx, by, bw, cx, cy, cw)
                    covered = tl.maximum(covered, tl.max(w, 1))
            shade -= tl.where(covered > 0, darkening, 0.0)
    return shade


@triton.jit
def _mix(paint, shown, a, b, c, light, nearness):
    """A colour between those of a face's three corners, in such light."""
    scale = tl.where(shown, light / tl.where(shown, nearness, 1.0), 0.0)
    a, b, c = a * scale, b * scale, c * scale
    first, second, third = tl.load(paint, shown, 0.0), tl.load(paint + 3, shown, 0.0), tl.load(paint + 6, shown, 0.0)
    return tl.minimum(a * first + b * second + c * third, 1.0)


@triton.jit
def _shade(camera, c, lit):
    """What faces shine with of their colour's channel c, ``lit`` from the light's side."""
    light, gamma = tl.load(camera + 16 + c) + tl.load(camera + 19 + c) * lit, tl.load(camera + 24)
    return tl.where(gamma == 1.0, light, tl.exp(tl.log(tl.maximum(light, 1e-12)) * gamma))


@triton.jit
def _draw(
    what, pose, vertices, faces, planes, colors, vertex_start, face_start, closed, vertex_total, face_total, camera,
    height, width, x, y, real, COUNT: tl.constexpr, FACES: tl.constexpr, POSE: tl.constexpr,
):  # fmt: skip
    """One object in the samples of a tile: red, green, blue and nearness, all 0 where it is not."""
    px, py, pz = tl.load(pose), tl.load(pose + 1), tl.load(pose + 2)
    nearness, best = tl.zeros((COUNT,), tl.float32), tl.full((COUNT,), -1, tl.int32)
    red, green, blue = nearness, nearness, nearness
    start, stop, base = tl.load(face_start + what), tl.load(face_start + what + 1), tl.load(vertex_start + what)
    if _real(pose, POSE):
        hidden_back = tl.load(closed + what) != 0
        ex, ey, ez = tl.load(camera + 9) - px, tl.load(camera + 10) - py, tl.load(camera + 11) - pz
        eye_x, eye_y, eye_z = _turned_back(pose, ex, ey, ez, POSE)
        if POSE > 4:
            size = tl.load(pose + 4)
            eye_x, eye_y, eye_z = eye_x / size, eye_y / size, eye_z / size
        low_x, high_x = _span(x, real)
        low_y, high_y = _span(y, real)
        for first in range(start, stop, FACES):
            face = first + tl.arange(0, FACES)
            known = face < stop
            _, _, _, outside = _side(planes, face_total, face, known, eye_x, eye_y, eye_z)
            ax, ay, aw, bx, by, bw, cx, cy, cw = _corners(
                vertices,
                vertex_total,
                faces,
                face_total,
                base,
                face,
                known,
                pose,
                0.0,
                0.0,
                camera,
                height,
                width,
                False,
                POSE,
            )
            drawn = known & (outside | (not hidden_back))
            drawn &= _touches(low_x, high_x, low_y, high_y, ax, ay, aw, bx, by, bw, cx, cy, cw)
            if tl.max(drawn.to(tl.int32)) > 0:
                w = _nearness(x, y, drawn, ax, ay, aw, bx, by, bw, cx, cy, cw)
                nearest, which = tl.max(w, 1, return_indices=True)
                closer = nearest > nearness
                best = tl.where(closer, first + which.to(tl.int32), best)
                nearness = tl.where(closer, nearest, nearness)
        shown = real & (best >= 0)
        nearness = tl.where(shown, nearness, 0.0)
        face = tl.maximum(best, 0)
        nx, ny, nz, outside = _side(planes, face_total, face, shown, eye_x, eye_y, eye_z)
        near = tl.load(camera + 23)
        lx, ly, lz = (
            tl.load(camera + 12) - near * px,
            tl.load(camera + 13) - near * py,
            tl.load(camera + 14) - near * pz,
        )
        distance = tl.where(near > 0, tl.sqrt(lx * lx + ly * ly + lz * lz), 1.0)
        lx, ly, lz = _turned_back(pose, lx, ly, lz, POSE)
        facing = nx * lx + ny * ly + nz * lz
        facing = tl.where(outside, facing, -facing)
        lit = tl.maximum(facing, 0.0) / (distance * distance * distance)
        red = _shade(camera, 0, lit)
        green = _shade(camera, 1, lit)
        blue = _shade(camera, 2, lit)
        if POSE > 4:
            red, green, blue = red * tl.load(pose + 7), green * tl.load(pose + 8), blue * tl.load(pose + 9)
        ax, ay, aw, bx, by, bw, cx, cy, cw = _corners(
            vertices,
            vertex_total,
            faces,
            face_total,
            base,
            face,
            shown,
            pose,
            0.0,
            0.0,
            camera,
            height,
            width,
            False,
            POSE,
        )
        dx, dy = x.to(tl.float32) + 0.5 - ax, y.to(tl.float32) + 0.5 - ay
        ux, uy, vx, vy = bx - ax, by - ay, cx - ax, cy - ay
        area = tl.where(shown, ux * vy - uy * vx, 1.0)
        b = (dx * vy - dy * vx) / area * bw  # the corners' shares, with perspective
        c = (dy * ux - dx * uy) / area * cw
        a = tl.where(shown, nearness, 1.0) - b - c
        red = _mix(colors + face * 9, shown, a, b, c, red, nearness)
        green = _mix(colors + face * 9 + 1, shown, a, b, c, green, nearness)
        blue = _mix(colors + face * 9 + 2, shown, a, b, c, blue, nearness)
    return red, green, blue, nearness


@triton.jit
def draw_layers(
    what, poses, layers, vertices, faces, planes, colors, vertex_start, face_start, closed, vertex_total, face_total,
    camera, table, height, width, factor, inverse,
    SIDE: tl.constexpr, SUB: tl.constexpr, FACES: tl.constexpr, LEANS: tl.constexpr, POSE: tl.constexpr,
):  # fmt: skip
    """Program m T + tile: object m's red, green, blue and nearness (``inverse``: depth) into layers (M, 4, SH * SW).

    With ``LEANS`` shadows into (M, 5, SH * SW), the last the shade.
    """
    tile, m, _ = _where(height, width, factor, SIDE)
    x, y, place, real, _, _ = _samples(tile, height, width, factor, SIDE, SUB)
    red, green, blue, nearness = _draw(
        tl.load(what + m), poses + m * POSE, vertices, faces, planes, colors, vertex_start, face_start, closed,
        vertex_total, face_total, camera, height, width, x, y, real, SIDE * SIDE * SUB, FACES, POSE,
    )  # fmt: skip
    size = height * width
    out = layers + m * (4 if LEANS == 0 else 5) * size + place
    tl.store(out, red, real)
    tl.store(out + size, green, real)
    tl.store(out + 2 * size, blue, real)
    if inverse:
        nearness = tl.where(nearness > 0, 1.0 / tl.where(nearness > 0, nearness, 1.0), float("inf"))
    tl.store(out + 3 * size, nearness, real)
    if LEANS > 0:
        shade = _shadow(
            tl.load(what + m), poses + m * POSE, vertices, faces, vertex_start, face_start, vertex_total, face_total,
            camera, table, height, width, x, y, real, SIDE * SIDE * SUB, FACES, LEANS, POSE,
        )  # fmt: skip
        tl.store(out + 4 * size, shade, real)


@triton.jit
def draw_canvases(
    what, poses, canvases, background, vertices, faces, planes, colors, vertex_start, face_start, closed, vertex_total,
    face_total, camera, table, height, width, factor, slots, step,
    SIDE: tl.constexpr, SUB: tl.constexpr, FACES: tl.constexpr, LEANS: tl.constexpr, POSE: tl.constexpr,
):  # fmt: skip
    """Program b T + tile: scene b's prefix canvases into canvases (B, N + 1, 3, H * W).

    Scene b's ``background`` starts ``step`` numbers after that of the scene before it.
    """
    tile, b, _ = _where(height, width, factor, SIDE)
    background += b * step
    x, y, place, real, pixel, inside = _samples(tile, height, width, factor, SIDE, SUB)
    size, pixels = height * width, (height // factor) * (width // factor)
    red = tl.load(background + place, real, 0.0)
    green = tl.load(background + size + place, real, 0.0)
    blue = tl.load(background + 2 * size + place, real, 0.0)
    nearness = tl.zeros((SIDE * SIDE * SUB,), tl.float32)
    out = canvases + b * (slots + 1) * 3 * pixels + pixel
    for n in range(slots + 1):
        tl.store(out, _means(red, factor, SIDE, SUB), inside)
        tl.store(out + pixels, _means(green, factor, SIDE, SUB), inside)
        tl.store(out + 2 * pixels, _means(blue, factor, SIDE, SUB), inside)
        out += 3 * pixels
        if n < slots:
            slot = b * slots + n
            r, g, u, w = _draw(
                tl.load(what + slot), poses + slot * POSE, vertices, faces, planes, colors, vertex_start, face_start,
                closed, vertex_total, face_total, camera, height, width, x, y, real, SIDE * SIDE * SUB, FACES, POSE,
            )  # fmt: skip
            nearer = w > nearness
            red, green = tl.where(nearer, r, red), tl.where(nearer, g, green)
            blue, nearness = tl.where(nearer, u, blue), tl.where(nearer, w, nearness)
            if LEANS > 0:
                shade = _shadow(
                    tl.load(what + slot), poses + slot * POSE, vertices, faces, vertex_start, face_start, vertex_total,
                    face_total, camera, table, height, width, x, y, real, SIDE * SIDE * SUB, FACES, LEANS, POSE,
                )  # fmt: skip
                shade = tl.where(nearness == 0, shade, 1.0)
                red, green, blue = red * shade, green * shade, blue * shade


@triton.jit
def _loss(value, wanted, scale, parameter, CODE: tl.constexpr):
    """A pixel's loss where a canvas shows ``value``, less what depends on the scale alone."""
    gap = value - wanted
    square = gap * gap / (scale * scale)
    if CODE == STUDENT_T:
        loss = 0.5 * (parameter + 1) * tl.log(1 + square / parameter)
    elif CODE == MIXTURE:
        peak = 0.3989422804 * (1 - parameter) / scale  # 1 / sqrt(2 pi)
        loss = -tl.log(peak * tl.exp(-0.5 * square) + parameter)
    elif CODE == POISSON_GAUSSIAN:
        variance = parameter * tl.maximum(value, 0.0) + scale * scale
        loss = 0.5 * (gap * gap / variance + tl.log(variance))
    else:
        loss = 0.5 * square
    return loss


@triton.jit
def _change(old, by, wanted, scale, parameter, inside, CODE: tl.constexpr):
    """Of the objective in a tile's pixels of one channel, when a canvas changes from ``old`` ``by`` that much."""
    target = tl.load(wanted, inside, 0.0)
    if CODE == LINEAR:
        change = by * target
    elif CODE == SQUARED:
        change = by * (2 * (old - target) + by)
    else:
        sd = tl.load(scale, inside, 1.0)
        change = _loss(old + by, target, sd, parameter, CODE) - _loss(old, target, sd, parameter, CODE)
    return change


@triton.jit
def score_swaps(
    other_what, other_poses, layers, target, scores, scale, background, vertices, faces, planes, colors, vertex_start,
    face_start, closed, vertex_total, face_total, camera, table, height, width, factor, slots, others, parameter, step,
    CODE: tl.constexpr, SIDE: tl.constexpr, SUB: tl.constexpr, FACES: tl.constexpr, LEANS: tl.constexpr,
    POSE: tl.constexpr,
):  # fmt: skip
    """Program ((b N + i) M + m) T + tile: what alternative m of slot i changes in the tile, into scores.

    These are (B, N, M, N + 1, T), ``layers`` (B, N, 4 or 5, SH * SW) the slots as they are, with nearness; ``target``,
    ``scale``, ``parameter`` and ``CODE`` as in ``swaps``, ``step`` as in ``draw_canvases``.
    """
    tile, number, tiles = _where(height, width, factor, SIDE)
    b, i = number // (slots * others), number // others % slots
    background += b * step
    x, y, place, real, pixel, inside = _samples(tile, height, width, factor, SIDE, SUB)
    size, pixels = height * width, (height // factor) * (width // factor)
    red, green, blue, nearness = _draw(
        tl.load(other_what + number), other_poses + number * POSE, vertices, faces, planes, colors, vertex_start,
        face_start, closed, vertex_total, face_total, camera, height, width, x, y, real, SIDE * SIDE * SUB, FACES, POSE,
    )  # fmt: skip
    seen, planes_held = tl.max(nearness) > 0, (4 if LEANS == 0 else 5)
    if LEANS > 0:
        shade = _shadow(
            tl.load(other_what + number), other_poses + number * POSE, vertices, faces, vertex_start, face_start,
            vertex_total, face_total, camera, table, height, width, x, y, real, SIDE * SIDE * SUB, FACES, LEANS, POSE,
        )  # fmt: skip
        seen |= tl.min(shade) < 1
    if seen:
        old_red = tl.load(background + place, real, 0.0)
        old_green = tl.load(background + size + place, real, 0.0)
        old_blue = tl.load(background + 2 * size + place, real, 0.0)
        old = tl.zeros((SIDE * SIDE * SUB,), tl.float32)
        for n in range(slots):
            layer = layers + (b * slots + n) * planes_held * size + place
            w = tl.where(n == i, 0.0, tl.load(layer + 3 * size, real, 0.0))
            nearer = w > old
            old_red = tl.where(nearer, tl.load(layer, nearer, 0.0), old_red)
            old_green = tl.where(nearer, tl.load(layer + size, nearer, 0.0), old_green)
            old_blue = tl.where(nearer, tl.load(layer + 2 * size, nearer, 0.0), old_blue)
            old = tl.where(nearer, w, old)
            if LEANS > 0:
                dim = tl.where((n == i) | (old > 0), 1.0, tl.load(layer + 4 * size, real, 1.0))
                old_red, old_green, old_blue = old_red * dim, old_green * dim, old_blue * dim
            if n >= i:
                shown = nearness > old
                dr, dg, du = red - old_red, green - old_green, blue - old_blue
                if LEANS > 0:
                    dark = tl.where(old > 0, 0.0, shade - 1)
                    dr, dg = tl.where(shown, dr, dark * old_red), tl.where(shown, dg, dark * old_green)
                    du = tl.where(shown, du, dark * old_blue)
                else:
                    dr, dg, du = tl.where(shown, dr, 0.0), tl.where(shown, dg, 0.0), tl.where(shown, du, 0.0)
                r, g = _means(dr, factor, SIDE, SUB), _means(dg, factor, SIDE, SUB)
                u = _means(du, factor, SIDE, SUB)
                if CODE == LINEAR:
                    wanted = target + (b * (slots + 1) + n + 1) * 3 * pixels + pixel
                else:
                    wanted = target + b * 3 * pixels + pixel
                sd = scale + pixel
                mean_red, mean_green = _means(old_red, factor, SIDE, SUB), _means(old_green, factor, SIDE, SUB)
                mean_blue = _means(old_blue, factor, SIDE, SUB)
                change = _change(mean_red, r, wanted, sd, parameter, inside, CODE)
                change += _change(mean_green, g, wanted + pixels, sd + pixels, parameter, inside, CODE)
                change += _change(mean_blue, u, wanted + 2 * pixels, sd + 2 * pixels, parameter, inside, CODE)
                change = tl.sum(tl.where(inside, change, 0.0))
                tl.store(scores + (number * (slots + 1) + n + 1) * tiles + tile, change)
