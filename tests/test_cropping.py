"""Windows cut out of images: the kernels against torch's sampling, in value and gradient."""

import pytest
import torch
from torch import Tensor

from air_lightning.inference.cropping import kernels_cut
from air_lightning.inference.heads import crops


def windows(count: int) -> Tensor:
    """Upright ones: some beside the image altogether, some larger than it, some over its edges, some mirrored."""
    random = torch.Generator().manual_seed(1)
    found = torch.zeros(count, 2, 3, dtype=torch.float64)
    found[:, 0, 0], found[:, 1, 1] = 0.05 + 1.2 * torch.rand(2, count, generator=random)
    found[:, :, 2] = 4 * torch.rand(count, 2, generator=random) - 2
    found[::7, 0, 0] *= -1
    return found.float().double()


@pytest.mark.parametrize(
    "channels, shape, size",
    [([1, 1], (12, 9), 5), ([3, 3], (8, 15), 8), ([3], (7, 7), 1), ([1, 2], (1, 4), 3), ([2], (4, 1), 3)],
)
def test_kernels_give_what_torch_gives(channels: list[int], shape: tuple[int, int], size: int) -> None:
    random = torch.Generator().manual_seed(0)
    images = [torch.rand(40, some, *shape, generator=random).double() for some in channels]
    weights = torch.rand(40, sum(channels), size, size, generator=random).double()
    found = []
    for dtype in (torch.float32, torch.float64):
        seen, window = [image.to(dtype) for image in images], windows(40).to(dtype).requires_grad_()
        assert kernels_cut(seen, window) == (dtype == torch.float32)
        cut = crops(seen, window, size)
        (gradient,) = torch.autograd.grad((weights.to(dtype) * cut).sum(), [window])
        found.append([cut, gradient[:, 0, ::2], gradient[:, 1, 1:]])
    for single, double in zip(*found):
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, rtol=2e-5, atol=2e-4)


def test_no_images_and_images_that_are_views() -> None:
    assert crops([torch.rand(0, 2, 6, 6)], torch.zeros(0, 2, 3), 4).shape == (0, 2, 4, 4)
    images, window = torch.rand(1, 3, 6, 5).expand(4, -1, -1, -1).transpose(2, 3), windows(4).float()
    torch.testing.assert_close(crops([images], window, 4), crops([images.contiguous()], window, 4))


def test_a_window_that_is_no_number_shows() -> None:
    window = windows(3).float()
    window[1, 0, 2] = torch.nan
    assert crops([torch.rand(3, 1, 6, 6)], window, 4).isnan().flatten(1).all(1).tolist() == [False, True, False]


def test_what_kernels_do_not_cut() -> None:
    images, window = [torch.rand(2, 1, 6, 6)], windows(2).float()
    turned = window.clone()
    turned[1, 0, 1] = 0.1
    assert kernels_cut(images, window)
    assert not kernels_cut(images, turned)
    assert not kernels_cut([images[0].requires_grad_()], window)
    (gradient,) = torch.autograd.grad(crops(images, window, 4).sum(), images)
    assert gradient.any()
    with torch.autocast("cpu", torch.bfloat16):
        assert not kernels_cut([images[0].detach()], window)
