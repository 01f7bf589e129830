"""Glimpses placed in images: the kernels against matrix products, in value and gradient."""

import pytest
import torch
from torch import Tensor

from renderers import GlimpseRenderer
from renderers.placing import place


def windows(count: int) -> Tensor:
    """Some beside the image altogether, some larger than it, some over its edges."""
    random = torch.Generator().manual_seed(1)
    found = torch.zeros(count, 2, 3, dtype=torch.float64)
    found[:, 0, 0], found[:, 1, 1] = 0.05 + 1.2 * torch.rand(2, count, generator=random)
    found[:, :, 2] = 3 * torch.rand(count, 2, generator=random) - 1.5
    return found.float().double()


@pytest.mark.parametrize("channels, side, size", [(1, 5, (12, 9)), (3, 4, (8, 15)), (2, 1, (3, 3))])
def test_kernels_give_what_products_give(channels: int, side: int, size: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    glimpses = torch.rand(40, channels, side, side, generator=random).double()
    weights = torch.rand(40, channels, *size, generator=random).double()
    found = []
    for dtype in (torch.float32, torch.float64):
        leaves = [part.to(dtype).requires_grad_() for part in (glimpses, windows(40))]
        images = place(leaves[0], leaves[1], size)
        found.append([images, *torch.autograd.grad((weights.to(dtype) * images).sum(), leaves)])
    for single, double in zip(*found):
        assert single.dtype == torch.float32 and double.any()
        torch.testing.assert_close(single.double(), double, rtol=2e-5, atol=2e-4)


@pytest.mark.parametrize("each", [False, True], ids=["a ground for all", "a ground each"])
def test_canvases_are_those_of_layers(each: bool) -> None:
    renderer = GlimpseRenderer((2, 9, 12), what=3, glimpse=4, hidden=8)
    what, pose = torch.randn(5, 3, 3), renderer.where.constrain(torch.randn(5, 3, 3))
    ground, weights = torch.rand(*[5] * each, 2, 9, 12), torch.rand(5, 4, 2, 9, 12)
    found = []
    for dtype in (torch.float32, torch.float64):
        leaves = [part.to(dtype).requires_grad_() for part in (what, pose, ground)]
        canvases = renderer.to(dtype).canvases(leaves[0], leaves[1], background=leaves[2])
        learnt = list(renderer.decoder.parameters())
        found.append([canvases, *torch.autograd.grad((weights.to(dtype) * canvases).sum(), leaves + learnt)])
    for single, double in zip(*found):
        assert single.dtype == torch.float32 and double.any()
        torch.testing.assert_close(single.double(), double, rtol=2e-5, atol=2e-5)


def test_a_window_that_is_no_number_shows() -> None:
    window = windows(3).float()
    window[1, 0, 2] = torch.nan
    images = place(torch.rand(3, 1, 4, 4), window, (6, 6))
    assert images.isnan().flatten(1).all(1).tolist() == [False, True, False]


def test_in_mixed_precision_glimpses_are_drawn_and_learn() -> None:
    renderer = GlimpseRenderer((1, 9, 12), what=3, glimpse=4, hidden=8)
    what, pose = torch.randn(5, 3, 3), renderer.where.constrain(torch.randn(5, 3, 3))
    expected = renderer.canvases(what, pose)
    with torch.autocast("cpu", torch.bfloat16):
        canvases = renderer.canvases(what, pose)
    torch.testing.assert_close(canvases.float(), expected, rtol=0.02, atol=0.02)
    (gradient,) = torch.autograd.grad(canvases.float().sum(), [renderer.decoder[0].weight])
    assert gradient.isfinite().all() and gradient.any()
