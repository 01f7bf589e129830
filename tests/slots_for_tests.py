"""Slots of small renderers, whose numbers are leaves of the graph, and images for them to explain."""

from collections.abc import Callable

import pytest
import torch
from renderers_for_tests import Bumps, Dial, Discs, IdentityBumps
from torch import Tensor
from torch.distributions import Categorical

from air_lightning.distributions import count_log_prior
from air_lightning.model.observation import Observation
from air_lightning.model.slots import Slots
from renderers import Renderer, spaces
from renderers.pixel_loss import Normal

BATCH, SLOTS, SD = 3, 3, 0.4
LOG_PRIOR = count_log_prior(SLOTS, 0.3)

RENDERERS: dict[str, Callable[[], Renderer]] = {
    "bumps": Bumps,
    "identities": IdentityBumps,
    "discs": lambda: Discs(16),
    "dial": Dial,
}
over_renderers = pytest.mark.parametrize("renderer", RENDERERS, indirect=True)


def observed(images: Tensor, sd: float = SD) -> Observation:
    """Images with normal noise."""
    return Observation(images, Normal(sd))


@pytest.fixture
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return RENDERERS[request.param]()


class Leaves(dict[str, Tensor]):
    """What an inference network would give, as leaves of the graph, and fixed noise."""

    def __init__(self, renderer: Renderer, slots: int = SLOTS) -> None:
        identities, places = renderer.identity_count, len(renderer.where)
        looks = 2 * renderer.what.dim if isinstance(renderer.what, spaces.Gaussian) else identities
        super().__init__(
            presence=torch.randn(BATCH, slots),
            mean=0.5 * torch.randn(BATCH, slots, identities, places),
            log_sd=-1 + 0.2 * torch.randn(BATCH, slots, identities, places),
            what_parameters=0.5 * torch.randn(BATCH, slots, looks),
        )
        for leaf in self.values():
            leaf.requires_grad_()
        self.renderer = renderer
        self.noise = torch.randn(BATCH, slots, 1, places)
        self.what_noise = torch.randn(BATCH, slots, looks // 2)
        self.what = Categorical(logits=self["what_parameters"].detach()).sample()

    def slots(self) -> Slots:
        sd = self["log_sd"].exp()
        options = self.renderer.where.constrain(self["mean"] + sd * self.noise)
        if isinstance(self.renderer.what, spaces.Gaussian):
            mean, log_sd = self["what_parameters"].chunk(2, -1)
            what, where = mean + log_sd.exp() * self.what_noise, options[:, :, 0]
        else:
            index = self.what[:, :, None, None].expand(-1, -1, 1, options.shape[-1])
            what, where = self.what, options.gather(2, index).squeeze(2)
        return Slots(
            self["presence"],
            what,
            where,
            options,
            self["mean"],
            sd,
            self["what_parameters"],
            torch.zeros_like(self["mean"][:, :, :1]),
        )

    def gradients(self, loss: Tensor) -> dict[str, Tensor]:
        grads = torch.autograd.grad(loss, list(self.values()), allow_unused=True)
        return {n: torch.zeros_like(leaf) if g is None else g for (n, leaf), g in zip(self.items(), grads)}


def drawn_images(renderer: Renderer) -> Tensor:
    """Canvases of two other objects, so that every gradient has something to do."""
    slots = Leaves(renderer).slots()
    return renderer.render(slots.what.detach(), slots.where.detach())[:, 2]
