"""From images to slots, evidence and loss."""

from typing import TYPE_CHECKING, Any

from air_lightning.model.adaptation import Adaptation
from air_lightning.model.aggregate import AggregatePosterior
from air_lightning.model.air import AIR, Inference
from air_lightning.model.descent import Descent
from air_lightning.model.reconsideration import Reconsideration
from air_lightning.model.refinement import Refinement
from air_lightning.model.search import Search
from air_lightning.model.sleep import Sleep

if TYPE_CHECKING:
    from air_lightning.model.module import AIRModule

__all__ = [
    "AIR",
    "AIRModule",
    "Adaptation",
    "AggregatePosterior",
    "Descent",
    "Inference",
    "Reconsideration",
    "Refinement",
    "Search",
    "Sleep",
]


def __getattr__(name: str) -> Any:
    if name == "AIRModule":
        from air_lightning.model.module import AIRModule  # Lightning, for those who train

        return AIRModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
