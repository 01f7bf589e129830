"""The comparison: accuracy on held-out scenes over the number of labels."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from air_lightning.commands.downstream.classifiers import PairClassifier, PixelClassifier
from air_lightning.commands.downstream.latents import Latents, infer
from air_lightning.commands.downstream.tasks import CLASSES, Task, labels
from air_lightning.commands.downstream.training import PAIRS, PIXELS, Plan, accuracy, held_out, train
from air_lightning.model.air import AIR
from datamodules.base import SceneDataModule

BATCH = 500


class Material(NamedTuple):
    """What the classifiers see of M scenes: images (M, C, H, W) uint8, latents, and answers (M,)."""

    images: Tensor
    latents: Latents
    answers: Tensor

    def first(self, scenes: int) -> "Material":
        return Material(self.images[:scenes], Latents(*(p[:scenes] for p in self.latents)), self.answers[:scenes])


class Result(NamedTuple):
    """Test accuracy with so many labels, of latents and of pixels, and the seconds both trainings took."""

    labels: int
    seed: int
    latents: float
    pixels: float
    latents_seconds: float
    pixels_seconds: float


def material(module: AIR, data: SceneDataModule, task: Task, split: str, scenes: int) -> Material:
    """The first scenes of a split, on the module's device."""
    source, parts = data.scenes(split), list[Material]()
    for start in range(0, scenes, BATCH):
        batch = source.__getitems__(list(range(start, min(scenes, start + BATCH))))
        images = batch.images.to(module.device)
        answers = labels(task, batch).to(module.device)
        parts.append(Material((images * 255).round().to(torch.uint8), infer(module, images), answers))
    latents = Latents(*(torch.cat(column) for column in zip(*(part.latents for part in parts))))
    return Material(torch.cat([p.images for p in parts]), latents, torch.cat([p.answers for p in parts]))


def compare(task: Task, train_on: Material, test_on: Material, sizes: Sequence[int], seed: int) -> Iterator[Result]:
    """Results of one seed for the first L training scenes, for each L of ``sizes``.

    Both classifiers learn from the same scenes and choose their weights by the same ones of them; test scenes are
    looked at once, at the end.
    """
    for size in sizes:
        given = train_on.first(size)
        shape = (int(given.images.shape[1]), int(given.images.shape[2]), int(given.images.shape[3]))
        known = given.first(size - held_out(size)).latents
        torch.manual_seed(seed)
        pair = PairClassifier(known, CLASSES[task]).to(given.answers.device)
        pair_seconds = _timed(pair, given.latents, given.answers, PAIRS)
        torch.manual_seed(seed)
        cnn = PixelClassifier(shape, CLASSES[task]).to(given.answers.device)
        cnn_seconds = _timed(cnn, [given.images], given.answers, PIXELS)
        yield Result(
            size,
            seed,
            accuracy(pair, test_on.latents, test_on.answers),
            accuracy(cnn, [test_on.images], test_on.answers),
            pair_seconds,
            cnn_seconds,
        )


def _timed(net: nn.Module, parts: Sequence[Tensor], answers: Tensor, plan: Plan) -> float:
    """Train, and say how many seconds it took."""
    start = time.monotonic()
    train(net, parts, answers, plan)
    return round(time.monotonic() - start, 2)
