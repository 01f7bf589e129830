"""Layers to prefix canvases, against one pixel at a time."""

import math

import pytest
import torch
from torch import Tensor

from renderers.compositing import Layer, compose, coverage, downsample, extents


def random_layers(seed: int, shape: tuple[int, ...] = (2, 4, 3, 5, 6)) -> Layer:
    """Colour and depth with holes and, since depths are whole numbers, ties."""
    random = torch.Generator().manual_seed(seed)
    depth = torch.randint(1, 4, (*shape[:-3], *shape[-2:]), generator=random).double()
    depth[torch.rand(depth.shape, generator=random) < 0.4] = math.inf
    color = torch.rand(shape, generator=random, dtype=torch.float64) * depth.isfinite().unsqueeze(-3)
    return Layer(color, depth)


def nearest_by_hand(layers: Layer, background: Tensor, b: int, n: int, y: int, x: int) -> Tensor:
    """The pixel of canvas n: of its first n layers the nearest, of equals the earlier."""
    distances = layers.depth[b, :n, y, x].tolist()
    if not distances or min(distances) == math.inf:
        return background[:, y, x]
    return layers.color[b, distances.index(min(distances)), :, y, x]


@pytest.mark.parametrize("seed", range(3))
def test_zbuffer_shows_the_nearest_so_far(seed: int) -> None:
    layers, background = random_layers(seed), torch.rand(3, 5, 6, dtype=torch.float64)
    canvases = compose(layers, background, "zbuffer")
    assert canvases.shape == (2, 5, 3, 5, 6)
    for b, n, y, x in torch.cartesian_prod(*(torch.arange(k) for k in (2, 5, 5, 6))).tolist():
        assert torch.equal(canvases[b, n, :, y, x], nearest_by_hand(layers, background, b, n, y, x))


@pytest.mark.parametrize("rule", ["zbuffer", "additive", "over"])
@pytest.mark.parametrize("layers_are", [torch.float32, torch.float64])
def test_layers_and_background_may_differ_in_precision(rule: str, layers_are: torch.dtype) -> None:
    background_is = torch.float32 if layers_are == torch.float64 else torch.float64
    layers, background = random_layers(0), torch.rand(3, 5, 6).to(background_is)
    layers = layers._replace(color=layers.color.to(layers_are), alpha=torch.rand(2, 4, 5, 6).to(layers_are))
    expected = compose(layers._replace(color=layers.color.double()), background.double(), rule)  # type: ignore[arg-type]
    found = compose(layers, background, rule)  # type: ignore[arg-type]
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("slot", [0, 1])
def test_what_has_no_depth_hides_nothing(slot: int) -> None:
    layers, background = random_layers(0), torch.rand(3, 5, 6, dtype=torch.float64)
    lost, empty = layers.depth.clone(), layers.depth.clone()
    lost[:, slot], empty[:, slot] = math.nan, math.inf
    found, expected = (compose(layers._replace(depth=depth), background, "zbuffer") for depth in (lost, empty))
    assert torch.equal(found, expected)


def test_additive_is_a_prefix_sum() -> None:
    layers, background = random_layers(0), torch.rand(3, 5, 6, dtype=torch.float64)
    canvases = compose(layers, background, "additive")
    for n in range(5):
        assert torch.allclose(canvases[:, n], background + layers.color[:, :n].sum(1))


@pytest.mark.parametrize("rule", ["zbuffer", "additive"])
def test_leading_dimensions_are_batches(rule: str) -> None:
    layers, background = random_layers(1, (2, 3, 4, 3, 5, 6)), torch.zeros(3, 5, 6, dtype=torch.float64)
    whole = compose(layers, background, rule)  # type: ignore[arg-type]
    for i in range(2):
        part = compose(Layer(layers.color[i], layers.depth[i]), background, rule)  # type: ignore[arg-type]
        assert torch.equal(whole[i], part)


@pytest.mark.parametrize("rule", ["zbuffer", "additive"])
def test_no_layers_leave_the_background(rule: str) -> None:
    background = torch.rand(3, 5, 6)
    layers = Layer(torch.zeros(2, 0, 3, 5, 6), torch.zeros(2, 0, 5, 6))
    assert torch.equal(compose(layers, background, rule), background.expand(2, 1, 3, 5, 6))  # type: ignore[arg-type]


def test_order_of_layers_does_not_matter_to_the_last_canvas() -> None:
    layers, background = random_layers(2), torch.zeros(3, 5, 6, dtype=torch.float64)
    depth = layers.depth + torch.arange(4)[:, None, None] / 10  # without ties
    last = compose(Layer(layers.color, depth), background, "zbuffer")[:, -1]
    turned = compose(Layer(layers.color.flip(1), depth.flip(1)), background, "zbuffer")[:, -1]
    assert torch.equal(last, turned)


def test_zbuffer_passes_the_gradient_to_what_is_seen() -> None:
    layers = random_layers(0)
    color = layers.color.clone().requires_grad_()
    last = compose(Layer(color, layers.depth), torch.zeros(3, 5, 6, dtype=torch.float64), "zbuffer")[:, -1]
    (gradient,) = torch.autograd.grad(last.sum(), color)
    assert torch.equal(gradient.sum(1), layers.depth.isfinite().any(1).double().unsqueeze(1).expand(2, 3, 5, 6))


def test_downsample_is_the_mean_of_samples() -> None:
    fine = torch.rand(2, 3, 4, 6, 9, dtype=torch.float64)
    coarse = downsample(fine, 2)
    assert coarse.shape == (2, 3, 4, 2, 3)
    assert torch.allclose(coarse[1, 2, 0, 1, 2], fine[1, 2, 0, 3:6, 6:9].mean())


def test_downsample_to_the_same_size_is_nothing() -> None:
    fine = torch.rand(2, 3, 6, 9)
    assert downsample(fine, 6) is fine


def test_over_mixes_by_alpha_from_the_background_on() -> None:
    torch.manual_seed(0)
    alpha = torch.rand(2, 3, 5, 6, dtype=torch.float64)
    color = torch.rand(2, 3, 3, 5, 6, dtype=torch.float64) * alpha.unsqueeze(2)
    background = torch.rand(3, 5, 6, dtype=torch.float64)
    canvases = compose(Layer(color, torch.ones_like(alpha), alpha), background, "over")
    expected = background.expand(2, -1, -1, -1)
    torch.testing.assert_close(canvases[:, 0], expected)
    for n in range(3):
        expected = color[:, n] + (1 - alpha[:, n : n + 1]) * expected
        torch.testing.assert_close(canvases[:, n + 1], expected)


def test_over_needs_alpha() -> None:
    with pytest.raises(ValueError, match=r"compositing `over` needs layers with alpha, got None"):
        compose(random_layers(0), torch.zeros(3, 5, 6, dtype=torch.float64), "over")


def test_coverage_is_alpha_or_depth_or_brightness() -> None:
    layers = random_layers(1)
    alpha = torch.rand_like(layers.depth)
    assert torch.equal(coverage(layers, "zbuffer"), layers.depth.isfinite().double())
    assert torch.equal(coverage(Layer(layers.color, layers.depth, alpha), "over"), alpha)
    assert torch.equal(coverage(layers, "additive"), layers.color.amax(-3))


def test_extents_are_the_outermost_pixels() -> None:
    shown = torch.zeros(2, 5, 7, dtype=torch.bool)
    shown[0, 1, 2] = shown[0, 3, 5] = True
    assert extents(shown).tolist() == [[2, 1, 6, 4], [0, 0, 0, 0]]
