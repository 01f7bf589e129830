"""Central finite differences: second order, against a renderer whose gradient autograd knows; and part of autograd."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_renderers import Blobs, Slabs

from renderers.finite_differences import central, contract_whole, differenced, perturb


def blob_scene() -> tuple[Tensor, Tensor, Tensor]:
    """Brightness, pose and incoming gradient of two scenes of three blobs, float64."""
    random = torch.Generator().manual_seed(0)
    what = torch.rand(2, 3, 1, generator=random, dtype=torch.float64)
    where = torch.rand(2, 3, 3, generator=random, dtype=torch.float64) - 0.5
    where[..., 2] = where[..., 2] / 2 + 0.5
    return what, where, torch.randn(2, 4, 1, 9, 12, generator=random, dtype=torch.float64)


def true_gradient(what: Tensor, where: Tensor, incoming: Tensor) -> Tensor:
    where = where.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(Blobs(differentiable=True).canvases(what, where), where, incoming)
    return gradient


def slope(steps: list[float], errors: list[float]) -> float:
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def test_perturb_moves_one_coordinate_at_a_time() -> None:
    moved = perturb(torch.tensor([[1.0, 2.0]]), torch.tensor([0.5, 0.1]))
    assert torch.allclose(moved, torch.tensor([[[1.5, 2.0], [1.0, 2.1], [0.5, 2.0], [1.0, 1.9]]]))


def test_central_undoes_perturb_on_a_line() -> None:
    pose, steps = torch.randn(4, 3, 2, dtype=torch.float64), torch.tensor([0.5, 0.1], dtype=torch.float64)
    weights = torch.tensor([2.0, -3.0], dtype=torch.float64)
    assert torch.allclose(central(perturb(pose, steps) @ weights, steps), weights.expand(4, 3, 2))


@pytest.mark.parametrize("coordinate", range(3), ids=["x", "y", "scale"])
def test_whole_image_differences_are_second_order(coordinate: int) -> None:
    what, where, incoming = blob_scene()
    truth, sizes, errors = true_gradient(what, where, incoming), [0.02 / 2**k for k in range(5)], []
    for size in sizes:
        steps = torch.full((3,), size, dtype=torch.float64)
        found = contract_whole(lambda w: Blobs().render(what, w), where, steps, incoming)
        errors.append(float((found - truth)[..., coordinate].abs().max()))
    assert slope(sizes, errors) == pytest.approx(2, abs=0.02)


def test_layered_differences_are_second_order() -> None:
    what, where, incoming = blob_scene()
    truth, coarseness = true_gradient(what, where, incoming), [1 / 2**k for k in range(5)]
    errors = [float((Blobs().contract(what, where, incoming, c) - truth).abs().max()) for c in coarseness]
    assert slope(coarseness, errors) == pytest.approx(2, abs=0.02)


def test_differences_are_exact_up_to_a_parabola() -> None:
    pose, incoming = torch.randn(2, 3, 2, dtype=torch.float64), torch.randn(2, 3, 2, dtype=torch.float64)
    steps = torch.tensor([0.5, 2.0], dtype=torch.float64)
    found = contract_whole(lambda p: p**2 - 3 * p, pose, steps, incoming)
    assert torch.allclose(found, (2 * pose - 3) * incoming)


@pytest.mark.parametrize("coarseness", [1.0, 3.0])
def test_layered_equals_whole(coarseness: float) -> None:
    what, where, incoming = blob_scene()
    renderer = Blobs()
    whole = contract_whole(
        lambda w: renderer.render(what, w), where, coarseness * renderer.where.steps(where), incoming
    )
    assert torch.allclose(renderer.contract(what, where, incoming, coarseness), whole, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_backward_of_canvases_is_the_contraction(dtype: torch.dtype) -> None:
    what, where, incoming = (t.to(dtype) for t in blob_scene())
    renderer = Blobs()
    what.requires_grad_(), where.requires_grad_()
    canvases = renderer.canvases(what, where)
    torch.autograd.backward(canvases, incoming)
    assert canvases.dtype == where.dtype == dtype
    assert torch.equal(canvases, renderer.render(what, where))
    assert where.grad is not None and what.grad is None
    assert torch.equal(where.grad, renderer.contract(what, where, incoming))


def test_coarseness_widens_the_steps_of_backward() -> None:
    what, where, incoming = blob_scene()
    renderer = Blobs()
    leaf = where.clone().requires_grad_()
    fine, coarse = (torch.autograd.grad(renderer.canvases(what, leaf, c), leaf, incoming)[0] for c in (1.0, 5.0))
    assert torch.equal(coarse, renderer.contract(what, where, incoming, 5.0))
    assert not torch.allclose(fine, coarse)


def test_gradient_passes_through_to_what_made_the_pose() -> None:
    what, where, incoming = blob_scene()
    u = where.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(Blobs().canvases(what, 2 * u), u, incoming)
    assert torch.equal(gradient, 2 * Blobs().contract(what, 2 * where, incoming))


def test_contraction_runs_once_a_backward_and_only_then() -> None:
    calls: list[Tensor] = []

    def contract(pose: Tensor, gradient: Tensor) -> Tensor:
        calls.append(gradient)
        return torch.ones_like(pose)

    pose = torch.zeros(2, 3, 1, requires_grad=True)
    image = differenced(pose, lambda p: p.sum(1), contract)
    assert not calls
    (gradient,) = torch.autograd.grad((3 * image).sum(), pose)
    assert len(calls) == 1 and torch.equal(calls[0], torch.full((2, 1), 3.0))
    assert torch.equal(gradient, torch.ones(2, 3, 1))


def test_no_graph_where_no_gradient_is_asked() -> None:
    what, where, _ = blob_scene()
    assert not Blobs().canvases(what, where).requires_grad
    with torch.no_grad():
        assert not Blobs().canvases(what, where.requires_grad_()).requires_grad


def test_differentiable_renderer_gives_both_gradients() -> None:
    what, where, _ = blob_scene()
    what.requires_grad_(), where.requires_grad_()
    renderer = Blobs(differentiable=True)
    assert torch.autograd.gradcheck(renderer.canvases, (what, where))


def test_hard_edges_need_steps_of_about_a_pixel() -> None:
    """Why ``step`` says half a pixel to a pixel: between pixel centres a hard-edged image does not change."""
    what, where = torch.tensor([[1]]), torch.tensor([[[0.03, 0.01, 2.0]]], dtype=torch.float64)
    renderer = Slabs(size=(12, 16))
    incoming = torch.rand(1, 2, 3, 12, 16, dtype=torch.float64)
    pixel = 2 / 16 / renderer.where.coordinates[0].step
    assert renderer.contract(what, where, incoming, 0.01 * pixel)[0, 0, 0] == 0
    assert renderer.contract(what, where, incoming, pixel)[0, 0, 0] != 0


def test_steps_are_half_the_distance_of_the_two_images() -> None:
    """A slab whose edges cross whole pixels: the difference is their number over 2 steps."""
    renderer, what = Slabs(size=(12, 16)), torch.tensor([[1]])
    where = torch.tensor([[[0.03, 0.01, 2.0]]], dtype=torch.float64)
    step = 0.02 * 10
    up, down = (renderer.render(what, where + torch.tensor([s, 0, 0]))[:, 1] for s in (step, -step))
    incoming = torch.zeros(1, 2, 3, 12, 16, dtype=torch.float64)
    incoming[:, 1] = 1
    expected = float((up - down).sum()) / (2 * step)
    assert math.isclose(renderer.contract(what, where, incoming, 10.0)[0, 0, 0].item(), expected, rel_tol=1e-9)
