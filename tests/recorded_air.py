"""`python -m recorded_air fit ...`: the command line, in which each process writes down the scenes that it sees.

For tests of several processes. The environment says what else is unusual, `RANK STEP` of a process and its step:

    RECORDS=DIR       DIR/RANK.txt: one line for every batch, its split and the numbers of its scenes
    QUIET=1           noise is zero, so that what a process computes depends on its scenes alone
    NOT_FINITE=1 3    there the loss is NaN
    SIGTERM=1 3       there SIGTERM arrives
    NOISE=1           DIR/noise-RANK.txt: a number from torch's generator before every step
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import torch

from air_lightning.cli import main
from air_lightning.model.module import AIRModule
from datamodules.base import Batch
from datamodules.canvas import CanvasScenes

FOLDER = Path(os.environ["RECORDS"])


def rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def note(name: str, line: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / name).open("a") as file:
        file.write(line + "\n")


def here(event: str, step: int) -> bool:
    return os.environ.get(event) == f"{rank()} {step}"


fetch, train = CanvasScenes.__getitems__, AIRModule.training_step


def recorded(self: CanvasScenes, indices: list[int]) -> Batch:
    note(f"{rank()}.txt", " ".join(map(str, (self.split, *indices))))
    return fetch(self, indices)


def disturbed(self: AIRModule, batch: Batch, batch_idx: int) -> dict[str, Any]:
    if "NOISE" in os.environ:
        note(f"noise-{rank()}.txt", str(float(torch.rand(()))))
    if here("SIGTERM", self.global_step):
        os.kill(os.getpid(), signal.SIGTERM)
    outputs = train(self, batch, batch_idx)
    if here("NOT_FINITE", self.global_step):
        outputs["loss"] = outputs["loss"] * float("nan")
        outputs["terms"]["presence"] = outputs["terms"]["presence"] * float("nan")
    return outputs


CanvasScenes.__getitems__ = recorded  # type: ignore[method-assign]
AIRModule.training_step = disturbed  # type: ignore[method-assign]
if "QUIET" in os.environ:
    torch.randn_like = torch.zeros_like

if __name__ == "__main__":
    main()
