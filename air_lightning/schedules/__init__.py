"""Numbers that change as training goes on."""

from air_lightning.schedules.base import Schedule, check_positive
from air_lightning.schedules.constant import Constant
from air_lightning.schedules.geometric import Geometric
from air_lightning.schedules.linear import Linear

__all__ = ["Constant", "Geometric", "Linear", "Schedule", "check_positive"]
