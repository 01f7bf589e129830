"""What a schedule is."""

import math
from abc import ABC, abstractmethod


class Schedule(ABC):
    """A number as a function of the training step."""

    @abstractmethod
    def __call__(self, step: int) -> float: ...

    @property
    def last(self) -> float:
        """The value that it ends with."""
        return self(10**9)


def check_positive(name: str, schedule: Schedule, good: float) -> None:
    """ValueError where a schedule's first or last value is not positive, or not finite."""
    for value in (schedule(0), schedule.last):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}: {good:g} is a good start")


def check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"a schedule needs at least 1 step, got {steps}: Constant never moves")
