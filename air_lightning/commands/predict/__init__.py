"""Predictions: what a trained model says of images, for people and programs."""

from air_lightning.commands.predict.model import Model
from air_lightning.commands.predict.records import FoundObject, Prediction

__all__ = ["FoundObject", "Model", "Prediction"]
