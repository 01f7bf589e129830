"""A run folder of config, weights, curves and a model card: what others need, and small enough to give to them."""

import shutil
from pathlib import Path

from air_lightning import runs
from air_lightning.backgrounds.base import RECORD
from air_lightning.commands.export.card import write_card
from air_lightning.model.air import AIR
from air_lightning.model.calibration import POWERS
from air_lightning.model.shared import SHARED
from air_lightning.runs.checksums import write_sums
from air_lightning.runs.loading import find_checkpoint

KEPT = ("state_dict", "epoch", "global_step", "pytorch-lightning_version", "renderer_digests", POWERS, RECORD, SHARED)
"""Of a checkpoint: without the states of optimizer, schedules, loops, callbacks, loaders and random numbers."""


def write_weights(run_dir: Path, checkpoint: str, folder: Path, module: AIR, licence: str | None = None) -> Path:
    """Write a run folder with a card and checksums, all of it or nothing; the weights' path, in `checkpoints/`.

    Args:
        run_dir, checkpoint: what is written. folder: is made. module: the same, loaded. licence: as the Hub names it.
    """
    state = runs.read_checkpoint(find_checkpoint(run_dir, checkpoint))
    place = Path(runs.CHECKPOINTS, "best.ckpt")
    files = [Path(runs.CONFIG), place]
    with runs.drafted(folder) as draft:
        (draft / place).parent.mkdir(parents=True)
        runs.write_atomically(draft / runs.CONFIG, runs.config_of(run_dir).read_text())
        runs.save_tensors(draft / place, {name: state[name] for name in KEPT if name in state})
        if (run_dir / runs.METRICS).is_file():
            shutil.copyfile(run_dir / runs.METRICS, draft / runs.METRICS)
            files.append(Path(runs.METRICS))
        write_card(draft, run_dir, module, folder.name, licence)
        write_sums(draft, files)
    return folder / place
