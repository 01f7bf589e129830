"""Which of Lightning's precisions a model can be trained in, and how its gradients can be clipped."""

import pytorch_lightning as pl
from pytorch_lightning.plugins import HalfPrecision


def check_precision(trainer: pl.Trainer) -> None:
    """ValueError where all numbers are to have half the bits: differences of nearly equal evidences are lost then."""
    if isinstance(trainer.precision_plugin, HalfPrecision):
        raise ValueError(
            f"trainer.precision {trainer.precision!r} is not supported, scenes and evidence need 32 bits: "
            "choose 32-true, or bf16-mixed, which keeps these and has the network compute in bfloat16"
        )


def check_clipping(trainer: pl.Trainer) -> None:
    """ValueError for a limit that Lightning would take for none, or for another one."""
    limit = trainer.gradient_clip_val
    if limit is not None and not limit >= 0:
        raise ValueError(f"trainer.gradient_clip_val must not be negative, got {limit}: 10, or null to clip nothing")
