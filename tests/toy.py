"""A tiny module and its data, to run the real command line in no time; `python toy.py fit ...` is one too."""

from __future__ import annotations

import itertools
import os
import signal
import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from air_lightning.cli.dispatch import ignore_warnings
from air_lightning.cli.lightning import AIRCLI
from datamodules.base import CounterSampler


class Bias:
    """A plug-in, as the renderer is one: chosen by class path."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value


class ToyModule(pl.LightningModule):
    """A line through a noisy point cloud, with random numbers in its training step.

    Args:
        lr: learning rate, positive.
        bias: a plug-in.
        bad_step: step whose loss is NaN (-1: none).
        bad_gradient: step whose gradient alone is NaN (-1: none).
        seconds: how long a training step takes at least.
        sigterm_at: where the process sends itself SIGTERM: `train 5` (a step), `batch 5`, `val 0`, `test 1` (a batch).
    """

    def __init__(
        self,
        lr: float = 0.1,
        bias: Bias | None = None,
        bad_step: int = -1,
        bad_gradient: int = -1,
        seconds: float = 0.0,
        sigterm_at: str = "",
    ) -> None:
        super().__init__()
        if lr <= 0:
            raise ValueError(f"model.lr must be positive, got {lr}")
        self.save_hyperparameters(ignore=["bias"])
        self.lr, self.bias, self.seconds = lr, bias or Bias(), seconds
        self.bad_step, self.bad_gradient, self.sigterm_at = bad_step, bad_gradient, sigterm_at
        self.line = torch.nn.Linear(3, 1)
        self.losses: list[float] = []
        self.register_buffer("used", torch.tensor([True, False, True]), persistent=False)
        self.register_buffer("places", torch.tensor([0, 5, 7]), persistent=False)

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> dict[str, Any]:
        time.sleep(self.seconds)
        self._terminate(f"train {self.global_step}")
        self._terminate(f"batch {self.trainer.fit_loop.total_batch_idx}")
        noise = torch.randn(()) + float(np.random.randn())
        fit = (self.line(batch["image"]).squeeze(-1) - batch["target"] + 0.1 * noise).square().mean()
        prior = self.line.weight.square().mean()
        if self.global_step == self.bad_step:
            prior = prior * float("nan")
        if self.global_step == self.bad_gradient:
            fit = fit + (self.line.bias - self.line.bias).abs().sqrt().sum()
        loss = fit + 0.1 * prior
        self.losses.append(float(loss.detach()))
        self.log("train/loss", loss)
        return {"loss": loss, "terms": {"likelihood": fit.detach(), "prior": prior.detach()}}

    def _terminate(self, where: str) -> None:
        if where == self.sigterm_at:
            os.kill(os.getpid(), signal.SIGTERM)

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        self._terminate(f"val {batch_idx}")
        error = (self.line(batch["image"]).squeeze(-1) - batch["target"]).abs().mean() + self.bias.value
        torch.randn(())  # as a module that samples does
        self.log("val/position_error", error, prog_bar=True)
        self.log("val/scene_accuracy", 1 / (1 + error), prog_bar=True)

    def test_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        self._terminate(f"test {batch_idx}")
        error = (self.line(batch["image"]).squeeze(-1) - batch["target"]).abs().mean() + self.bias.value
        self.log("test/position_error", error)

    def image(self, batch: dict[str, torch.Tensor]) -> np.ndarray:
        assert not self.training
        torch.randn(3)
        return np.full((4, 3 * len(batch["image"]), 3), 128, np.uint8)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.Adam(self.parameters(), self.lr)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Points(Dataset):
    """Point i of a split depends on (seed, i) only."""

    def __init__(self, size: int, seed: int, noise: float) -> None:
        self.size, self.seed, self.noise = size, seed, noise

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(1000 * self.seed + index)
        image = torch.randn(3, generator=generator)
        return {"image": image, "target": image.sum() + self.noise * torch.randn((), generator=generator)}


class Resumable(DataLoader):
    """A loader that Lightning can set back to where it was within an epoch; not for `shuffle=True`."""

    done = skip = 0

    def __iter__(self) -> Any:
        # The inner loader draws from torch's generator as it is made: now, as in a loader that never stopped.
        self.done, self.skip = self.skip, 0
        return self._rest(super().__iter__())

    def _rest(self, batches: Any) -> Any:
        for batch in itertools.islice(batches, self.done, None):
            self.done += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"done": self.done % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.skip = state["done"]


class ToyData(pl.LightningDataModule):
    """Args: size: training points. noise: of their targets. shuffle: the training points, in every epoch."""

    def __init__(self, size: int = 32, noise: float = 0.0, shuffle: bool = False) -> None:
        super().__init__()
        self.size, self.noise, self.shuffle = size, noise, shuffle

    def train_dataloader(self) -> DataLoader:
        points = Points(self.size, 1, self.noise)
        if self.shuffle:
            return DataLoader(points, batch_size=4, shuffle=True)
        share = CounterSampler(self.size, self.trainer.world_size, self.trainer.global_rank)  # other points each epoch
        return Resumable(points, batch_size=4, sampler=share)

    def val_dataloader(self) -> DataLoader:
        # A generator of its own, as RandomState advises; the training loader above does without, which is harder.
        return DataLoader(Points(10, 2, self.noise), batch_size=4, generator=torch.Generator())

    def test_dataloader(self) -> DataLoader:
        return DataLoader(Points(12, 3, self.noise), batch_size=4)


class NotData:
    """Something that is no datamodule."""


# CPU only, quiet, and no images; the data's class is part of every fit.
FIT = [
    "fit",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=2",
    "--figures.every_minutes=0",
    "--data=toy.ToyData",
]


def run(*args: object) -> AIRCLI:
    """The command line in this process."""
    ignore_warnings()
    return AIRCLI(ToyModule, args=[str(arg) for arg in args])


def fit(*args: object) -> AIRCLI:
    """A small fit in this process."""
    return run(*FIT, *args)


if __name__ == "__main__":
    import sys

    run(*sys.argv[1:])
