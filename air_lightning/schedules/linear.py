"""Equal differences."""

from air_lightning.schedules.base import Schedule, check_steps


class Linear(Schedule):
    """From ``start`` to ``end`` in equal differences over ``steps``, then ``end``."""

    def __init__(self, start: float, end: float, steps: int) -> None:
        check_steps(steps)
        self.start, self.end, self.steps = start, end, steps

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(1.0, step / self.steps)
