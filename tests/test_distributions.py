"""Count, pose and likelihood densities, against enumeration, integration and torch's own."""

import itertools
import math
import re

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from air_lightning.distributions import (
    categorical_kl,
    count_log_posterior,
    count_log_prior,
    gaussian_kl,
    wrapped_kl,
)

TURN = 2 * math.pi
PERIODS = (TURN, TURN / 4, 1.0, 7.5)
# shares of the period: narrow (closed form), both sides of the switch, middle, wider than any network gives
SHARES = (0.002, 0.02, 0.0799, 0.0801, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 3.0)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


# ---- count


def presence_by_enumeration(logits: list[float]) -> list[float]:
    """q(n), from all 2^N settings of a chain of presences that stays off once it is off."""
    result = [0.0] * (len(logits) + 1)
    for bits in itertools.product((0, 1), repeat=len(logits)):
        chance, alive = 1.0, True
        for bit, logit in zip(bits, logits):
            pi = 1 / (1 + math.exp(-logit)) if alive else 0.0
            chance *= pi if bit else 1 - pi
            alive = alive and bool(bit)
        result[sum(bits)] += chance
    return result


@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_count_posterior_is_that_of_the_chain_of_presences(slots: int) -> None:
    logits = 2 * torch.randn(4, slots, dtype=torch.float64)
    expected = torch.tensor([presence_by_enumeration(row.tolist()) for row in logits], dtype=torch.float64)
    torch.testing.assert_close(count_log_posterior(logits).exp(), expected)


@pytest.mark.parametrize("logit", [-200.0, -20.0, 0.0, 20.0, 200.0])
def test_count_posterior_sums_to_one_and_stays_finite(logit: float) -> None:
    log_q = count_log_posterior(torch.full((2, 3), logit))
    assert bool(log_q.isfinite().all())
    torch.testing.assert_close(log_q.exp().sum(1), torch.ones(2))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_count_posterior_of_few_bits_is_as_precise_as_of_many(precision: torch.dtype) -> None:
    logits = torch.randn(4, 3).to(precision)
    assert torch.equal(count_log_posterior(logits), count_log_posterior(logits.float()))


@pytest.mark.parametrize("success", [0.01, 0.3, 1.0, 2.0, 1])
def test_geometric_count_prior(success: float) -> None:
    weights = [success**n for n in range(5)]
    expected = torch.tensor([w / sum(weights) for w in weights])
    torch.testing.assert_close(count_log_prior(4, success).exp(), expected)


@pytest.mark.parametrize("given", [[0.1, 0.2, 0.7], [1, 2, 7], (10, 20, 70)])
def test_listed_count_prior_is_normalised(given: list[float]) -> None:
    torch.testing.assert_close(count_log_prior(2, given).exp(), torch.tensor([0.1, 0.2, 0.7]))


@pytest.mark.parametrize("ratio", [0.0, -0.5, math.nan, math.inf])
def test_count_prior_rejects_a_ratio_that_is_none(ratio: float) -> None:
    text = f"the count prior's ratio must be positive and finite, got {ratio}: 0.3"
    with pytest.raises(ValueError, match=text):
        count_log_prior(3, ratio)


@pytest.mark.parametrize("given", [[0.5, 0.5], [0.5, 0.5, 0.0], [1.0, -1.0, 1.0], [0.2] * 4, []])
def test_count_prior_rejects_a_list_that_is_none(given: list[float]) -> None:
    text = f"needs 3 positive probabilities (counts 0 to 2), got {given}"
    with pytest.raises(ValueError, match=re.escape(text)):
        count_log_prior(2, given)


# ---- KL divergences


def test_gaussian_kl() -> None:
    mean, sd = 3 * torch.randn(50, dtype=torch.float64), torch.randn(50, dtype=torch.float64).exp()
    expected = kl_divergence(Normal(mean, sd), Normal(torch.zeros_like(mean), torch.ones_like(sd)))
    torch.testing.assert_close(gaussian_kl(mean, sd), expected)
    assert gaussian_kl(torch.zeros(()), torch.ones(())) == 0


def test_categorical_kl() -> None:
    q, p = torch.randn(7, 5).log_softmax(-1), torch.randn(7, 5).log_softmax(-1)
    expected = kl_divergence(Categorical(logits=q), Categorical(logits=p))
    torch.testing.assert_close(categorical_kl(q, p), expected)
    torch.testing.assert_close(categorical_kl(p, p), torch.zeros(7))


def integrated(sd: float, period: float) -> float:
    """KL of the wrapped Gaussian to the uniform, on a grid 40 times finer than any of our sds."""
    share = sd / period
    points = max(2000, int(40 / share))
    turns = torch.arange(-40, 41, dtype=torch.float64)
    grid = torch.arange(points, dtype=torch.float64).unsqueeze(1) / points
    normal = Normal(torch.zeros((), dtype=torch.float64), torch.tensor(share, dtype=torch.float64))
    density = normal.log_prob(grid + turns).exp().sum(1)
    # p log p is 0 where the density underflows
    return float(torch.special.xlogy(density, density).mean())


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("share", SHARES)
def test_wrapped_kl_is_the_integral(share: float, period: float) -> None:
    sd = share * period
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-5)):
        value = wrapped_kl(torch.tensor(sd, dtype=dtype), torch.tensor(period, dtype=dtype))
        assert value.dtype == dtype
        assert float(value) == pytest.approx(integrated(sd, period), abs=tolerance)


def test_wrapped_kl_falls_with_sd_and_has_no_jump() -> None:
    sd = torch.linspace(0.01, 0.5, 2000, dtype=torch.float64)
    value = wrapped_kl(sd, torch.ones(()))
    falls = value[:-1] - value[1:]
    assert bool((falls > 0).all())
    # around the switch between closed form and quadrature the fall is that of its neighbours
    assert bool((falls[1:] - falls[:-1] < 1e-9).all())


@pytest.mark.parametrize("share", [0.02, 0.1, 0.2, 0.35])
def test_wrapped_kl_gradient_is_the_slope_of_the_integral(share: float) -> None:
    sd = torch.tensor(share * TURN, dtype=torch.float64, requires_grad=True)
    wrapped_kl(sd, torch.tensor(TURN, dtype=torch.float64)).backward()
    at, step = share * TURN, 1e-4 * share * TURN
    slope = (integrated(at + step, TURN) - integrated(at - step, TURN)) / (2 * step)
    assert sd.grad is not None and float(sd.grad) == pytest.approx(slope, abs=2e-5, rel=1e-4)


def test_wrapped_kl_of_an_unseen_angle_is_nothing() -> None:
    sd = torch.tensor([0.01, 0.1, 5.0], requires_grad=True)
    value = wrapped_kl(sd, torch.zeros(3))
    value.sum().backward()
    assert value.tolist() == [0.0, 0.0, 0.0] and sd.grad is not None and sd.grad.tolist() == [0.0, 0.0, 0.0]


def test_wrapped_kl_gradient_is_finite_everywhere() -> None:
    sd = torch.logspace(-4, 3, 200).unsqueeze(1).expand(200, 4).clone().requires_grad_()
    value = wrapped_kl(sd, torch.tensor([TURN, TURN / 4, 0.0, 1.0]))
    value.sum().backward()
    assert value.shape == sd.shape and bool(value.isfinite().all()) and bool((value > -1e-6).all())
    assert sd.grad is not None and bool(sd.grad.isfinite().all())


def test_a_symmetric_copy_costs_the_log_of_the_number_of_copies() -> None:
    """A narrow posterior spread over 4 copies costs log 4 less on a quarter turn than on a full one."""
    sd = torch.tensor(0.02, dtype=torch.float64)
    full, quarter = (wrapped_kl(sd, torch.tensor(p, dtype=torch.float64)) for p in (TURN, TURN / 4))
    assert float(full - quarter) == pytest.approx(math.log(4), abs=1e-9)
