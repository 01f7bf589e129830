"""Gradient estimators of identity, against the exact gradient on tables small enough to enumerate."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from estimators_for_tests import LOOKS, ROWS, SHAPE, VALUES, agrees, context, freeze, scored
from torch import Tensor
from torch.distributions import Categorical

from air_lightning.estimators import ExactIdentity, IdentityEstimator, NVILIdentity, RLOOIdentity

IDENTITIES: dict[str, Callable[[], IdentityEstimator]] = {
    "exact": ExactIdentity,
    "exact_top": lambda: ExactIdentity(top=2),
    "exact_unbounded": lambda: ExactIdentity(spread=None),
    "rloo": RLOOIdentity,
    "rloo_unbounded": lambda: RLOOIdentity(samples=2, spread=None),
    "nvil": NVILIdentity,
}
over_identities = pytest.mark.parametrize("make", IDENTITIES.values(), ids=IDENTITIES.keys())
# more identities than any of our tops
MANY_LOOKS = torch.linspace(-1.0, 1.5, 12)[torch.arange(24).view(2, 12) * 5 % 12]
MANY_VALUES = 3 * torch.sin(torch.arange(24.0)).view(2, 12)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def identity_gradients(
    estimator: IdentityEstimator, looks: Tensor = LOOKS, values: Tensor = VALUES, rows: int = ROWS
) -> Tensor:
    """Gradient in the identity logits of independent rows, (rows, N, K)."""
    leaf = looks.repeat(rows, 1, 1).requires_grad_()
    what = Categorical(logits=leaf.detach()).sample()
    loss = estimator(leaf.log_softmax(-1), what, scored(values), context(rows))
    assert loss.shape == (rows, len(looks))
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    return gradient


# the gradient of the bound as it is: nothing bounded, nothing explored
PURE: dict[str, Any] = {"spread": None, "explore": 0.0}


def exact_identity_gradient(looks: Tensor = LOOKS, values: Tensor = VALUES) -> Tensor:
    """Of minus ``sum_k q_k R_k``."""
    leaf = looks.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(-(leaf.softmax(-1) * values).sum(), leaf)
    return gradient


@pytest.mark.parametrize("top", [3, 4, 8])
def test_exact_identity_is_the_exact_gradient(top: int) -> None:
    gradients = identity_gradients(ExactIdentity(top, **PURE), rows=3)
    torch.testing.assert_close(gradients, exact_identity_gradient().expand(3, 2, 4))


@pytest.mark.parametrize("top", [1, 2, 5, 10])
def test_exact_identity_is_unbiased_where_it_samples_the_rest(top: int) -> None:
    gradients = identity_gradients(ExactIdentity(top, **PURE), MANY_LOOKS, MANY_VALUES)
    agrees(gradients, exact_identity_gradient(MANY_LOOKS, MANY_VALUES))


@pytest.mark.parametrize("top", [1, 5, 10])
def test_exact_identity_draws_one_more_than_its_top(top: int) -> None:
    asked = []

    def score(what: Tensor) -> Tensor:
        asked.append(what)
        return scored(MANY_VALUES)(what)

    log_q = MANY_LOOKS.repeat(50, 1, 1).log_softmax(-1)
    ExactIdentity(top)(log_q, Categorical(logits=log_q).sample(), score, context(50))
    (what,) = asked
    assert what.shape == (50, 2, top + 1)
    torch.testing.assert_close(what[..., :top].sort(-1)[0], log_q.topk(top).indices.sort(-1)[0])
    assert not bool((what[..., :top] == what[..., top:]).any())


def test_exact_identity_varies_less_with_a_larger_top() -> None:
    few, more = (
        identity_gradients(estimator, MANY_LOOKS, MANY_VALUES, 20_000).var(0).sum()
        for estimator in (ExactIdentity(2, **PURE), ExactIdentity(10, **PURE))
    )
    assert more < 0.25 * few


@pytest.mark.parametrize("samples", [2, 4])
def test_rloo_identity_is_unbiased(samples: int) -> None:
    agrees(identity_gradients(RLOOIdentity(samples, **PURE)), exact_identity_gradient())


def test_exploration_leaves_alone_what_is_likely_enough() -> None:
    """Where q gives every identity at least ``explore``, the exact sum is the pure one."""
    looks = 0.2 * LOOKS
    gradients = identity_gradients(ExactIdentity(spread=None, explore=0.1), looks, rows=1)
    torch.testing.assert_close(gradients[0], exact_identity_gradient(looks))


@pytest.mark.parametrize("make", [ExactIdentity, lambda **o: RLOOIdentity(8, **o)], ids=["exact", "rloo"])
def test_exploration_brings_a_dropped_identity_back(make: Callable[..., IdentityEstimator]) -> None:
    """q is sure of the wrong one of four: pure, its gradient is all but gone."""
    looks = torch.tensor([[0.0, -20.0, -20.0, -20.0], [0.0, 0.0, 0.0, 0.0]])
    values = torch.tensor([[0.0, 9.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    estimators = (make(spread=None, explore=share) for share in (0.0, 0.2))
    pure, explored = (identity_gradients(e, looks, values, 500).mean(0)[0] for e in estimators)
    assert pure.abs().max() < 1e-6
    assert explored[1] < -0.2 and explored[0] > 0.1


@pytest.mark.parametrize("make", [ExactIdentity, lambda **o: RLOOIdentity(8, **o)], ids=["exact", "rloo"])
def test_exploration_pushes_no_dropped_identity_further_down(make: Callable[..., IdentityEstimator]) -> None:
    """q has dropped three bad identities for good reason: there is nothing to learn."""
    looks = torch.tensor([[0.0, -20.0, -20.0, -20.0], [0.0, 0.0, 0.0, 0.0]])
    values = torch.tensor([[9.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    gradients = identity_gradients(make(spread=None, explore=0.2), looks, values, 500).mean(0)[0]
    assert gradients.abs().max() < 1e-6


def test_nvil_identity_is_unbiased_up_to_its_scale() -> None:
    estimator = NVILIdentity(spread=None).eval()
    estimator.prepare(SHAPE, 2)
    freeze(estimator.normaliser)
    agrees(4.0 * identity_gradients(estimator), exact_identity_gradient())


def test_nvil_identity_in_training_is_unbiased_up_to_its_scale() -> None:
    estimator = NVILIdentity(spread=None)
    estimator.prepare(SHAPE, 2)
    gradients = identity_gradients(estimator)
    agrees(estimator.normaliser.sd() * gradients, exact_identity_gradient())


def test_rloo_identity_varies_less_than_no_baseline() -> None:
    values = VALUES + 20
    rloo = identity_gradients(RLOOIdentity(4, **PURE), values=values, rows=20_000)
    leaf = LOOKS.repeat(20_000, 1, 1).requires_grad_()
    log_q = leaf.log_softmax(-1)
    drawn = torch.stack([Categorical(logits=log_q.detach()).sample() for _ in range(4)], -1)
    plain_loss = -(scored(values)(drawn) * log_q.gather(-1, drawn)).mean(-1)
    (plain,) = torch.autograd.grad(plain_loss.sum(), leaf)
    agrees(plain, exact_identity_gradient())
    agrees(rloo, exact_identity_gradient())
    assert rloo.var(0).sum() < 0.1 * plain.var(0).sum()


@pytest.mark.parametrize("scale", [10.0, 1e4])
def test_bounded_exact_identity_keeps_its_direction(scale: float) -> None:
    free = identity_gradients(ExactIdentity(spread=None), values=scale * VALUES, rows=1)
    held = identity_gradients(ExactIdentity(spread=2.0), values=scale * VALUES, rows=1)
    factor = (free * held).sum() / free.pow(2).sum()
    assert 0 < factor < 1
    torch.testing.assert_close(held, factor * free)


@over_identities
def test_identity_does_not_move_where_all_are_worth_the_same(make: Callable[[], IdentityEstimator]) -> None:
    estimator = make()
    if isinstance(estimator, NVILIdentity):
        pytest.skip("its baseline has yet to learn the level")
    gradients = identity_gradients(estimator, values=torch.full((2, 4), 7.0), rows=20)
    torch.testing.assert_close(gradients, torch.zeros(20, 2, 4), atol=1e-5, rtol=0)


@over_identities
@pytest.mark.parametrize("size", [1.0, 1e6])
def test_identity_estimators_stay_finite(make: Callable[[], IdentityEstimator], size: float) -> None:
    estimator = make()
    estimator.prepare(SHAPE, 2)
    looks = torch.tensor([[0.0, -200.0, -200.0, -200.0], [200.0, 0.0, -300.0, 200.0]])
    gradients = identity_gradients(estimator, looks, size * VALUES, rows=10)
    assert bool(gradients.isfinite().all())
