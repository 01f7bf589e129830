"""What a network says of an image's scene, its camera for example, before it looks for objects."""

import torch
from torch import Tensor, nn

from air_lightning.inference.heads import PoseHead, image_grid
from renderers.base import Renderer
from renderers.spaces import Where


class SceneHead(nn.Module):
    """Images (B, C, H, W) to mean and sd (B, S) of the unconstrained coordinates of their scenes.

    Three convolutions over the image and its coordinates, and what they find in 4 x 4 parts of it.

    Args:
        scene: the coordinates. image_shape: (C, H, W). channels, hidden: widths.
        position_sd: initial sd of straight coordinates, unconstrained, see ``PoseHead``.
    """

    pixels: Tensor

    def __init__(
        self,
        scene: Where,
        image_shape: tuple[int, ...],
        channels: int = 16,
        hidden: int = 128,
        position_sd: float = 0.3,
    ) -> None:
        super().__init__()
        colors, height, width = image_shape
        self.read = nn.Sequential(
            nn.Conv2d(colors + 2, channels, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(2 * channels, 2 * channels, 3, 2, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(32 * channels, hidden),
            nn.ReLU(),
        )
        self.pose = PoseHead(scene, 1, hidden, position_sd)
        self.register_buffer("pixels", image_grid(height, width), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        places = self.pixels.expand(len(images), *self.pixels.shape)
        mean, sd = self.pose(self.read(torch.cat([images, places], 1)))
        return mean.squeeze(1), sd.squeeze(1)


def scene_head(renderer: Renderer) -> SceneHead | None:
    """The head of a renderer's coordinates of the scene; None where it has none."""
    return None if renderer.scene is None else SceneHead(renderer.scene, renderer.image_shape)
