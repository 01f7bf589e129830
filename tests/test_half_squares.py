"""Half the sums of squared differences: the kernels against torch's own operations, in value and gradient."""

import pytest
import torch

from renderers.half_squares import half_squares


@pytest.mark.parametrize("images", [1, 3], ids=["an image for all", "an image each"])
@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
def test_kernels_give_what_torch_gives(images: int, turned: bool) -> None:
    random = torch.Generator().manual_seed(0)
    canvas, image = (torch.rand(5, n, 2, 6, 7, generator=random, dtype=torch.float64) for n in (3, images))
    weights = torch.rand(5, 3, generator=random, dtype=torch.float64)
    found = []
    for dtype in (torch.float32, torch.float64):
        leaves = [part.to(dtype).requires_grad_() for part in (canvas, image)]
        sums = half_squares(*(leaf.mT if turned else leaf for leaf in leaves))
        found.append([sums, *torch.autograd.grad((weights.to(dtype) * sums).sum(), leaves)])
    expected = 0.5 * (canvas - image).square().sum((2, 3, 4))
    torch.testing.assert_close(found[1][0], expected)
    for single, double in zip(*found):
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


def test_what_is_no_number_stays_so() -> None:
    canvas = torch.zeros(2, 3, 1, 4, 4)
    canvas[1, 2, 0, 3, 3] = torch.nan
    assert half_squares(canvas, torch.zeros(2, 1, 1, 4, 4)).isnan().nonzero().tolist() == [[1, 2]]


def test_canvases_that_weigh_next_to_nothing_have_no_gradient() -> None:
    canvas, image = torch.rand(2, 3, 1, 4, 4, requires_grad=True), torch.zeros(2, 1, 1, 4, 4)
    weights = torch.tensor([[1.0, 1e-7, 1e-8], [1e-8, 0.0, 1e-15]])  # of each image's largest
    gradient = torch.autograd.grad((weights * half_squares(canvas, image)).sum(), canvas)[0]
    kept = torch.tensor([[1, 1, 0], [1, 0, 1]]).view(2, 3, 1, 1, 1)
    torch.testing.assert_close(gradient, weights[..., None, None, None] * canvas.detach() * kept)
