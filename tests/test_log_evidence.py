"""The importance-weighted bound: log ratios against their KL, a world of known log p(x), and numerical integration."""

import math
import re
from collections.abc import Callable
from functools import partial

import pytest
import torch
from renderers_for_tests import Bumps, Dial, IdentityBumps
from slots_for_tests import observed
from torch import Tensor
from torch.distributions import Categorical as Draw
from torch.distributions import MultivariateNormal, Normal

from air_lightning.distributions import wrapped_kl, wrapped_log_ratio
from air_lightning.inference import ResidualAttention
from air_lightning.model import air as air_file
from air_lightning.model.evidence import importance_bound, what_kl, what_log_ratio, where_log_ratio
from air_lightning.model.module import AIRModule
from air_lightning.model.observation import Observation
from air_lightning.model.slots import Slots, infer, where_kl
from air_lightning.schedules import Constant
from renderers import Coordinate, Gaussian, Layer, Renderer

TURN = 2 * math.pi
network = partial(ResidualAttention, channels=8, hidden=16)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# ---- an angle's log ratio


@pytest.mark.parametrize("period", [TURN, TURN / 3, 0.5])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.6, 1.0, 5.0])
def test_wrapped_density_is_the_sum_over_turns(period: float, share: float) -> None:
    noise = torch.linspace(-5, 5, 41, dtype=torch.float64)
    sd, turns = (
        torch.tensor(share * period, dtype=torch.float64),
        torch.arange(-100.0, 101.0, dtype=torch.float64) * period,
    )
    density = Normal(0.0, sd).log_prob((noise * sd).unsqueeze(1) + turns).exp().sum(1)
    ratio = wrapped_log_ratio(noise, sd, torch.tensor(period, dtype=torch.float64))
    torch.testing.assert_close(ratio, density.log() + math.log(period), rtol=0, atol=1e-7)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.25, 0.5])
def test_the_mean_of_the_wrapped_ratio_is_its_kl(share: float) -> None:
    period = torch.tensor(TURN / 4)
    noise, sd = torch.randn(400_000), share * period
    assert float(wrapped_log_ratio(noise, sd, period).mean()) == pytest.approx(float(wrapped_kl(sd, period)), abs=5e-3)


def test_an_angle_that_cannot_be_seen_has_no_ratio() -> None:
    sd = torch.tensor(0.3, requires_grad=True)
    ratio = wrapped_log_ratio(torch.randn(5), sd, torch.tensor(0.0))
    (gradient,) = torch.autograd.grad(ratio.sum(), sd)
    assert torch.equal(ratio, torch.zeros(5)) and float(gradient) == 0


# ---- slots' log ratios


def stirred(module: AIRModule) -> AIRModule:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return module


@pytest.mark.parametrize("make", [Bumps, IdentityBumps, Dial])
def test_slots_know_their_noise(make: Callable[[], Renderer]) -> None:
    renderer = make()
    module = stirred(AIRModule(renderer, network))
    images = torch.rand(5, *renderer.image_shape)
    slots = infer(renderer, module.network, observed(images), 3)
    assert slots.where_noise.shape == (5, 3, 1, len(renderer.where))
    torch.testing.assert_close(
        slots.where_by_identity, renderer.where.constrain(slots.where_mean + slots.where_sd * slots.where_noise)
    )
    assert not infer(renderer, module.network, observed(images), 3, sample=False).where_noise.any()


def test_straight_poses_by_their_densities() -> None:
    renderer = IdentityBumps()
    slots = infer(renderer, stirred(AIRModule(renderer, network)).network, observed(torch.rand(5, 1, 12, 12)), 3)
    index = slots.what[:, :, None, None].expand(5, 3, 1, 2)
    mean, sd = (part.gather(2, index)[:, :, 0] for part in (slots.where_mean, slots.where_sd))
    # the prior is uniform over the support, of 1.6 each way; the change of variables is on both sides
    u = renderer.where.unconstrain(slots.where)
    stretch = Normal(0.0, 1.0).log_prob(u) + math.log(1.6)
    expected = (Normal(mean, sd).log_prob(u) - stretch + math.log(1.6)).sum(-1)
    torch.testing.assert_close(where_log_ratio(renderer, slots), expected, rtol=1e-3, atol=1e-3)


def many(renderer: Renderer, rows: int) -> Slots:
    """The posterior of two slots, drawn from ``rows`` times."""
    identities, places = renderer.identity_count, len(renderer.where)
    circular = torch.tensor([c.circular for c in renderer.where.coordinates])
    periods = torch.where(circular, renderer.where.periods(identities, torch.ones(())).clamp_min(0.1), 1.0)
    mean, sd = torch.randn(1, 2, identities, places), periods * (0.05 + 0.3 * torch.rand(1, 2, identities, places))
    mean, sd = mean.expand(rows, -1, -1, -1), sd.expand(rows, -1, -1, -1)
    looks = torch.randn(1, 2, 2 * renderer.what.dim if isinstance(renderer.what, Gaussian) else identities)
    looks = looks.expand(rows, -1, -1)
    if isinstance(renderer.what, Gaussian):
        center, log_sd = looks.chunk(2, -1)
        what = Normal(center, log_sd.exp()).sample()
    else:
        what = Draw(logits=looks).sample()
    noise = torch.randn(rows, 2, 1, places)
    options = renderer.where.constrain(mean + sd * noise)
    where = options[:, :, 0]
    return Slots(torch.zeros(rows, 2), what, where, options, mean, sd, looks, noise)


@pytest.mark.parametrize("make", [Bumps, IdentityBumps, Dial])
def test_ratios_average_to_the_kl(make: Callable[[], Renderer]) -> None:
    renderer = make()
    slots = many(renderer, 200_000)
    torch.testing.assert_close(
        what_log_ratio(renderer, slots).mean(0), what_kl(renderer, slots)[0], rtol=0.01, atol=0.01
    )
    own = where_kl(renderer, slots.where_mean[:1], slots.where_sd[:1])[0]
    for identity in range(renderer.identity_count):
        given = slots if renderer.identity_count == 1 else slots._replace(what=torch.full_like(slots.what, identity))
        ratio = where_log_ratio(renderer, given)
        assert ratio.shape == (200_000, 2)
        torch.testing.assert_close(ratio.mean(0), own[:, identity], rtol=0.01, atol=0.01)


# ---- the bound


def test_importance_bound_by_hand() -> None:
    log_prior = torch.tensor([0.75, 0.25]).log()
    worths = [torch.tensor([[1.0, 2.0], [8.0, 4.0]]).log(), torch.tensor([[3.0, 6.0], [0.0, 4.0]]).log()]
    # of each sample 0.75 a + 0.25 b, then the mean of both
    expected = torch.tensor([(1.25 + 3.75) / 2, (7.0 + 1.0) / 2]).log()
    torch.testing.assert_close(importance_bound(worths, log_prior), expected)
    torch.testing.assert_close(importance_bound(iter(worths[:1]), log_prior), torch.tensor([1.25, 7.0]).log())


class Linear(Renderer):
    """Adds ``x`` and ``y`` and ``what`` times a pattern each: images are Gaussian for every count."""

    def __init__(self) -> None:
        where = (Coordinate("x", "greys", -4, 4, 0.1, "normal"), Coordinate("y", "greys", -4, 4, 0.1, "normal", sd=0.5))
        super().__init__(Gaussian(1), where, (1, 2, 3), compositing="additive")
        self.patterns = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(1))

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color = torch.einsum("mk,khw->mhw", torch.cat([what, where], 1), self.patterns)
        return Layer(color.unsqueeze(1), torch.zeros_like(color))

    def log_probability(self, images: Tensor, log_prior: Tensor, sd: float) -> Tensor:
        """log p(x), (B,), in closed form."""
        spread = torch.tensor([1.0, 1.0, 0.5])[:, None] * self.patterns.flatten(1)
        logs = [
            MultivariateNormal(torch.zeros(6), n * spread.T @ spread + sd**2 * torch.eye(6)).log_prob(images.flatten(1))
            for n in range(len(log_prior))
        ]
        return (torch.stack(logs, 1) + log_prior).logsumexp(1)


class Guess:
    """In place of ``infer``: slots drawn from a posterior that is wider than the true one and off its middle."""

    def __call__(
        self, renderer: Renderer, _: object, observation: Observation, slots: int, sample: bool = True
    ) -> Slots:
        assert not torch.is_grad_enabled()
        rows = len(observation.images)
        mean, sd = torch.full((rows, slots, 1, 2), 0.1), torch.full((rows, slots, 1, 2), 0.9)
        looks = torch.tensor([0.1, -0.1]).expand(rows, slots, 2)
        noise = torch.randn(rows, slots, 1, 2)
        what = 0.1 + math.exp(-0.1) * torch.randn(rows, slots, 1)
        options = renderer.where.constrain(mean + sd * noise)
        return Slots(torch.zeros(rows, slots), what, options[:, :, 0], options, mean, sd, looks, noise)


def linear_module(monkeypatch: pytest.MonkeyPatch) -> AIRModule:
    monkeypatch.setattr(air_file, "infer", Guess())
    return AIRModule(Linear(), network_of_nothing, slots=2, count_prior=0.7, likelihood_sd=Constant(0.8))


def network_of_nothing(renderer: Renderer) -> torch.nn.Module:
    return torch.nn.Module()


def test_many_samples_reach_a_known_log_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    module = linear_module(monkeypatch)
    images = torch.randn(4, 1, 2, 3)
    expected = module.renderer.log_probability(images, module.log_prior, 0.8)
    value = chunked(module, images, 40_000, 10)
    torch.testing.assert_close(value, expected, rtol=0, atol=0.03)


def test_the_bound_grows_with_samples_between_the_elbo_and_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    module = linear_module(monkeypatch)
    image = torch.randn(1, 1, 2, 3)
    truth = float(module.renderer.log_probability(image, module.log_prior, 0.8))
    copies = image.expand(4000, -1, -1, -1)
    means = [float(module.elbo(copies).mean())]
    means += [float(module.log_evidence(copies, samples).mean()) for samples in (1, 4, 16, 64)]
    gaps = [later - earlier for earlier, later in zip(means, [*means[1:], truth])]
    assert all(gap > 0.002 for gap in gaps[:-1]) and gaps[-1] > -0.005, (means, truth)


def chunked(module: AIRModule, images: Tensor, copies: int, samples: int) -> Tensor:
    """The bound of ``copies`` times ``samples`` samples, (B,), as many copies of the images give it."""
    rows = [module.log_evidence(image.expand(copies, *image.shape), samples) for image in images]
    return torch.stack([row.double().logsumexp(0) - math.log(copies) for row in rows]).float()


def integrated(renderer: Renderer, images: Tensor, log_prior: Tensor, sd: float, points: int) -> Tensor:
    """log p(x), (B,), of at most one object: a rule of equal steps over every coordinate and identity."""
    axes = [c.low + (c.high - c.low) * (torch.arange(points) + 0.5) / points for c in renderer.where.coordinates]
    where = torch.cartesian_prod(*axes)
    pixels = renderer.image_shape[1] * renderer.image_shape[2]

    def likelihood(canvases: Tensor) -> Tensor:
        """(B, M)."""
        error = torch.cdist(images.flatten(1), canvases.flatten(1)) ** 2
        return -0.5 * error / sd**2 - pixels * (math.log(sd) + 0.5 * math.log(TURN))

    with_one = [
        likelihood(renderer.render(torch.full((len(where), 1), identity), where.unsqueeze(1))[:, 1])
        for identity in range(renderer.identity_count)
    ]
    one = torch.cat(with_one, 1).logsumexp(1) - math.log(renderer.identity_count * len(where))
    none = likelihood(renderer.background().unsqueeze(0))[:, 0]
    return torch.logaddexp(log_prior[0] + none, log_prior[1] + one)


@pytest.mark.parametrize("make, points", [(IdentityBumps, 60), (Dial, 24)])
def test_a_network_reaches_the_integral(make: Callable[[], Renderer], points: int) -> None:
    """Straight and circular coordinates, identities of which one turns thrice a period and one unseen; untrained."""
    renderer = make()
    sd = 1.5
    wide = partial(network, position_sd=0.9, angle_sd=0.24)  # as wide as the posterior of so vague an image
    module = stirred(AIRModule(renderer, wide, slots=1, count_prior=[0.2, 0.8], likelihood_sd=Constant(sd)))
    what = torch.arange(3).unsqueeze(1)
    where = renderer.where.constrain(0.5 * torch.randn(3, 1, len(renderer.where)))
    images = renderer.render(what, where)[:, 1]
    expected = integrated(renderer, images, module.log_prior, sd, points)
    value = chunked(module, images, 2500, 4)
    elbo = torch.stack([module.elbo(image.expand(1000, *image.shape)).mean() for image in images])
    assert bool((elbo < expected).all())
    torch.testing.assert_close(value, expected, rtol=0, atol=0.05)
    assert bool(((expected - value).abs() < 0.2 * (expected - elbo)).all())


@pytest.mark.parametrize("samples", [0, -2])
def test_no_samples(samples: int) -> None:
    module = AIRModule(IdentityBumps(), network)
    with pytest.raises(ValueError, match=re.escape(f"log_evidence needs at least 1 sample, got {samples}: 100 is")):
        module.log_evidence(torch.rand(1, 1, 12, 12), samples)


def test_no_gradient() -> None:
    value = AIRModule(IdentityBumps(), network).log_evidence(torch.rand(2, 1, 12, 12), 2)
    assert value.shape == (2,) and not value.requires_grad
