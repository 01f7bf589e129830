"""Backgrounds that are not the renderer's own: what canvases show of them, and their gradient."""

import re

import pytest
import torch
from test_swaps import scenes
from torch import Tensor
from toy_renderers import Blobs, Slabs

from renderers import GlimpseRenderer, MeshRenderer, Renderer
from renderers.mesh import Light, Shadow

SHADOWS = Light(shadow=Shadow(samples=1))
CASES = {
    "additive": Blobs,
    "z-buffer": Slabs,
    "z-buffer, 3 samples": lambda: Slabs(supersample=3),
    "over": lambda: GlimpseRenderer((1, 12, 12), what=2, glimpse=6, hidden=4, compositing="over"),
    "mesh": lambda: MeshRenderer(image_size=(16, 16)),
    "mesh, shadows, 2 samples": lambda: MeshRenderer(image_size=(12, 16), light=SHADOWS, supersample=2, x=(-1.2, 1.2)),
    "mesh, dense": lambda: MeshRenderer(image_size=(12, 12), light=SHADOWS).traceable(),
}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def renderer(request: pytest.FixtureRequest) -> Renderer:
    torch.manual_seed(0)
    made: Renderer = request.param()
    return made


def slots(renderer: Renderer) -> tuple[Tensor, Tensor, Tensor]:
    """what, where and an incoming gradient."""
    s = scenes(renderer, batch=2, others=1)
    what = s.what if renderer.identity_count > 1 else torch.randn(*s.what.shape, *renderer._code)
    return what, s.where, s.incoming


def sizes(renderer: Renderer) -> list[tuple[int, ...]]:
    pixels, samples = tuple(renderer.image_shape), tuple(renderer.background().shape)
    return [(2, *pixels), pixels, (2, *samples), samples]


def test_the_own_background_given_changes_nothing(renderer: Renderer) -> None:
    what, where, incoming = slots(renderer)
    own = renderer.background()
    for given in (own, own.expand(2, *own.shape).contiguous()):
        assert torch.equal(renderer.render(what, where, given), renderer.render(what, where))
        found = renderer.contract(what, where, incoming, background=given)
        assert torch.equal(found, renderer.contract(what, where, incoming))


def test_gradient_is_that_of_differences(renderer: Renderer) -> None:
    """Canvases are linear in the background, so that one difference is exact."""
    what, where, incoming = slots(renderer)
    for size in sizes(renderer):
        leaf, move = torch.rand(size).requires_grad_(), torch.rand(size)
        canvases = renderer.canvases(what, where, background=leaf)
        (gradient,) = torch.autograd.grad((canvases * incoming).sum(), leaf)
        with torch.no_grad():
            up, here = (renderer.render(what, where, leaf + by) for by in (move, 0 * move))
        assert torch.equal(canvases, here)
        assert (gradient * move).sum().item() == pytest.approx(((up - here) * incoming).sum().item(), abs=2e-3)
        assert gradient.abs().sum() > 0


def test_gradients_in_pose_and_background_are_autograds() -> None:
    what, where, _ = slots(Blobs())
    incoming, behind = torch.randn(2, 4, 1, 9, 12, dtype=torch.float64), torch.rand(2, 1, 9, 12, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad(
            (renderer.canvases(what.double(), pose, 1e-2, ground) ** 2 * incoming).sum(), (pose, ground)
        )
        for renderer in (Blobs(), Blobs(differentiable=True))
        for pose, ground in [(where.double().requires_grad_(), behind.clone().requires_grad_())]
    )
    assert torch.allclose(found[0], expected[0], rtol=1e-3, atol=1e-4)
    assert torch.allclose(found[1], expected[1], rtol=1e-12)


def test_transmittance_is_what_black_and_white_differ_by(renderer: Renderer) -> None:
    what, where, _ = slots(renderer)
    black, white = (renderer.render(what, where, torch.full(renderer.image_shape, value)) for value in (0.0, 1.0))
    seen = renderer.transmittance(what, where)
    assert torch.allclose((white - black).mean(2), seen, atol=1e-6)
    assert (seen[:, 0] == 1).all() and (renderer.compositing == "additive" or (seen[:, -1] < 1).any())


@pytest.mark.parametrize("shape", [(3, 8, 16), (1, 12, 16), (3, 3, 12, 16), (12, 16), (2, 2, 3, 12, 16)])
def test_backgrounds_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    renderer = Slabs(supersample=2)
    what, where, _ = slots(renderer)
    said = (
        "`background` must have shape (3, 12, 16) or (3, 24, 32), or that of one for each of the 2 images, got "
        f"{shape}: give it the images' size"
    )
    with pytest.raises(ValueError, match=re.escape(said)):
        renderer.canvases(what, where, background=torch.zeros(shape))
