"""Drawing one slot again: whole images, the base class's layers and the fused kernels give the same numbers."""

import ctypes
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_renderers import Blobs, Slabs

from air_lightning.testing import check_renderer
from air_lightning.testing.subject import Scenes
from renderers import MeshRenderer, Renderer
from renderers.finite_differences import central, perturb
from renderers.mesh import Camera, Light, Shadow
from renderers.pixel_loss import Mixture, Normal, PixelLoss, PoissonGaussian, StudentT

IDENTITIES = ("cube", "sphere", "cylinder", "cone")


def mesh(**changes: Any) -> Callable[[], Renderer]:
    return lambda: MeshRenderer(**{"identities": IDENTITIES, "image_size": (32, 32), **changes})


def pytorch3d(**changes: Any) -> Callable[[], Renderer]:
    def make() -> Renderer:
        pytest.importorskip("pytorch3d", reason="PyTorch3D is not installed")
        return mesh(backend="pytorch3d", **changes)()

    return make


ATTRIBUTES = {"size": (0.6, 1.4), "pitch": (-0.5, 0.5), "roll": (-0.4, 0.6), "color": (0.2, 1.0), "metal": (0.0, 1.0)}
# One line a case; every law below runs over all of them.
CASES: dict[str, Callable[[], Renderer]] = {
    "slabs": Slabs,
    "slabs, 2 samples": lambda: Slabs(supersample=2),
    "slabs, 3 samples": lambda: Slabs(supersample=3, size=(9, 14)),
    "mesh": mesh(),
    "mesh, 2 samples": mesh(supersample=2),
    "mesh, 3 samples, wide": mesh(supersample=3, image_size=(20, 33)),
    "mesh, tall": mesh(image_size=(37, 24), x=(-1.2, 1.2)),
    "mesh, tall, 2 samples": mesh(image_size=(37, 23), x=(-1.2, 1.2), supersample=2),
    "mesh, one pixel": mesh(image_size=(1, 1)),
    "mesh, y free": mesh(y=(0.0, 1.0)),
    "mesh, yaw fixed": mesh(yaw=0.4),
    "mesh, only x": mesh(y=0.3, z=-0.5, yaw=1.0),
    "mesh, only yaw": mesh(x=0.5, z=0.2),
    "mesh, close": mesh(camera=Camera((0.0, 2.2, 2.2), (0.0, 0.3, 0.0), 40.0), x=(-0.6, 0.6), z=(-0.6, 0.6)),
    "mesh, big": mesh(sizes=dict.fromkeys(IDENTITIES, 1.8), supersample=2),
    "mesh, attributes": mesh(**ATTRIBUTES),
    "mesh, attributes, shadows, 2 samples": mesh(
        **ATTRIBUTES, light=Light((0.6, 0.7, -0.4), shadow=Shadow(0.6, 10.0, 2)), supersample=2, image_size=(16, 20)
    ),
    "mesh, shadows": mesh(light=Light((0.6, 0.7, -0.4), color=(1.0, 0.8, 0.6), shadow=Shadow(0.6, 10.0, 3))),
    "mesh, shadows, 2 samples": mesh(light=Light(shadow=Shadow(samples=1)), supersample=2, y=(0.0, 1.0)),
    "pytorch3d": pytorch3d(),
    "pytorch3d, shadows": pytorch3d(light=Light((0.6, 0.7, -0.4), color=(1.0, 0.8, 0.6), shadow=Shadow(0.6, 10.0, 3))),
    "pytorch3d, wide, 2 samples": pytorch3d(image_size=(14, 25), supersample=2),
    "pytorch3d, attributes": pytorch3d(**ATTRIBUTES),
    "pytorch3d, one pixel": pytorch3d(image_size=(1, 1)),
}


def scenes(renderer: Renderer, batch: int = 4, slots: int = 3, others: int = 5) -> Scenes:
    """Poses over the whole support and at its ends, so that objects hide one another and leave the image."""
    random = torch.Generator().manual_seed(0)
    u = 1.5 * torch.randn(batch, slots, others + 1, len(renderer.where), generator=random)
    what = torch.randint(renderer.identity_count, (batch, slots, others + 1), generator=random)
    if renderer.identity_count == len(IDENTITIES):
        # The tops of one identity lie in one plane, and of equal depths rounding chooses: no identity in two slots.
        what[:, :1], what[:, 1:2], what[:, 2:] = 0, 1, 2 + what[:, 2:] % 2
    where = renderer.where.constrain(u)
    where[0] = where[0, :1, :1] + 0.1 * torch.randn(where.shape[1:], generator=random)  # a heap
    images = torch.rand(batch, *renderer.image_shape, generator=random)
    incoming = torch.randn(batch, slots + 1, *renderer.image_shape, generator=random)
    return Scenes(what[:, :, 0], where[:, :, 0], what[:, :, 1:], where[:, :, 1:], images, incoming)


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return request.param()


def close(found: Tensor, expected: Tensor) -> bool:
    """To float32's tolerance, of numbers that are sums over a whole image."""
    return bool(torch.allclose(found, expected, rtol=1e-4, atol=2e-5 * max(1.0, float(expected.abs().max()))))


def test_cases_hide_and_cut_objects(renderer: Renderer) -> None:
    """The scenes below do what they are for: in some, two objects cover one sample."""
    s = scenes(renderer)
    seen = renderer.draw(s.what.flatten(), s.where.flatten(0, 1)).depth.isfinite()
    seen = seen.view(*s.what.shape, *seen.shape[1:])
    assert (seen.sum(1) > 1).any() or renderer.image_shape == (3, 1, 1)


@pytest.mark.parametrize("law", ["render", "contract", "swap_scores", "backgrounds"])
def test_law(renderer: Renderer, law: str) -> None:
    """The contraction equals differences of whole images, own methods equal the base class's."""
    inherited = law == "swap_scores" and isinstance(renderer, Slabs)
    assert check_renderer(renderer, only=[law]).kept == (() if inherited else (law,))


def others_in_place(s: Scenes) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    for i in range(s.what.shape[1]):
        for m in range(s.other_what.shape[2]):
            what, where = s.what.clone(), s.where.clone()
            what[:, i], where[:, i] = s.other_what[:, i, m], s.other_where[:, i, m]
            yield i, m, what, where


def losses(renderer: Renderer) -> tuple[PixelLoss, ...]:
    """One of every identity, with one scale, one a channel, and a map over pixels."""
    channels, height, width = renderer.image_shape
    pixels = torch.linspace(0.1, 0.4, height * width).view(height, width)
    each = torch.linspace(0.1, 0.3, channels)[:, None, None]
    return (
        Normal(0.1),
        Normal(pixels),
        StudentT(torch.tensor(0.2), dof=3.0),
        Mixture(each, outliers=0.05),
        PoissonGaussian(pixels, gain=0.2),
    )


def without(slots: Tensor, i: int) -> Tensor:
    return torch.cat([slots[:, :i], slots[:, i + 1 :]], 1)


def by_brute_force(renderer: Renderer, s: Scenes, losses: Sequence[PixelLoss]) -> Iterator[tuple[Tensor, Tensor]]:
    """Found and expected scores, every alternative's scene drawn anew, and the scene with the slot taken out."""
    found = [renderer.swap_losses(s.images, *s[:4], loss) for loss in losses]
    for i, m, what, where in others_in_place(s):
        changed = renderer.render(what, where)[:, i + 1 :].double()
        left = renderer.render(without(s.what, i), without(s.where, i))[:, i:].double()
        images = s.images.unsqueeze(1).double()
        for loss, scores in zip(losses, found):
            expected = (loss(changed, images) - loss(left, images)).flatten(2).sum(2)
            yield scores[:, i, m, i + 1 :], expected.float()
            assert (scores[:, i, m, : i + 1] == 0).all()


def test_swap_losses_by_brute_force(renderer: Renderer) -> None:
    s = scenes(renderer, batch=2, others=3)
    assert all(close(*pair) for pair in by_brute_force(renderer, s, losses(renderer)))


def test_swap_losses_of_alternatives_that_are_alike() -> None:
    """Of the same pose with another identity or another colour: each has its own shadow and shape."""
    renderer = CASES["mesh, attributes, shadows, 2 samples"]()
    s = scenes(renderer, batch=2, others=4)
    s.other_where[:, :, 1:] = s.other_where[:, :, :1]
    s.other_what[:, :, 1] = (s.other_what[:, :, 0] + 1) % 4
    s.other_what[:, :, 2:] = s.other_what[:, :, 1:2]
    red = renderer.where.names.index("red")
    s.other_where[:, :, 3, red] = 0.9 - 0.5 * s.other_where[:, :, 3, red]
    assert all(close(*pair) for pair in by_brute_force(renderer, s, losses(renderer)))


def test_swap_losses_of_slots_far_apart() -> None:
    """Canvases that a slot elsewhere is added to change as much as those before."""
    renderer = mesh(light=Light(shadow=Shadow(samples=2)), sizes=dict.fromkeys(IDENTITIES, 0.4))()
    s = scenes(renderer, batch=2, slots=5, others=3)
    far = torch.tensor([[-1.2, -1.2], [1.2, -1.2], [0.0, 0.0], [0.3, 0.2], [-1.2, 1.2]])
    s.where[..., :2] = far
    s.other_where[..., :2] = far.unsqueeze(1) + 0.1 * s.other_where[..., :2]
    assert all(close(*pair) for pair in by_brute_force(renderer, s, losses(renderer)))


@pytest.mark.parametrize("dead", [(3,), (1, 3), (0, 1), (1, 2), (1, 2, 3)], ids=str)
def test_canvases_without_a_gradient_change_nothing(renderer: Renderer, dead: tuple[int, ...]) -> None:
    s = scenes(renderer)
    target = s.incoming.clone()
    target[1:, list(dead)] = 0
    slots, others = (s.what, s.where), (s.other_what, s.other_where)
    expected = renderer.swap_scores(*slots, *others, s.incoming)
    expected[1:, ..., list(dead)] = 0
    torch.testing.assert_close(renderer.swap_scores(*slots, *others, target), expected, rtol=0, atol=0)


def test_swap_losses_are_squared_errors() -> None:
    renderer = Slabs(supersample=2)
    s = scenes(renderer)
    expected = renderer.swap_losses(s.images, *s[:4], Normal(0.5)) / 2
    assert close(renderer.swap_losses(s.images, *s[:4], Normal(math.sqrt(0.5))), expected)


@pytest.mark.parametrize("loss", losses(Blobs()), ids=lambda loss: type(loss).__name__)
def test_losses_differences_are_the_gradient(loss: PixelLoss) -> None:
    """Both ways of learning a pose, against autograd through a smooth renderer."""
    smooth, random = Blobs(differentiable=True), torch.Generator().manual_seed(0)
    what, u = (torch.rand(2, 3, n, generator=random, dtype=torch.float64) for n in (1, 3))
    where = smooth.where.constrain(u).requires_grad_()
    images = torch.rand(2, 1, 9, 12, generator=random, dtype=torch.float64)
    total = loss(smooth.canvases(what, where)[:, 3], images).sum()
    (expected,) = torch.autograd.grad(total, where)
    black = Blobs()
    total = loss(black.canvases(what, where, 1e-3)[:, 3], images).sum()
    (contracted,) = torch.autograd.grad(total, where)
    steps = 1e-3 * black.where.steps(where)
    moved = perturb(where.detach(), steps)
    alternatives = what.unsqueeze(2).expand(-1, -1, moved.shape[2], -1)
    swapped = central(black.swap_losses(images, what, where, alternatives, moved, loss)[..., 3], steps)
    for found in (contracted, swapped):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


class Absolute(PixelLoss):
    """A Laplace density, which no kernel knows."""

    def __call__(self, canvas: Tensor, image: Tensor) -> Tensor:
        return (image - canvas).abs() / self.scale


def test_a_loss_of_ones_own_is_scored_by_the_base_class() -> None:
    renderer = mesh(supersample=2)()
    s = scenes(renderer, batch=2, others=2)
    assert all(close(*pair) for pair in by_brute_force(renderer, s, [Absolute(0.1)]))


def test_slots_and_alternatives_may_be_none(renderer: Renderer) -> None:
    for slots, others in ((0, 2), (2, 0)):
        s = scenes(renderer, slots=slots, others=others)
        assert renderer.swap_losses(s.images, *s[:4], Normal(math.sqrt(0.5))).shape == (4, slots, others, slots + 1)
    empty = scenes(renderer, batch=2, slots=0)
    blank = renderer.image_background().expand(2, 1, *renderer.image_shape)
    assert torch.allclose(renderer.canvases(empty.what, empty.where), blank, atol=1e-6)


def test_what_is_not_seen_changes_nothing() -> None:
    renderer = MeshRenderer(identities=IDENTITIES, image_size=(24, 24))
    s = scenes(renderer)
    s.other_where[..., 0] += 50  # far to the right
    assert (renderer.swap_losses(s.images, *s[:4], Normal(math.sqrt(0.5))) == 0).all()


def peak(action: Callable[[], object]) -> int:
    """Bytes by which resident memory rises above where it stood while ``action`` runs."""
    ctypes.CDLL(None).malloc_trim(0)  # what is free goes back first, or it would be used unseen
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from now
    (before,) = re.findall(r"VmRSS:\s+(\d+) kB", status.read_text())
    action()
    (after,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
    return 1024 * (int(after) - int(before))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads a process's peak memory from Linux")
def test_memory_does_not_grow_with_alternatives() -> None:
    """The layers of 400 alternatives alone would take 100 MB. (benchmarks/renderer.py measures it closely.)"""
    renderer = MeshRenderer(identities=IDENTITIES, image_size=(64, 64))
    few, many = (scenes(renderer, batch=2, slots=2, others=m) for m in (4, 400))
    renderer.swap_losses(few.images, *few[:4], Normal(math.sqrt(0.5)))
    assert peak(lambda: renderer.swap_losses(many.images, *many[:4], Normal(math.sqrt(0.5)))) < 10e6


S = scenes(Slabs())
BLOB_SCENES = (torch.zeros(4, 3, 1), torch.zeros(4, 3, 3), torch.zeros(4, 3, 5, 1), torch.zeros(4, 3, 5, 3))


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(images=S.images[:3]), "`images` must have shape (4, 3, 12, 16), got (3, 3, 12, 16)"),
        (dict(images=S.images[..., :9]), "`images` must have shape (4, 3, 12, 16), got (4, 3, 12, 9)"),
        (
            dict(where=S.where[..., :2]),
            "`where` must have shape (batch, slots, 3), got (4, 3, 2): the renderer's pose has 3 coordinates (x, y, z)",
        ),
        (dict(what=S.what[:, :2]), "`what` must have shape (4, 3) to go with `where`, got (4, 2)"),
        (dict(other_where=S.where), "`other_where` must have shape (4, 3, alternatives, 3), got (4, 3, 3)"),
        (
            dict(other_where=S.other_where[:, :1]),
            "`other_where` must have shape (4, 3, alternatives, 3), got (4, 1, 5, 3)",
        ),
        (dict(other_what=S.other_what[:, :, :2]), "`other_what` must have shape (4, 3, 5), got (4, 3, 2)"),
    ],
)
def test_swap_losses_refuses(change: dict[str, Tensor], said: str) -> None:
    given = {**S._asdict(), **change}
    names = ("images", "what", "where", "other_what", "other_where")
    with pytest.raises(ValueError, match=re.escape(said)):
        Slabs().swap_losses(*(given[name] for name in names), Normal(math.sqrt(0.5)))


@pytest.mark.parametrize("shape", [(4,), (2, 12, 16), (1, 3, 12, 16)])
def test_swap_losses_refuses_scales_that_are_no_map(shape: tuple[int, ...]) -> None:
    said = f"Normal: scale must broadcast to images (3, 12, 16), got {shape}: give one number, (3, 1, 1) for one a"
    with pytest.raises(ValueError, match=re.escape(said)):
        Slabs().swap_losses(S.images, *S[:4], Normal(torch.ones(shape)))


def test_swap_losses_refuses_codes_of_another_dimension() -> None:
    what, where, other_what, other_where = BLOB_SCENES
    images, renderer = torch.zeros(4, 1, 9, 12), Blobs()
    with pytest.raises(ValueError, match=re.escape("`what` must have shape (4, 3, 1) to go with `where`, got (4, 3)")):
        renderer.swap_losses(images, what[..., 0], where, other_what, other_where, Normal(math.sqrt(0.5)))
    with pytest.raises(ValueError, match=re.escape("`other_what` must have shape (4, 3, 5, 1), got (4, 3, 5)")):
        renderer.swap_losses(images, what, where, other_what[..., 0], other_where, Normal(math.sqrt(0.5)))
