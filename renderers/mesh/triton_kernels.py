"""The embedded rasteriser for CUDA: Triton kernels with the images of ``renderers.mesh.rasterizer``.

One program draws one object, or one scene, in one tile of an image: it holds the tile's samples in registers and goes
through the object's faces, ``FACES`` at a time, keeping for every sample the nearest face. So nothing but results is
written, and differences (draw, composite, contract, forget) need no memory for what they draw.

A tile has ``SIDE`` x ``SIDE`` pixels of ``SUB`` samples each (``factor`` squared, filled up to a power of two), flat in
the order (pixel, sample). Meshes, camera and light come as in ``projection.Scenery``; ``camera`` is one array of
rotation (9), eye (3), light (3), focal, ambient (3), diffuse (3), near, gamma, mirror (4) and ``LEANS``
times lean (2) and darkening. Poses have ``POSE`` numbers: 4, or with the objects' attributes 11, as in ``projection``.
"""

import triton
import triton.language as tl

from renderers import pixel_loss
from renderers.mesh.triton_projection import (
    FADE,
    LOW,
    corners,
    is_real,
    nearness_of,
    side,
    span,
    touches,
    turned_back,
)

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
def _shadow(
    what, pose, vertices, faces, vertex_start, face_start, vertex_total, face_total, camera, table, height, width,
    x, y, real, COUNT: tl.constexpr, FACES: tl.constexpr, LEANS: tl.constexpr, POSE: tl.constexpr,
):  # fmt: skip
    """What one object lets through of the table's light in a tile's samples."""
    shade = tl.full((COUNT,), 1.0, tl.float32)
    start, stop, base = tl.load(face_start + what), tl.load(face_start + what + 1), tl.load(vertex_start + what)
    if is_real(pose, POSE):
        ground = tl.where(real, tl.load(table + y * width + x, real, 0.0), 0.0)
        low_x, high_x = span(x, real)
        low_y, high_y = span(y, real)
        for k in range(LEANS):
            near = tl.load(camera + 22) / tl.load(camera + 13)
            up = tl.maximum(1.0 - near * tl.load(pose + 1), LOW)
            lean_x = (tl.load(camera + 28 + 3 * k) - near * tl.load(pose)) / up
            lean_z = (tl.load(camera + 29 + 3 * k) - near * tl.load(pose + 2)) / up
            covered = tl.zeros((COUNT,), tl.float32)
            for first in range(start, stop, FACES):
                face = first + tl.arange(0, FACES)
                known = face < stop
                ax, ay, aw, bx, by, bw, cx, cy, cw = corners(
                    vertices, vertex_total, faces, face_total, base, face, known, pose, lean_x, lean_z, camera,
                    height, width, True, POSE,
                )  # fmt: skip
                drawn = known & touches(low_x, high_x, low_y, high_y, ax, ay, aw, bx, by, bw, cx, cy, cw)
                if tl.max(drawn.to(tl.int32)) > 0:
                    w = nearness_of(x, y, drawn, ax, ay, aw, bx, by, bw, cx, cy, cw)
                    covered = tl.maximum(covered, tl.max(w, 1))
            shade -= tl.where(covered > 0, ground * tl.load(camera + 30 + 3 * k), 0.0)
    return shade


@triton.jit
def _mix(paint, shown, a, b, c, light, nearness):
    """A colour between those of a face's three corners, in such light."""
    scale = tl.where(shown, light / tl.where(shown, nearness, 1.0), 0.0)
    a, b, c = a * scale, b * scale, c * scale
    first, second, third = tl.load(paint, shown, 0.0), tl.load(paint + 3, shown, 0.0), tl.load(paint + 6, shown, 0.0)
    return tl.minimum(a * first + b * second + c * third, 1.0)


@triton.jit
def _mirrored(camera, nx, ny, nz, sx, sy, sz, lx, ly, lz, ux, uy, uz):
    """What mirrors show: how much of what shines from everywhere, and of a light as strong as that from its side.

    ``n`` is their normal, ``s`` the direction towards the eye, ``l`` towards the light, ``u`` upwards: unit vectors.
    """
    twice = 2 * (nx * sx + ny * sy + nz * sz)
    height = twice * (nx * ux + ny * uy + nz * uz) - (sx * ux + sy * uy + sz * uz)
    nearness = twice * (nx * lx + ny * ly + nz * lz) - (sx * lx + sy * ly + sz * lz)
    rise = tl.minimum(tl.maximum((height + FADE) / FADE, 0.0), 1.0)
    sky = rise * rise * (3 - 2 * rise)
    ground = tl.load(camera + 24) * (1 - sky)
    glow = ground + tl.load(camera + 25) * sky
    lamp = tl.load(camera + 26) * tl.exp(tl.load(camera + 27) * (nearness - 1))
    return glow, ground * tl.maximum(lx * ux + ly * uy + lz * uz, 0.0) + lamp


@triton.jit
def _shade(camera, c, glow, lit):
    """What faces shine with of their colour's channel c, ``lit`` from the light's side, ``glow`` from everywhere."""
    ambient, gamma = tl.load(camera + 16 + c), tl.load(camera + 23)
    light = tl.where(glow == 1.0, ambient, ambient * glow) + tl.load(camera + 19 + c) * lit
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
    if is_real(pose, POSE):
        hidden_back = tl.load(closed + what) != 0
        ex, ey, ez = tl.load(camera + 9) - px, tl.load(camera + 10) - py, tl.load(camera + 11) - pz
        eye_x, eye_y, eye_z = turned_back(pose, ex, ey, ez, POSE)
        if POSE > 4:
            size = tl.load(pose + 4)
            eye_x, eye_y, eye_z = eye_x / size, eye_y / size, eye_z / size
        low_x, high_x = span(x, real)
        low_y, high_y = span(y, real)
        for first in range(start, stop, FACES):
            face = first + tl.arange(0, FACES)
            known = face < stop
            _, _, _, outside = side(planes, face_total, face, known, eye_x, eye_y, eye_z)
            ax, ay, aw, bx, by, bw, cx, cy, cw = corners(
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
            drawn &= touches(low_x, high_x, low_y, high_y, ax, ay, aw, bx, by, bw, cx, cy, cw)
            if tl.max(drawn.to(tl.int32)) > 0:
                w = nearness_of(x, y, drawn, ax, ay, aw, bx, by, bw, cx, cy, cw)
                nearest, which = tl.max(w, 1, return_indices=True)
                closer = nearest > nearness
                best = tl.where(closer, first + which.to(tl.int32), best)
                nearness = tl.where(closer, nearest, nearness)
        shown = real & (best >= 0)
        nearness = tl.where(shown, nearness, 0.0)
        face = tl.maximum(best, 0)
        nx, ny, nz, outside = side(planes, face_total, face, shown, eye_x, eye_y, eye_z)
        near = tl.load(camera + 22)
        lx, ly, lz = (
            tl.load(camera + 12) - near * px,
            tl.load(camera + 13) - near * py,
            tl.load(camera + 14) - near * pz,
        )
        distance = tl.where(near > 0, tl.sqrt(lx * lx + ly * ly + lz * lz), 1.0)
        lx, ly, lz = turned_back(pose, lx, ly, lz, POSE)
        facing = nx * lx + ny * ly + nz * lz
        facing = tl.where(outside, facing, -facing)
        lit = tl.maximum(facing, 0.0) / (distance * distance * distance)
        glow = tl.full((COUNT,), 1.0, tl.float32)
        if POSE > 4:
            metal = tl.minimum(tl.load(pose + 10), 1.0)
            if metal > 0:
                ux, uy, uz = turned_back(pose, 0.0, 1.0, 0.0, POSE)
                away = tl.sqrt(eye_x * eye_x + eye_y * eye_y + eye_z * eye_z)
                shown_glow, lamp = _mirrored(
                    camera, nx, ny, nz, eye_x / away, eye_y / away, eye_z / away,
                    lx / distance, ly / distance, lz / distance, ux, uy, uz,
                )  # fmt: skip
                glow = 1 + metal * (shown_glow - 1)
                lit += metal * (lamp / (distance * distance) - lit)
        red = _shade(camera, 0, glow, lit)
        green = _shade(camera, 1, glow, lit)
        blue = _shade(camera, 2, glow, lit)
        if POSE > 4:
            red, green, blue = red * tl.load(pose + 7), green * tl.load(pose + 8), blue * tl.load(pose + 9)
        ax, ay, aw, bx, by, bw, cx, cy, cw = corners(
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
