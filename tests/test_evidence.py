"""Evidence and bound, against enumeration and torch's densities."""

import math

import pytest
import torch
from renderers_for_tests import Dial
from slots_for_tests import BATCH, LOG_PRIOR, SD, SLOTS, Leaves, drawn_images, observed, over_renderers
from slots_for_tests import renderer as renderer
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from air_lightning.distributions import count_log_posterior, wrapped_kl
from air_lightning.model.evidence import bound, evidence, log_likelihoods, slot_kl, what_kl
from air_lightning.model.slots import where_kl
from renderers import Renderer, spaces


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@over_renderers
def test_log_likelihoods_are_those_of_a_normal(renderer: Renderer) -> None:
    images, slots = drawn_images(renderer), Leaves(renderer).slots()
    canvases = renderer.render(slots.what, slots.where).detach()
    expected = Independent(Normal(canvases, SD), 3).log_prob(images.unsqueeze(1))
    torch.testing.assert_close(log_likelihoods(canvases, observed(images)), expected)


def test_evidence_recursion() -> None:
    """F_0 = log p(x | nothing), F_n - F_{n-1} = gain in likelihood - KL_n."""
    likelihood, kl = torch.randn(BATCH, SLOTS + 1), torch.rand(BATCH, SLOTS)
    worth = evidence(likelihood, kl)
    torch.testing.assert_close(worth[:, 0], likelihood[:, 0])
    torch.testing.assert_close(worth.diff(dim=1), likelihood.diff(dim=1) - kl)


Row = list[float]


def bound_by_enumeration(logits: Row, likelihood: Row, kl: Row, prior: Row) -> float:
    """E_q [log p(x, n, z) - log q(n, z)], over chains of n ones and a zero."""
    total = 0.0
    for n in range(len(logits) + 1):
        log_q = 0.0
        for i, logit in enumerate(logits[: n + 1]):
            log_q += -math.log1p(math.exp(-logit if i < n else logit))
        total += math.exp(log_q) * (likelihood[n] - sum(kl[:n]) + math.log(prior[n]) - log_q)
    return total


def test_bound_is_the_expectation_over_counts() -> None:
    logits, likelihood = torch.randn(BATCH, SLOTS), 5 * torch.randn(BATCH, SLOTS + 1)
    kl = torch.rand(BATCH, SLOTS)
    value = bound(count_log_posterior(logits), evidence(likelihood, kl), LOG_PRIOR)
    prior = LOG_PRIOR.exp().tolist()
    rows = zip(logits.tolist(), likelihood.tolist(), kl.tolist())
    expected = [bound_by_enumeration(*row, prior) for row in rows]
    assert value.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_bound_is_below_the_log_evidence_and_touches_it_at_the_posterior() -> None:
    worth = 3 * torch.randn(50, SLOTS + 1)
    sharp = torch.logsumexp(worth + LOG_PRIOR, 1)
    assert bool((bound(count_log_posterior(torch.randn(50, SLOTS)), worth, LOG_PRIOR) < sharp).all())
    torch.testing.assert_close(bound((worth + LOG_PRIOR).log_softmax(1), worth, LOG_PRIOR), sharp)


@over_renderers
def test_what_kl(renderer: Renderer) -> None:
    slots = Leaves(renderer).slots()
    if isinstance(renderer.what, spaces.Gaussian):
        mean, log_sd = slots.what_parameters.chunk(2, -1)
        expected = kl_divergence(Normal(mean, log_sd.exp()), Normal(0.0, 1.0)).sum(-1)
    else:
        uniform = Categorical(logits=torch.zeros(BATCH, SLOTS, renderer.identity_count))
        expected = kl_divergence(Categorical(logits=slots.what_parameters), uniform)
    torch.testing.assert_close(what_kl(renderer, slots), expected)


@over_renderers
def test_where_kl(renderer: Renderer) -> None:
    slots = Leaves(renderer).slots()
    prior = kl_divergence(Normal(slots.where_mean, slots.where_sd), Normal(0.0, 1.0))
    expected = prior[..., :2].sum(-1)
    if isinstance(renderer, Dial):
        for k, period in enumerate((2 * math.pi, 2 * math.pi / 3, 0.0)):
            expected[:, :, k] += wrapped_kl(slots.where_sd[:, :, k, 2], torch.tensor(period))
    torch.testing.assert_close(where_kl(renderer, slots.where_mean, slots.where_sd), expected)


@over_renderers
def test_slot_kl_is_that_of_the_sampled_identity(renderer: Renderer) -> None:
    slots = Leaves(renderer).slots()
    poses, looks = where_kl(renderer, slots.where_mean, slots.where_sd), what_kl(renderer, slots)
    for b in range(BATCH):
        for i in range(SLOTS):
            k = int(slots.what[b, i]) if renderer.identity_count > 1 else 0
            expected = poses[b, i, k] + looks[b, i]
            torch.testing.assert_close(slot_kl(renderer, slots)[b, i], expected)
