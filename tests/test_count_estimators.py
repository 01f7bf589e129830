"""Estimators for presence of several samples and of relaxed presence, against enumeration and differences."""

import itertools
import re
from collections.abc import Callable

import pytest
import torch
from estimators_for_tests import EVIDENCE, LOG_PRIOR, LOGITS, ROWS, agrees, context, count_gradients
from jsonargparse import ArgumentParser
from torch import Tensor

from air_lightning.distributions import count_log_posterior, count_log_prior
from air_lightning.estimators import (
    ConcreteCount,
    Context,
    CountEstimator,
    ExactCount,
    NVILCount,
    PosteriorCount,
    ReweightedWakeSleepCount,
    RLOOCount,
    VIMCOCount,
)
from air_lightning.estimators.concrete import mixture
from air_lightning.estimators.multisample import left_out
from air_lightning.model.evidence import bound
from air_lightning.schedules import Constant, Linear

MULTI: list[Callable[[int], CountEstimator]] = [VIMCOCount, ReweightedWakeSleepCount]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# ---- several samples

TWO_LOGITS, TWO_EVIDENCE, TWO_PRIOR = torch.tensor([0.6, -0.3]), torch.tensor([-1.0, 0.5, 1.5]), count_log_prior(2, 0.3)


def enumerated(samples: int, of_weights: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """``sum over all K-tuples of counts of q(n_1) ... q(n_K) f(log w, log q)`` for N = 2, in the presence logits."""
    leaf = TWO_LOGITS.double().requires_grad_()
    log_q = count_log_posterior(leaf.unsqueeze(0))[0]
    log_w = TWO_EVIDENCE.double() + TWO_PRIOR.double() - log_q
    total = torch.zeros((), dtype=torch.double)
    for chosen in itertools.product(range(3), repeat=samples):
        index = torch.tensor(chosen)
        total = total + log_q[index].sum().exp() * of_weights(log_w[index], log_q[index])
    (gradient,) = torch.autograd.grad(total, leaf)
    return gradient.float()


def two_gradients(estimator: CountEstimator) -> Tensor:
    """Gradient in the presence logits of N = 2 of independent estimates, (ROWS, 2)."""
    leaf = TWO_LOGITS.repeat(ROWS, 1).requires_grad_()
    world = Context(torch.zeros(ROWS, 1, 8, 8), 0, leaf, lambda shares: shares[:, 0])
    loss = estimator(count_log_posterior(leaf), TWO_EVIDENCE.repeat(ROWS, 1), TWO_PRIOR, world).loss
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return gradient


@pytest.mark.parametrize("samples", [2, 3, 5])
def test_vimco_is_the_gradient_of_the_bound_of_many_samples(samples: int) -> None:
    expected = enumerated(samples, lambda log_w, _: -log_w.logsumexp(0))
    agrees(two_gradients(VIMCOCount(samples)), expected)


@pytest.mark.parametrize("samples", [2, 5])
def test_vimco_varies_less_than_no_baseline(samples: int) -> None:
    """Against the score function of the whole bound, at a level that all counts share."""
    leaf, evidence = LOGITS.repeat(ROWS, 1).requires_grad_(), EVIDENCE + 20
    log_q = count_log_posterior(leaf)
    drawn = torch.multinomial(log_q.detach().exp(), samples, replacement=True)
    value = (evidence + LOG_PRIOR - log_q).gather(1, drawn).logsumexp(1)
    plain = torch.autograd.grad((-value.detach() * log_q.gather(1, drawn).sum(1) - value).sum(), leaf)[0]
    vimco = count_gradients(VIMCOCount(samples), evidence=evidence)
    assert vimco.var(0).sum() < 0.1 * plain.var(0).sum()


@pytest.mark.parametrize("samples", [2, 4])
def test_vimco_leaves_one_out_by_the_geometric_mean(samples: int) -> None:
    """Equation 8 of the paper, weight by weight."""
    weights = torch.rand(3, samples, dtype=torch.double) + 0.1
    for k in range(samples):
        others = torch.cat([weights[:, :k], weights[:, k + 1 :]], 1)
        mean = others.prod(1) ** (1 / (samples - 1))
        expected = ((others.sum(1) + mean) / samples).log()
        torch.testing.assert_close(left_out(weights.log())[:, k], expected)


@pytest.mark.parametrize("samples", [2, 5])
def test_wake_sleep_is_the_expected_weighted_cross_entropy(samples: int) -> None:
    """At few samples too: all tuples of counts, neither their probabilities nor their weights learnt through."""

    def loss(log_w: Tensor, log_q: Tensor) -> Tensor:
        # the tuple's probability is a factor of `enumerated`: divided by itself, its gradient is gone
        return -(log_w.detach().softmax(0) * log_q).sum() * (log_q.detach() - log_q).sum().exp()

    agrees(two_gradients(ReweightedWakeSleepCount(samples)), enumerated(samples, loss))


def test_wake_sleep_of_many_samples_is_the_posterior() -> None:
    """Gradient and weights of PosteriorCount, to the noise of 200 000 samples."""
    estimator = ReweightedWakeSleepCount(200_000)
    torch.testing.assert_close(count_gradients(estimator, 2), count_gradients(PosteriorCount(), 2), atol=0.01, rtol=0)
    log_q = count_log_posterior(LOGITS.unsqueeze(0))
    weights = estimator(log_q, EVIDENCE.unsqueeze(0), LOG_PRIOR, context(1)).weights
    torch.testing.assert_close(weights[0], (EVIDENCE + LOG_PRIOR).softmax(0), atol=0.01, rtol=0)


def test_wake_sleep_comes_closer_to_the_posterior_with_more_samples() -> None:
    exact = count_gradients(PosteriorCount(), 1)[0]
    few, more = (count_gradients(ReweightedWakeSleepCount(k), 20_000).mean(0) for k in (2, 50))
    assert (more - exact).norm() < 0.2 * (few - exact).norm()


@pytest.mark.parametrize("make", MULTI)
def test_slots_are_weighed_by_the_normalised_weights_of_the_samples(make: Callable[[int], CountEstimator]) -> None:
    """Two samples: one of each of two counts, or the same one twice; nothing else has any weight."""
    log_q = count_log_posterior(LOGITS.repeat(200, 1))
    weights = make(2)(log_q, EVIDENCE.repeat(200, 1), LOG_PRIOR, context(200)).weights
    ratio = (EVIDENCE + LOG_PRIOR - log_q[0]).exp()
    assert bool((weights > 0).sum(1).le(2).all()) and len(weights.unique(dim=0)) == 10
    for row in weights:
        (chosen,) = row.nonzero(as_tuple=True)
        torch.testing.assert_close(row[chosen], ratio[chosen] / ratio[chosen].sum())


# ---- relaxed presence

CANVASES = torch.tensor([[0.2, 1.0, -0.5], [1.0, 0.1, 0.7], [-0.3, 0.8, 1.2], [0.9, -0.6, 0.4]], dtype=torch.double)


def curved(shares: Tensor) -> Tensor:
    """Evidence of a mixture that is not the mixture of evidences, as that of an image is not."""
    return -(shares.to(CANVASES) @ CANVASES - 0.3).pow(2).sum(1) * 4


def relaxed_loss(estimator: CountEstimator, logits: Tensor, step: int = 0) -> Tensor:
    """(B,), with the same noise at every call."""
    torch.manual_seed(6)
    world = Context(torch.zeros(len(logits), 1, 8, 8), step, logits, curved)
    return estimator(count_log_posterior(logits), torch.zeros(len(logits), 4), LOG_PRIOR.double(), world).loss


def test_mixture_is_the_shares_of_the_canvases() -> None:
    """Hard presences, ordered or not, choose one canvas; m_i is the weight of the canvases that show slot i."""
    hard = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    torch.testing.assert_close(mixture(hard), torch.eye(4))
    presence = torch.rand(20, 3)
    shares = mixture(presence)
    assert bool((shares >= 0).all())
    torch.testing.assert_close(shares.sum(1), torch.ones(20))
    torch.testing.assert_close(shares.flip(1).cumsum(1).flip(1)[:, 1:], presence.cumprod(1))


@pytest.mark.parametrize("power", [1.0, 0.3])
@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_concrete_is_the_gradient_of_its_own_objective(temperature: float, power: float) -> None:
    """By central differences, noise fixed."""
    estimator, logits = ConcreteCount(temperature, power=power), torch.randn(5, 3, dtype=torch.double)
    leaf, step = logits.clone().requires_grad_(), 1e-5
    (gradient,) = torch.autograd.grad(relaxed_loss(estimator, leaf).sum(), leaf)
    for i in range(3):
        shift = step * torch.eye(3, dtype=torch.double)[i]
        ahead, behind = relaxed_loss(estimator, logits + shift), relaxed_loss(estimator, logits - shift)
        torch.testing.assert_close(gradient[:, i], (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-7)


def test_cold_concrete_is_worth_the_bound() -> None:
    """At a temperature near 0 a count is chosen, with probability q(n), and minus the loss is on average the ELBO."""
    log_q = count_log_posterior(LOGITS.repeat(ROWS, 1))
    estimate = ConcreteCount(1e-4)(log_q, EVIDENCE.repeat(ROWS, 1), LOG_PRIOR, context(ROWS))
    assert estimate.weights.max(1).values.gt(0.999).float().mean() > 0.995
    agrees(estimate.weights, log_q[0].exp())
    agrees(-estimate.loss, bound(log_q[:1], EVIDENCE.unsqueeze(0), LOG_PRIOR)[0])


def test_concretes_bias_goes_with_its_temperature() -> None:
    exact = count_gradients(ExactCount(), 1)[0]

    def mean(temperature: float) -> Tensor:
        leaf = LOGITS.repeat(ROWS, 1).requires_grad_()
        world = context(ROWS, logits=leaf)
        loss = ConcreteCount(temperature)(count_log_posterior(leaf), EVIDENCE.repeat(ROWS, 1), LOG_PRIOR, world).loss
        return torch.autograd.grad(loss.sum(), leaf)[0].mean(0)

    cold, warm = (float((mean(temperature) - exact).norm()) for temperature in (0.1, 2.0))
    assert cold < 0.2 * warm


def test_concrete_follows_its_schedule() -> None:
    scheduled, logits = ConcreteCount(Linear(1.0, 0.2, 100)), torch.randn(5, 3, dtype=torch.double)
    for step, temperature in ((0, 1.0), (50, 0.6), (100, 0.2), (1000, 0.2)):
        expected = relaxed_loss(ConcreteCount(temperature), logits)
        torch.testing.assert_close(relaxed_loss(scheduled, logits, step), expected)


@pytest.mark.parametrize(
    "given, at_10",
    [(0.3, 0.3), ({"class_path": "Linear", "init_args": {"start": 1.0, "end": 0.2, "steps": 20}}, 0.6)],
    ids=["number", "schedule"],
)
def test_a_config_gives_concretes_temperature(given: object, at_10: float) -> None:
    parser = ArgumentParser()
    parser.add_subclass_arguments(CountEstimator, "count")
    config = {"class_path": "air_lightning.estimators.ConcreteCount", "init_args": {"temperature": given}}
    instantiate = getattr(parser, "instantiate", parser.instantiate_classes)  # renamed in jsonargparse 4.49
    count = instantiate(parser.parse_object({"count": config}))["count"]
    assert count.temperature(10) == pytest.approx(at_10)


def test_concrete_alone_mixes() -> None:
    log_q = count_log_posterior(LOGITS.repeat(2, 1))
    made = [VIMCOCount(), ReweightedWakeSleepCount(), PosteriorCount(), ExactCount(), RLOOCount(), ConcreteCount()]
    mixed = [m(log_q, EVIDENCE.repeat(2, 1), LOG_PRIOR, context(2)).mixed for m in made]
    assert mixed == [False] * 5 + [True]


# ---- what all of them share

ALL: dict[str, Callable[..., CountEstimator]] = {
    "posterior": PosteriorCount,
    "exact": ExactCount,
    "rloo": RLOOCount,
    "nvil": NVILCount,
    "vimco": VIMCOCount,
    "wake_sleep": ReweightedWakeSleepCount,
    "concrete": ConcreteCount,
}
over_all = pytest.mark.parametrize("make", ALL.values(), ids=ALL.keys())


def shared_gradient(estimator: CountEstimator, step: int = 0, evidence: Tensor = EVIDENCE) -> Tensor:
    """Presence's gradient (10, N) with the same draws at every call, relaxed presence included."""
    torch.manual_seed(2)
    estimator.prepare((1, 8, 8), 3)
    leaf = LOGITS.repeat(10, 1).requires_grad_()
    world = context(10, step, logits=leaf)._replace(mixed=lambda shares: (shares * evidence).sum(1))
    loss = estimator(count_log_posterior(leaf), evidence.repeat(10, 1), LOG_PRIOR, world).loss
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return gradient


@over_all
def test_warm_up_leaves_presence_alone(make: Callable[..., CountEstimator]) -> None:
    torch.testing.assert_close(shared_gradient(make(warmup=100)), shared_gradient(make()))


@over_all
def test_power_is_the_evidences_exponent(make: Callable[..., CountEstimator]) -> None:
    expected = shared_gradient(make(), evidence=0.2 * EVIDENCE)
    torch.testing.assert_close(shared_gradient(make(power=0.2)), expected)
    assert not torch.allclose(shared_gradient(make()), expected)


@over_all
def test_delay_lets_presence_wait(make: Callable[..., CountEstimator]) -> None:
    for step in (0, 49):
        assert not bool(shared_gradient(make(delay=50), step).any())
    torch.testing.assert_close(shared_gradient(make(delay=50), 50), shared_gradient(make(), 50))
    assert bool(shared_gradient(make(), 50).any())


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: VIMCOCount(samples=1), "they need at least 2 samples, got 1"),
        (lambda: ReweightedWakeSleepCount(samples=0), "they need at least 2 samples, got 0"),
        (
            lambda: ConcreteCount(temperature=0.0),
            "temperature must be positive and finite, got 0.0: 0.5 is a good start",
        ),
        (
            lambda: ConcreteCount(Constant(-1.0)),
            "temperature must be positive and finite, got -1.0: 0.5 is a good start",
        ),
        (
            lambda: ConcreteCount(Linear(0.5, 0.0, 10)),
            "temperature must be positive and finite, got 0.0: 0.5 is a good start",
        ),
        (lambda: ConcreteCount(float("nan")), "temperature must be positive and finite, got nan: 0.5 is a good start"),
        (lambda: VIMCOCount(warmup=-1), "warmup must not be negative, got -1: 0 switches it off"),
        (lambda: ConcreteCount(power=0.0), "power must lie in (0, 1], got 0.0: 1 leaves the evidence as it is"),
        (lambda: PosteriorCount(power=1.5), "power must lie in (0, 1], got 1.5: 1 leaves the evidence as it is"),
        (lambda: VIMCOCount(delay=-2), "delay must not be negative, got -2: 0 trains presence from the first step"),
    ],
)
def test_errors(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        make()
