"""Upright windows cut out of images, bilinearly, by kernels that look only at the pixels that windows cover."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from renderers.half_squares import FAST, kernels_know
from renderers.threads import deal

ZERO, ONE, HALF = np.float32(0), np.float32(1), np.float32(0.5)


def kernels_cut(images: Sequence[Tensor], window: Tensor) -> bool:
    """Whether ``cut`` takes these: what kernels know, windows that are not turned, images that ask for no gradient."""
    if not kernels_know(window, *images) or any(image.requires_grad for image in images):
        return False
    matrices = _array(window)
    return not (matrices[:, 0, 1].any() or matrices[:, 1, 0].any())


def cut(images: Sequence[Tensor], window: Tensor, size: int) -> Tensor:
    """The same windows (B, 2, 3) of several images (B, C, H, W), their channels joined, (B, C + ..., size, size).

    As ``heads.crops`` has it. Differentiable in ``window``, in scale and shift alone.
    """
    windows: Tensor = _Cut.apply(window, size, *images)  # type: ignore[no-untyped-call]
    return windows


class _Cut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, window: Tensor, size: int, *images: Tensor) -> Tensor:
        ctx.save_for_backward(window, *images)
        windows = torch.empty(len(window), sum(image.shape[1] for image in images), size, size)
        parts = _array(window), windows.numpy()
        for first, image in _placed(images):
            deal(_sample, len(window), _array(image), *parts, first)
        return windows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        window, *images = ctx.saved_tensors
        gradient = torch.zeros(window.shape)
        parts = _array(window), _array(incoming), gradient.numpy()
        for first, image in _placed(images):
            deal(_contract, len(window), _array(image), *parts, first)
        return gradient, None, *[None for _ in images]


def _placed(images: Sequence[Tensor]) -> list[tuple[int, Tensor]]:
    """Each of them with the first of its channels among those of all."""
    return list(zip(accumulate((image.shape[1] for image in images), initial=0), images))


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


@njit(**FAST)
def _places(scale: Any, center: Any, pixels: int, first: Any, share: Any, inside: Any) -> None:
    """Of every sample along one direction of a window, the former of the two pixels between which it lies.

    ``share`` is that of the latter. Beyond the border pixels' centres a sample shows these, and is not ``inside``.
    """
    size = first.shape[0]
    for i in range(size):
        place = scale * ((np.float32(i) + HALF) * np.float32(2) / np.float32(size) - ONE) + center
        at = ((place + ONE) * np.float32(pixels) - ONE) * HALF
        inside[i] = ZERO < at < pixels - 1
        nearest = at if inside[i] else np.float32(pixels - 1 if at > ZERO else 0)
        first[i] = min(int(nearest), max(pixels - 2, 0))
        share[i] = nearest - np.float32(first[i]) + ZERO * at  # what is no number shows


@njit(**FAST)
def _row(image: Any, first: int, share: Any, row: Any, start: int, stop: int) -> None:
    """``row`` between two of an image's (H, W), from ``start`` to ``stop``."""
    upper, lower = image[first], image[min(first + 1, image.shape[0] - 1)]
    for x in range(start, stop):
        row[x] = upper[x] + share * (lower[x] - upper[x])


@njit(**FAST)
def _sample(start: int, stop: int, images: Any, windows: Any, out: Any, channel: int) -> None:
    """``out`` (B, ..., size, size), from a channel on, of images (B, C, H, W) and B = ``start`` to ``stop``."""
    channels, height, width = images.shape[1:]
    size = out.shape[2]
    down, lower, inside = np.empty(size, np.int64), np.empty(size, np.float32), np.empty(size, np.bool_)
    across, later, row = np.empty_like(down), np.empty_like(lower), np.zeros(width + 1, np.float32)
    for b in range(start, stop):
        window = windows[b]
        _places(window[1, 1], window[1, 2], height, down, lower, inside)
        _places(window[0, 0], window[0, 2], width, across, later, inside)
        left, right = across.min(), min(across.max() + 2, width)
        for c in range(channels):
            for i in range(size):
                _row(images[b, c], down[i], lower[i], row, left, right)
                for j in range(size):
                    x = across[j]
                    out[b, channel + c, i, j] = row[x] + later[j] * (row[x + 1] - row[x])


@njit(**FAST)
def _contract(start: int, stop: int, images: Any, windows: Any, incoming: Any, gradient: Any, channel: int) -> None:
    """Adds to ``gradient`` (B, 2, 3) in the windows, of the ``incoming`` one in what ``_sample`` gives."""
    channels, height, width = images.shape[1:]
    size = incoming.shape[2]
    down, lower, seen_down = np.empty(size, np.int64), np.empty(size, np.float32), np.empty(size, np.bool_)
    across, later, seen_across = np.empty_like(down), np.empty_like(lower), np.empty_like(seen_down)
    row, slope = np.zeros(width + 1, np.float32), np.zeros(width + 1, np.float32)
    of_down, of_across = np.empty_like(lower), np.empty_like(lower)
    for b in range(start, stop):
        window = windows[b]
        _places(window[1, 1], window[1, 2], height, down, lower, seen_down)
        _places(window[0, 0], window[0, 2], width, across, later, seen_across)
        left, right = across.min(), min(across.max() + 2, width)
        of_down[:], of_across[:] = ZERO, ZERO
        for c in range(channels):
            for i in range(size):
                upper, under = images[b, c, down[i]], images[b, c, min(down[i] + 1, height - 1)]
                for x in range(left, right):
                    slope[x] = under[x] - upper[x]
                    row[x] = upper[x] + lower[i] * slope[x]
                total = ZERO
                for j in range(size):
                    x, share, weight = across[j], later[j], incoming[b, channel + c, i, j]
                    of_across[j] += weight * (row[x + 1] - row[x])
                    total += weight * (slope[x] + share * (slope[x + 1] - slope[x]))
                of_down[i] += total
        _of_window(of_across, seen_across, width, gradient[b, 0], 0)
        _of_window(of_down, seen_down, height, gradient[b, 1], 1)


@njit(**FAST)
def _of_window(of_places: Any, inside: Any, pixels: int, gradient: Any, axis: int) -> None:
    """Adds to ``gradient`` (3,) in a row of a window, of that in where its samples lie, in pixels."""
    size = of_places.shape[0]
    for i in range(size):
        if inside[i]:
            place = (np.float32(i) + HALF) * np.float32(2) / np.float32(size) - ONE
            gradient[axis] += HALF * np.float32(pixels) * of_places[i] * place
            gradient[2] += HALF * np.float32(pixels) * of_places[i]
