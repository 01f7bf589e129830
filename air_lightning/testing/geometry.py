"""Laws of places: where in the image a pose lies, back, and the window and box around it."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from air_lightning.testing.report import Skipped
from air_lightning.testing.subject import Subject
from renderers.base import Renderer
from renderers.compositing import extents
from renderers.spaces import FULL_TURN, Categorical

HALF = 0.5
"""Of its peak: an object's bright core, which its box holds."""
Findings = Iterator[tuple[str, str]]


def project(s: Subject) -> Findings:
    """Centres (..., 2) in the image and sizes (...), and there the object is."""
    _, where, shown = s.visible_objects
    image, half = s.renderer.project(where.view(6, 8, -1))
    if tuple(image.shape) != (6, 8, 2) or tuple(half.shape) != (6, 8):
        yield (
            f"of poses (6, 8, P) project gave {tuple(image.shape)} and {tuple(half.shape)}, not (6, 8, 2) and (6, 8)",
            "keep leading dimensions: index where[..., j]",
        )
        return
    if not (image.isfinite().all() and half.isfinite().all() and half.min() > 0):
        yield (
            f"project gave NaN, infinity or a size of {float(half.min()):.3g}",
            "give finite places and positive sizes",
        )
        return
    whole, center = _centers(shown)
    pixel = 2 / min(s.renderer.image_shape[1:])
    gap = (image.view(-1, 2) - center).abs().amax(1)
    astray = whole & (gap > half.view(-1) + pixel)
    if astray.sum() > 0.1 * whole.sum():
        i = int((gap * whole).argmax())
        places = [f"({float(x):.2f}, {float(y):.2f})" for x, y in (image.view(-1, 2)[i], center[i])]
        yield (
            f"{int(astray.sum())} of {int(whole.sum())} objects lie outside the size that project gives, for example "
            f"one at {places[1]} that is said to be at {places[0]}",
            "x goes right and y down, both in [-1, 1]: override project where the coordinates are not such",
        )


def _centers(shown: Tensor) -> tuple[Tensor, Tensor]:
    """Which objects are seen whole, (M,), and the middle of each in image coordinates, (M, 2)."""
    height, width = shown.shape[-2:]
    border = shown[:, 0].any(1) | shown[:, -1].any(1) | shown[:, :, 0].any(1) | shown[:, :, -1].any(1)
    x0, y0, x1, y1 = extents(shown).unbind(-1)
    return ~border & shown.flatten(1).any(1), torch.stack([(x0 + x1) / width - 1, (y0 + y1) / height - 1], -1)


def unproject(s: Subject) -> Findings:
    """It undoes ``project`` for objects at their usual height (one end or the middle of what it leaves open)."""
    space = s.renderer.where
    _, where = s.objects(30)
    found = s.renderer.unproject(s.renderer.project(where)[0])
    if not found:
        raise Skipped("it determines no coordinate")
    if set(found) - set(space.names):
        yield f"unproject gave {sorted(found)} and `where` has {', '.join(space.names)}", "name coordinates of `where`"
        return
    for name, value in found.items():
        if tuple(value.shape) != (30,):
            yield (
                f"of 30 places (30, 2) unproject gave {name!r} of shape {tuple(value.shape)}",
                "give one number for each place: index image[..., 0] and image[..., 1]",
            )
            return
    best = min((_undone(s, where, set(found), share) for share in (0.0, 0.5, 1.0)), key=lambda e: max(e.values()))
    for name, error in best.items():
        c = space.coordinates[space.names.index(name)]
        if not error <= 1e-3 * (c.high - c.low):
            yield (
                f"project and unproject move {name!r} by up to {error:.3g} (support {c.low:g} to {c.high:g})",
                "make unproject the inverse of project",
            )


def _undone(s: Subject, where: Tensor, determined: set[str], share: float) -> dict[str, float]:
    """Largest errors by name, where every other coordinate but angles stands at ``share`` of its support."""
    where = where.clone()
    for j, c in enumerate(s.renderer.where.coordinates):
        if c.name not in determined and not c.circular:
            where[:, j] = c.low + share * (c.high - c.low)
    found = s.renderer.unproject(s.renderer.project(where)[0])
    gaps = {name: (value - where[:, s.renderer.where.names.index(name)]).abs().max() for name, value in found.items()}
    return {name: float(gap.nan_to_num(math.inf, math.inf)) for name, gap in gaps.items()}


def window(s: Subject) -> Findings:
    """Affine maps (..., 2, 3) that can be inverted, and most of what shows of an object lies in its window."""
    _, where, shown = s.visible_objects
    maps = s.renderer.window(where.view(6, 8, -1))
    if tuple(maps.shape) != (6, 8, 2, 3):
        yield f"of poses (6, 8, P) window gave {tuple(maps.shape)}, not (6, 8, 2, 3)", "keep leading dimensions"
        return
    area = torch.linalg.det(maps[..., :2].double()).abs()
    if not (maps.isfinite().all() and area.min() > 1e-6):
        yield f"a window's map is not finite or has area {float(area.min()):.3g}", "give windows a width and a height"
        return
    visible = shown.flatten(1).any(1)
    inside = _share_inside(maps.view(-1, 2, 3), shown)[visible]
    if visible.any() and inside.median() < 0.5:
        yield (
            f"windows hold {float(inside.median()):.0%} of what shows of their objects (median of {len(inside)})",
            "let window, or project, cover what an object covers: inference reads `what` there",
        )


def _share_inside(maps: Tensor, shown: Tensor) -> Tensor:
    """(M,): the share of the samples ``shown`` (M, H, W) that lie in the windows, one sample more allowed."""
    height, width = shown.shape[-2:]
    x, y = ((torch.arange(n, device=maps.device) + 0.5) * 2 / n - 1 for n in (width, height))
    points = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1).view(1, -1, 2)
    own = (points - maps[:, None, :, 2]) @ torch.linalg.inv(maps[..., :2]).transpose(1, 2)
    slack = 1 + 2 / min(height, width) / maps[..., :2].norm(dim=1).amin(1)
    inside = (own.abs().amax(-1) <= slack[:, None]) & shown.flatten(1)
    return inside.sum(1) / shown.flatten(1).sum(1).clamp_min(1)


def boxes(s: Subject) -> Findings:
    """Boxes (B, N, 4) within the image, in order, that hold what is drawn and not much more.

    A box may be drawn tightly around an object's bright core or widely around all that it touches: it must hold what
    is drawn with half its peak, and lie within the object's window, or what is drawn of it at all.
    """
    scenes = s.scenes()
    found, base = s.renderer.boxes(scenes.what, scenes.where), Renderer.boxes(s.renderer, scenes.what, scenes.where)
    if found.shape != base.shape:
        yield f"boxes gave {tuple(found.shape)}, not {tuple(base.shape)}", "give x0, y0, x1, y1 for each slot"
        return
    _, height, width = s.renderer.image_shape
    x0, y0, x1, y1 = found.unbind(-1)
    if not bool((x0 >= 0).all() & (y0 >= 0).all() & (x0 <= x1).all() & (y0 <= y1).all()) or not bool(
        (x1 <= width).all() & (y1 <= height).all()
    ):
        yield (
            f"boxes reach from {float(found.min()):.3g} to {float(found.max()):.3g}",
            "keep them in the image, in pixels",
        )
    core, whole = (Renderer.boxes(s.renderer, scenes.what, scenes.where, share) for share in (HALF, 0.0))
    outside = _beyond(core, found)
    if outside > 1:
        yield f"boxes leave out up to {outside:.3g} pixels of what is drawn", "leave boxes to the base class"
    outside = _beyond(found, _joined(whole, _window_boxes(s.renderer, scenes.where)))
    if outside > 1:
        yield (
            f"boxes reach up to {outside:.3g} pixels beyond both what is drawn and the window",
            "leave boxes to the base class",
        )


def _beyond(inner: Tensor, outer: Tensor) -> float:
    """How far boxes (..., 4) reach beyond others; those without area reach nowhere."""
    over = torch.cat([outer[..., :2] - inner[..., :2], inner[..., 2:] - outer[..., 2:]], -1).amax(-1)
    return float((over * _has_area(inner)).max())


def _joined(a: Tensor, b: Tensor) -> Tensor:
    """The boxes (..., 4) around both; those of ``b`` where ``a`` has no area."""
    both = torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1)
    return torch.where(_has_area(a).unsqueeze(-1), both, b)


def _has_area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] > boxes[..., :2]).all(-1)


def _window_boxes(renderer: Renderer, where: Tensor) -> Tensor:
    """Boxes (..., 4) around the windows of poses (..., P), pixels, cut at the image's edges."""
    window = renderer.window(where)
    half = window[..., :2].abs().sum(-1)
    size = window.new_tensor(renderer.image_shape[:0:-1])
    sides = [((window[..., 2] + sign * half + 1) / 2).clamp(0, 1) * size for sign in (-1, 1)]
    return torch.cat(sides, -1)


def periods(s: Subject) -> Findings:
    """A turn by an angle's period changes nothing in the image, and one by half, a third or a quarter of it does."""
    turning = [j for j, c in enumerate(s.renderer.where.coordinates) if c.circular]
    if not turning or not isinstance(s.renderer.what, Categorical):
        raise Skipped("no identities that turn")
    for j in turning:
        c = s.renderer.where.coordinates[j]
        for k, name in enumerate(s.renderer.what.names):
            period = c.periods[k] if c.periods else FULL_TURN
            turned = _changed(s, k, j, period or 1.0)
            if turned > 0.2:
                yield (
                    f"{c.name!r} turned by the period {period:.4g} of {name} changes {turned:.0%} of its pixels",
                    "give the smallest turn that changes nothing, 2 pi without symmetry",
                )
            idle = [parts for parts in (2, 3, 4) if period and _changed(s, k, j, period / parts) <= 0.01]
            if idle:
                yield (
                    f"{c.name!r} turned by 1/{idle[0]} of the period {period:.4g} of {name} changes nothing either",
                    "give the smallest such turn, 0 where the angle cannot be seen",
                )


def _changed(s: Subject, identity: int, j: int, turn: float) -> float:
    """Share of the pixels covered by objects of an identity that a turn changes visibly."""
    _, where = s.objects(16)
    what = torch.full((16,), identity, device=where.device)
    turned = where.clone()
    turned[:, j] += turn
    a, b = s.draw(what, where).color, s.draw(what, turned).color
    shown = (a.abs().amax(1) > 0.01).sum()
    return float(((a - b).abs() > 0.05).any(1).sum() / shown.clamp_min(1))
