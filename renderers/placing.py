"""Upright glimpses placed in images, bilinearly: a spatial transformer without rotation."""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from renderers.half_squares import FAST, kernels_know
from renderers.threads import deal

ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)


def place(glimpses: Tensor, window: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (M, C, H, W) of a ``size`` (H, W) that show glimpses (M, C, side, side) where windows (M, 2, 3) say.

    Windows are affine maps from a glimpse's own coordinates to image coordinates, as ``Renderer.window`` gives them,
    of which scale and shift are read. Beyond a glimpse are zeros.
    """
    if kernels_know(glimpses, window):
        return _placed(glimpses.unsqueeze(1), window.unsqueeze(1), size).squeeze(1)
    # sampling in one direction is a matrix product
    down = _weights(window[:, 1, 1], window[:, 1, 2], size[0], glimpses.shape[-1])
    across = _weights(window[:, 0, 0], window[:, 0, 2], size[1], glimpses.shape[-1])
    return down.unsqueeze(1) @ (glimpses @ across.transpose(1, 2).unsqueeze(1))


def add(glimpses: Tensor, window: Tensor, ground: Tensor) -> Tensor:
    """Prefix canvases (B, N + 1, C, H, W): the ground (C, H, W) or (B, C, H, W), and glimpses added one by one.

    Glimpses (B, N, C, side, side) and windows (B, N, 2, 3) as ``place`` has them; for those that ``kernels_know``.
    """
    return _placed(glimpses, window, (ground.shape[-2], ground.shape[-1]), ground)


def _weights(scale: Tensor, center: Tensor, pixels: int, samples: int) -> Tensor:
    """(M, pixels, samples): share of each of a glimpse's samples in each pixel along one direction."""
    pixel = (torch.arange(pixels, device=scale.device, dtype=scale.dtype) + 0.5) * 2 / pixels - 1
    # where in the glimpse the pixel's centre lies, in samples
    place = ((pixel - center.unsqueeze(1)) / scale.unsqueeze(1) + 1) * (samples / 2) - 0.5
    distance = place.unsqueeze(2) - torch.arange(samples, device=scale.device, dtype=scale.dtype)
    return (1 - distance.abs()).clamp_min(0)


def _placed(glimpses: Tensor, window: Tensor, size: tuple[int, int], ground: Tensor | None = None) -> Tensor:
    images: Tensor = _Placed.apply(glimpses, window, size, ground)  # type: ignore[no-untyped-call]
    return images


class _Placed(torch.autograd.Function):
    """Images of N glimpses each, by kernels, which look only at the pixels that windows cover.

    Image n shows the glimpses up to the nth; with a ground there is one before the first, which shows that alone.
    """

    @staticmethod
    def forward(ctx: Any, glimpses: Tensor, window: Tensor, size: tuple[int, int], ground: Tensor | None) -> Tensor:
        ctx.save_for_backward(glimpses, window)
        ctx.ground = None if ground is None else ground.shape
        batch, count, channels = glimpses.shape[:3]
        images = torch.empty(batch, count if ground is None else count + 1, channels, *size)
        if ground is not None:
            images[:, 0] = ground
        deal(_draw, batch, _array(glimpses), _array(window), images.numpy())
        return images

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        glimpses, window = ctx.saved_tensors
        gradients = torch.zeros(glimpses.shape), torch.zeros(window.shape)
        parts = (_array(part) for part in (glimpses, window, incoming, *gradients))
        deal(_contract, len(glimpses), *parts)
        return *gradients, None, incoming.sum(1).sum_to_size(ctx.ground) if ctx.needs_input_grad[3] else None


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


@njit(**FAST)
def _sampled(scale: Any, center: Any, samples: int, first: Any, share: Any) -> Any:
    """The pixels along one direction that a glimpse covers, from which to which, end excluded.

    Of each of these, ``first`` is the former of the two samples between which it lies, counted from the one before the
    glimpse on, and ``share`` that of the latter.
    """
    pixels = first.shape[0]
    start, stop = pixels, 0
    for p in range(pixels):
        pixel = (np.float32(p) + HALF) * np.float32(2) / np.float32(pixels) - ONE
        at = ((pixel - center) / scale + ONE) * np.float32(samples / 2) + HALF
        if ZERO < at < samples + 1:  # never of what is no number
            first[p], share[p] = int(at), at - np.floor(at)
            start, stop = min(start, p), p + 1
    return start, stop


@njit(**FAST)
def _row(glimpse: Any, before: int, share: Any, row: Any) -> None:
    """``row`` (side + 2,) between two of a glimpse's (side, side), zeros about it."""
    side = glimpse.shape[0]
    row[:] = ZERO
    if before > 0:
        for j in range(side):
            row[j + 1] = (ONE - share) * glimpse[before - 1, j]
    if before < side:
        for j in range(side):
            row[j + 1] += share * glimpse[before, j]


@njit(**FAST)
def _draw(start: int, stop: int, glimpses: Any, windows: Any, images: Any) -> None:
    """``images`` (B, N, C, H, W) from B = ``start`` to ``stop``; with N + 1 the first is there already."""
    _, count, channels, side, _ = glimpses.shape
    height, width = images.shape[3:]
    down, across = np.empty(height, np.int64), np.empty(width, np.int64)
    lower, later, row = np.empty(height, np.float32), np.empty(width, np.float32), np.empty(side + 2, np.float32)
    ahead = images.shape[1] - count
    for b in range(start, stop):
        for n in range(count):
            window, image = windows[b, n], images[b, n + ahead]
            top, bottom = _sampled(window[1, 1], window[1, 2], side, down, lower)
            left, right = _sampled(window[0, 0], window[0, 2], side, across, later)
            # a window that is no number shows
            nothing = ZERO * (window[0, 0] + window[0, 2] + window[1, 1] + window[1, 2])
            if n + ahead > 0:
                image[:] = images[b, n + ahead - 1] + nothing
            else:
                image[:] = nothing
            for c in range(channels):
                for y in range(top, bottom):
                    _row(glimpses[b, n, c], down[y], lower[y], row)
                    for x in range(left, right):
                        j = across[x]
                        image[c, y, x] += row[j] + later[x] * (row[j + 1] - row[j])


@njit(**FAST)
def _contract(
    start: int, stop: int, glimpses: Any, windows: Any, incoming: Any, of_glimpses: Any, of_windows: Any
) -> None:
    """Gradients, zeros before, of B = ``start`` to ``stop`` in glimpses and windows, of the ``incoming`` of images."""
    _, count, channels, side, _ = glimpses.shape
    images, height, width = incoming.shape[1], incoming.shape[3], incoming.shape[4]
    down, across = np.empty(height, np.int64), np.empty(width, np.int64)
    lower, later, row = np.empty(height, np.float32), np.empty(width, np.float32), np.empty(side + 2, np.float32)
    of_row, of_across, of_down = np.empty_like(row), np.empty_like(later), np.empty_like(lower)
    slopes = np.empty_like(later)
    for b in range(start, stop):
        for n in range(count):
            window = windows[b, n]
            top, bottom = _sampled(window[1, 1], window[1, 2], side, down, lower)
            left, right = _sampled(window[0, 0], window[0, 2], side, across, later)
            of_across[:], of_down[:] = ZERO, ZERO
            for c in range(channels):
                for y in range(top, bottom):
                    _row(glimpses[b, n, c], down[y], lower[y], row)
                    of_row[:], slopes[:] = ZERO, ZERO
                    for i in range(n + images - count, images):
                        for x in range(left, right):
                            slopes[x] += incoming[b, i, c, y, x]
                    for x in range(left, right):
                        j, share, slope = across[x], later[x], slopes[x]
                        of_row[j] += (ONE - share) * slope
                        of_row[j + 1] += share * slope
                        of_across[x] += slope * (row[j + 1] - row[j])
                    of_down[y] += _spread(of_row, glimpses[b, n, c], down[y], lower[y], of_glimpses[b, n, c])
            _of_window(of_across, left, right, window[0], side, of_windows[b, n, 0], 0)
            _of_window(of_down, top, bottom, window[1], side, of_windows[b, n, 1], 1)


@njit(**FAST)
def _spread(of_row: Any, glimpse: Any, before: int, share: Any, of_glimpse: Any) -> Any:
    """Adds what a row's gradient is in ``of_glimpse``; returns what it is in ``share``."""
    side, slope = glimpse.shape[0], ZERO
    if before > 0:
        for j in range(side):
            of_glimpse[before - 1, j] += (ONE - share) * of_row[j + 1]
            slope -= of_row[j + 1] * glimpse[before - 1, j]
    if before < side:
        for j in range(side):
            of_glimpse[before, j] += share * of_row[j + 1]
            slope += of_row[j + 1] * glimpse[before, j]
    return slope


@njit(**FAST)
def _of_window(of_places: Any, start: int, stop: int, window: Any, side: int, gradient: Any, axis: int) -> None:
    """``gradient`` (3,) in a row of a window, of that in where its pixels lie in the glimpse, in samples."""
    scale, center, pixels = window[axis], window[2], of_places.shape[0]
    of_center, of_scale = ZERO, ZERO
    for p in range(start, stop):
        pixel = (np.float32(p) + HALF) * np.float32(2) / np.float32(pixels) - ONE
        of_center += of_places[p]
        of_scale += of_places[p] * (pixel - center) / scale
    factor = -np.float32(side) * HALF / scale
    gradient[axis], gradient[2] = factor * of_scale, factor * of_center
