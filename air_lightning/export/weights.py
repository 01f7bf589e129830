"""A run folder of config and weights alone: what `predict` needs, and small enough to give to others."""

from pathlib import Path

import torch

from air_lightning import runs
from air_lightning.loading import find_checkpoint

KEPT = ("state_dict", "epoch", "global_step", "pytorch-lightning_version", "renderer_digests")
"""Of a checkpoint: without the states of optimizer, schedules, loops, callbacks, loaders and random numbers."""


def write_weights(run_dir: Path, checkpoint: str, folder: Path) -> Path:
    """Write ``folder/config.yaml`` and ``folder/checkpoints/best.ckpt``; the latter's path."""
    state = runs.read_checkpoint(find_checkpoint(run_dir, checkpoint))
    path = folder / runs.CHECKPOINTS / "best.ckpt"
    path.parent.mkdir(parents=True)
    runs.write_atomically(folder / runs.CONFIG, runs.config_of(run_dir).read_text())
    torch.save({name: state[name] for name in KEPT if name in state}, path)
    return path
