"""A number that does not change."""

from air_lightning.schedules.base import Schedule


class Constant(Schedule):
    """Always ``value``."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, step: int) -> float:
        return self.value
