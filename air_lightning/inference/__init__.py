"""Inference networks: what explains an image slot by slot. ``InferenceNetwork`` is the contract."""

from air_lightning.inference.attention import ResidualAttention
from air_lightning.inference.base import InferenceNetwork, Proposal
from air_lightning.inference.heads import PoseHead, crop, image_grid
from air_lightning.inference.recurrent import RecurrentAIR

__all__ = [
    "InferenceNetwork",
    "PoseHead",
    "Proposal",
    "RecurrentAIR",
    "ResidualAttention",
    "crop",
    "image_grid",
]
