"""Eigenbackgrounds and the robust fit behind them: what they follow, what they leave, what is refused."""

import pytest
import torch
from renderers_for_tests import Bumps
from torch import Tensor

from air_lightning.backgrounds import EigenBackground
from air_lightning.backgrounds.robust import CUT, MAD, robust_fit
from renderers import GlimpseRenderer


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def lit(count: int, side: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    """Two lamps of changing strength before a still scene, (count, 2, side, side), and the same with objects."""
    x, y = torch.linspace(-1, 1, side), torch.linspace(-1, 1, side).unsqueeze(1)
    lamps = torch.stack([torch.exp(-((x - 0.4) ** 2) - y**2), torch.sigmoid(3 * (x + y)).expand(side, side)])
    empty = 0.2 + 0.3 * (torch.rand(count, 1, 2, 1, 1) * lamps).sum(2).expand(-1, 2, -1, -1)
    images = empty.clone()
    for image, (left, top) in zip(images, torch.randint(0, side - 8, (count, 2)).tolist()):
        image[:, top : top + 8, left : left + 8] = torch.rand(2, 1, 1)
    return empty, images


def test_eigenbackgrounds_follow_the_lamps_and_not_the_objects() -> None:
    empty, images = lit(60)
    background = EigenBackground(components=2, cell=2)
    background.prepare(GlimpseRenderer((2, 32, 32)))
    assert background.waits
    background.fit(images[:40])
    assert not background.waits
    seen = background(images[40:]).image
    off = (seen - empty[40:]).abs()
    assert float(off.mean()) < 0.002 and float(off.max()) < 0.04 < 0.3 < float((images - empty).abs().max())
    assert float((empty[40:] - empty[:40].median(0).values).abs().mean()) > 0.03  # no still image is it
    torch.testing.assert_close(background.basis.T @ background.basis, torch.eye(2), atol=1e-5, rtol=0)


def test_a_robust_fit_has_ended() -> None:
    """Where it ends, weighted least squares changes nothing: for a lamp far from all that the mean has, too."""
    random = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(200, 6, generator=random).cumsum(0)).Q
    truth = (5.0 * torch.randn(8, 6, generator=random)) @ basis.T
    values = truth + 0.01 * torch.randn(8, 200, generator=random)
    values[:, 30:60] += 0.7
    fit = robust_fit(values, basis, torch.zeros(200))
    assert float((fit - truth).abs().max()) < 0.02
    away = values - fit
    cut = CUT * MAD * away.abs().median(1, keepdim=True).values
    weights = (1 - (away / cut) ** 2).clamp_min(0) ** 2
    assert float(((weights * away) @ basis).abs().max()) < 1e-3
    assert torch.equal(robust_fit(torch.zeros(2, 200), basis, torch.zeros(200)), torch.zeros(2, 200))


def gridded(count: int, side: int = 18, pitch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Lines on black at an offset of each image's own, (count, 1, side, side), and the same with bright squares."""
    on = torch.arange(side) % pitch == torch.randint(0, pitch, (2, count, 1))
    empty = 0.4 * (on[0].unsqueeze(1) | on[1].unsqueeze(2)).unsqueeze(1).float()
    images = empty.clone()
    for image, (left, top) in zip(images, torch.randint(0, side - 5, (count, 2)).tolist()):
        image[:, top : top + 5, left : left + 5] = 0.5 + 0.5 * torch.rand(1, 5, 5)
    return empty, images


def test_lines_on_black_are_background_where_it_is_said_to_be_sparse() -> None:
    empty, images = gridded(260)
    off = {}
    for sparse in (False, True):
        background = EigenBackground(components=8, cell=1, sparse=sparse)
        background.prepare(GlimpseRenderer((1, 18, 18)))
        background.fit(images[:200])
        off[sparse] = float((background(images[200:]).image - empty[200:]).square().mean())
    assert off[True] < 0.05 * off[False], off


def desks(count: int) -> Tensor:
    """Bright shapes on a desk of one colour, as a renderer without noise draws it: (count, 3, 48, 48)."""
    images = torch.tensor([0.9, 0.88, 0.84]).view(3, 1, 1).expand(count, 3, 48, 48).clone()
    for image, (left, top) in zip(images, torch.randint(0, 36, (count, 2)).tolist()):
        image[:, top : top + 12, left : left + 12] = torch.rand(3, 1, 1)
    return images


@pytest.mark.parametrize("cell", [1, 4])
@pytest.mark.parametrize("components", [3, 8, 20])
def test_images_that_differ_in_nothing_but_objects_have_no_components(components: int, cell: int) -> None:
    images = desks(60)
    background = EigenBackground(components, cell)
    background.prepare(GlimpseRenderer((3, 48, 48)))
    background.fit(images[:40])
    assert float(background.basis.abs().max()) == 0.0
    desk = torch.tensor([0.9, 0.88, 0.84]).view(3, 1, 1)
    assert float((background(images).image - desk).abs().max()) < 1e-6


def test_components_beyond_the_ways_in_which_images_differ_are_zero() -> None:
    """Of two lamps, without noise: two, and maybe what rounding leaves, and backgrounds are as good."""
    empty, _ = lit(60)
    background = EigenBackground(12, cell=2)
    background.prepare(GlimpseRenderer((2, 32, 32)))
    background.fit(empty[:40])
    assert 2 <= int((background.basis.norm(dim=0) > 0).sum()) <= 3
    assert float((background(empty[40:]).image - empty[40:]).abs().mean()) < 0.002


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-6, 1e-12, 0.0])
def test_a_robust_fit_is_finite_where_weights_leave_little_of_the_basis(size: float) -> None:
    """Half of the values are beyond the cut, and the others show three of eight components."""
    basis = torch.linalg.qr(torch.randn(64, 8)).Q
    basis[:32, 3:] = 0
    values = size * (basis[:, :3] @ torch.randn(3)).expand(5, 64).clone()
    values[:, 40:] += 0.5 * torch.rand(5, 24)
    fit = robust_fit(values, basis, torch.zeros(64))
    assert float(fit.abs().max()) <= 2 * max(float(values.abs().max()), 1e-6)


@pytest.mark.parametrize(
    ("options", "images", "message"),
    [
        ({"components": 0}, 9, "an eigenbackground has at least 1 component, got 0: MedianBackground has none"),
        ({"cell": 0}, 9, "an eigenbackground's cells must have at least 1 pixel along a side, got 0: 4, say"),
        ({}, 9, "an eigenbackground of 8 components needs at least 10 images, got 9: give more images, or lower"),
        (
            {"cell": 6},
            20,
            r"of 8 components needs more cells than that, and images \(1, 12, 12\) have 4 of 6 pixels along a side, "
            "over all channels: lower model.background.components or model.background.cell",
        ),
        ({"components": 9}, 20, "of 9 components needs more cells than that, .* have 9 of 4 pixels"),
    ],
)
def test_what_makes_no_eigenbackground_is_refused(options: dict[str, int], images: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        background = EigenBackground(**options)
        background.prepare(Bumps())
        background.fit(torch.rand(images, 1, 12, 12))
