"""Scenes, generated or read: what models train on. ``SceneDataModule`` is the contract."""

from datamodules.base import Batch, SceneDataModule, Scenes
from datamodules.image_arrays import ImageArrays
from datamodules.image_folder import ImageFolder
from datamodules.multi_mnist import MultiMNIST
from datamodules.multi_sprites import MultiSprites
from datamodules.omniglot import Omniglot
from datamodules.scenes3d import Scenes3D

__all__ = [
    "Batch",
    "ImageArrays",
    "ImageFolder",
    "MultiMNIST",
    "MultiSprites",
    "Omniglot",
    "SceneDataModule",
    "Scenes",
    "Scenes3D",
]
