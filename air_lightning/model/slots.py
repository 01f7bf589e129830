"""Slots, and the pass that infers them: image -> slots, one object after another."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from air_lightning.distributions import draw, gaussian_kl, wrapped_kl
from air_lightning.inference.base import InferenceNetwork, check_shape, proposed
from air_lightning.model.observation import Observation
from renderers.base import Renderer
from renderers.constants import pick
from renderers.growing import GrowingCanvas
from renderers.spaces import Categorical, Gaussian, Where


class Slots(NamedTuple):
    """N inferred slots of B images, every one of them drawn as if it were present.

    Attributes:
        presence_logits: (B, N).
        what: sampled identity (B, N) or appearance (B, N, D).
        where: sampled pose (B, N, P), the one that goes with ``what``.
        where_by_identity: (B, N, K, P), the sampled pose for each identity (K = 1 for a continuous ``what``).
        where_mean, where_sd: (B, N, K, P) of the unconstrained pose.
        what_parameters: parameters of ``what``'s posterior: identity logits (B, N, K), or mean and log sd (B, N, 2 D).
        where_noise: (B, N, 1, P), standard normal, or 0 where the mode was taken; the sampled pose is
            ``where_mean + where_sd where_noise``.
    """

    presence_logits: Tensor
    what: Tensor
    where: Tensor
    where_by_identity: Tensor
    where_mean: Tensor
    where_sd: Tensor
    what_parameters: Tensor
    where_noise: Tensor

    def at(self, order: Tensor) -> "Slots":
        """Each image's slots in another order (B, M), or some of them."""
        rows = torch.arange(len(order), device=order.device).unsqueeze(1)
        return Slots(*(part[rows, order] for part in self))

    def of(self, images: Tensor) -> "Slots":
        """Those of some of the images, (M,) indices."""
        return Slots(*(part[images] for part in self))

    def leading(self, images: Tensor, slots: int) -> "Slots":
        """The first ``slots`` of some of the images, (M,) indices."""
        return Slots(*(part[images, :slots] for part in self))

    def with_leading(self, images: Tensor, other: "Slots") -> "Slots":
        """The same, the first slots of some of the images, (M,) indices, being others."""
        rows = images.unsqueeze(1), torch.arange(other.what.shape[1], device=images.device)
        return Slots(*(part.index_put(rows, new) for part, new in zip(self, other)))

    def where_true(self, mask: Tensor, other: "Slots") -> "Slots":
        """These where a mask (B,) or (B, N) is true, others elsewhere."""
        pairs = ((a, b, mask.view(*mask.shape, *[1] * (a.dim() - mask.dim()))) for a, b in zip(self, other))
        return Slots(*(torch.where(shaped, a, b) for a, b, shaped in pairs))

    def with_pose_posterior(self, mean: Tensor, sd: Tensor) -> "Slots":
        """The same, with another posterior of the pose of its identity: mean and sd (B, N, P), unconstrained."""
        options = {"where_mean": (self.where_mean, mean), "where_sd": (self.where_sd, sd)}
        return self._replace(**{name: self._of_identity(*pair) for name, pair in options.items()})

    def _of_identity(self, options: Tensor, value: Tensor) -> Tensor:
        """Options (B, N, K, P) with another value (B, N, P) for the slot's identity."""
        if options.shape[2] == 1:
            return value.unsqueeze(2)
        index = self.what[:, :, None, None].expand(*self.what.shape, 1, value.shape[-1])
        return options.scatter(2, index, value.unsqueeze(2))

    def with_poses_kept(self) -> "Slots":
        """The same, ``where`` being the pose of its identity among ``where_by_identity``, too."""
        return self._replace(where_by_identity=self._of_identity(self.where_by_identity, self.where))


def infer(
    renderer: Renderer,
    network: InferenceNetwork,
    observation: Observation,
    slots: int,
    sample: bool = True,
    start: tuple[Tensor, Tensor] | None = None,
    settle: Callable[[Tensor, "Slots"], "Slots"] | None = None,
) -> Slots:
    """Infer ``slots`` objects of the observed images, each looking at what those before it have drawn.

    ``sample``: draw where and what from the posterior (reparametrised where continuous); otherwise take its mode.
    ``start``: mean and sd (B, K, P) of the first slot's unconstrained pose, in the place of the network's own.
    ``settle``: of the canvas so far and a slot upon it (``next_slot``) makes the one that those after it see.
    """
    images, network = observation.images, network.at(renderer)
    behind = None if observation.background is None else observation.background.detach()
    canvas = (renderer.image_background() if behind is None else behind).expand_as(images)
    state, growing = network.start(images, observation.whitening), GrowingCanvas(renderer, images.shape[0], behind)
    parts: list[Slots] = []
    for _ in range(slots):
        part, state = next_slot(renderer, network, images, canvas, state, sample, None if parts else start)
        part = part if settle is None else settle(canvas, part)
        state = network.observe(state, part.what, part.where)
        parts.append(part)
        if (network.needs_canvas or settle is not None) and len(parts) < slots:
            canvas = growing.add(part.what, part.where)
    return Slots(*(torch.stack(column, 1) for column in zip(*parts)))


def next_slot(
    renderer: Renderer,
    network: InferenceNetwork,
    images: Tensor,
    canvas: Tensor,
    state: Any,
    sample: bool = True,
    start: tuple[Tensor, Tensor] | None = None,
) -> tuple[Slots, Any]:
    """What the network finds next, given a canvas (B, C, H, W) of the slots so far, and its state.

    Tensors as ``Slots`` has them, without the axis of slots. ``sample`` and ``start``: as ``infer`` has them. The
    network is not told yet of what was drawn (``observe``).

    Errors: WrongAnswer, a ValueError, for a network's tensors of other shapes, and for what is no proposal.
    """
    proposal, state = proposed(network, images, canvas, state)
    poses = (renderer.identity_count, len(renderer.where))
    for part, shape in (("presence_logit", ()), ("mean", poses), ("sd", poses)):
        check_shape(network, f"propose's {part}", getattr(proposal, part), shape)
    if start is not None:
        proposal = proposal._replace(mean=start[0], sd=start[1])
    noise = torch.randn_like(proposal.mean[:, :1]) if sample else torch.zeros_like(proposal.mean[:, :1])
    options = renderer.where.constrain(proposal.mean + proposal.sd * noise)
    what_parameters = network.appearance(images, canvas, options, state)
    parameters = 2 * renderer.what.dim if isinstance(renderer.what, Gaussian) else renderer.identity_count
    check_shape(network, "appearance", what_parameters, (parameters,))
    what = draw_what(renderer, what_parameters, sample)
    rows = torch.arange(images.shape[0], device=images.device)
    where = options[rows, what] if renderer.identity_count > 1 else options[:, 0]
    found = Slots(proposal.presence_logit, what, where, options, proposal.mean, proposal.sd, what_parameters, noise)
    return found, state


def draw_what(renderer: Renderer, what_parameters: Tensor, sample: bool) -> Tensor:
    """``what`` (B,) or (B, D) of its posterior's parameters: a sample, or the mode."""
    if isinstance(renderer.what, Gaussian):
        mean, log_sd = what_parameters.chunk(2, -1)
        return mean + log_sd.exp() * torch.randn_like(mean) if sample else mean
    return draw(what_parameters.softmax(-1), 1).squeeze(-1) if sample else what_parameters.argmax(-1)


def periods_of(renderer: Renderer, what: Tensor, where: Tensor) -> Tensor:
    """The turns (..., P) that change nothing in an image of objects ``what`` (...) or (..., D), poses (..., P)."""
    periods = renderer.where.periods(renderer.identity_count, where)
    return periods[what] if isinstance(renderer.what, Categorical) else periods.expand(where.shape)


def where_kl(renderer: Renderer, mean: Tensor, sd: Tensor) -> Tensor:
    """KL of the pose posterior to its prior, (B, N, K), for mean and sd (B, N, K, P).

    An angle's posterior is spread evenly over its identity's symmetric copies, so that its KL counts one period.
    """
    return pose_kl(renderer.where, mean, sd, renderer.where.periods(renderer.identity_count, mean))


def pose_kl(space: Where, mean: Tensor, sd: Tensor, periods: Tensor) -> Tensor:
    """KL to their prior, (...), of coordinates with mean and sd (..., P), angles on ``periods``, which broadcast."""
    total = pick(gaussian_kl(mean, sd), space.straight).sum(-1)
    if space.circular:
        turns, spread = pick(periods, space.circular), pick(sd, space.circular)
        total = total + wrapped_kl(spread, turns.expand_as(spread)).sum(-1)
    return total
