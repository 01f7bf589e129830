"""Scenes of a user's own, of one disc each, with something wrong in their batches."""

import torch

from datamodules import Batch, SceneDataModule, Scenes
from renderers import Renderer

SIZE = 12
SPOILT = {
    "nothing": lambda b: b,
    "bytes": lambda b: b._replace(images=(255 * b.images).byte()),
    "double": lambda b: b._replace(images=b.images.double()),
    "levels": lambda b: b._replace(images=255 * b.images),
    "nan": lambda b: b._replace(images=b.images.index_fill(0, torch.tensor([1]), torch.nan)),
    "channels last": lambda b: b._replace(images=b.images.permute(0, 2, 3, 1)),
    "no channels": lambda b: b._replace(images=b.images[:, 0]),
    "size": lambda b: b._replace(images=b.images[..., 1:]),
    "array": lambda b: b._replace(images=b.images.numpy()),
    "tuple": lambda b: (b.images, b.count),
    "dict": lambda b: {"image": b.images, "label": b.count},
    "list": lambda b: [b],
    "too many": lambda b: b._replace(count=b.count + 2),
    "negative": lambda b: b._replace(count=-b.count),
    "real count": lambda b: b._replace(count=b.count.float()),
    "other count": lambda b: b._replace(count=b.count[1:]),
    "other truth": lambda b: b._replace(what=b.what[1:], where=b.where[1:]),
    "places": lambda b: b._replace(what=b.what[:, :1], where=b.where[:, :1]),
    "identity": lambda b: b._replace(what=b.what + 3),
    "no identity": lambda b: b._replace(what=b.what - 2),
    "real identity": lambda b: b._replace(what=b.what.float()),
    "columns": lambda b: b._replace(where=b.where[..., :1]),
    "poses": lambda b: b._replace(where=b.where / 0),
    "no poses": lambda b: b._replace(where=None),
    "boxes": lambda b: b._replace(boxes=torch.ones(len(b.count), 2)),
    "masks": lambda b: b._replace(masks=b.images > 0),
    "scene": lambda b: b._replace(scene=torch.zeros(len(b.count), 1)),
}
"""What to make of a good batch."""


class Spots(SceneDataModule):
    """One disc in the middle of every scene, of at most two; of ``split``, or of all, something is wrong.

    Args:
        wrong: a key of ``SPOILT``.
    """

    largest_count, extent = 2, 1.4  # type: ignore[assignment]

    def __init__(self, wrong: str = "nothing", split: str = "", truth: bool = True) -> None:
        super().__init__(batch_size=4, train_scenes=8, val_scenes=4, test_scenes=4, seed=0)
        self.wrong, self.split, self.truth = wrong, split, truth

    @property
    def has_truth(self) -> bool:
        return self.truth

    def scenes(self, split: str) -> Scenes:
        return _Spots(self.wrong if split == (self.split or split) else "nothing")

    def coordinates(self, renderer: Renderer) -> tuple[str, ...]:
        return "x", "y"


class _Spots(Scenes):
    def __init__(self, wrong: str) -> None:
        self.wrong = wrong

    def __getitems__(self, indices: list[int]) -> Batch:
        images = torch.zeros(len(indices), 3, SIZE, SIZE)
        images[:, 0, 4:8, 4:8] = 1
        one = torch.ones(len(indices), dtype=torch.long)
        batch: Batch = SPOILT[self.wrong](Batch(images, one, one[:, None].repeat(1, 2), torch.zeros(len(one), 2, 2)))
        return batch
