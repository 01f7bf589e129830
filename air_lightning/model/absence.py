"""Slots that are surely absent, which the renderer need not be asked about."""

from collections.abc import Iterator

from torch import Tensor

from air_lightning.distributions import presence_weights

TOLD, SEEN = 1e-3, 1e-6
"""Below both a slot is surely absent: what the count's posterior as it is reported says, and the evidence's."""


def possible_slots(told: Tensor, seen: Tensor) -> Tensor:
    """(B,), how many of an image's first slots are not surely absent.

    Args:
        told, seen: posteriors of the count (B, N + 1), as it is reported and by the evidence. What is not finite says
            nothing.
    """
    absent = (presence_weights(told) < TOLD) & (presence_weights(seen) < SEEN)
    return (~absent).sum(1)


def by_slots(possible: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Of numbers of slots (B,) each one that is not 0, with the images that have it, (M,) indices."""
    for slots in sorted(set(possible.tolist())):
        if slots:
            yield slots, (possible == slots).nonzero().squeeze(1)
