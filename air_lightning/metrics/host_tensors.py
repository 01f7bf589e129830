"""What training steps tell Lightning: no more than it writes, and without a word to the GPU."""

from collections.abc import Mapping

import pytorch_lightning as pl
import torch
from torch import Tensor


def is_written(trainer: pl.Trainer) -> bool:
    """At a training batch's end, whether Lightning gives what is logged now to the loggers.

    Every ``log_every_n_steps`` it does. It keeps books of all that it is told, a twentieth of a small model's time.
    """
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
    return trainer.should_stop or (every > 0 and trainer.global_step % every == 0)


def on_host(figures: Mapping[str, float | Tensor]) -> dict[str, Tensor]:
    """Numbers to log in training steps, as tensors of the CPU; tensors are left where they are.

    Of bare numbers Lightning makes tensors of the model's device, and each of these copies has the host wait for the
    GPU.
    """
    return {name: v if isinstance(v, Tensor) else torch.tensor(float(v)) for name, v in figures.items()}
