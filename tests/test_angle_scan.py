"""Angles that learn from a scan: against the posterior over angles, where it is known."""

import math
from collections.abc import Callable

import pytest
import torch
from renderers_for_tests import Bumps, Dial
from slots_for_tests import observed
from torch import Tensor

from air_lightning.distributions import count_log_prior
from air_lightning.estimators import AngleScan, ExactIdentity, PosteriorCount
from air_lightning.inference import ResidualAttention
from air_lightning.inference.heads import ANGLE_LIMITS, PoseHead
from air_lightning.model.objective import Objective, objective
from air_lightning.model.slots import Slots, infer
from renderers import Coordinate, Renderer, Where

TURN = 2 * math.pi
Evidence = Callable[[Tensor], Tensor]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def yaw() -> Coordinate:
    return Coordinate("yaw", "radians", -math.pi, math.pi, 0.1, circular=True)


def learn(evidence: Evidence, start: float, sd: float, period: float = TURN, steps: int = 600) -> tuple[float, float]:
    """Mean and sd of an angle of that period that has learnt from images with this evidence of an angle."""
    space, rows = Where((yaw(),)), 32
    mean, log_sd = torch.tensor(start, requires_grad=True), torch.tensor(math.log(sd), requires_grad=True)
    optimizer = torch.optim.Adam([mean, log_sd], 0.03)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.03 * (1 - step / steps)
        wide = [part.expand(rows, 1, 1) for part in (torch.full((), period), mean, log_sd.exp())]
        where = wide[1] + wide[2] * torch.randn(rows, 1, 1)
        loss = AngleScan()(space, *wide, where, lambda poses: evidence(poses[..., 0])).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return mean.item(), log_sd.exp().item()


@pytest.mark.parametrize(("folds", "right"), [(1, 2.0), (1, -2.5), (4, 0.3)])
def test_it_rests_at_the_posterior(folds: int, right: float) -> None:
    """Of evidence ``c cos k (a - right)`` the posterior is a von Mises distribution, close to normal for a large c."""
    mean, sd = learn(lambda angle: 20 * torch.cos(folds * (angle - right)), right - 0.6 / folds, 0.5, TURN / folds)
    assert mean == pytest.approx(right, abs=0.03 / folds)
    assert sd == pytest.approx(20**-0.5 / folds, rel=0.1)


def test_it_leaves_a_local_optimum() -> None:
    """A gradient of what is explained points back to 0 from everywhere around it."""

    def evidence(angle: Tensor) -> Tensor:
        return 20 * torch.exp(-((angle / 0.4) ** 2)) + 40 * torch.exp(2 * (torch.cos(angle - 2.5) - 1) / 0.16)

    mean, sd = learn(evidence, 0.0, 0.2, steps=1500)
    assert math.remainder(mean - 2.5, TURN) == pytest.approx(0, abs=0.05)
    assert sd < 0.35


def test_where_all_angles_explain_alike_it_becomes_uniform() -> None:
    _, sd = learn(torch.zeros_like, 0.0, 0.3)
    assert sd > 0.25 * TURN


def test_an_angle_that_cannot_be_seen_has_no_loss() -> None:
    mean, sd = torch.randn(4, 3, 1, requires_grad=True), torch.rand(4, 3, 1) + 0.1
    loss = AngleScan()(Where((yaw(),)), torch.zeros(4, 3, 1), mean, sd, mean, lambda where: where[..., 0])
    assert loss.shape == (4, 3)
    assert not loss.any()


def test_only_angles_are_turned_each_by_itself() -> None:
    straight = Coordinate("x", "half images", -1, 1, 0.1)
    space = Where((straight, yaw(), Coordinate("roll", "radians", -math.pi, math.pi, 0.1, circular=True)))
    asked = list[Tensor]()

    def evidence(where: Tensor) -> Tensor:
        asked.append(where)
        return where[..., 0]

    where = torch.randn(5, 2, 3)
    AngleScan(6)(space, torch.full((5, 2, 3), TURN), where, torch.ones(5, 2, 3), where, evidence)
    assert len(asked) == 2
    for turned, poses in zip((1, 2), asked):
        assert poses.shape == (5, 2, 7, 3)
        torch.testing.assert_close(poses[:, :, 0], where)  # the sampled one is among them
        changed = (poses != where.unsqueeze(2)).flatten(0, 2).any(0).tolist()
        assert changed == [j == turned for j in range(3)]
        gaps = poses[:, :, 1:, turned].diff(dim=2)
        torch.testing.assert_close(gaps, torch.full_like(gaps, TURN / 6))  # evenly, over the whole turn


def explained(renderer: Renderer) -> tuple[Slots, Tensor]:
    images = torch.rand(6, *renderer.image_shape)
    return infer(renderer, ResidualAttention(renderer), observed(images), 3), images


def scanned(renderer: Renderer, slots: Slots, images: Tensor, angle: AngleScan | None) -> Objective:
    identity = ExactIdentity() if renderer.identity_count > 1 else None
    prior = count_log_prior(3, 0.3)
    return objective(renderer, slots, observed(images, 0.3), prior, PosteriorCount(), identity, 0, angle=angle)


def test_its_term_trains_the_angles_of_the_drawn_identities_alone() -> None:
    renderer = Dial()
    slots, images = explained(renderer)
    term = scanned(renderer, slots, images, AngleScan()).terms["angle"]
    for part in torch.autograd.grad(term, [slots.where_mean, slots.where_sd]):
        drawn = torch.nn.functional.one_hot(slots.what, 3).bool()
        seen = drawn & (slots.what < 2).unsqueeze(2)  # the third is a dot
        assert bool((part[..., 2][seen] != 0).all())
        assert not part[..., 2][~seen].any()
        assert not part[..., :2].any()


def test_objects_are_turned_over_what_the_others_draw() -> None:
    """The evidence of an angle is the likelihood of the canvases that show the slot."""
    renderer = Dial()
    slots, images = explained(renderer)

    class Watcher(AngleScan):
        def __call__(self, space, periods, mean, sd, where, evidence):  # type: ignore[no-untyped-def]
            turned = where.detach().clone()
            turned[:, -1, 2] += 1.0
            self.gain = (evidence(turned.unsqueeze(2)) - evidence(where.detach().unsqueeze(2)))[:, -1, 0]
            self.turned = turned
            return super().__call__(space, periods, mean, sd, where, evidence)

    watcher = Watcher()
    scanned(renderer, slots, images, watcher)
    before, after = (renderer.render(slots.what, where)[:, -1] for where in (slots.where.detach(), watcher.turned))
    errors = [(canvas - images).pow(2).flatten(1).sum(1) for canvas in (before, after)]
    torch.testing.assert_close(watcher.gain, (errors[0] - errors[1]) / (2 * 0.3**2), rtol=1e-4, atol=1e-3)


def test_without_a_scan_or_without_angles_there_is_no_term() -> None:
    for renderer, angle in ((Dial(), None), (Bumps(), AngleScan())):
        slots, images = explained(renderer)
        assert "angle" not in scanned(renderer, slots, images, angle).terms


def test_a_scan_needs_two_angles() -> None:
    with pytest.raises(ValueError, match="at least 2 angles, got 1"):
        AngleScan(1)


def test_an_angle_that_is_as_wide_as_can_be_is_not_pushed_on_and_comes_back() -> None:
    head = PoseHead(Where((yaw(),)), 1, 4)
    assert head.turn_sd is not None
    with torch.no_grad():
        head.turn_sd.bias.fill_(0.5)  # beyond 0.95 of the widest
    features = torch.ones(1, 4)
    for sign, moves in ((-1.0, False), (1.0, True)):  # of what a loss makes of a wider one
        sd = head(features)[1]
        assert sd.item() > 0.95 * ANGLE_LIMITS[1] * TURN
        (gradient,) = torch.autograd.grad(sign * sd.sum(), head.turn_sd.bias)
        assert bool(gradient.any()) == moves
