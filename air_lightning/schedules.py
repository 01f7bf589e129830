"""Numbers that change as training goes on."""

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
    """ValueError where a schedule's first or last value is not positive."""
    for value in (schedule(0), schedule.last):
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}: {good:g} is a good start")


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"a schedule needs at least 1 step, got {steps}: Constant never moves")


class Constant(Schedule):
    """Always ``value``."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, step: int) -> float:
        return self.value


class Linear(Schedule):
    """From ``start`` to ``end`` in equal differences over ``steps``, then ``end``."""

    def __init__(self, start: float, end: float, steps: int) -> None:
        _check_steps(steps)
        self.start, self.end, self.steps = start, end, steps

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(1.0, step / self.steps)


class Geometric(Schedule):
    """From ``start`` to ``end`` in equal ratios over ``steps``, then ``end``."""

    def __init__(self, start: float, end: float, steps: int) -> None:
        if not (start > 0 and end > 0):
            raise ValueError(f"a geometric schedule needs positive ends, got start={start} and end={end}")
        _check_steps(steps)
        self.start, self.end, self.steps = start, end, steps

    def __call__(self, step: int) -> float:
        return float(self.start * (self.end / self.start) ** min(1.0, step / self.steps))
