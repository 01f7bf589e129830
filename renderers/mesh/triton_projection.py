"""Where the corners of faces fall on the screen, which of them cover a sample and how near: for the Triton kernels.

The same as ``renderers.mesh.projection`` and the edges of ``renderers.mesh.rasterizer``, for ``FACES`` faces at a time.
What the arguments are is said in ``renderers.mesh.triton_kernels``.
"""

import triton
import triton.language as tl

NEAR = tl.constexpr(0.05)
FAR = tl.constexpr(1e6)
LEAST_AREA, LOW, FADE = tl.constexpr(1e-12), tl.constexpr(0.2), tl.constexpr(0.5)


@triton.jit
def is_real(pose, POSE: tl.constexpr):
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
def turned_back(pose, x, y, z, POSE: tl.constexpr):
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
def corners(
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
def side(planes, face_total, face, known, eye_x, eye_y, eye_z):
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
def span(x, real):
    """The first and the last of a tile's columns, or rows, of samples."""
    return tl.min(tl.where(real, x, 1 << 30)), tl.max(tl.where(real, x, -1))


@triton.jit
def touches(low_x, high_x, low_y, high_y, ax, ay, aw, bx, by, bw, cx, cy, cw):
    """Which faces are in front of the camera, have an area, and may cover one of a tile's samples."""
    left, right = tl.minimum(ax, tl.minimum(bx, cx)), tl.maximum(ax, tl.maximum(bx, cx))
    top, bottom = tl.minimum(ay, tl.minimum(by, cy)), tl.maximum(ay, tl.maximum(by, cy))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    near = (tl.minimum(aw, tl.minimum(bw, cw)) > 0) & (tl.abs(area) >= LEAST_AREA)
    return near & (right >= low_x) & (left <= high_x + 1) & (bottom >= low_y) & (top <= high_y + 1)


@triton.jit
def nearness_of(x, y, drawn, ax, ay, aw, bx, by, bw, cx, cy, cw):
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
