"""Equal ratios."""

from air_lightning.schedules.base import Schedule, check_steps


class Geometric(Schedule):
    """From ``start`` to ``end`` in equal ratios over ``steps``, then ``end``."""

    def __init__(self, start: float, end: float, steps: int) -> None:
        if not (start > 0 and end > 0):
            raise ValueError(f"a geometric schedule needs positive ends, got start={start} and end={end}")
        check_steps(steps)
        self.start, self.end, self.steps = start, end, steps

    def __call__(self, step: int) -> float:
        return float(self.start * (self.end / self.start) ** min(1.0, step / self.steps))
