"""What the host knows, told to Lightning without a word to the GPU."""

from collections.abc import Mapping

import torch
from torch import Tensor


def on_host(figures: Mapping[str, float]) -> dict[str, Tensor]:
    """Numbers to log in training steps, as tensors of the CPU.

    Of bare numbers Lightning makes tensors of the model's device, and each of these copies has the host wait for the
    GPU.
    """
    return {name: torch.tensor(float(value)) for name, value in figures.items()}
