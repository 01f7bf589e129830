"""Reconsideration: an image explained again from the places of its other slots, and the better explanation kept."""

import torch
from torch import Tensor

from air_lightning.inference import InferenceNetwork
from air_lightning.model.evidence import evidence, log_likelihoods, slot_kl
from air_lightning.model.observation import Observation
from air_lightning.model.slots import Slots, infer
from renderers.base import Renderer
from renderers.spaces import Categorical


class Reconsideration:
    """Every slot but the first has its turn to be first; the rest is inferred anew after it.

    A first glimpse that lands between two objects that nearly touch explains neither, and a third is found where there
    are two. Those after it do lie on objects, and an explanation that starts on one of them finds both.

    An explanation is worth ``log sum_n p(n) exp(power F_n)``, with the evidence ``F_n`` coarsened as presence learnt it
    (Miller & Dunson 2019): one more object has to explain enough to be one. For models with a continuous ``what``.

    Args:
        power: of the evidence; the count estimator's.
        margin: nats by which another explanation must be worth more than the network's own.
        ordered: put the slots of every explanation in the order of their presence, the surest first. Presence is ones,
            then zeros: a slot that found nothing else hides all that come after it, which matters where there are many.
            Not where slots lie over one another (`compositing: over`), whose order says what hides what.
    Errors:
        ValueError for a power outside (0, 1] or a negative margin.
    """

    def __init__(self, power: float = 0.1, margin: float = 0.5, ordered: bool = False) -> None:
        if not 0 < power <= 1:
            raise ValueError(f"reconsideration's power must lie in (0, 1], got {power}: the count estimator's is right")
        if not margin >= 0:
            raise ValueError(f"reconsideration's margin must not be negative, got {margin}: 0.5, for example")
        self.power, self.margin, self.ordered = power, margin, ordered

    def check(self, renderer: Renderer) -> None:
        """ValueError where explanations of this renderer cannot be reconsidered."""
        if isinstance(renderer.what, Categorical):
            raise ValueError(
                f"{type(renderer).__name__} has identities, and reconsideration is for a continuous `what`: leave "
                "model.reconsideration out; model.refinement tries other identities and poses"
            )
        if self.ordered and renderer.compositing == "over":
            raise ValueError(
                f"{type(renderer).__name__} composites its slots one over another, and reconsideration's `ordered` "
                "would change what hides what: leave model.reconsideration.ordered out, or take `compositing: additive`"
            )

    @torch.no_grad()
    def __call__(
        self,
        renderer: Renderer,
        network: InferenceNetwork,
        observation: Observation,
        slots: Slots,
        log_prior: Tensor,
    ) -> Slots:
        """The best explanation of the observed images, given the network's own. log_prior: (N + 1,)."""
        count = slots.presence_logits.shape[1]
        inferences = [slots]
        for j in range(1, count):
            start = slots.where_mean[:, j], slots.where_sd[:, j]
            inferences.append(infer(renderer, network, observation, count, sample=False, start=start))
        if self.ordered:
            inferences = [some.at(some.presence_logits.argsort(dim=1, descending=True)) for some in inferences]
        log_joint = torch.stack([self._log_joint(renderer, observation, other, log_prior) for other in inferences])
        log_joint[0] += self.margin
        best = log_joint.argmax(0)
        rows = torch.arange(best.shape[0], device=best.device)
        return Slots(*(torch.stack(column)[best, rows] for column in zip(*inferences)))

    def _log_joint(self, renderer: Renderer, observation: Observation, slots: Slots, log_prior: Tensor) -> Tensor:
        canvases = renderer.render(slots.what, slots.where, observation.background)
        explained = evidence(log_likelihoods(canvases, observation), slot_kl(renderer, slots))
        return (self.power * explained + log_prior).logsumexp(1)
