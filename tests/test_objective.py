"""The objective and its gradient, against the bound written out."""

from collections.abc import Callable

import pytest
import torch
from renderers_for_tests import Bumps, Discs, IdentityBumps
from slots_for_tests import BATCH, LOG_PRIOR, SD, SLOTS, Leaves, drawn_images, observed, over_renderers
from slots_for_tests import renderer as renderer
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from air_lightning.distributions import count_log_posterior, count_log_prior
from air_lightning.estimators import (
    ConcreteCount,
    Context,
    CountEstimate,
    CountEstimator,
    ExactCount,
    ExactIdentity,
    IdentityEstimator,
    PosteriorCount,
    ReweightedWakeSleepCount,
    RLOOCount,
    VIMCOCount,
)
from air_lightning.estimators.base import Score
from air_lightning.inference import ResidualAttention
from air_lightning.model.evidence import bound, evidence, log_likelihoods, of_sample, slot_kl, what_kl
from air_lightning.model.objective import Objective, objective
from air_lightning.model.slots import Slots, infer, where_kl
from renderers import GlimpseRenderer, MeshRenderer, Renderer, spaces

TERMS = {"reconstruction", "where_kl", "what_kl", "presence"}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def of(
    leaves: Leaves,
    images: Tensor,
    count: object = None,
    identity: IdentityEstimator | None = None,
    sd: float = SD,
    **options: float,
) -> Objective:
    renderer = leaves.renderer
    if identity is None and isinstance(renderer.what, spaces.Categorical):
        identity = ExactIdentity(spread=None, explore=0.0)
    estimator = ExactCount() if count is None else count
    return objective(
        renderer, leaves.slots(), observed(images, sd), LOG_PRIOR[: SLOTS + 1], estimator, identity, step=0, **options
    )  # type: ignore[arg-type]


# ---- the objective's gradient


def written_out(leaves: Leaves, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """F_n (B, N + 1) and q(n) of the leaves with every step in sight, and minus the mean ELBO."""
    slots, renderer = leaves.slots(), leaves.renderer
    rows = []
    for n in range(slots.where.shape[1] + 1):
        canvas = renderer.background().expand_as(images)
        for i in range(n):
            canvas = canvas + renderer.draw(slots.what[:, i], slots.where[:, i]).color
        value = Independent(Normal(canvas, SD), 3).log_prob(images)
        rows.append(value - slot_kl(renderer, slots)[:, :n].sum(1))
    worth, log_q = torch.stack(rows, 1), count_log_posterior(slots.presence_logits)
    return worth, log_q.exp(), -bound(log_q, worth, LOG_PRIOR).mean()


def test_with_exact_counts_the_loss_has_the_gradient_of_the_bound() -> None:
    """Nothing sampled but the reparametrised noise: presence, where and what all follow minus the ELBO."""
    renderer = Bumps()
    leaves, images = Leaves(renderer), drawn_images(renderer)
    result = of(leaves, images)
    loss = written_out(leaves, images)[2]
    expected = leaves.gradients(loss)
    for name, gradient in leaves.gradients(result.loss).items():
        torch.testing.assert_close(gradient, expected[name], msg=lambda text, n=name: f"{n}: {text}")
        assert bool(gradient.any()), name
    torch.testing.assert_close(result.elbo, -loss.detach())


def test_with_other_counts_the_slots_follow_the_bound_at_their_weights() -> None:
    """PosteriorCount: ``-sum_n r_n F_n`` with the posterior r held fixed."""
    renderer = Bumps()
    leaves, images = Leaves(renderer), drawn_images(renderer)
    gradients = leaves.gradients(of(leaves, images, PosteriorCount()).loss)
    worth, _, _ = written_out(leaves, images)
    weights = (worth + LOG_PRIOR).softmax(1).detach()
    expected = leaves.gradients(-(weights * worth).sum(1).mean())
    for name in ("mean", "log_sd", "what_parameters"):
        torch.testing.assert_close(gradients[name], expected[name], msg=lambda text, n=name: f"{n}: {text}")


def test_warm_up_weights_train_the_slots() -> None:
    """At step 0 of a warm-up the posterior is out of the game: all counts from 1 up weigh the same."""
    renderer = Bumps()
    leaves, images = Leaves(renderer), drawn_images(renderer)
    gradients = leaves.gradients(of(leaves, images, PosteriorCount(warmup=10)).loss)
    worth, _, _ = written_out(leaves, images)
    expected = leaves.gradients(-worth[:, 1:].mean(1).mean())
    for name in ("mean", "log_sd", "what_parameters"):
        torch.testing.assert_close(gradients[name], expected[name], msg=lambda text, n=name: f"{n}: {text}")


def test_pose_of_an_identity_follows_the_canvases_of_the_sampled_one_and_the_expected_kl() -> None:
    renderer = IdentityBumps()
    leaves, images = Leaves(renderer), drawn_images(renderer)
    gradients = leaves.gradients(of(leaves, images).loss)
    slots, (_, q, _) = leaves.slots(), written_out(leaves, images)
    weights = q.detach()
    canvases = renderer.render(slots.what, slots.where)
    likelihood = log_likelihoods(canvases, observed(images))
    shown = torch.stack([weights[:, i + 1 :].sum(1) for i in range(SLOTS)], 1)
    kl = (slots.what_parameters.softmax(-1).detach() * where_kl(renderer, slots.where_mean, slots.where_sd)).sum(-1)
    expected = leaves.gradients((-(weights * likelihood).sum(1) + (shown * kl).sum(1)).mean())
    for name in ("mean", "log_sd"):
        torch.testing.assert_close(gradients[name], expected[name], msg=lambda text, n=name: f"{n}: {text}")


def test_a_black_box_trains_poses_by_finite_differences() -> None:
    """The same smooth images with and without autograd: gradients agree to the square of the step."""
    gradients = []
    images = drawn_images(IdentityBumps())
    for differentiable in (True, False):
        torch.manual_seed(7)
        leaves = Leaves(IdentityBumps(differentiable=differentiable))
        gradients.append(leaves.gradients(of(leaves, images, coarseness=0.2).loss)["mean"])
    torch.testing.assert_close(*gradients, rtol=0.02, atol=0.03)
    assert gradients[0].abs().max() > 0.3


@pytest.mark.parametrize("coarseness", [0.5, 1.0, 4.0])
def test_coarseness_reaches_the_renderer(coarseness: float, monkeypatch: pytest.MonkeyPatch) -> None:
    renderer, used = Discs(16), []
    contract = renderer.contract
    monkeypatch.setattr(renderer, "contract", lambda *args: used.append(args[3]) or contract(*args))
    leaves = Leaves(renderer)
    leaves.gradients(of(leaves, drawn_images(renderer), coarseness=coarseness).loss)
    assert used == [coarseness]


# ---- mixed canvases


class Watcher(CountEstimator):
    """Keeps the context that it is given; its weights are even."""

    def estimate(self, log_q: Tensor, evidence: Tensor, log_prior: Tensor, context: Context) -> CountEstimate:
        self.context, self.evidence = context, evidence
        return CountEstimate(torch.full_like(log_q, 1 / log_q.shape[1]), log_q.sum(1))


def mixture_written_out(leaves: Leaves, images: Tensor, shares: Tensor) -> Tensor:
    """``log p(x | sum_n s_n canvas_n) - sum_i (s_i + ... + s_N) KL_i``, (B,), differentiable in everything."""
    slots, renderer = leaves.slots(), leaves.renderer
    canvases = renderer.canvases(slots.what, slots.where, 0.2)
    image = torch.einsum("bn,bnchw->bchw", shares, canvases)
    shown = torch.stack([shares[:, i + 1 :].sum(1) for i in range(SLOTS)], 1)
    return Independent(Normal(image, SD), 3).log_prob(images) - (shown * slot_kl(renderer, slots)).sum(1)


def relaxed(logits: Tensor) -> Tensor:
    """Shares (B, N + 1) at a temperature of 0.5, with the noise that follows seed 5."""
    torch.manual_seed(5)
    uniform = torch.rand(BATCH, SLOTS)
    z = torch.sigmoid((logits + uniform.log() - (1 - uniform).log()) / 0.5)
    on = [torch.ones(BATCH), z[:, 0], z[:, 0] * z[:, 1], z[:, 0] * z[:, 1] * z[:, 2], torch.zeros(BATCH)]
    return torch.stack([on[n] - on[n + 1] for n in range(SLOTS + 1)], 1)


def with_concrete(leaves: Leaves, images: Tensor, **options: float) -> dict[str, Tensor]:
    """The objective's gradients under ConcreteCount, noise as in ``relaxed``."""
    torch.manual_seed(5)
    return leaves.gradients(of(leaves, images, ConcreteCount(0.5), **options).loss)


@over_renderers
def test_mixed_evidence_of_a_single_canvas_is_that_canvass(renderer: Renderer) -> None:
    leaves, images, watcher = Leaves(renderer), drawn_images(renderer), Watcher()
    of(leaves, images, watcher)
    for n in range(SLOTS + 1):
        shares = torch.eye(SLOTS + 1)[n].expand(BATCH, -1)
        torch.testing.assert_close(watcher.context.mixed(shares), watcher.evidence[:, n])


def test_mixed_evidence_is_that_of_the_mixture_and_differentiable_in_the_shares_alone() -> None:
    renderer = Bumps()
    leaves, images, watcher = Leaves(renderer), drawn_images(renderer), Watcher()
    of(leaves, images, watcher)
    shares = torch.rand(BATCH, SLOTS + 1).softmax(1).requires_grad_()
    value, expected = watcher.context.mixed(shares), mixture_written_out(leaves, images, shares)
    torch.testing.assert_close(value, expected)
    for own, other in zip(torch.autograd.grad(value.sum(), shares), torch.autograd.grad(expected.sum(), shares)):
        torch.testing.assert_close(own, other)
    assert not watcher.context.mixed(shares.detach()).requires_grad


def test_relaxed_presence_and_the_slots_follow_one_loss() -> None:
    """Minus the mixture's evidence, with the count's KL: every latent once, none twice."""
    renderer = Bumps()
    leaves, images = Leaves(renderer), drawn_images(renderer)
    gradients = with_concrete(leaves, images)
    log_q = count_log_posterior(leaves["presence"])
    divergence = kl_divergence(Categorical(logits=log_q), Categorical(logits=LOG_PRIOR.expand_as(log_q)))
    worth = mixture_written_out(leaves, images, relaxed(leaves["presence"]))
    for name, expected in leaves.gradients((divergence - worth).mean()).items():
        torch.testing.assert_close(
            gradients[name], expected, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )
        assert bool(expected.any()), name


def test_weight_scales_the_slots_and_leaves_relaxed_presence() -> None:
    leaves, images = Leaves(Bumps()), drawn_images(Bumps())
    full, tenth = with_concrete(leaves, images), with_concrete(leaves, images, weight=0.1)
    for name, gradient in full.items():
        torch.testing.assert_close(tenth[name], gradient if name == "presence" else 0.1 * gradient)


def test_a_black_box_trains_poses_through_the_mixed_canvas() -> None:
    """Finite differences through the canvases, presence by autograd through the shares as ever."""
    gradients, images = [], drawn_images(IdentityBumps())
    for differentiable in (True, False):
        torch.manual_seed(7)
        leaves = Leaves(IdentityBumps(differentiable=differentiable))
        gradients.append(with_concrete(leaves, images, coarseness=0.2))
    for name, tolerance in (("mean", 0.03), ("presence", 1e-5)):
        torch.testing.assert_close(gradients[0][name], gradients[1][name], rtol=0.02, atol=tolerance)
        assert gradients[0][name].abs().max() > 0.3, name


def test_warm_up_moves_the_shares_of_the_slots_canvas() -> None:
    """Half way, the slots see the canvas of half the relaxed shares and half the uniform ones."""
    renderer = Bumps()
    leaves, images = Leaves(renderer), drawn_images(renderer)
    torch.manual_seed(5)
    slots = leaves.slots()
    result = objective(renderer, slots, observed(images), LOG_PRIOR, ConcreteCount(0.5, warmup=10), None, step=5)
    gradients = leaves.gradients(result.loss)
    uniform = torch.tensor([0.0, 1 / 3, 1 / 3, 1 / 3])
    shares = 0.5 * relaxed(leaves["presence"]).detach() + 0.5 * uniform
    expected = leaves.gradients(-mixture_written_out(leaves, images, shares).mean())
    for name in ("mean", "log_sd", "what_parameters"):
        torch.testing.assert_close(gradients[name], expected[name], rtol=1e-4, atol=1e-5)


# ---- identity


class Recorder(IdentityEstimator):
    """Keeps the score it is given."""

    def __init__(self) -> None:
        super().__init__(None)
        self.scores: list[Score] = []

    def forward(self, log_q: Tensor, what: Tensor, score: Score, context: Context) -> Tensor:
        self.scores.append(score)
        return log_q.new_zeros(what.shape)


@pytest.mark.parametrize("renderer", ["identities", "discs", "dial"], indirect=True)
@pytest.mark.parametrize(
    "count", [ExactCount, PosteriorCount, lambda: RLOOCount(2)], ids=["exact", "posterior", "rloo"]
)
def test_identity_score_is_the_change_of_the_bound(renderer: Renderer, count: Callable[[], object]) -> None:
    """Against whole canvases in which one slot has another identity and that identity's pose.

    Of the canvases those that show the slot count, by their weights given that they do.
    """
    leaves, images, recorder = Leaves(renderer), drawn_images(renderer), Recorder()
    torch.manual_seed(1)
    of(leaves, images, count(), recorder)
    every = torch.arange(renderer.identity_count).expand(BATCH, SLOTS, -1)
    score = recorder.scores[0](every)
    assert not score.requires_grad

    slots = Slots(*(part.detach() for part in leaves.slots()))
    kl = where_kl(renderer, slots.where_mean, slots.where_sd)

    def worth(what: Tensor, where: Tensor, pose_kl: Tensor) -> Tensor:
        return evidence(log_likelihoods(renderer.render(what, where), observed(images)), pose_kl)

    own = worth(slots.what, slots.where, of_sample(kl, slots.what)) - torch.cat(
        [torch.zeros(BATCH, 1), what_kl(renderer, slots).cumsum(1)], 1
    )
    torch.manual_seed(1)
    log_q = count_log_posterior(slots.presence_logits)
    context = Context(images, 0, slots.presence_logits, lambda shares: shares[:, 0])
    weights = count()(log_q, own, LOG_PRIOR, context).weights  # type: ignore[operator]
    for i in range(SLOTS):
        values, given = [], weights.clone()
        given[:, : i + 1] = 0.0
        given[:, i + 1] += 1e-6  # where no weight is left, the slot's own canvas counts
        given /= given.sum(1, keepdim=True)
        for k in range(renderer.identity_count):
            what, where = slots.what.clone(), slots.where.clone()
            what[:, i], where[:, i] = k, slots.where_by_identity[:, i, k]
            values.append((given * worth(what, where, of_sample(kl, what))).sum(1))
        expected = torch.stack(values, 1)
        # up to what is the same for all identities of a slot
        torch.testing.assert_close(
            score[:, i] - score[:, i].mean(1, keepdim=True),
            expected - expected.mean(1, keepdim=True),
            rtol=1e-4,
            atol=2e-3,
        )


def test_with_one_slot_identity_follows_the_bound_without_sampling_noise() -> None:
    """The exact sum over identities is autograd of ``sum_k q_k (F_1 | k)``, their KL weighed by presence."""
    renderer = IdentityBumps()
    leaves, images = Leaves(renderer, slots=1), drawn_images(renderer)
    slots, prior = leaves.slots(), LOG_PRIOR[:2].log_softmax(0)
    identity = ExactIdentity(spread=None, explore=0.0)
    result = objective(renderer, slots, observed(images), prior, ExactCount(), identity, step=0)
    gradient = leaves.gradients(result.loss)["what_parameters"]
    kl, per_identity = where_kl(renderer, slots.where_mean, slots.where_sd)[:, 0], []
    for k in range(3):
        canvas = renderer.render(torch.full((BATCH, 1), k), slots.where_by_identity[:, :, k])
        per_identity.append(log_likelihoods(canvas, observed(images))[:, 1] - kl[:, k])
    on = slots.presence_logits.sigmoid()[:, 0].detach()
    expected_f = (slots.what_parameters[:, 0].softmax(-1) * torch.stack(per_identity, 1).detach()).sum(1)
    loss = -(expected_f - on * what_kl(renderer, slots)[:, 0]).mean()
    torch.testing.assert_close(gradient, leaves.gradients(loss)["what_parameters"], rtol=1e-4, atol=1e-4)


# ---- terms


@over_renderers
def test_terms_sum_to_the_loss(renderer: Renderer) -> None:
    leaves, images = Leaves(renderer), drawn_images(renderer)
    result = of(leaves, images, PosteriorCount())
    named = isinstance(renderer.what, spaces.Categorical)
    assert set(result.terms) == (TERMS | {"identity"} if named else TERMS)
    torch.testing.assert_close(result.loss, sum(result.terms.values(), torch.zeros(())))
    assert result.loss.shape == result.elbo.shape == () and not result.elbo.requires_grad


@over_renderers
def test_elbo_is_the_bound(renderer: Renderer) -> None:
    leaves, images = Leaves(renderer), drawn_images(renderer)
    slots = leaves.slots()
    likelihood = log_likelihoods(renderer.render(slots.what, slots.where), observed(images))
    worth = evidence(likelihood, slot_kl(renderer, slots))
    expected = bound(count_log_posterior(slots.presence_logits), worth, LOG_PRIOR).mean()
    torch.testing.assert_close(of(leaves, images).elbo, expected.detach())


@over_renderers
def test_every_latent_gets_a_gradient(renderer: Renderer) -> None:
    leaves, images = Leaves(renderer), drawn_images(renderer)
    for name, gradient in leaves.gradients(of(leaves, images).loss).items():
        assert bool(gradient.isfinite().all()) and bool(gradient.any()), name


@pytest.mark.parametrize(
    "count", [ExactCount, PosteriorCount, RLOOCount, VIMCOCount, ReweightedWakeSleepCount, ConcreteCount]
)
def test_a_sharp_likelihood_and_saturated_latents_stay_finite(count: Callable[[], object]) -> None:
    leaves, images = Leaves(IdentityBumps()), drawn_images(IdentityBumps())
    with torch.no_grad():
        leaves["presence"].copy_(200 * leaves["presence"].sign())
        leaves["what_parameters"].mul_(400)
    result = of(leaves, images, count(), ExactIdentity(), sd=1e-3)
    assert bool(result.loss.isfinite())
    assert all(bool(g.isfinite().all()) for g in leaves.gradients(result.loss).values())


@pytest.mark.parametrize("space", ["categorical", "continuous"])
def test_weight_scales_a_continuous_what_with_where_and_leaves_a_categorical_one(space: str) -> None:
    renderer = MeshRenderer(image_size=(16, 16)) if space == "categorical" else GlimpseRenderer((3, 16, 16), what=3)
    network, images, log_prior = ResidualAttention(renderer), torch.rand(4, 3, 16, 16), count_log_prior(2, 0.3)
    slots = infer(renderer, network, observed(images), 2)
    identity = ExactIdentity() if space == "categorical" else None
    slots = slots._replace(what_parameters=slots.what_parameters + torch.arange(slots.what_parameters.shape[-1]) * 0.1)
    fixed = (renderer, slots, observed(images, 0.3), log_prior, PosteriorCount(10), identity, 0)
    full, tenth = objective(*fixed).terms, objective(*fixed, weight=0.1).terms
    ratio = {name: float((tenth[name] / full[name]).detach()) for name in ("reconstruction", "where_kl", "what_kl")}
    expected = {"reconstruction": 0.1, "where_kl": 0.1, "what_kl": 1.0 if space == "categorical" else 0.1}
    assert ratio == pytest.approx(expected, rel=1e-4)
