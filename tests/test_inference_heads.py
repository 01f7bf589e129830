"""What inference networks share: crops of images, and heads that read poses and codes and their spread."""

import math

import pytest
import torch
from gradients_for_tests import finite
from torch import Tensor

from air_lightning.inference import PoseHead, crop, image_grid
from air_lightning.inference.heads import ANGLE_LIMITS as ANGLE
from air_lightning.inference.heads import CODE_LIMITS, CodeLimits, bounded_log_sd, pose_features, sd_curve
from air_lightning.inference.heads import STRAIGHT_LIMITS as STRAIGHT
from renderers import Coordinate, Where
from renderers.base import affine


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def square(center: Tensor, half: Tensor) -> Tensor:
    """Windows (B, 2, 3) of these centres (B, 2) and half sizes (B,)."""
    return affine(half, half, center)


def test_image_grid_holds_cell_centres() -> None:
    grid = image_grid(2, 4)
    assert grid[0].tolist() == [[-0.75, -0.25, 0.25, 0.75]] * 2
    assert grid[1].tolist() == [[-0.5] * 4, [0.5] * 4]


def test_crop_of_everything_is_the_image() -> None:
    image = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(crop(image, square(torch.zeros(2, 2), torch.ones(2)), 8), image)


def test_crop_takes_each_images_own_window() -> None:
    image = torch.arange(64.0).view(1, 1, 8, 8).expand(2, -1, -1, -1)
    windows = crop(image, square(torch.tensor([[-0.5, -0.5], [0.5, 0.25]]), torch.tensor([0.5, 0.25])), 2)
    assert windows[0, 0].tolist() == [[4.5, 6.5], [20.5, 22.5]]  # between pixels: columns 0-3, rows 0-3
    assert windows[1, 0].tolist() == [[37.0, 38.0], [45.0, 46.0]]  # columns 5 and 6, rows 4 and 5


def test_crop_is_differentiable_in_center_and_half() -> None:
    image = torch.rand(2, 1, 9, 9, dtype=torch.double)
    center = (0.4 * torch.randn(2, 2, dtype=torch.double)).requires_grad_()
    half = (0.2 + 0.2 * torch.rand(2, dtype=torch.double)).requires_grad_()
    assert torch.autograd.gradcheck(lambda c, h: crop(image, square(c, h), 4), (center, half))


@pytest.mark.parametrize("far", [1.0, 30.0, 1e8])
def test_crop_beyond_the_corner_shows_the_corner(far: float) -> None:
    image = torch.rand(1, 2, 6, 6)
    center = torch.tensor([[far, -far]], requires_grad=True)
    window = crop(image, square(center, torch.full((len(center),), 1e-3)), 3)
    torch.testing.assert_close(window, image[:, :, :1, -1:].expand_as(window))
    window.sum().backward()
    assert center.grad is not None and bool(center.grad.isfinite().all())


def test_sd_starts_where_asked_with_unit_slope_and_stays_within_limits() -> None:
    first, low, high = torch.tensor([0.3, 0.9, 0.02]), torch.tensor(0.01), torch.tensor(1.5)
    raw = torch.zeros(3, requires_grad=True)
    curve = sd_curve(first, low.expand(3), high.expand(3))
    sd = bounded_log_sd(raw, curve).exp()
    torch.testing.assert_close(sd, first)
    sd.log().sum().backward()
    torch.testing.assert_close(raw.grad, torch.ones(3))
    torch.testing.assert_close(bounded_log_sd(torch.full((3,), 1e4), curve).exp(), high.expand(3))
    torch.testing.assert_close(bounded_log_sd(torch.full((3,), -1e4), curve).exp(), low.expand(3))


def test_sd_at_its_limit_can_come_back() -> None:
    raw = torch.tensor([4.0, -8.0], requires_grad=True)
    bounded_log_sd(raw, sd_curve(torch.tensor(0.2), torch.tensor(0.01), torch.tensor(0.35))).sum().backward()
    assert raw.grad is not None and bool((raw.grad > 0).all())


def yaw(*periods: float) -> Where:
    return Where((Coordinate("yaw", "radians", -math.pi, math.pi, 0.1, circular=True, periods=periods),))


def test_pose_head_reaches_every_angle_of_the_period() -> None:
    periods = torch.tensor([math.pi / 2, 0.0, 2 * math.pi])
    mean, _ = PoseHead(yaw(*periods.tolist()), 3, 8)(torch.randn(2000, 8))
    torch.testing.assert_close(mean[..., 0].amax(0), periods / 2, atol=0.02, rtol=0)
    torch.testing.assert_close(mean[..., 0].amin(0), -periods / 2, atol=0.02, rtol=0)


def test_pose_head_adds_the_anchor() -> None:
    where = Where((Coordinate("x", "", -1, 1, 0.1), *yaw().coordinates))
    head = PoseHead(where, 2, 5)
    features = torch.randn(4, 5)
    mean, _ = head(features, torch.full((4, 2), 0.7))
    plain, _ = head(features)
    torch.testing.assert_close(mean[..., 0], torch.full((4, 2), 0.7))
    turned = mean[..., 1] - plain[..., 1]
    torch.testing.assert_close(turned.remainder(2 * math.pi), torch.full((4, 2), 0.7))


def test_pose_head_without_angles_has_no_layer_for_them() -> None:
    head = PoseHead(Where((Coordinate("x", "", -1, 1, 0.1),)), 1, 5)
    assert [name for name, _ in head.named_parameters()] == ["straight.weight", "straight.bias"]


def test_pose_head_at_a_vector_without_direction_is_finite() -> None:
    head = PoseHead(yaw(2 * math.pi), 1, 5)
    assert head.turn is not None
    torch.nn.init.zeros_(head.turn.weight)
    torch.nn.init.zeros_(head.turn.bias)
    mean, sd = head(torch.randn(3, 5))
    (mean + sd).sum().backward()
    assert mean.tolist() == [[[0.0]]] * 3
    assert finite(head)


def test_pose_head_limits_are_those_stated() -> None:
    where = Where((Coordinate("x", "", -1, 1, 0.1), *yaw(math.pi).coordinates))
    head = PoseHead(where, 1, 1)
    with torch.no_grad():
        head.straight.weight.fill_(1.0)
        assert head.turn_sd is not None
        head.turn_sd.weight.fill_(1.0)
    for sign, side in ((-1.0, 0), (1.0, 1)):
        _, sd = head(torch.tensor([[sign * 1e4]]))
        torch.testing.assert_close(sd[0, 0], torch.tensor([STRAIGHT[side], ANGLE[side] * math.pi]))


def test_symmetric_copies_have_equal_pose_features() -> None:
    space = Where((Coordinate("x", "", 1, 3, 0.1), *yaw(math.pi / 2, 0.0, 2 * math.pi).coordinates))
    periods = space.periods(3, torch.ones(()))
    where = torch.tensor([[3.0, 0.3], [1.0, 0.3], [2.0, 0.3]])
    turned = where + torch.tensor([[0.0, math.pi / 2], [0.0, 1.23], [0.0, 2 * math.pi]])
    features = pose_features(space, where, periods)
    torch.testing.assert_close(features, pose_features(space, turned, periods))
    assert features[:, 0].tolist() == [1.0, -1.0, 0.0]  # the ends and the middle of the support
    assert features[1, 1:].tolist() == [0.0, 0.0]
    torch.testing.assert_close(features[[0, 2], 1:].norm(dim=1), torch.ones(2))


def test_pose_head_gives_all_identities_one_place() -> None:
    """An identity that is never sampled still knows where objects are."""
    where = Where((Coordinate("x", "", -1, 1, 0.1), *yaw(math.pi, 1.0).coordinates))
    head = PoseHead(where, 2, 5)
    torch.nn.init.normal_(head.straight.weight)
    mean, sd = head(torch.randn(3, 5))
    torch.testing.assert_close(mean[:, 0, 0], mean[:, 1, 0])
    torch.testing.assert_close(sd[:, 0, 0], sd[:, 1, 0])
    assert not torch.equal(mean[:, 0, 1], mean[:, 1, 1])


def test_a_codes_sd_stays_within_its_limits_and_has_a_gradient() -> None:
    raw = torch.tensor([[0.3, -2.0, 0.0, 4.0], [0.3, -2.0, -0.01, -8.0]], dtype=torch.double, requires_grad=True)
    mean, log_sd = CodeLimits()(raw).chunk(2, -1)
    assert torch.equal(mean, raw[:, :2])
    assert log_sd[:, 0].tolist() == pytest.approx([0.0, -0.01], abs=1e-3)
    assert log_sd[:, 1].exp().tolist() == pytest.approx([CODE_LIMITS[1], CODE_LIMITS[0]], rel=1e-3)
    log_sd.sum().backward()
    assert raw.grad is not None and bool((raw.grad[:, 2:] > 0).all())
