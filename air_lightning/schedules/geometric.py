"""Equal ratios."""

import math

from air_lightning.schedules.base import Schedule, check_steps


class Geometric(Schedule):
    """From ``start`` to ``end`` in equal ratios over ``steps``, then ``end``."""

    def __init__(self, start: float, end: float, steps: int) -> None:
        if not (0 < start < math.inf and 0 < end < math.inf):
            raise ValueError(f"a geometric schedule needs positive and finite ends, got start={start} and end={end}")
        check_steps(steps)
        self.start, self.end, self.steps = start, end, steps

    def __call__(self, step: int) -> float:
        return float(self.start * (self.end / self.start) ** min(1.0, step / self.steps))
