"""Scenes, generated or read: what models train on. ``SceneDataModule`` is the contract.

Each class is imported when it is asked for: who reads images with what lies below does not wait for Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamodules.base import Batch, SceneDataModule, Scenes
    from datamodules.image_arrays import ImageArrays
    from datamodules.image_folder import ImageFolder
    from datamodules.multi_mnist import MultiMNIST
    from datamodules.multi_sprites import MultiSprites
    from datamodules.omniglot import Omniglot
    from datamodules.scenes3d import Scenes3D

HOMES = {
    "Batch": "base",
    "ImageArrays": "image_arrays",
    "ImageFolder": "image_folder",
    "MultiMNIST": "multi_mnist",
    "MultiSprites": "multi_sprites",
    "Omniglot": "omniglot",
    "SceneDataModule": "base",
    "Scenes": "base",
    "Scenes3D": "scenes3d",
}
"""Class: the module here that has it."""
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


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
