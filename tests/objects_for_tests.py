"""Scenes of objects, by hand and at random, for tests of the metrics that compare them."""

import math
from typing import Any

import torch

from air_lightning.metrics import Objects, SceneMetrics

CUBE, SPHERE, ARROW = 0, 1, 2
PERIODS = (math.pi / 2, 0.0, 2 * math.pi)
NAN = math.nan
UNREAD = 1e9  # what absent slots hold


def scene(*objects: tuple[int, float, float, float], slots: int = 3) -> Objects:
    """One scene of (identity, x, z, degrees) objects; absent slots hold rubbish."""
    rows = list(objects) + [(-7, NAN, UNREAD, NAN)] * (slots - len(objects))
    identity, x, z, degrees = zip(*rows, strict=True)
    return Objects(
        torch.tensor([len(objects)]),
        torch.tensor([identity]),
        torch.tensor([list(zip(x, z, strict=True))]),
        torch.deg2rad(torch.tensor([degrees])),
    )


def batch(*scenes: Objects) -> Objects:
    return Objects(*(torch.cat(field) for field in zip(*scenes, strict=True)))


def random_objects(generator: torch.Generator, scenes: int, slots: int, coordinates: int = 2) -> Objects:
    return Objects(
        torch.randint(0, slots + 1, (scenes,), generator=generator),
        torch.randint(0, 3, (scenes, slots), generator=generator),
        torch.randn(scenes, slots, coordinates, generator=generator),
        10 * torch.randn(scenes, slots, generator=generator),
    )


def metrics(**changes: Any) -> SceneMetrics:
    return SceneMetrics(**{"extent": 4.0, "periods": PERIODS, "slots": 3, **changes})


# By hand, on a table 4 wide (position limit 0.2): right; one too many, wrong identity; one missing, far; empty.
TRUE = batch(
    scene((CUBE, 0, 0, 10), (ARROW, 1, 1, 0)),
    scene((CUBE, -1, 0, 0)),
    scene((SPHERE, 0, 0, 0), (ARROW, 1, 0, 350)),
    scene(),
)
INFERRED = batch(
    scene((ARROW, 1.1, 1, 4), (CUBE, 0, 0, 102)),
    scene((CUBE, 1, 1, 0), (SPHERE, -1, 0.2, 45)),
    scene((ARROW, 1, 0.3, 5)),
    scene(),
)


def one_arrow(identity: int = ARROW, x: float = 0.0, degrees: float = 0.0) -> Objects:
    return scene((identity, x, 0, degrees))
