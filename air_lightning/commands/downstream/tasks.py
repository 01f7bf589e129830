"""The tasks of AIR's figure 6 (Eslami et al. 2016, section 3.1) on scenes of two digits."""

from typing import Literal

from torch import Tensor

from datamodules.base import Batch

Task = Literal["sum", "order"]
OBJECTS = 2
"""Objects in every scene of the tasks."""

CLASSES: dict[Task, int] = {"sum": 19, "order": 2}


def labels(task: Task, batch: Batch) -> Tensor:
    """The task's answer for B scenes, (B,) in [0, CLASSES[task]).

    ``sum``: of both digits, 0 to 18. ``order``: 1 where the digits ascend from left to right, by the centres of their
    boxes; equal digits count as ascending, and of two at the same x the one drawn first counts as the left one.

    Raises:
        ValueError: scenes of other than two objects, of things that are no digits, or without boxes.
    """
    if batch.boxes is None or bool((batch.count != OBJECTS).any()):
        raise ValueError(
            f"the downstream tasks need boxes and {OBJECTS} objects in every scene: "
            f"give data of flat objects with counts [{OBJECTS}], such as datamodules.MultiMNIST"
        )
    digits = batch.what[:, :OBJECTS]
    if int(digits.max()) > 9:
        raise ValueError(
            f"the downstream tasks need digits 0 to 9, got the identity {int(digits.max())}: use MultiMNIST"
        )
    if task == "sum":
        return digits.sum(1)
    middle = batch.boxes[:, :OBJECTS, 0] + batch.boxes[:, :OBJECTS, 2]
    left, right = digits.gather(1, middle.argsort(dim=1, stable=True)).unbind(1)
    return (left <= right).long()
