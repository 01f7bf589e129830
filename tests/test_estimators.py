"""Gradient estimators on problems small enough to enumerate: those of the count, and the parts and errors of all.

Every unbiased estimator is measured against the exact gradient: the mean over many independent rows must
agree within the error that the rows' own spread gives it.
"""

import math
import re
from collections.abc import Callable

import pytest
import torch
from estimators_for_tests import (
    EVIDENCE,
    LOG_PRIOR,
    LOGITS,
    LOOKS,
    ROWS,
    SHAPE,
    VALUES,
    agrees,
    context,
    count_gradients,
    freeze,
    scored,
)
from torch import Tensor
from torch.distributions import Categorical, kl_divergence

from air_lightning.distributions import count_log_posterior
from air_lightning.estimators import (
    ConcreteCount,
    CountEstimator,
    ExactCount,
    ExactIdentity,
    IdentityEstimator,
    NVILCount,
    NVILIdentity,
    PosteriorCount,
    ReweightedWakeSleepCount,
    RLOOCount,
    RLOOIdentity,
    VIMCOCount,
)
from air_lightning.estimators.base import Normaliser, bounded, leave_one_out

COUNTS: dict[str, Callable[[], CountEstimator]] = {
    "posterior": PosteriorCount,
    "exact": ExactCount,
    "rloo": RLOOCount,
    "rloo_bounded": lambda: RLOOCount(samples=3, spread=2.0),
    "nvil": NVILCount,
    "vimco": VIMCOCount,
    "wake_sleep": ReweightedWakeSleepCount,
    "concrete": ConcreteCount,
}
over_counts = pytest.mark.parametrize("make", COUNTS.values(), ids=COUNTS.keys())


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# ---- count


def exact_count_gradient(evidence: Tensor = EVIDENCE, logits: Tensor = LOGITS) -> Tensor:
    """Of minus ``sum_n q(n) [F_n + log p(n) - log q(n)]``, the probabilities written out."""
    leaf = logits.double().requires_grad_()
    pi, weights = leaf.sigmoid(), (0.3 ** torch.arange(4)).double()
    q = torch.stack([1 - pi[0], pi[0] * (1 - pi[1]), pi[0] * pi[1] * (1 - pi[2]), pi[0] * pi[1] * pi[2]])
    bound = (q * (evidence.double() + (weights / weights.sum()).log() - q.log())).sum()
    (gradient,) = torch.autograd.grad(-bound, leaf)
    return gradient.float()


def frozen_nvil_count() -> NVILCount:
    """NVIL whose normaliser stays at mean 1.5 and sd 4."""
    estimator = NVILCount().eval()
    estimator.prepare(SHAPE, 3)
    freeze(estimator.normaliser)
    return estimator


def test_exact_count_is_the_gradient_of_the_bound() -> None:
    torch.testing.assert_close(count_gradients(ExactCount(), 1)[0], exact_count_gradient())


@pytest.mark.parametrize("samples", [2, 4])
def test_rloo_count_is_unbiased(samples: int) -> None:
    agrees(count_gradients(RLOOCount(samples)), exact_count_gradient())


def test_nvil_count_is_unbiased_up_to_its_scale() -> None:
    agrees(4.0 * count_gradients(frozen_nvil_count()), exact_count_gradient())


def test_nvil_count_in_training_is_unbiased_up_to_its_scale() -> None:
    estimator = NVILCount()
    estimator.prepare(SHAPE, 3)
    gradients = count_gradients(estimator)
    assert estimator.normaliser.seen == 1
    agrees(estimator.normaliser.sd() * gradients, exact_count_gradient())


def test_posterior_count_is_the_gradient_of_the_inclusive_kl() -> None:
    leaf = LOGITS.clone().requires_grad_()
    exact = Categorical(logits=EVIDENCE + LOG_PRIOR)
    kl = kl_divergence(exact, Categorical(logits=count_log_posterior(leaf.unsqueeze(0))[0]))
    (expected,) = torch.autograd.grad(kl, leaf)
    torch.testing.assert_close(count_gradients(PosteriorCount(), 1)[0], expected)


def test_posterior_count_rests_at_the_posterior() -> None:
    """At q = r the gradient of both exact estimators is zero."""
    r = (EVIDENCE + LOG_PRIOR).softmax(0)
    tail = r.flip(0).cumsum(0).flip(0)
    logits = (tail[1:] / tail[:-1]).logit()
    torch.testing.assert_close(count_log_posterior(logits.unsqueeze(0))[0].exp(), r)
    for estimator in (PosteriorCount(), ExactCount()):
        gradient = count_gradients(estimator, 1, logits=logits)
        torch.testing.assert_close(gradient, torch.zeros(1, 3), atol=1e-5, rtol=0)


def test_saturated_presence_learns_from_the_posterior_alone() -> None:
    """All objects switched off, three in the image: the ELBO's gradient is gone, the inclusive KL's not."""
    logits, evidence = torch.full((3,), -20.0), torch.tensor([-100.0, -50.0, -20.0, 0.0])
    exact = count_gradients(ExactCount(), 1, evidence, logits)
    posterior = count_gradients(PosteriorCount(), 1, evidence, logits)
    assert exact.abs().max() < 1e-5
    torch.testing.assert_close(posterior, torch.full((1, 3), -1.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("samples", [2, 4])
def test_rloo_count_varies_less_than_no_baseline(samples: int) -> None:
    evidence = EVIDENCE + 20  # what a baseline is for: a level that all counts share
    rloo = count_gradients(RLOOCount(samples), 20_000, evidence)
    leaf = LOGITS.repeat(20_000, 1).requires_grad_()
    log_q = count_log_posterior(leaf)
    drawn = torch.multinomial(log_q.detach().exp(), samples, replacement=True)
    signal = (evidence + LOG_PRIOR - log_q.detach()).gather(1, drawn)
    (plain,) = torch.autograd.grad(-(signal * log_q.gather(1, drawn)).mean(1).sum(), leaf)
    agrees(plain, exact_count_gradient())  # the level does not move the exact gradient
    agrees(rloo, exact_count_gradient())
    assert rloo.var(0).sum() < 0.1 * plain.var(0).sum()


def test_rloo_count_varies_less_with_more_samples() -> None:
    few, many = (count_gradients(RLOOCount(m), 20_000).var(0).sum() for m in (2, 8))
    assert many < 0.25 * few


def test_rloo_count_bounds_its_advantages() -> None:
    """Advantages, and so the gradient, shrink together."""
    torch.manual_seed(3)
    free = count_gradients(RLOOCount(4), 500, 1000 * EVIDENCE)
    torch.manual_seed(3)
    held = count_gradients(RLOOCount(4, spread=1.0), 500, 1000 * EVIDENCE)
    factor = (free * held).sum() / free.pow(2).sum()
    assert 0 < factor < 0.01
    torch.testing.assert_close(held, factor * free)


@over_counts
def test_weights_are_probabilities_without_gradient(make: Callable[[], CountEstimator]) -> None:
    estimator = make()
    estimator.prepare(SHAPE, 3)
    leaf = torch.randn(50, 3, requires_grad=True)
    weights, loss, _ = estimator(count_log_posterior(leaf), torch.randn(50, 4), LOG_PRIOR, context(50))
    assert weights.shape == (50, 4) and loss.shape == (50,) and not weights.requires_grad
    assert bool((weights >= 0).all())
    torch.testing.assert_close(weights.sum(1), torch.ones(50))


@pytest.mark.parametrize("samples", [2, 4])
def test_rloo_count_weighs_canvases_by_q(samples: int) -> None:
    q = count_log_posterior(LOGITS.unsqueeze(0))
    weights, *_ = RLOOCount(samples)(q.repeat(ROWS, 1), EVIDENCE.repeat(ROWS, 1), LOG_PRIOR, context(ROWS))
    agrees(weights, q[0].exp())


@over_counts
def test_warm_up_goes_from_uniform_over_objects_to_the_estimators_own(
    make: Callable[[], CountEstimator],
) -> None:
    def weights(step: int, warmup: int = 40) -> Tensor:
        estimator = make()
        estimator.prepare(SHAPE, 3)
        estimator.warmup = warmup
        torch.manual_seed(1)
        log_q = count_log_posterior(LOGITS.repeat(6, 1))
        return estimator(log_q, EVIDENCE.repeat(6, 1), LOG_PRIOR, context(6, step)).weights

    own, uniform = weights(0, warmup=0), torch.tensor([0.0, 1 / 3, 1 / 3, 1 / 3]).expand(6, 4)
    torch.testing.assert_close(weights(0), uniform)
    torch.testing.assert_close(weights(10), 0.25 * own + 0.75 * uniform)
    for step in (40, 41, 10**9):
        torch.testing.assert_close(weights(step), own)
    for step in (0, 10, 40):
        torch.testing.assert_close(weights(step).sum(1), torch.ones(6))


@pytest.mark.parametrize("make", [PosteriorCount, ExactCount, RLOOCount, NVILCount])
def test_warm_up_leaves_presence_alone(make: Callable[..., CountEstimator]) -> None:
    losses = []
    for warmup in (0, 100):
        torch.manual_seed(2)
        estimator = make(warmup=warmup)
        estimator.prepare(SHAPE, 3)
        losses.append(count_gradients(estimator, 10))
    torch.testing.assert_close(*losses)


EXTREMES = [
    (torch.full((3,), -200.0), torch.tensor([-1e6, 0.0, 1e6, 0.0])),
    (torch.full((3,), 200.0), torch.tensor([1e6, 0.0, -1e6, 1e6])),
    (torch.tensor([200.0, -200.0, 0.0]), torch.tensor([0.0, -1e6, -1e6, 1e6])),
]


@over_counts
@pytest.mark.parametrize("logits, evidence", EXTREMES)
def test_count_estimators_stay_finite(
    make: Callable[[], CountEstimator],
    logits: Tensor,
    evidence: Tensor,
) -> None:
    estimator = make()
    estimator.prepare(SHAPE, 3)
    leaf = logits.repeat(4, 1).requires_grad_()
    weights, loss, _ = estimator(count_log_posterior(leaf), evidence.repeat(4, 1), LOG_PRIOR, context(4))
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    assert all(bool(part.isfinite().all()) for part in (weights, loss, gradient))


# ---- NVIL's parts


@pytest.mark.parametrize("latent", ["count", "identity"])
def test_nvil_baseline_learns_by_regression_alone(latent: str) -> None:
    """Its gradient is that of half the squared error, and presence or identity get none of it."""
    torch.manual_seed(4)
    if latent == "count":
        estimator: CountEstimator | IdentityEstimator = frozen_nvil_count()
        frozen, images = estimator, torch.rand(6, *SHAPE)
        log_q = count_log_posterior(LOGITS.repeat(6, 1)).requires_grad_()
        torch.manual_seed(5)
        loss = frozen(log_q, EVIDENCE.repeat(6, 1), LOG_PRIOR, context(6, images=images)).loss
        torch.manual_seed(5)
        drawn = torch.multinomial(log_q.detach().exp(), 1)
        signal = (EVIDENCE + LOG_PRIOR - log_q.detach()).gather(1, drawn)
    else:
        frozen = NVILIdentity(spread=None).eval()
        frozen.prepare(SHAPE, 2)
        freeze(frozen.normaliser)
        images, log_q = torch.rand(6, *SHAPE), LOOKS.log_softmax(-1).repeat(6, 1, 1).requires_grad_()
        drawn = Categorical(logits=log_q.detach()).sample()
        loss = frozen(log_q, drawn, scored(VALUES), context(6, images=images))
        signal = scored(VALUES)(drawn.unsqueeze(-1)).squeeze(-1)
    assert isinstance(frozen, (NVILCount, NVILIdentity))
    weights = list(frozen.baseline.parameters())
    gradients = torch.autograd.grad(loss.sum(), [log_q, *weights])
    scaled = (signal - 1.5) / 4
    error = scaled - frozen.baseline(images)
    for gradient, expected in zip(gradients[1:], torch.autograd.grad(0.5 * error.pow(2).sum(), weights)):
        torch.testing.assert_close(gradient, expected)
    index = drawn if latent == "count" else drawn.unsqueeze(-1)
    advantage = error.detach() if latent == "count" else error.detach().unsqueeze(-1)
    torch.testing.assert_close(gradients[0], torch.zeros_like(log_q).scatter(-1, index, -advantage))


def test_normaliser_is_the_mean_and_deviation_of_what_it_saw() -> None:
    normaliser, signal = Normaliser(), 5 + 3 * torch.randn(4000)
    normaliser.update(signal)
    assert float(normaliser.mean) == pytest.approx(float(signal.mean()), rel=1e-5)
    assert float(normaliser.sd()) == pytest.approx(float(signal.std(correction=0)), rel=1e-4)


def test_normaliser_forgets_at_its_decay() -> None:
    """Against mean and square averaged with exponential weights."""
    normaliser, batches = Normaliser(0.9), [i + (2 + i) * torch.randn(50) for i in range(6)]
    mean = square = 0.0
    for i, batch in enumerate(batches):
        normaliser.update(batch)
        keep = 0.9 if i else 0.0
        mean = keep * mean + (1 - keep) * float(batch.mean())
        square = keep * square + (1 - keep) * float(batch.pow(2).mean())
    assert float(normaliser.mean) == pytest.approx(mean, rel=1e-4)
    assert float(normaliser.sd()) == pytest.approx(math.sqrt(square - mean**2), rel=1e-4)


@pytest.mark.parametrize("level", [0.0, 1e6])
def test_normaliser_finds_a_small_deviation_on_a_high_level(level: float) -> None:
    """10^6 nats that vary by 10: in single precision the mean square would hide that."""
    normaliser = Normaliser()
    for _ in range(200):
        normaliser.update(level + 10 * torch.randn(64))
    assert float(normaliser.sd()) == pytest.approx(10, rel=0.15)


def test_normaliser_never_blows_small_signals_up() -> None:
    normaliser = Normaliser()
    assert normaliser.sd() == 1
    normaliser.update(1e-3 * torch.randn(100))
    assert normaliser.sd() == 1


def test_nvil_leaves_its_normaliser_alone_in_evaluation() -> None:
    estimator = frozen_nvil_count()
    count_gradients(estimator, 5)
    assert (estimator.normaliser.mean, estimator.normaliser.seen) == (1.5, 1)


# ---- bounded, leave_one_out


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_bounded_holds_the_root_mean_square(spread: float) -> None:
    small, large = 0.1 * spread * torch.randn(4, 5).clamp(-3, 3), 100 * torch.randn(4, 5)
    torch.testing.assert_close(bounded(small, spread), small)
    held = bounded(large, spread)
    assert float(held.pow(2).mean().sqrt()) == pytest.approx(spread, rel=1e-5)
    ratio = held / large
    torch.testing.assert_close(ratio, ratio[0, 0].expand_as(ratio))


def test_bounded_does_not_count_zeros() -> None:
    large = 100 * torch.randn(10)
    diluted = torch.cat([large, torch.zeros(90)])
    torch.testing.assert_close(bounded(diluted, 2.0)[:10], bounded(large, 2.0))


def test_bounded_leaves_alone_what_it_is_told_to() -> None:
    large = 1e6 * torch.randn(4, 5)
    assert bounded(large, None) is large
    torch.testing.assert_close(bounded(torch.zeros(3), 2.0), torch.zeros(3))


@pytest.mark.parametrize("samples", [2, 5])
def test_leave_one_out(samples: int) -> None:
    signal = torch.randn(3, samples)
    for m in range(samples):
        others = torch.cat([signal[:, :m], signal[:, m + 1 :]], 1)
        torch.testing.assert_close(leave_one_out(signal)[:, m], signal[:, m] - others.mean(1))


# ---- errors


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: PosteriorCount(warmup=-1), "warmup must not be negative, got -1: 0 switches it off"),
        (lambda: RLOOCount(samples=1), "a leave-one-out baseline needs at least 2 samples, got 1"),
        (lambda: RLOOIdentity(samples=0), "a leave-one-out baseline needs at least 2 samples, got 0"),
        (lambda: ExactIdentity(explore=1.0), "explore must lie in [0, 1), got 1.0: 0.1 keeps"),
        (lambda: RLOOIdentity(explore=-0.1), "explore must lie in [0, 1), got -0.1: 0.1 keeps"),
        (lambda: ExactIdentity(top=0), "top must be at least 1, got 0"),
        (
            lambda: ExactIdentity(spread=0.0),
            "spread must be positive, got 0.0: null leaves advantages as they are",
        ),
        (
            lambda: NVILIdentity(spread=-1.0),
            "spread must be positive, got -1.0: null leaves advantages as they are",
        ),
        (
            lambda: RLOOCount(spread=-2.0),
            "spread must be positive, got -2.0: null leaves advantages as they are",
        ),
        (
            lambda: NVILCount(decay=1.0),
            "decay must lie in [0, 1), got 1.0: 0.95 averages over about 20 steps",
        ),
    ],
)
def test_errors(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        make()


@pytest.mark.parametrize("make", [NVILCount, NVILIdentity])
def test_an_image_too_small_for_a_baseline(make: Callable[[], NVILCount | NVILIdentity]) -> None:
    make().prepare((1, 4, 4), 3)
    text = "NVIL's baseline looks at an image in patches of 4x4 and needs at least one, got 3x20 pixels: take an"
    with pytest.raises(ValueError, match=re.escape(text)):
        make().prepare((1, 3, 20), 3)
