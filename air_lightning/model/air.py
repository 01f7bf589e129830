"""AIR: a renderer, an inference network and what trains and improves them; what the model infers of images.

Nothing here knows Lightning: who explains images with a trained model does not wait for what trains one.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from air_lightning.backgrounds import Background
from air_lightning.backgrounds.base import RECORD, record, with_own
from air_lightning.distributions import count_log_posterior, count_log_prior
from air_lightning.estimators import AngleScan, CountEstimator, ExactIdentity, IdentityEstimator, PosteriorCount
from air_lightning.inference import InferenceNetwork, ResidualAttention
from air_lightning.likelihoods import Likelihood, NormalLikelihood
from air_lightning.model.absence import by_slots, possible_slots
from air_lightning.model.adaptation import Adaptation, Fit
from air_lightning.model.aggregate import AggregatePosterior, with_gathered
from air_lightning.model.calibration import POWERS, Powers
from air_lightning.model.descent import Descent
from air_lightning.model.evidence import (
    bound,
    evidence,
    importance_bound,
    log_likelihoods,
    of_sample,
    slot_kl,
    what_log_ratio,
    where_log_ratio,
)
from air_lightning.model.laplace import laplace_sd
from air_lightning.model.objective import given_shown
from air_lightning.model.observation import Observation
from air_lightning.model.reconsideration import Reconsideration
from air_lightning.model.refinement import Refinement
from air_lightning.model.scene import guess, refine_scene
from air_lightning.model.search import Search
from air_lightning.model.shared import SHARED, values_by_name, with_shared
from air_lightning.model.sleep import Sleep
from air_lightning.model.slots import Slots, infer
from air_lightning.moved import renamed_weights
from air_lightning.plugins.constructor_errors import check_made
from air_lightning.schedules import Constant, Schedule, check_positive
from renderers.base import Renderer
from renderers.first_process import warn
from renderers.spaces import Categorical


class Inference(NamedTuple):
    """What the model infers of B images.

    Attributes:
        count: (B,), the mode of ``log_posterior``. log_posterior: (B, N + 1), the network's log q(n | x), or that of
            what a search has found, corrected by the model's powers.
        slots: the inferred objects; those from ``count`` on are not there.
        reconstruction: (B, C, H, W), the canvas of the first ``count`` slots.
        where_sd: (B, N, P), posterior sd of the unconstrained poses: the network's own, of refined poses that of the
            renderer's curvature around them (``laplace_sd``), surely absent slots apart; to the model's powers.
        reconstruction_error: (B,), root mean square of the images less their reconstructions, over channels and pixels.
        background: behind the objects, (C, H, W) or (B, C, H, W). None: the renderer's own.
        scene: (B, S), the inferred coordinates of the scenes (``Renderer.scene``), in their own units, and
            scene_sd, the posterior sd of the unconstrained ones. None: the renderer has none.
    """

    count: Tensor  # type: ignore[assignment]  # hides tuple.count
    log_posterior: Tensor
    slots: Slots
    reconstruction: Tensor
    where_sd: Tensor
    reconstruction_error: Tensor
    background: Tensor | None = None
    scene: Tensor | None = None
    scene_sd: Tensor | None = None

    @property
    def posterior(self) -> Tensor:
        """(B, N + 1), q(n | x)."""
        return self.log_posterior.exp()


class AIR(nn.Module):
    """Attend, Infer, Repeat (Eslami et al. 2016) with any renderer.

    Args:
        renderer: the decoder.
        inference: the network, built for the renderer.
        slots: N, the most objects an image can be explained by.
        count: estimator that trains presence.
        identity: estimator that trains a categorical ``what``.
        angle: lets angles learn from a scan as well as from finite differences; null: from these alone.
        count_prior: ratio of a truncated geometric prior, or N + 1 probabilities.
        background: what lies behind all objects; null: the renderer's own background.
        likelihood: of an image's numbers given a canvas; null: normal, of ``likelihood_sd``.
        likelihood_sd: standard deviation of the normal likelihood, a number or a schedule over training; evaluation
            uses its last value. Null: always 0.3.
        coarseness: factor on the renderer's finite-difference steps, a number or a schedule over training: large steps
            first, which see far. Null: always 1.
        balance: weight of the slots' terms against presence and identity, times the likelihood's variance. The pose's
            gradient grows with 1 / sd^2; unbalanced it drowns identity's in what they share. 0.1 suits noise of 0.06 or
            more; a warning says what suits less.
        sleep: train the network on scenes drawn from the prior besides, as a warm start; null: on the images alone.
        supervised: learn from the data's labels instead of the images, matched to the order in which the network finds
            objects: the network that the paper compares AIR with (section 3.3). What the images are is not learnt.
        descent: fit each slot by gradient steps before the next is looked for, when evaluating; for differentiable
            renderers with a continuous ``what``. Null: the network's own.
        refinement: improve identities and poses through the renderer when evaluating; null: the network's own.
        reconsideration: explain images again from other slots' places when evaluating and keep what is worth more;
            for a continuous ``what``. Null: the network's own inferred.
        search: drop, merge and add objects by their evidence when evaluating; counts and their posterior are then those
            of what was found. Null: the network's own.
        aggregate: gathers while training what the images' objects are like, for the search to go by in the place of the
            prior: a patch of another object's misfit is often like none. Null: the prior.
        adaptation: learns what all images share (``Renderer.shared``, the light for example) while it trains, and what
            the command `adapt` does. Null: what the renderer starts from stays.
        evidence_samples: K of the importance-weighted bound on log p(x) that ``test`` reports as ``log_evidence``;
            0: none, for it costs as much as K evaluations. 100 is usual.
        lr: learning rate (Adam).
        baseline_lr: that of the count estimator's baselines; null: the same.
        lr_warmup: steps of linear growth.
        lr_final: share left at the last step, reached by a cosine over the trainer's steps (constant if it has no
            last step).
        relative_clip: largest norm of each tensor's gradient, as a multiple of its usual one (``clip_to_usual``):
            against spikes of the loss, which undo what was learnt. 2 leaves most steps alone; null: no such limit.
    """

    log_prior: Tensor

    def __init__(
        self,
        renderer: Renderer,
        inference: Callable[[Renderer], InferenceNetwork] = ResidualAttention,
        slots: int = 3,
        count: CountEstimator | None = None,
        identity: IdentityEstimator | None = None,
        angle: AngleScan | None = None,
        count_prior: float | list[float] = 0.3,
        background: Background | None = None,
        likelihood: Likelihood | None = None,
        likelihood_sd: float | Schedule | None = None,
        coarseness: float | Schedule | None = None,
        balance: float = 0.1,
        sleep: Sleep | None = None,
        supervised: bool = False,
        refinement: Refinement | None = None,
        reconsideration: Reconsideration | None = None,
        search: Search | None = None,
        adaptation: Adaptation | None = None,
        descent: Descent | None = None,
        aggregate: AggregatePosterior | None = None,
        evidence_samples: int = 0,
        lr: float = 1e-3,
        baseline_lr: float | None = None,
        lr_warmup: int = 100,
        lr_final: float = 0.05,
        relative_clip: float | None = None,
    ) -> None:
        super().__init__()
        if slots < 1:
            raise ValueError(f"slots must be at least 1, got {slots}")
        for name, rate in (("lr", lr), ("baseline_lr", baseline_lr)):
            if rate is not None and not 0 < rate < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {rate}: 0.001 is a good start")
        if not 0 <= lr_final < math.inf:
            raise ValueError(f"lr_final must be a share of lr, finite and not negative, got {lr_final}: 0.05 is usual")
        if relative_clip is not None and not relative_clip > 1:
            raise ValueError(
                f"relative_clip must be greater than 1, got {relative_clip}: 2 is usual, null clips nothing"
            )
        if evidence_samples < 0:
            raise ValueError(f"evidence_samples must not be negative, got {evidence_samples}: 0 leaves the bound out")
        if not 0 < balance < math.inf:
            raise ValueError(f"balance must be positive and finite, got {balance}: 0.1 suits images in [0, 1]")
        if reconsideration is not None:
            reconsideration.check(renderer)
        if descent is not None:
            descent.check(renderer)
        if search is not None and search.descent is not None:
            search.descent.check(renderer, "model.search.descent")
        if adaptation is not None and renderer.shared is None:
            raise ValueError(
                f"model.adaptation learns what all images share, and {type(renderer).__name__} names nothing: let it "
                "(MeshRenderer: shared: [all]), or leave model.adaptation out"
            )
        if adaptation is not None and renderer.scene is not None:
            raise ValueError(
                f"model.adaptation does not know coordinates of the scene, and {type(renderer).__name__} has "
                f"{', '.join(renderer.scene.names)}: leave model.adaptation out, or fix them"
            )
        self.balance = balance
        self.renderer, self.network, self.slots = renderer, inference(renderer), slots
        check_made(self.network)
        self.count_estimator = count if count is not None else PosteriorCount()
        self.identity_estimator = self._identity(identity)
        self.angle = angle
        for estimator in (self.count_estimator, self.identity_estimator):
            if estimator is not None:
                estimator.prepare(renderer.image_shape, slots)
        self.register_buffer("log_prior", count_log_prior(slots, count_prior), persistent=False)
        self.background = background
        if background is not None:
            background.prepare(renderer)
        self.likelihood = _likelihood(likelihood, likelihood_sd)
        self.likelihood.prepare(renderer.image_shape)
        fixed = 1.0 if coarseness is None else coarseness
        self.coarseness = fixed if isinstance(fixed, Schedule) else Constant(fixed)
        check_positive("coarseness", self.coarseness, 1)
        self.sleep = None if sleep is None else sleep.prepared(slots)
        self.supervised = supervised
        self.aggregate = aggregate
        if aggregate is not None:
            aggregate.prepare(renderer)
        self.refinement, self.reconsideration = refinement, reconsideration
        self.search = None if search is None else search.going_by(aggregate)
        self.descent = descent
        self.adaptation, self._adapted = adaptation, -1
        self.lr, self.baseline_lr, self.lr_warmup, self.lr_final = lr, baseline_lr, lr_warmup, lr_final
        self.relative_clip = relative_clip
        self.evidence_samples = evidence_samples
        self.powers = Powers()
        # whether evaluations fit powers, of posteriors as they were learnt: a checkpoint's are not taken then
        self.calibrating = False
        # of FITTED_WITH, the arguments that are not those of the checkpoint's run, by dotted name
        self.overrides: Mapping[str, Any] = {}

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.log_prior.device

    def _identity(self, identity: IdentityEstimator | None) -> IdentityEstimator | None:
        if isinstance(self.renderer.what, Categorical):
            return identity if identity is not None else ExactIdentity()
        if identity is not None:
            raise ValueError(
                f"{type(self.renderer).__name__} has a continuous `what`, which needs no identity estimator, got "
                f"{type(identity).__name__}: leave model.identity out"
            )
        return None

    # ---- inference

    def observed(self, images: Tensor, step: int | None = None, sample: bool = False) -> Observation:
        """Images (B, C, H, W) with the noise of a training step; by default the final one, for evaluation.

        ``sample``: draw what is inferred of the backgrounds; otherwise take its mode.
        """
        loss = self.likelihood.final() if step is None else self.likelihood.at(step)
        scene = guess(self.renderer, self.network, images, sample)
        if self.background is None:
            return Observation(images, loss, scene=scene)
        backdrop = self.background(images, sample)
        return Observation(images, loss, backdrop.image, backdrop.kl, scene)

    def _sampled(self, images: Tensor) -> Observation:
        """As ``observed``, with one sample of the backgrounds, and its log ratio in the place of the KL."""
        scene = guess(self.renderer, self.network, images, sample=True, ratio=True)
        observation = Observation(images, self.likelihood.final(), scene=scene)
        if self.background is None:
            return observation
        backdrop = self.background(images, sample=True)
        return observation._replace(background=backdrop.image, background_kl=backdrop.log_ratio)

    @torch.no_grad()
    def infer(self, images: Tensor) -> Inference:
        """The model's best explanation of images (B, C, H, W)."""
        return self.explained(self.observed(images))

    @torch.no_grad()
    def explained(self, observation: Observation) -> Inference:
        """As ``infer``, of images with whatever noise and background."""
        return self._answer(*self._improved(observation, self._own(observation)))

    def _answer(self, observation: Observation, slots: Slots) -> Inference:
        """What is said of the observed images, explained by these slots."""
        renderer = self._at(observation)
        canvases = renderer.render(slots.what, slots.where, observation.background)
        log_evidence = None
        if self.refines:
            kl = slot_kl if self.search is None else self.search.kl
            log_evidence = evidence(log_likelihoods(canvases, observation), kl(renderer, slots))
        log_posterior = self.powers.of_count(self._log_count(slots, log_evidence), self.search is not None)
        if self.search is not None:
            log_posterior = self.search.standing(renderer, slots, log_posterior)
        count = log_posterior.argmax(1)
        reconstruction = canvases[torch.arange(len(count), device=count.device), count]
        error = (observation.images - reconstruction).square().mean((1, 2, 3)).sqrt()
        spread = self._where_sd(observation, slots, log_evidence)
        if isinstance(renderer.what, Categorical):
            told = self.powers.of_identity(slots.what_parameters, log_evidence is not None)
            slots = slots._replace(what_parameters=told)
        found = Inference(count, log_posterior, slots, reconstruction, spread, error, observation.background)
        if observation.scene is None:
            return found
        return found._replace(scene=observation.scene.values, scene_sd=observation.scene.sd)

    def _at(self, observation: Observation) -> Renderer:
        """The renderer of the observed images, their scenes as they are said to be."""
        return self.renderer.at(observation.values)

    def _own(self, observation: Observation, sample: bool = False) -> Slots:
        """The network's own inference."""
        return infer(self._at(observation), self.network, observation, self.slots, sample)

    def _improved(self, observation: Observation, slots: Slots) -> tuple[Observation, Slots]:
        """The network's own inference, descended, reconsidered, searched and refined, where the model does that."""
        renderer = self._at(observation)
        if self.descent is not None:
            slots = self.descent(renderer, self.network, observation, slots)
        if self.reconsideration is not None:
            slots = self.reconsideration(renderer, self.network, observation, slots, self.log_prior)
        if self.search is not None:
            slots = self.search(renderer, self.network, observation, slots, self.log_prior)
        if self.refinement is not None:
            observation, slots = self._refined(observation, slots)
        return observation, slots

    def _refined(self, observation: Observation, slots: Slots) -> tuple[Observation, Slots]:
        """Scenes and slots refined; slots that are surely absent stay as they are."""
        log_evidence = None
        if self.search is None:
            log_evidence = self._evidence(observation, slots, slot_kl(self.renderer, slots))
        for count, images in self._by_slots(observation, slots, log_evidence):
            seen, part = self._refined_all(observation.of(images), slots.leading(images, count))
            slots = slots.with_leading(images, part)
            if observation.scene is not None and seen.scene is not None:
                observation = observation._replace(scene=observation.scene.with_those(images, seen.scene))
        return observation, slots

    def _refined_all(self, observation: Observation, slots: Slots) -> tuple[Observation, Slots]:
        """Scenes and slots refined, all of these slots."""
        assert self.refinement is not None
        renderer, kl = self._at(observation), slot_kl(self.renderer, slots)
        log_prior = self.log_prior[: kl.shape[1] + 1]
        slots = self.refinement(renderer, observation, slots, kl, log_prior)
        if observation.scene is not None:
            observation, slots = refine_scene(self.refinement, renderer, observation, slots, kl, log_prior)
        slots = self.refinement.exchanged(self._at(observation), observation, slots, kl, log_prior)
        if self.search is not None:
            slots = self.search.ordered(self._at(observation), self.network, observation, slots, log_prior)
        return observation, slots

    def _by_slots(
        self, observation: Observation, slots: Slots, log_evidence: Tensor | None
    ) -> Iterator[tuple[int, Tensor]]:
        """Images, (M,) indices, by how many of their first slots may be there, by the network or by F_n (B, N + 1).

        With a search, which looks at all slots, that is all. Scenes' coordinates are told by one slot at least.
        """
        if self.search is not None or log_evidence is None:
            return by_slots(torch.full_like(slots.presence_logits[:, 0], self.slots, dtype=torch.long))
        told = self.powers.of_count(self._log_count(slots, log_evidence)).exp()
        possible = possible_slots(told, (log_evidence + self.log_prior).softmax(1))
        return by_slots(possible if observation.scene is None else possible.clamp_min(1))

    def _log_count(self, slots: Slots, log_evidence: Tensor | None) -> Tensor:
        """log q(n | x), (B, N + 1): the network's, or that of what a search has found, of F_n (B, N + 1)."""
        if self.search is None or log_evidence is None:
            return count_log_posterior(slots.presence_logits)
        return self.search.log_posterior(self.renderer, slots, log_evidence, self.log_prior)

    @property
    def refines(self) -> bool:
        """Whether poses are other than the network's own."""
        return self.refinement is not None or self.search is not None

    @property
    def _improves(self) -> bool:
        """Whether explanations are other than the network's own."""
        return self.refines or self.reconsideration is not None or self.descent is not None

    def _where_sd(self, observation: Observation, slots: Slots, log_evidence: Tensor | None) -> Tensor:
        """See ``Inference``. log_evidence: F_n, (B, N + 1), where poses are other than the network's own."""
        sd = of_sample(slots.where_sd, slots.what).clone()
        if log_evidence is not None:
            for count, images in self._by_slots(observation, slots, log_evidence):
                weights = given_shown((log_evidence + self.log_prior)[images, : count + 1].softmax(1))
                seen, part = observation.of(images), slots.leading(images, count)
                sd[images, :count] = laplace_sd(self._at(seen), seen, part, weights)
        return self.powers.of_pose(self.renderer.where.names, sd, log_evidence is not None)

    @torch.no_grad()
    def improvement(self, images: Tensor) -> tuple[Inference, Tensor, Tensor]:
        """As ``infer``, and log sum_n p(n) exp F_n in nats, (B,), of the network's own inference, and of the improved.

        Both at the poses and codes that `infer` takes, posterior means, and at the final likelihood scale.
        """
        observation = self.observed(images)
        own = self._own(observation)
        improved = self._improved(observation, own)
        return self._answer(*improved), self._log_joint(observation, own), self._log_joint(*improved)

    def _log_joint(self, observation: Observation, slots: Slots) -> Tensor:
        return (self._evidence(observation, slots, slot_kl(self.renderer, slots)) + self.log_prior).logsumexp(1)

    def _evidence(self, observation: Observation, slots: Slots, kl: Tensor) -> Tensor:
        """F_n (B, N + 1), with KLs or log ratios of the slots (B, N)."""
        canvases = self._at(observation).render(slots.what, slots.where, observation.background)
        return evidence(log_likelihoods(canvases, observation), kl, observation.kl)

    @torch.no_grad()
    def elbo(self, images: Tensor) -> Tensor:
        """The bound on log p(x) at the final likelihood scale, (B,) nats, one sample of the slots."""
        observation = self.observed(images, sample=True)
        slots = self._own(observation, sample=True)
        log_evidence = self._evidence(observation, slots, slot_kl(self.renderer, slots))
        return bound(count_log_posterior(slots.presence_logits), log_evidence, self.log_prior)

    @torch.no_grad()
    def log_evidence(self, images: Tensor, samples: int) -> Tensor:
        """The importance-weighted bound on log p(x), (B,) nats, of ``samples`` samples at the final scale."""
        if samples < 1:
            raise ValueError(f"log_evidence needs at least 1 sample, got {samples}: 100 is usual")

        def sample() -> Tensor:
            observation = self._sampled(images)
            slots = self._own(observation, sample=True)
            ratio = where_log_ratio(self.renderer, slots) + what_log_ratio(self.renderer, slots)
            return self._evidence(observation, slots, ratio)

        return importance_bound((sample() for _ in range(samples)), self.log_prior)

    def adapt(self, images: Tensor) -> Fit:
        """Learn from images (B, C, H, W) what all of them share; nothing else of the model changes.

        Errors:
            ValueError where the model has no ``adaptation``.
        """
        if self.adaptation is None:
            raise ValueError("the model has no adaptation: give model.adaptation to learn what images share")
        training = self.training
        try:
            return self.adaptation(self.renderer, self.eval().observed(images), self.explained)
        finally:
            self.train(training)

    # ---- checkpoints

    def weights_of(self, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
        """A checkpoint's weights by their present names, the background's own where it is another than the model's."""
        weights = renamed_weights(checkpoint["state_dict"], self.state_dict())
        own = with_own(weights, self.background, checkpoint.get(RECORD))
        own = with_gathered(own, self.aggregate)
        return with_shared(own, self.renderer, checkpoint.get(SHARED))

    def write_to(self, checkpoint: dict[str, Any]) -> None:
        """Write into a checkpoint what its weights do not say: powers, and where the others are from."""
        if self.background is not None:
            checkpoint[RECORD] = record(self.background)
        if self.renderer.shared is not None:
            checkpoint[SHARED] = values_by_name(self.renderer)
        if self.renderer.digests:
            checkpoint["renderer_digests"] = self.renderer.digests
        if self.powers != Powers():
            checkpoint[POWERS] = self.powers.state()

    def read_from(self, checkpoint: dict[str, Any]) -> None:
        """Take a checkpoint's background and powers, and give its weights, which are yet to be loaded, present names.

        Warns where the renderer draws other than it was trained on.
        """
        checkpoint["state_dict"] = self.weights_of(checkpoint)
        kept = checkpoint.get(RECORD)
        if self.background is not None and kept is not None and kept["source"] == self.background.source:
            self.background.adopted(kept["state"])
        self.powers = self._taken(Powers(**checkpoint.get(POWERS, {})))
        trained, now = checkpoint.get("renderer_digests", {}), self.renderer.digests
        changed = [name for name in now if trained.get(name, now[name]) != now[name]]
        if changed:
            warn(
                f"not what the checkpoint was trained on: {', '.join(changed)}. The file, or how it is read, was "
                "changed since then; all that follows is with the new one"
            )

    def _taken(self, kept: Powers) -> Powers:
        """A checkpoint's powers, if others are not to be fitted and these hold for the arguments in force."""
        if self.calibrating:
            return Powers()
        others = kept.other_arguments(self.overrides)
        if not others:
            return kept
        if kept.are_none:
            return Powers()
        warn(
            f"the checkpoint's powers were fitted with other arguments than those in force ({', '.join(others)}), so "
            "posteriors are as they were learnt: `validate --calibrate` with the same arguments fits others"
        )
        return Powers()


def _likelihood(likelihood: Likelihood | None, sd: float | Schedule | None) -> Likelihood:
    if likelihood is None:
        return NormalLikelihood(sd if sd is not None else 0.3)
    if sd is not None:
        raise ValueError(
            f"model.likelihood is {type(likelihood).__name__}, which has a scale of its own, and model.likelihood_sd "
            "is given, too: leave likelihood_sd out (null)"
        )
    return likelihood
