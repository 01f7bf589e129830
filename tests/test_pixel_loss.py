"""Pixel losses against torch.distributions, in value and gradient, and what they refuse."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, distributions

from renderers.pixel_loss import Mixture, Normal, PixelLoss, PoissonGaussian, StudentT

Density = Callable[[Tensor, Tensor, Tensor], Tensor]


def mixture(image: Tensor, canvas: Tensor, sd: Tensor) -> Tensor:
    uniform = distributions.Uniform(torch.zeros_like(image), torch.ones_like(image))
    inlier, outlier = distributions.Normal(canvas, sd).log_prob(image), uniform.log_prob(image)
    return (0.97 * inlier.exp() + 0.03 * outlier.exp()).log()


def sensor(image: Tensor, canvas: Tensor, sd: Tensor) -> Tensor:
    return distributions.Normal(canvas, (0.05 * canvas.clamp_min(0) + sd**2).sqrt()).log_prob(image)


CASES: dict[str, tuple[PixelLoss, Density]] = {
    "normal": (Normal(0.1), lambda x, c, s: distributions.Normal(c, s).log_prob(x)),
    "t": (StudentT(0.1, dof=3.5), lambda x, c, s: distributions.StudentT(3.5, c, s).log_prob(x)),
    "mixture": (Mixture(0.1, outliers=0.03), mixture),
    "sensor": (PoissonGaussian(0.1, gain=0.05), sensor),
}
SCALES = {"one": (), "channels": (3, 1, 1), "pixels": (4, 5), "all": (3, 4, 5)}


def numbers() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    image = torch.rand(2, 1, 3, 4, 5, generator=random, dtype=torch.float64)
    canvas = 1.2 * torch.rand(2, 4, 3, 4, 5, generator=random, dtype=torch.float64) - 0.1  # below 0 too
    return canvas.requires_grad_(), image


@pytest.mark.parametrize("shape", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_values_and_gradients(case: tuple[PixelLoss, Density], shape: tuple[int, ...]) -> None:
    loss, density = case
    canvas, image = numbers()
    random = torch.Generator().manual_seed(1)
    scale = (0.1 + 0.2 * torch.rand(shape, generator=random, dtype=torch.float64)).requires_grad_()
    found, expected = replace(loss, scale=scale)(canvas, image), -density(image, canvas, scale)
    assert torch.allclose(found, expected, rtol=1e-12)
    for leaf in (canvas, scale):
        mine, true = (torch.autograd.grad(total.sum(), leaf, retain_graph=True)[0] for total in (found, expected))
        assert mine.any() and torch.allclose(mine, true, rtol=1e-9)
    number, tensor = (replace(loss, scale=s)(canvas, image) for s in (0.2, torch.full(shape, 0.2, dtype=torch.float64)))
    assert torch.allclose(number, tensor, rtol=1e-12)


@pytest.mark.parametrize("shape", [None, *SCALES.values()], ids=["number", *SCALES])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_total_is_the_sum_over_an_image(case: tuple[PixelLoss, Density], shape: tuple[int, ...] | None) -> None:
    loss, _ = case
    canvas, image = (part.detach().requires_grad_() for part in numbers())
    leaves = [canvas, image]
    if shape is not None:
        scale = torch.linspace(0.1, 0.3, math.prod(shape), dtype=torch.float64).view(shape).requires_grad_()
        loss, leaves = replace(loss, scale=scale), [*leaves, scale]
    total, expected = loss.total(canvas, image), loss(canvas, image).flatten(2).sum(2)
    assert total.shape == (2, 4) and torch.allclose(total, expected, rtol=1e-12)
    weights = torch.linspace(-1, 1, 8, dtype=torch.float64).view(2, 4)
    for leaf in leaves:
        mine, true = (
            torch.autograd.grad((weights * sums).sum(), leaf, retain_graph=True)[0] for sums in (total, expected)
        )
        assert mine.any() and torch.allclose(mine, true, rtol=1e-9)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_far_off_pixels(case: tuple[PixelLoss, Density]) -> None:
    """In float32 a pixel may lie a thousand scales off."""
    loss = replace(case[0], scale=1e-3)
    canvas = torch.tensor([0.0, 1.0], requires_grad=True)
    found = loss(canvas, torch.tensor([1.0, 0.0]))
    (gradient,) = torch.autograd.grad(found.sum(), canvas)
    assert found.isfinite().all() and gradient.isfinite().all()


def test_a_mixture_bounds_what_a_pixel_costs() -> None:
    loss = Mixture(0.01, outliers=0.02)
    assert float(loss(torch.zeros(1), torch.ones(1))) == pytest.approx(-torch.tensor(0.02).log().item(), rel=1e-6)


def test_residuals_are_whitened_by_the_noise_that_made_them() -> None:
    random = torch.Generator().manual_seed(0)
    canvas, each = torch.full((3, 100, 100), 0.5), torch.tensor([0.05, 0.1, 0.2])[:, None, None]
    for loss, sd in ((Normal(each), each), (PoissonGaussian(each, gain=0.02), (0.01 + each**2).sqrt())):
        noise = sd * torch.randn(3, 100, 100, generator=random)
        spread = loss.whiten(canvas, canvas + noise).std((1, 2))
        assert torch.allclose(spread, torch.ones(3), atol=0.03)


@pytest.mark.parametrize(
    "make, arguments, said",
    [
        (Normal, dict(scale=0.0), "Normal: scale must be positive and finite: 0.1, for example, got 0.0"),
        (Mixture, dict(scale=-1), "Mixture: scale must be positive and finite: 0.1, for example, got -1"),
        (
            Mixture,
            dict(scale=1.0, outliers=1.0),
            "outliers must be a share between 0 and 1: 0.01, for example, got 1.0",
        ),
        (StudentT, dict(scale=0.1, dof=0.0), "StudentT: dof must be positive and finite: 4, for example, got 0.0"),
        (
            PoissonGaussian,
            dict(scale=0.1, gain=-0.1),
            "gain must be not negative and finite; 0 leaves the read noise, got",
        ),
    ],
)
def test_refused(make: Callable[..., PixelLoss], arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make(**arguments)
