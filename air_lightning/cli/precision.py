"""Which of Lightning's precisions a model can be trained in."""

import pytorch_lightning as pl
from pytorch_lightning.plugins import HalfPrecision


def check_precision(trainer: pl.Trainer) -> None:
    """ValueError where all numbers are to have half the bits: differences of nearly equal evidences are lost then."""
    if isinstance(trainer.precision_plugin, HalfPrecision):
        raise ValueError(
            f"trainer.precision {trainer.precision!r} is not supported, scenes and evidence need 32 bits: "
            "choose 32-true, or bf16-mixed, which keeps these and has the network compute in bfloat16"
        )
