"""A network without weights that looks at the brightest of what is left, and images of bumps for it to explain."""

from typing import Any

import torch
from torch import Tensor
from toy_renderers import Blobs

from air_lightning.inference import InferenceNetwork
from air_lightning.inference.base import Proposal

SCALE = 0.2
APART = 5 / 12  # on the centres of pixels, either side of the middle


class Greedy(InferenceNetwork):
    """Knows brightness and size; looks at the image's middle first, and then at the brightest of what is left."""

    def __init__(self, renderer: Any, first: float = 0.0) -> None:
        super().__init__(renderer)
        self.renderer, self.first = [renderer], first

    def initial(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images))

    def propose(self, images: Tensor, canvas: Tensor, state: Tensor) -> tuple[Proposal, Tensor]:
        left = (images - canvas)[:, 0]
        height, width = left.shape[1:]
        best = left.flatten(1).argmax(1)
        x, y = (best % width + 0.5) * 2 / width - 1, (best // width + 0.5) * 2 / height - 1
        if bool((state == 0).all()):
            x, y = torch.full_like(x, self.first), torch.zeros_like(y)
        raw = [c.unconstrain(v) for c, v in zip(self.where_space.coordinates, (x, y, torch.full_like(x, SCALE)))]
        mean = torch.stack(raw, -1).unsqueeze(1)
        presence = torch.where(left.abs().amax((1, 2)) > 0.3, 4.0, -4.0)
        return Proposal(presence, mean, torch.full_like(mean, 0.1)), state + 1

    def appearance(self, images: Tensor, canvas: Tensor, where: Tensor, state: Tensor) -> Tensor:
        renderer = self.renderer[0]
        drawn = renderer.render(torch.ones(len(images), 1, 1), where)[:, 1] - renderer.image_background()
        fit = ((images - canvas) * drawn).sum((1, 2, 3)) / drawn.square().sum((1, 2, 3))
        return torch.stack([fit, torch.full_like(fit, -3.0)], 1)

    def observe(self, state: Tensor, what: Tensor, where: Tensor) -> Tensor:
        return state


def drawn_images(*places: tuple[float, ...]) -> Tensor:
    """(B, 1, 9, 12): bumps of brightness 1 at each image's x, on its middle row."""
    renderer = Blobs()
    rows = []
    for xs in places:
        where = torch.tensor([[[x, 0.0, SCALE] for x in xs]])
        rows.append(renderer.render(torch.ones(1, len(xs), 1), where)[:, -1])
    return torch.cat(rows)
