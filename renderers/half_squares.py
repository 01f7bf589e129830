"""Half the sum of squared differences of canvases and images, in one pass over their numbers each way.

Autograd by itself passes over the numbers of N + 1 canvases a dozen times, a quarter of a training step, and keeps more
of them.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.autograd.function import once_differentiable

from renderers.threads import deal

# as renderers.mesh.projection's: numbers may be NaN or infinite
FAST: dict[str, Any] = {"fastmath": {"reassoc", "contract", "nsz"}, "nogil": True, "cache": True}
ZERO, HALF = np.float32(0), np.float32(0.5)
NEGLIGIBLE = np.float32(2.0**-24)
"""Of the image's largest incoming gradient: what is lost in rounding beside it."""


def half_squares(canvas: Tensor, image: Tensor) -> Tensor:
    """Half the sum over C, H and W of ``(canvas - image)^2``, (...), of tensors (..., C, H, W) that broadcast."""
    result: Tensor = _HalfSquares.apply(canvas, image)  # type: ignore[no-untyped-call]
    return result


class _HalfSquares(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, canvas: Tensor, image: Tensor) -> Tensor:
        ctx.save_for_backward(canvas, image)
        if not _kernels_know(canvas, image):
            return 0.5 * torch.linalg.vector_norm(canvas - image, dim=(-3, -2, -1)) ** 2
        sums = canvas.new_empty(canvas.shape[:2])
        deal(_sum, len(canvas), _array(canvas), _array(image), sums.numpy())
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, Tensor | None]:
        canvas, image = ctx.saved_tensors
        if _kernels_know(canvas, image):
            gradient = torch.empty(canvas.shape)
            parts = (_array(part) for part in (canvas, image, incoming.contiguous()))
            deal(_slope, len(canvas), *parts, _array(gradient))
        else:
            gradient = (canvas - image).mul_(incoming[..., None, None, None])
        of_canvas = gradient.sum_to_size(canvas.shape) if ctx.needs_input_grad[0] else None
        return of_canvas, -gradient.sum_to_size(image.shape) if ctx.needs_input_grad[1] else None


def kernels_know(*parts: Tensor) -> bool:
    """Whether these are on the CPU, float32, and neither traced nor computed with in another precision."""
    known = all(part.device.type == "cpu" and part.dtype == torch.float32 for part in parts)
    return known and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")


def _kernels_know(canvas: Tensor, image: Tensor) -> bool:
    """Whether these are canvases (B, N, C, H, W) and images (B, 1, C, H, W) that ``kernels_know``."""
    return kernels_know(canvas, image) and canvas.dim() == 5 and image.shape == (len(canvas), 1, *canvas.shape[2:])


def _array(tensor: Tensor) -> Any:
    """(B, N, C H W) of (B, N, C, H, W), (B, N) of (B, N)."""
    return (tensor.detach().flatten(2) if tensor.dim() > 2 else tensor).contiguous().numpy()


@njit(**FAST)
def _sum(start: int, stop: int, canvases: Any, images: Any, sums: Any) -> None:
    """``sums`` (B, N) of canvases (B, N, K) and images (B, 1, K), from B = ``start`` to ``stop``."""
    for b in range(start, stop):
        for n in range(canvases.shape[1]):
            canvas, image, total = canvases[b, n], images[b, 0], np.float32(0)
            for k in range(canvas.shape[0]):
                gap = canvas[k] - image[k]
                total += gap * gap
            sums[b, n] = HALF * total


@njit(**FAST)
def _slope(start: int, stop: int, canvases: Any, images: Any, incoming: Any, gradient: Any) -> None:
    """``gradient`` (B, N, K) in the canvases, of sums' ``incoming`` one (B, N); zeros where that is negligible."""
    for b in range(start, stop):
        least = ZERO
        for n in range(canvases.shape[1]):
            least = max(least, NEGLIGIBLE * abs(incoming[b, n]))
        for n in range(canvases.shape[1]):
            canvas, image, out, factor = canvases[b, n], images[b, 0], gradient[b, n], incoming[b, n]
            if abs(factor) < least:
                out[:] = ZERO
                continue
            for k in range(canvas.shape[0]):
                out[k] = factor * (canvas[k] - image[k])
