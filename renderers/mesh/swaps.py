"""Numba kernels that difference scenes of meshes in place, for finite differences and score functions.

``score_swaps``: for every slot and every alternative pose or identity of it, how a per-pixel objective of the canvases
changes. It draws, composites, contracts and forgets: memory does not grow with the alternatives. Buffers, boxes and
windows are as in ``renderers.mesh.rasterizer``.
"""

from typing import Any

import numpy as np

from renderers import pixel_loss
from renderers.mesh import projection, rasterizer
from renderers.mesh.projection import HALF, ONE, ZERO, inlined, inner, moved, outer, renew_cache
from renderers.mesh.rasterizer import (
    average,
    copy,
    darkroom,
    dim,
    draw,
    overlay,
    rows,
    scenery_of,
    shadow,
    surround,
    widen,
    workspace,
)
from renderers.pixel_loss import LINEAR, MIXTURE, POISSON_GAUSSIAN, SQUARED, STUDENT_T

PER_ROOT_TWO_PI = np.float32(0.3989422804)


@inner
def _crop(image: Any, window: Any, factor: int, pixels: Any) -> None:
    """``pixels`` (3, ...), flat, of an ``image`` (3, H, W) become those in the ``window``."""
    left, top, right, bottom = window[0] // factor, window[1] // factor, window[2] // factor, window[3] // factor
    across = right - left
    for c in range(3):
        for y in range(bottom - top):
            copy(image[c, top + y, left:right], pixels[c, y * across : (y + 1) * across])


@inlined
def _loss(code: int, parameter: Any, value: Any, wanted: Any, scale: Any) -> Any:
    """A pixel's loss where a canvas shows ``value``, less what depends on the scale alone."""
    gap = value - wanted
    if code == POISSON_GAUSSIAN:
        variance = parameter * max(value, ZERO) + scale * scale
        return HALF * (gap * gap / variance + np.log(variance))
    square = gap * gap / (scale * scale)
    if code == STUDENT_T:
        return HALF * (parameter + ONE) * np.log(ONE + square / parameter)
    if code == MIXTURE:
        return -np.log((ONE - parameter) * PER_ROOT_TWO_PI / scale * np.exp(-HALF * square) + parameter)
    return HALF * square


@inner
def _aim(buffer: Any, scoring: Any, wanted: Any, scale: Any, window: Any, factor: int, aim: Any) -> None:
    """``aim`` (3, pixels) of a buffer of ``window``: its squared error's slope, or its loss, in each pixel."""
    code, parameter, _ = scoring
    width = window[2] - window[0]
    across = width // factor
    for c in range(3):
        for y in range((window[3] - window[1]) // factor):
            start, stop = y * across, (y + 1) * across
            out, goal, sd = aim[c, start:stop], wanted[c, start:stop], scale[c, start:stop]
            average(buffer[c], y * factor * width, width, factor, out)
            if code == SQUARED:
                for x in range(across):
                    out[x] = np.float32(2) * (out[x] - goal[x])
            else:
                for x in range(across):
                    out[x] = _loss(code, parameter, out[x], goal[x], sd[x])


@inlined
def _meet(box: Any, other: Any) -> bool:
    """Whether two boxes have samples in common; those of nothing, all 0, have none."""
    across = min(box[2], other[2]) > max(box[0], other[0])
    return across and min(box[3], other[3]) > max(box[1], other[1])


@inner
def _cut(box: Any, other: Any, common: Any) -> None:
    """``common`` becomes what two boxes have in common."""
    if _meet(box, other):
        common[0], common[1] = max(box[0], other[0]), max(box[1], other[1])
        common[2], common[3] = min(box[2], other[2]), min(box[3], other[3])
    else:
        common[:] = 0


@inlined
def _area(box: Any) -> int:
    return int((box[2] - box[0]) * (box[3] - box[1]))


@inlined
def _last(live: Any) -> int:
    """The last that is ``live`` (N,); -1 where none is."""
    last = -1
    for n in range(live.shape[0]):
        if live[n]:
            last = n
    return last


@inner
def _enliven(target: Any, scoring: Any, live: Any) -> None:
    """``live`` (N,): of canvases 1 to N, those by which the objective changes at all; of ``target`` see below."""
    for n in range(live.shape[0]):
        live[n] = scoring[0] != LINEAR
        for c in range(0 if live[n] else 3):
            for y in range(target.shape[2]):
                row, total = target[n + 1, c, y], ZERO
                for x in range(row.shape[0]):
                    total += abs(row[x])
                if total != 0:
                    live[n] = True
                    break


@inner
def _stage(
    s: Any,
    ground: Any,
    i: int,
    layers: Any,
    boxes: Any,
    shades: Any,
    casts: Any,
    target: Any,
    scoring: Any,
    window: Any,
    old: Any,
    aim: Any,
    goal: Any,
    like: Any,
    reach: Any,
    live: Any,
) -> None:
    """What alternatives of slot i are drawn over: ``old[like[n]]``, n >= i, is canvas n + 1 less slot i in ``window``.

    There, ``aim[like[n]]`` is its slope or loss, and ``goal`` (2, 3, ...) image and scale, where the objective has
    them. A canvas whose last slot does not reach into the window is like the one before it. Those that are not
    ``live`` (N,) are drawn on, and not kept.
    """
    width, height = window[2] - window[0], window[3] - window[1]
    linear = scoring[0] == LINEAR
    if not linear:
        _crop(target[0], window, s.supersample, goal[0])
    if scoring[0] > SQUARED:
        _crop(scoring[2], window, s.supersample, goal[1])
    for j in range(_last(live) + 1):
        n = max(i, j)
        like[n] = n
        if j > i and not linear and live[n - 1] and not _meet(reach[j], window):
            like[n] = like[n - 1]
            continue
        if j > i and not live[n - 1]:
            like[n] = like[n - 1]
        if j == 0:
            old[n, 3, : width * height] = ZERO
            for c in range(3):
                for y in range(height):
                    start = (window[1] + y) * s.width + window[0]
                    copy(ground[c, start : start + width], old[n, c, y * width : (y + 1) * width])
        elif like[n] == n and j > i:
            for c in range(4):
                copy(old[like[n - 1], c], old[n, c, : width * height])
        if j != i:
            overlay(layers[j], s.width, boxes[j], window, old[like[n]])
            if s.leans.shape[0]:
                dim(shades[j], s.width, casts[j], window, old[like[n]])
        if n > j or not live[n]:
            continue
        if linear:
            _crop(target[n + 1], window, s.supersample, aim[like[n]])
        else:
            _aim(old[like[n]], scoring, goal[0], goal[1], window, s.supersample, aim[like[n]])


@inner
def _effect(buffer: Any, old: Any, slope: Any, squared: bool, start: int, stop: int) -> Any:
    """Change of the objective where an alternative is drawn over ``old``, its samples ``start`` to ``stop``.

    With d the change of a pixel it is slope . d, and where the objective is a squared error d . d more.
    """
    # slices of their own: the loop below is vectorised only over arrays that start at index 0
    red, green, blue = buffer[0, start:stop], buffer[1, start:stop], buffer[2, start:stop]
    old_red, old_green, old_blue = old[0, start:stop], old[1, start:stop], old[2, start:stop]
    slope_red, slope_green, slope_blue = slope[0, start:stop], slope[1, start:stop], slope[2, start:stop]
    nearness, nearest = buffer[3, start:stop], old[3, start:stop]
    bend, total = ONE if squared else ZERO, ZERO
    for p in range(stop - start):
        shown = nearness[p] > nearest[p]
        r = red[p] - old_red[p] if shown else ZERO
        g = green[p] - old_green[p] if shown else ZERO
        b = blue[p] - old_blue[p] if shown else ZERO
        total += r * (slope_red[p] + bend * r) + g * (slope_green[p] + bend * g) + b * (slope_blue[p] + bend * b)
    return total


@inner
def _effect_of_means(buffer: Any, old: Any, slope: Any, squared: bool, window: Any, box: Any, factor: int) -> Any:
    """As ``_effect``, for the pixels of ``box`` that are means of ``factor`` x ``factor`` samples."""
    width, bend, total = window[2] - window[0], ONE if squared else ZERO, ZERO
    share = ONE / np.float32(factor * factor)
    for y in range((box[1] - window[1]) // factor, (box[3] - window[1]) // factor):
        for x in range((box[0] - window[0]) // factor, (box[2] - window[0]) // factor):
            r, g, b = ZERO, ZERO, ZERO
            for j in range(y * factor, (y + 1) * factor):
                for p in range(j * width + x * factor, j * width + (x + 1) * factor):
                    if buffer[3, p] > old[3, p]:
                        r += buffer[0, p] - old[0, p]
                        g += buffer[1, p] - old[1, p]
                        b += buffer[2, p] - old[2, p]
            r, g, b, q = r * share, g * share, b * share, y * (width // factor) + x
            total += r * (slope[0, q] + bend * r) + g * (slope[1, q] + bend * g) + b * (slope[2, q] + bend * b)
    return total


@inlined
def _gain(scoring: Any, aim: Any, goal: Any, c: int, q: int, change: Any, value: Any) -> Any:
    """Of channel c of pixel q, what its ``change`` to ``value`` makes of the objective."""
    code, parameter, _ = scoring
    if code == LINEAR:
        return change * aim[c, q]
    if code == SQUARED:
        return change * (aim[c, q] + change)
    return _loss(code, parameter, value, goal[0, c, q], goal[1, c, q]) - aim[c, q]


@inner
def _effect_at_large(
    buffer: Any, shade: Any, old: Any, aim: Any, scoring: Any, goal: Any, window: Any, box: Any, factor: int
) -> Any:
    """As ``_effect``, of every objective and with the object's shadow, in the pixels of ``box``.

    ``shade`` is empty where no shadows are cast.
    """
    width, total, shaded = window[2] - window[0], ZERO, shade.shape[0] > 0
    share = ONE / np.float32(factor * factor)
    for y in range((box[1] - window[1]) // factor, (box[3] - window[1]) // factor):
        for x in range((box[0] - window[0]) // factor, (box[2] - window[0]) // factor):
            r0, g0, b0, r, g, b, q = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, y * (width // factor) + x
            changed = False
            for j in range(y * factor, (y + 1) * factor):
                for p in range(j * width + x * factor, j * width + (x + 1) * factor):
                    r0, g0, b0 = r0 + old[0, p], g0 + old[1, p], b0 + old[2, p]
                    if buffer[3, p] > old[3, p]:
                        changed = True
                        r += buffer[0, p] - old[0, p]
                        g += buffer[1, p] - old[1, p]
                        b += buffer[2, p] - old[2, p]
                    elif shaded and old[3, p] == 0 and shade[p] < 1:
                        changed, dark = True, shade[p] - ONE
                        r, g, b = r + dark * old[0, p], g + dark * old[1, p], b + dark * old[2, p]
            if changed:
                r, g, b = r * share, g * share, b * share
                total += _gain(scoring, aim, goal, 0, q, r, r0 * share + r)
                total += _gain(scoring, aim, goal, 1, q, g, g0 * share + g)
                total += _gain(scoring, aim, goal, 2, q, b, b0 * share + b)
    return total


@inner
def _effect_in(
    factor: int, buffer: Any, shade: Any, window: Any, box: Any, old: Any, aim: Any, scoring: Any, goal: Any
) -> Any:
    """Change of the objective in ``box`` where an alternative is drawn over ``old``."""
    if scoring[0] > SQUARED or shade.shape[0]:
        return _effect_at_large(buffer, shade, old, aim, scoring, goal, window, box, factor)
    squared = scoring[0] == SQUARED
    if factor == 1:
        start, stop = rows(window, box)
        return _effect(buffer, old, aim, squared, start, stop)
    return _effect_of_means(buffer, old, aim, squared, window, box, factor)


@inner
def _effects(
    factor: int,
    buffer: Any,
    shade: Any,
    window: Any,
    box: Any,
    i: int,
    old: Any,
    aim: Any,
    scoring: Any,
    goal: Any,
    like: Any,
    reach: Any,
    live: Any,
    part: Any,
    scores: Any,
) -> None:
    """``scores`` (N + 1,) of an alternative of slot i: the changes of the ``live`` canvases that show it.

    Where the next slot does not ``reach`` (N, 4) the next canvas changes as much. ``part`` is a box to work in.
    """
    for n in range(i, old.shape[0] if box[2] else 0):
        if not live[n]:
            continue
        now, before = like[n], like[max(i, n - 1)]
        _cut(box, reach[n] if n > i and live[n - 1] and scoring[0] != LINEAR else box, part)
        if 2 * _area(part) > _area(box):
            scores[n + 1] = _effect_in(factor, buffer, shade, window, box, old[now], aim[now], scoring, goal)
            continue
        scores[n + 1] = scores[n]
        if part[2]:
            scores[n + 1] += _effect_in(factor, buffer, shade, window, part, old[now], aim[now], scoring, goal)
            scores[n + 1] -= _effect_in(factor, buffer, shade, window, part, old[before], aim[before], scoring, goal)


@inlined
def _alike(identity: int, pose: Any, other_identity: int, other_pose: Any) -> bool:
    """Whether two objects are the same in every number; one whose pose has a NaN is like no other."""
    same = identity == other_identity
    for j in range(pose.shape[0]):
        same = same and pose[j] == other_pose[j]
    return bool(same)


@inner
def _first_like(identities: Any, poses: Any, m: int) -> int:
    """The first of identities (M,) and poses (M, P) that is like the m-th; m itself where none before it is."""
    for n in range(m):
        if _alike(identities[n], poses[n], identities[m], poses[m]):
            return n
    return m


@inner
def _take(layer: Any, layer_width: int, bounds: Any, window: Any, buffer: Any, box: Any) -> None:
    """What was drawn into a whole ``layer``, within ``bounds``, into a ``buffer`` of ``window``, as ``draw`` has it."""
    width = window[2] - window[0]
    copy(bounds, box)
    for c in range(4):
        for y in range(box[1], box[3]):
            start = (y - window[1]) * width
            copy(layer[c, y * layer_width + window[0] :], buffer[c, start : start + width])


@outer
def score_swaps(
    start: int, stop: int, s: Any, grounds: Any, slots: Any, others: Any, target: Any, scoring: Any, scores: Any
) -> None:
    """Effect on each canvas of slot i drawn as alternative m, against slot i left out.

    Args:
        grounds: backgrounds (1 or B, 3, SH * SW).
        slots: identities (B, N) and poses (B, N, P), as they are.
        others: identities (B, N, M) and poses (B, N, M, P), the alternatives.
        target: (B, N + 1, 3, H, W) where the objective of canvas n is its inner product with ``target[:, n]``;
            otherwise images (B, 1, 3, H, W).
        scoring: the objective's code in ``renderers.pixel_loss``; the loss's parameter, float32, and scale (3, H, W).
        scores: (B, N, M, N + 1), written; zero for canvases that do not show slot i.
    """
    (identities, poses), (other_identities, other_poses) = slots, others
    _, count, choices = other_identities.shape
    whole, screen, buffer, box = workspace(s)
    layers = np.empty((count, 4, s.height * s.width), np.float32)
    boxes, window, old = np.empty((count, 4), np.int64), np.empty(4, np.int64), np.empty_like(layers)
    pixels = s.height * s.width // (s.supersample * s.supersample)
    aim, goal = np.empty((count, 3, pixels), np.float32), np.empty((2, 3, pixels), np.float32)
    dark, part = darkroom(s)
    shade, shades, casts = np.empty_like(dark[0]), np.empty((count, dark.shape[1]), np.float32), np.empty_like(boxes)
    shaded, cast, common = s.leans.shape[0] > 0, part.copy(), part.copy()
    like, reach, live = np.empty(count, np.int64), np.empty_like(boxes), np.empty(count, np.bool_)
    for b in range(start, stop):
        ground = grounds[b if grounds.shape[0] > 1 else 0]
        scores[b], t = ZERO, scenery_of(s, b)
        _enliven(target[b], scoring, live)
        shown = _last(live) + 1
        for j in range(shown):
            draw(t, identities[b, j], poses[b, j], whole, screen, layers[j], boxes[j])
            if shaded:
                shadow(t, identities[b, j], poses[b, j], whole, dark, screen, part, shades[j], casts[j])
            reach[j] = boxes[j]
            if shaded:
                widen(reach[j], casts[j])
        for i in range(shown):
            surround(t, other_identities[b, i], other_poses[b, i], whole, screen, box, window)
            _stage(
                s, ground, i, layers, boxes, shades, casts, target[b], scoring, window, old, aim, goal, like, reach,
                live,
            )  # fmt: skip
            drawn = -1
            for m in range(choices):
                identity, pose = other_identities[b, i, m], other_poses[b, i, m]
                twin = _first_like(other_identities[b, i], other_poses[b, i], m)
                if twin < m:
                    copy(scores[b, i, twin], scores[b, i, m])
                    continue
                if shaded:
                    buffer[3, : (window[2] - window[0]) * (window[3] - window[1])] = ZERO
                if _alike(identity, pose, identities[b, i], poses[b, i]):
                    _take(layers[i], s.width, boxes[i], window, buffer, box)
                else:
                    draw(t, identity, pose, window, screen, buffer, box)
                if shaded:
                    if drawn < 0 or identity != other_identities[b, i, drawn] or moved(pose, other_poses[b, i, drawn]):
                        shadow(t, identity, pose, window, dark, screen, part, shade, cast)
                    widen(box, cast)
                _effects(
                    s.supersample, buffer, shade, window, box, i, old, aim, scoring, goal, like, reach, live, common,
                    scores[b, i, m],
                )  # fmt: skip
                drawn = m


renew_cache(score_swaps, projection.__file__, rasterizer.__file__, pixel_loss.__file__)
