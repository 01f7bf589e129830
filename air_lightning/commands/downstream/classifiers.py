"""The two classifiers that are compared: of a pair of inferred objects, and of the image's pixels."""

import torch
from torch import Tensor, nn

from air_lightning.commands.downstream.latents import Latents

FEW, FEW_DROPOUT, MANY_DROPOUT = 10_000, 0.5, 0.1
"""With fewer scenes than so many, dropout is the first share, else the second."""
FEWEST, NOISE = 300, 0.5
"""With fewer scenes than so many, codes are learnt from with so many of their posterior's sd of noise."""


class PairClassifier(nn.Module):
    """Reads two objects with the same weights, then the pair of them.

    An MLP makes S numbers of each object's posterior of ``what``, its mean and log sd; their outer product, S x S, is
    read linearly, so that every combination of two digits may have an answer of its own; beside it an MLP reads both
    and where the objects are. The log sd is no repetition: it answered 0.017 more of the sums with 20 000 labels. Means
    are read, with noise of half the posterior's sd if there are very few scenes: it gained 0.04 of the sums with 125
    labels and 0.10 with 250, and cost 0.05 with 1 000 (validation scenes, four seeds).

    Args:
        like: latents of the scenes to learn from, by which inputs are standardised. classes: answers.
        symbols: S. hidden: width of the layers. dropout: of hidden features; null: by the number of scenes.
    """

    center: Tensor
    scale: Tensor
    place_center: Tensor
    place_scale: Tensor

    def __init__(
        self,
        like: Latents,
        classes: int,
        symbols: int = 16,
        hidden: int = 256,
        dropout: float | None = None,
    ) -> None:
        super().__init__()
        if dropout is None:
            dropout = FEW_DROPOUT if len(like.mean) < FEW else MANY_DROPOUT
        self.noise = NOISE if len(like.mean) < FEWEST else 0.0
        codes = _codes(like.mean, like.sd)
        objects, dim = codes.shape[1:]
        place = like.place.shape[1:].numel()
        for name, part in (("", codes), ("place_", like.place)):
            rows = part.flatten(0, 1)
            self.register_buffer(f"{name}center", rows.mean(0))
            # what hardly ever differs, such as presence, is not blown up
            self.register_buffer(f"{name}scale", rows.std(0).clamp_min(0.1))
        self.symbol = nn.Sequential(
            nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden, symbols),
        )  # fmt: skip
        self.table = nn.Linear(symbols**2, classes)
        self.rest = nn.Sequential(
            nn.Linear(objects * symbols + place, hidden // 2), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(hidden // 2, classes),
        )  # fmt: skip

    def forward(self, mean: Tensor, sd: Tensor, place: Tensor) -> Tensor:
        """Logits (B, classes) of latents, see ``Latents``."""
        if self.training and self.noise:
            mean = mean + self.noise * sd * torch.randn_like(mean)
        symbols = self.symbol((_codes(mean, sd) - self.center) / self.scale)
        pairs = symbols[:, 0].unsqueeze(2) * symbols[:, 1].unsqueeze(1)
        where = ((place - self.place_center) / self.place_scale).flatten(1)
        logits: Tensor = self.table(pairs.flatten(1)) + self.rest(torch.cat([symbols.flatten(1), where], 1))
        return logits


def _codes(mean: Tensor, sd: Tensor) -> Tensor:
    return torch.cat([mean, sd.log()], -1)


class PixelClassifier(nn.Module):
    """A convolutional network on images, the baseline.

    Args:
        shape: (C, H, W). classes: answers. dropout: of convolved and hidden features.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(shape[0], 32, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(64, 128, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(),
        )  # fmt: skip
        with torch.no_grad():
            width = self.features(torch.zeros(1, *shape)).shape[1]
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(width, 256), nn.ReLU(), nn.Dropout(dropout), nn.Linear(256, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W) uint8."""
        logits: Tensor = self.head(self.features(images.float() / 255))
        return logits
