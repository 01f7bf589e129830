"""`RandomState`: checkpoints hold the random number generators, so a resumed run is as if never stopped."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from air_lightning.parallel import gather

KEY = "random_state"


class RandomState(Callback):
    """Saves the states of torch, numpy and Python's `random` of every process, and restores them on resume.

    A loader draws from torch's generator as it starts an epoch. After a checkpoint from between two epochs
    the resumed run starts its loader as the run without a break does, so the state is restored before. After
    one from within an epoch the resumed run starts a loader that the other has running already; so it is
    restored after.

    Of several processes each has random numbers of its own: Lightning gives them all the same seed, so that they start
    from the same weights, and without more they would draw the same noise for different scenes.

    Validations within fit leave the generators as they were. So training is the same however often it is
    validated.

    Exact resumption from within an epoch also needs a loader that can be set back to where it was: one with
    `state_dict` and `load_state_dict`. And give loaders a `generator` of their own: where `max_steps` has
    ended an epoch without a validation, Lightning may start a validation loader before the first step of the
    resumed run.
    """

    def __init__(self) -> None:
        self._saved: dict[str, Any] | None = None
        self._between_epochs = True
        self._before_validation: dict[str, Any] | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if trainer.global_rank:
            seed(trainer.global_rank)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # A validation that SIGTERM cuts short has drawn, but counts for nothing.
        state = self._before_validation if trainer.validating and self._before_validation else collect()
        checkpoint[KEY] = {
            "between_epochs": trainer.is_last_batch,
            "processes": gather(state),
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != "fit" or KEY not in checkpoint:
            return
        saved = checkpoint[KEY]
        if len(saved["processes"]) != trainer.world_size:
            warnings.warn(
                f"The checkpoint was saved by {len(saved['processes'])} processes and is resumed by "
                f"{trainer.world_size}: random numbers will differ from those of a run without a break.",
                stacklevel=2,
            )
            return
        self._saved = saved["processes"][trainer.global_rank]
        self._between_epochs = saved["between_epochs"]
        restore(self._saved)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The loader has just been started."""
        if self._saved is not None and not self._between_epochs:
            restore(self._saved)
            self._saved = None

    def on_train_batch_start(self, *_: Any) -> None:
        self._saved = None  # training goes on: from here on the generators are its own

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Before a validation, should one follow: its loader draws before any hook of it is called."""
        self._before_validation = collect()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and self._before_validation is not None:
            restore(self._before_validation)


def seed(rank: int) -> None:
    """Set this process's generators to where those of no other rank are, by the seed that all have had."""
    words = np.random.SeedSequence((torch.initial_seed(), rank)).generate_state(3)
    torch.manual_seed(int(words[0]))
    np.random.seed(words[1])
    random.seed(int(words[2]))


def collect() -> dict[str, Any]:
    """The states of this process's generators, in tensors and primitives: all that `weights_only` loads."""
    cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    legacy: Any = np.random.get_state(legacy=True)
    name, keys, position, has_gauss, gauss = legacy
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if cuda else None,
        "numpy": (
            str(name),
            torch.from_numpy(keys.astype(np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ),
        "python": random.getstate(),
    }


def restore(state: dict[str, Any]) -> None:
    """Set this process's generators to a state from `collect`."""
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
