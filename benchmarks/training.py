"""Steps per second of scenes3d's training step, and what the step's time goes to.

    python benchmarks/training.py [--steps 30] [--threads 1 2] [--json FILE]

Shares are of one run on one machine: data (drawing the scenes), network (forward and backward), renderer (canvases,
finite differences, identities), rest (likelihoods, losses, optimizer).
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from air_lightning.model.module import AIRModule
from air_lightning.model.objective import objective
from air_lightning.model.slots import infer
from datamodules import Batch, SceneDataModule, Scenes3D
from renderers import MeshRenderer

PARTS = ("data", "network", "renderer", "rest")


class Clock:
    """Seconds by part; each moment counts for one part only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._part, self._since = "rest", time.perf_counter()

    @property
    def counting(self) -> str:
        """The part that time now counts for."""
        return self._part

    @counting.setter
    def counting(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[self._part] += now - self._since
        self._part, self._since = part, now

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose time counts for ``part``, unless data are being made."""

        def run(*args: Any, **kwargs: Any) -> Any:
            before = self.counting
            self.counting = part if before != "data" else before
            try:
                return function(*args, **kwargs)
            finally:
                self.counting = before

        return run


def measure(model: AIRModule, data: SceneDataModule, steps: int, warm: int = 3) -> dict[str, float]:
    """Milliseconds a step, whole and by part, over ``steps`` training steps after ``warm`` ones."""
    clock = Clock()
    scenes = data.scenes("train")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    start = 0.0
    for step in range(warm + steps):
        if step == warm:
            watch(model, clock)
            clock.seconds.clear()
            start = time.perf_counter()
        clock.counting = "data"
        batch = scenes.__getitems__(list(range(step * data.batch_size, (step + 1) * data.batch_size)))
        clock.counting = "rest"
        loss = loss_of(model, batch, step)
        optimizer.zero_grad()
        clock.counting = "network"
        loss.backward()
        clock.counting = "rest"
        optimizer.step()
    clock.counting = "rest"
    whole = time.perf_counter() - start
    return {"step": 1e3 * whole / steps} | {part: 1e3 * clock.seconds[part] / steps for part in PARTS}


def loss_of(model: AIRModule, batch: Batch, step: int) -> Tensor:
    """The module's training loss, without a trainer."""
    slots = infer(model.renderer, model.network, batch.images, model.slots)
    estimators = model.count_estimator, model.identity_estimator
    return objective(model.renderer, slots, batch.images, model.log_prior, model.final_sd, *estimators, step).loss


def watch(model: AIRModule, clock: Clock) -> None:
    """Count the time in the renderer and in the network's forward pass (its backward is the rest of ``backward``)."""
    for name in ("render", "swap_scores"):
        setattr(model.renderer, name, clock.timed("renderer", getattr(model.renderer, name)))
    for name in ("propose", "appearance"):
        setattr(model.network, name, clock.timed("network", getattr(model.network, name)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = {}
    print("threads  steps/s  " + "".join(f"{part:>16}" for part in PARTS) + "   (ms a step and share)")
    for threads in args.threads:
        torch.set_num_threads(threads)
        renderer = MeshRenderer()
        result = measure(AIRModule(renderer), Scenes3D(renderer), args.steps)
        cells = "".join(f"{result[part]:9.1f} ({result[part] / result['step']:4.0%})" for part in PARTS)
        print(f"{threads:7d}  {1e3 / result['step']:7.2f}  {cells}")
        results[threads] = result
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
