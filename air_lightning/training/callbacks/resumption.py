"""`Resumption`: a resumed fit goes on after the very batch after which its checkpoint was saved."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, Timer
from pytorch_lightning.utilities import rank_zero_only

from air_lightning.parallel import gather

GRADIENTS = "gradients"


class Place(NamedTuple):
    """Between which two batches of training a checkpoint was saved.

    Attributes:
        epochs: complete ones. batches: of the epoch after them. total: batches in all.
    """

    epochs: int
    batches: int
    total: int


class Resumption(Callback):
    """Has Lightning go on where a checkpoint of `fit` was saved, in an epoch as between two, any number of times.

    Lightning's own counts say at which of its hooks a checkpoint was saved, and some of them it resumes otherwise than
    training went on: where training is limited by steps, it takes a complete epoch for one in progress and leaves
    out the next one's scenes; and an epoch that `max_steps` breaks off counts as complete. So the counts of a
    checkpoint are turned into those of one of two places that it resumes exactly: between two epochs, and just after a
    batch within one. A validation that has been cut short is not gone on with.

    Where gradients are being accumulated, a checkpoint holds those of the batches since the optimizer's last step.
    """

    def __init__(self) -> None:
        self._between_epochs = self._trained = False
        self._gradients: dict[str, torch.Tensor] = {}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.fit_loop._should_accumulate():
            gradients = {n: p.grad.cpu() for n, p in pl_module.named_parameters() if p.grad is not None}
            checkpoint[GRADIENTS] = gather(gradients)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != "fit":
            return
        loop = checkpoint["loops"]["fit_loop"]
        place = place_of(loop)
        self._between_epochs = place.batches == 0
        go_on_from(place, loop)
        if pl_module.automatic_optimization:
            steps_of_loggers(loop, checkpoint["global_step"], trainer.accumulate_grad_batches)
        if len(gradients := checkpoint.get(GRADIENTS, [])) == trainer.world_size:
            self._gradients = gradients[trainer.global_rank]

    @rank_zero_only
    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say why nothing was trained, where Lightning does not: it stops without a word."""
        spent = trainer.should_stop and not self._trained
        timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
        if spent and any((timer.time_remaining() or 0) <= 0 for timer in timers):
            print(
                f"nothing was trained: the run had used up its max_time by step {trainer.global_step}; give more with "
                "--trainer.max_time, which counts from the run's start",
                file=sys.stderr,
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._between_epochs:
            # Limited by steps, Lightning would have the next epoch be one that was begun.
            loop = trainer.fit_loop
            loop._restarting = loop.epoch_loop.restarting = False
            loop.reset_restart_stage()
            for epochs in (loop.epoch_progress.total, loop.epoch_progress.current):
                epochs.completed = epochs.processed  # type: ignore[attr-defined]
        for name, gradient in self._gradients.items():
            parameter = pl_module.get_parameter(name)
            parameter.grad = gradient.to(parameter.device)
        self._between_epochs, self._gradients, self._trained = False, {}, True


def place_of(loop: dict[str, Any]) -> Place:
    """Where the saved state of Lightning's fit loop was saved, at whichever of its hooks after a batch."""
    epochs, batches = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]
    done, total = batches["current"]["ready"], batches["total"]["ready"]
    closed = epochs["processed"] >= epochs["ready"]
    if batches["is_last_batch"]:
        return Place(epochs["processed"] + (not closed), 0, total)
    broken_off = closed and done > 0
    return Place(epochs["processed"] - broken_off, done, total)


def go_on_from(place: Place, loop: dict[str, Any]) -> None:
    """Change the saved state of a fit loop so that Lightning goes on from a place."""
    within = int(place.batches > 0)
    begun, ended = place.epochs + within, place.epochs
    completed = ended if within else max(0, ended - 1)  # Lightning counts the last one as it goes on
    for extent, batches in (("total", place.total), ("current", place.batches)):
        loop["epoch_progress"][extent].update(ready=begun, started=begun, processed=ended, completed=completed)
        loop["epoch_loop.batch_progress"][extent].update(
            ready=batches, started=batches, processed=batches, completed=batches - within
        )
        validated = loop["epoch_loop.val_loop.batch_progress"][extent]
        validated.update(dict.fromkeys(("started", "processed", "completed"), validated["ready"]))
    loop["epoch_loop.batch_progress"]["is_last_batch"] = False
    if not within:
        loop["state_dict"].pop("combined_loader", None)  # loaders begin anew


def steps_of_loggers(loop: dict[str, Any], steps: int, accumulate: int) -> None:
    """Have loggers count on from the optimizer's steps; Lightning adds the last one where it was just made."""
    batches = loop["epoch_loop.batch_progress"]["current"]["ready"]
    just_stepped = batches > 0 and batches % accumulate == 0
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] = steps - just_stepped
