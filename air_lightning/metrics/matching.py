"""Which inferred object explains which true one."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from air_lightning.metrics.objects import Objects, check_scenes, first


class Matching(NamedTuple):
    """Which inferred object explains which true one.

    Args:
        inferred: (B, M) long, slot of the inferred object of each pair; 0 where there is no pair.
        true: (B, M) long, slot of the true object of each pair; 0 where there is no pair.
        mask: (B, M) bool, true for the first min(inferred count, true count) places of a scene.
    """

    inferred: Tensor
    true: Tensor
    mask: Tensor


def match_objects(inferred: Objects, truth: Objects) -> Matching:
    """Pair inferred with true objects, scene by scene, at the least sum of position distances.

    Only present objects take part; where counts differ, the surplus of the larger side stays unmatched.
    Identity and rotation have no say. The assignment itself runs on the CPU in float64
    (`scipy.optimize.linear_sum_assignment`); the result is on the device of `inferred.position`.

    Args:
        inferred: records with S = N.
        truth: records with S = T.

    Returns:
        the pairs, (B, M) each, in order of the inferred slot.

    Raises:
        ValueError: shapes, counts or dtypes do not fit, or the position or rotation of a present object is
            not finite (a true *rotation* may be nan: unknown).
    """
    check_scenes(inferred, truth)
    distance = _pairwise_distance(inferred.position, truth.position)
    counts = list(zip(inferred.count.tolist(), truth.count.tolist(), strict=True))
    index = np.zeros((2, distance.shape[0], min(distance.shape[1:])), dtype=np.int64)
    for scene, (n, t) in enumerate(counts):
        index[:, scene, : min(n, t)] = linear_sum_assignment(distance[scene, :n, :t])
    rows, columns = torch.from_numpy(index).to(inferred.position.device)
    pairs = torch.minimum(inferred.count, truth.count)
    return Matching(rows, columns, first(pairs, rows.shape[1]))


def _pairwise_distance(inferred: Tensor, true: Tensor) -> np.ndarray:
    """(B, N, T) float64 distances between (B, N, D) and (B, T, D) positions."""
    # to the CPU before float64, which some accelerators lack; not torch.cdist: its matrix product is inexact
    ours, theirs = (position.detach().cpu().double() for position in (inferred, true))
    distance: np.ndarray = torch.linalg.vector_norm(ours[:, :, None] - theirs[:, None], dim=-1).numpy()
    return distance
