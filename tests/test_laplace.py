"""How sure refined poses are said to be: against exact curvatures, and against truths under known noise."""

import math
from dataclasses import replace

import pytest
import torch
from renderers_for_tests import Dial, Discs, IdentityBumps
from slots_for_tests import observed
from torch import Tensor

from air_lightning.distributions import count_log_prior
from air_lightning.metrics.calibration import central_mass
from air_lightning.model.evidence import log_likelihoods
from air_lightning.model.laplace import fitted_kl, laplace_sd, with_fitted_posterior
from air_lightning.model.refinement import Refinement
from air_lightning.model.slots import Slots
from renderers import Categorical, Coordinate, Layer, Renderer, Where

SD = 0.2


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def slots_at(renderer: Renderer, what: Tensor, where: Tensor) -> Slots:
    """Slots as they are after refinement; of the network's own answer nothing is read but its shapes."""
    options = where.unsqueeze(2).expand(-1, -1, renderer.identity_count, -1)
    looks = 5.0 * torch.nn.functional.one_hot(what, renderer.identity_count).float()
    return Slots(torch.ones(what.shape), what, where, options, options, options.abs() + 1, looks, options[:, :, :1])


def of_the_last(batch: int, slots: int) -> Tensor:
    """Weights (B, N, N + 1) of the canvas that shows all slots, alone."""
    weights = torch.zeros(batch, slots, slots + 1)
    weights[..., -1] = 1
    return weights


def exact_sd(renderer: Renderer, image: Tensor, what: Tensor, where: Tensor, slot: int) -> Tensor:
    """(P,) by the exact Hessian of the likelihood in one slot's unconstrained pose, and the prior."""

    def misfit(u: Tensor) -> Tensor:
        moved = torch.stack([renderer.where.constrain(u) if i == slot else where[i] for i in range(len(where))])
        canvas = renderer.render(what.unsqueeze(0), moved.unsqueeze(0))[0, -1]
        return (canvas - image).pow(2).sum() / (2 * SD**2)

    u = renderer.where.unconstrain(where[slot])
    hessian = torch.autograd.functional.hessian(misfit, u)  # type: ignore[no-untyped-call]
    prior = torch.ones_like(u)
    for j in renderer.where.circular:
        period = float(renderer.where.periods(renderer.identity_count, u)[what[slot], j])
        prior[j] = 12 / period**2
    return torch.linalg.inv(hessian + prior.diag()).diagonal().sqrt()


@pytest.mark.parametrize("renderer", [IdentityBumps(16), Dial(16)], ids=["bumps", "dial"])
def test_sd_is_that_of_the_exact_curvature(renderer: Renderer) -> None:
    # finer steps than for learning, at which second differences are second derivatives
    renderer.where = Where(tuple(replace(c, step=0.05 * c.step) for c in renderer.where.coordinates))
    what = torch.tensor([[0, 1], [1, 0]])
    u = 0.6 * torch.randn(2, 2, len(renderer.where))
    where = renderer.where.constrain(u)
    images = renderer.render(what, where)[:, -1]
    found = laplace_sd(renderer, observed(images, SD), slots_at(renderer, what, where), of_the_last(2, 2))
    assert found.shape == where.shape
    for b in range(2):
        for i in range(2):
            expected = exact_sd(renderer, images[b], what[b], where[b], i)
            torch.testing.assert_close(found[b, i], expected, rtol=0.1, atol=0)


def test_what_explains_nothing_has_the_priors_sd() -> None:
    """An object outside the image, an angle that cannot be seen, and a model that has diverged."""
    renderer = Dial(16)
    where = torch.tensor([[[0.0, 0.0, 1.0], [30.0, 0.0, 1.0]]])
    what = torch.tensor([[2, 0]])  # a dot, whose angle cannot be seen
    found = laplace_sd(
        renderer, observed(torch.rand(1, 1, 16, 16), SD), slots_at(renderer, what, where), of_the_last(1, 2)
    )
    assert found[0, 0, 2].item() == pytest.approx(1 / math.sqrt(12), rel=1e-3)  # any: there is no interval
    assert found[0, 1].tolist() == pytest.approx([1, 1, 2 * math.pi / math.sqrt(12)], rel=1e-3)
    broken = slots_at(renderer, what, torch.full_like(where, math.nan))
    assert not laplace_sd(renderer, observed(torch.rand(1, 1, 16, 16), SD), broken, of_the_last(1, 2)).isinf().any()


def test_sd_grows_with_the_noise_and_hidden_objects_are_less_sure() -> None:
    renderer = Discs(32, radius=0.3)
    what = torch.tensor([[0, 2]])  # red lies over blue
    apart, covered = (torch.tensor([[[0.0, 0.0], [x, 0.0]]]) for x in (0.65, 0.25))
    found = []
    for where, sd in ((apart, 0.1), (apart, 0.3), (covered, 0.1)):
        images = renderer.render(what, where)[:, -1]
        found.append(laplace_sd(renderer, observed(images, sd), slots_at(renderer, what, where), of_the_last(1, 2))[0])
    sharp, noisy, hidden = found
    assert noisy[0, 0].item() == pytest.approx(3 * sharp[0, 0].item(), rel=0.1)
    assert hidden[0, 0] > 1.2 * sharp[0, 0]


@pytest.mark.parametrize("renderer", [IdentityBumps(), Dial(12)], ids=["bumps", "dial"])
def test_intervals_cover_what_they_say(renderer: Renderer) -> None:
    """Images with just the noise that the likelihood expects, refined: intervals hold as many truths as they say."""
    scenes = 400
    what = torch.zeros(scenes, 1, dtype=torch.long)
    true = 0.5 * torch.randn(scenes, 1, len(renderer.where))
    where = renderer.where.constrain(true)
    clean = renderer.render(what, where)[:, -1]
    images = clean + SD * torch.randn_like(clean)
    refinement = Refinement(iterations=12, scan=0, identities=1)
    kl, log_prior = torch.full((scenes, 1), 5.0), count_log_prior(1, 0.3)
    slots = refinement(renderer, observed(images, SD), slots_at(renderer, what, where), kl, log_prior)
    sd = laplace_sd(renderer, observed(images, SD), slots, of_the_last(scenes, 1))
    mass = central_mass(true - renderer.where.unconstrain(slots.where), sd)
    for level in (0.5, 0.9):
        assert (mass <= level).float().mean((0, 1)).tolist() == pytest.approx([level] * true.shape[2], abs=0.08)


class Bump(Renderer):
    """One soft bump whose place along a line is all there is to it."""

    def __init__(self) -> None:
        super().__init__(Categorical(("bump",)), (Coordinate("x", "half images", -0.9, 0.9, 0.01),), (1, 2, 32))

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x = torch.linspace(-1, 1, 32).to(where)
        color = torch.exp(-((x - where) ** 2) / 0.02).unsqueeze(1).expand(-1, 2, -1)
        return Layer(color.unsqueeze(1), torch.ones_like(color))


@pytest.mark.parametrize("noise", [0.05, 0.2, 0.5])
def test_the_log_evidence_is_that_of_the_integral_over_poses(noise: float) -> None:
    """log of the mean over the prior of p(x | pose), for an image of a bump: Laplace's approximation stands for it."""
    renderer = Bump()
    what, where = torch.zeros(1, 1, dtype=torch.long), torch.tensor([[[0.25]]])
    observation = observed(renderer.render(what, where)[:, 1], noise)
    slots = with_fitted_posterior(renderer, observation, slots_at(renderer, what, where), of_the_last(1, 1))
    assert torch.allclose(renderer.where.constrain(slots.where_mean[0, 0]), where[0], atol=1e-5)
    here = log_likelihoods(renderer.render(what, where), observation)[0, 1] - fitted_kl(renderer, slots)[0, 0]
    grid = torch.linspace(-0.9, 0.9, 4001).view(-1, 1, 1)
    canvases = renderer.render(what.expand(4001, 1), grid)[:, 1:].movedim(1, 0)
    exact = log_likelihoods(canvases, observation)[0].logsumexp(0) - math.log(4001)
    assert float(here) == pytest.approx(float(exact), abs=0.12)


class Mixed(Renderer):
    """Two numbers that a matrix makes of the pose, whose posterior is then a Gaussian, correlated or not."""

    def __init__(self, matrix: Tensor) -> None:
        coordinates = tuple(Coordinate(name, "", -20, 20, 0.01, "normal") for name in ("x", "y"))
        super().__init__(Categorical(("pair",)), coordinates, (1, 1, 2), compositing="additive")
        self.matrix = matrix

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        return Layer((where @ self.matrix.T)[:, None, None, :], torch.ones(len(where), 1, 2))


@pytest.mark.parametrize("matrix", [[[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [0.1, -0.1]]], ids=["apart", "correlated"])
def test_the_log_evidence_of_a_gaussian_is_exact(matrix: list[list[float]]) -> None:
    """Bishop 2006, equation 2.115: x = A z + noise has the covariance A A' + sd^2."""
    a, seen = torch.tensor(matrix), torch.tensor([0.7, 0.05])
    precision = a.T @ a / SD**2 + torch.eye(2)
    where = (torch.linalg.solve(precision, a.T @ seen) / SD**2).view(1, 1, 2)
    renderer, observation = Mixed(a), observed(seen.view(1, 1, 1, 2), SD)
    given, what = of_the_last(1, 1), torch.zeros(1, 1, dtype=torch.long)
    slots = with_fitted_posterior(renderer, observation, slots_at(renderer, what, where), given)
    likelihood = log_likelihoods(renderer.render(what, where), observation)[0, 1]
    exact = torch.distributions.MultivariateNormal(torch.zeros(2), a @ a.T + SD**2 * torch.eye(2)).log_prob(seen)
    assert float(likelihood - fitted_kl(renderer, slots)[0, 0]) == pytest.approx(float(exact), abs=0.02)
    reported = laplace_sd(renderer, observation, slots, given)[0, 0]
    torch.testing.assert_close(reported, torch.linalg.inv(precision).diagonal().sqrt(), rtol=1e-2, atol=0)
