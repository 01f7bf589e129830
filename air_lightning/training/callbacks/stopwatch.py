"""`Stopwatch`: how long training itself has taken, how fast it is, and how much of a GPU's memory it needs."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from air_lightning.metrics.host_tensors import is_written, on_host
from air_lightning.runs.curves import SECONDS
from air_lightning.training.callbacks.scene_count import scenes_in


class Stopwatch(Callback):
    """Logs `time/training_seconds`: wall time of the training steps and their data, validations left out.

    It is logged with every training step that is logged, and with every validation, so `metrics.csv` tells when a
    figure was reached. A resumed run goes on counting from its checkpoint. With training steps come

    - `speed/steps_per_second` and `speed/images_per_second`, of all processes, over the last `log_every_n_steps`;
    - on CUDA `gpu/memory_mib`, the most that the first process's tensors have taken so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since: float | None = None
        self._images = 0
        self._recent: deque[tuple[float, int, int]] = deque()  # seconds, steps and images so far

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.monotonic()
        start = (self.seconds, trainer.global_step, self._images)
        self._recent = deque([start], maxlen=max(1, trainer.log_every_n_steps) + 1)  # type: ignore[attr-defined]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._count()
        self._images += (scenes_in(batch) or 0) * trainer.world_size
        self._recent.append((self.seconds, trainer.global_step, self._images))
        if is_written(trainer):
            pl_module.log_dict(on_host({SECONDS: self.seconds, **self._speed(), **_memory(pl_module.device)}))

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._count()
        self._since = None

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            pl_module.log(SECONDS, self.seconds, sync_dist=True)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._since = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = float(state_dict["seconds"])

    def _speed(self) -> dict[str, float]:
        seconds, steps, images = (last - first for first, last in zip(self._recent[0], self._recent[-1]))
        if not seconds > 0:  # the clock has not moved
            return {}
        return {"speed/steps_per_second": steps / seconds, "speed/images_per_second": images / seconds}

    def _count(self) -> None:
        """Add the time since it was last looked at, unless training stands still."""
        if self._since is not None:
            now = time.monotonic()
            self.seconds += now - self._since
            self._since = now


def _memory(device: torch.device) -> dict[str, float]:
    return {"gpu/memory_mib": torch.cuda.max_memory_allocated(device) / 2**20} if device.type == "cuda" else {}
