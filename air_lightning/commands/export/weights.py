"""A run folder of config and weights alone: what `predict` needs, and small enough to give to others."""

import os
import shutil
from pathlib import Path

import torch

from air_lightning import runs
from air_lightning.backgrounds.base import RECORD
from air_lightning.model.calibration import POWERS
from air_lightning.model.shared import SHARED
from air_lightning.runs.loading import find_checkpoint

KEPT = ("state_dict", "epoch", "global_step", "pytorch-lightning_version", "renderer_digests", POWERS, RECORD, SHARED)
"""Of a checkpoint: without the states of optimizer, schedules, loops, callbacks, loaders and random numbers."""


def write_weights(run_dir: Path, checkpoint: str, folder: Path) -> Path:
    """Write ``folder/config.yaml`` and ``folder/checkpoints/best.ckpt``, both or none; the latter's path."""
    state = runs.read_checkpoint(find_checkpoint(run_dir, checkpoint))
    place, draft = Path(runs.CHECKPOINTS, "best.ckpt"), folder.with_name(f".{os.getpid()}.{folder.name}")
    try:
        (draft / place).parent.mkdir(parents=True)
        runs.write_atomically(draft / runs.CONFIG, runs.config_of(run_dir).read_text())
        torch.save({name: state[name] for name in KEPT if name in state}, draft / place)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder / place
