"""From images to slots, evidence and loss."""

from air_lightning.model.adaptation import Adaptation
from air_lightning.model.aggregate import AggregatePosterior
from air_lightning.model.air import Inference
from air_lightning.model.descent import Descent
from air_lightning.model.module import AIRModule
from air_lightning.model.reconsideration import Reconsideration
from air_lightning.model.refinement import Refinement
from air_lightning.model.search import Search
from air_lightning.model.sleep import Sleep

__all__ = [
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
