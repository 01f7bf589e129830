"""How fast and how frugal the mesh renderer is: `python benchmarks/renderer.py [--backend NAME ...] [--json FILE]`.

Speed is that of the public methods, allocation and checks included, on batches as a training step has them. The
fastest of several rounds counts: other work on the machine only ever adds time. Memory is the process's peak above
where it stood, as Linux counts it.
"""

import argparse
import ctypes
import json
import os
import platform
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in training: torch's idle threads do not spin

import torch
from torch import Tensor

from renderers import MeshRenderer
from renderers.mesh.backends.base import BACKENDS
from renderers.mesh.shapes import SOLIDS
from renderers.pixel_loss import Normal

IDENTITIES = tuple(SOLIDS)
SCENES, SLOTS, SIZE = 64, 3, 64
FREE: dict[str, dict[str, Any]] = {
    "x": dict(z=0.0, yaw=0.0),
    "x, z": dict(yaw=0.0),
    "x, z, yaw": dict(),
    "x, y, z, yaw": dict(y=(0.0, 0.5)),
}


class Batch(NamedTuple):
    """A training step's worth of scenes, and the alternatives its finite differences would draw."""

    images: Tensor
    what: Tensor
    where: Tensor
    other_what: Tensor
    other_where: Tensor
    gradient: Tensor


def batch(renderer: MeshRenderer, identities: tuple[str, ...] = IDENTITIES) -> Batch:
    random = torch.Generator().manual_seed(0)
    what = torch.tensor([IDENTITIES.index(identity) for identity in identities])
    what = what[torch.randint(len(identities), (SCENES, SLOTS), generator=random)]
    free, steps = len(renderer.where), renderer.where.steps(torch.zeros(()))
    where = renderer.where.constrain(torch.randn(SCENES, SLOTS, free, generator=random))
    others = where.unsqueeze(2) + torch.cat([torch.diag(steps), -torch.diag(steps)])
    images = torch.rand(SCENES, 3, SIZE, SIZE, generator=random)
    gradient = torch.randn(SCENES, SLOTS + 1, 3, SIZE, SIZE, generator=random)
    return Batch(images, what, where, what.unsqueeze(2).expand(others.shape[:3]), others, gradient)


def actions(identities: tuple[str, ...], backend: str) -> dict[str, tuple[int, Callable[[], object]]]:
    """By name, the number of objects drawn and what draws them. Slots drawn once to be drawn over do not count."""
    renderer = MeshRenderer(identities=IDENTITIES, image_size=(SIZE, SIZE), backend=backend)
    b, objects = batch(renderer, identities), SCENES * SLOTS
    perturbed = b.other_what.numel()
    return {
        "layers": (objects, lambda: renderer.draw(b.what.flatten(), b.where.flatten(0, 1))),
        "canvases": (objects, lambda: renderer.render(b.what, b.where)),
        "fused, linear": (perturbed, lambda: renderer.contract(b.what, b.where, b.gradient)),
        "fused, squared": (perturbed, lambda: renderer.swap_losses(*b[:5], Normal(0.3))),
    }


def fastest(tasks: dict[Any, tuple[int, int, Callable[[], object]]], rounds: int) -> dict[Any, float]:
    """Objects a second of each task (threads, objects, action), its best of ``rounds`` in which all take turns."""
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, (threads, _, action) in tasks.items():
            torch.set_num_threads(threads)
            action()
            start = time.perf_counter()
            action()
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: objects / best[name] for name, (_, objects, _) in tasks.items()}


def speed(rounds: int, backends: list[str]) -> list[dict[str, Any]]:
    mixes = {"all four": IDENTITIES, **{identity: (identity,) for identity in IDENTITIES}}
    tasks = {
        ((backend, mix, name), threads): (threads, count, action)
        for backend in backends
        for mix, identities in mixes.items()
        for name, (count, action) in actions(identities, backend).items()
        for threads in (1, 2)
    }
    rates = fastest(tasks, rounds)
    return [
        {**dict(zip(("backend", "identities", "draws"), row)), "one thread": rate, "two threads": rates[row, 2]}
        for (row, threads), rate in rates.items()
        if threads == 1
    ]


def peak(action: Callable[[], object]) -> float:
    """MiB by which the process's memory rises above where it stood while ``action`` runs."""
    ctypes.CDLL(None).malloc_trim(0)  # what is free goes back first, or it would be used unseen
    status = Path("/proc/self/status")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from now
    (before,) = re.findall(r"VmRSS:\s+(\d+) kB", status.read_text())
    action()
    (after,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
    return (int(after) - int(before)) / 1024


def memory(backend: str) -> list[dict[str, Any]]:
    """Peak of the fused finite differences against the number of free coordinates, beside that of keeping layers."""
    rows = []
    for free, fixed in FREE.items():
        renderer = MeshRenderer(identities=IDENTITIES, image_size=(SIZE, SIZE), backend=backend, **fixed)
        b = batch(renderer)
        run = partial(renderer.contract, b.what, b.where, b.gradient)
        run()  # once unmeasured: loading kernels and starting threads take memory of their own
        fused = [peak(run) for _ in range(5)]
        kept = b.other_what.numel() * 4 * SIZE * SIZE * 4 / 2**20
        rows.append({"backend": backend, "free": free, "fused MiB": max(fused), "perturbed layers MiB": kept})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--rounds", type=int, default=30, help="the best of so many counts (default 30)")
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, default=["embedded"], help="default: embedded")
    arguments = parser.parse_args()
    rows, peaks = speed(arguments.rounds, arguments.backend), []
    if Path("/proc/self/clear_refs").exists():
        peaks = [row for backend in arguments.backend for row in memory(backend)]
    print(f"{SCENES} scenes of {SLOTS} objects, {SIZE}x{SIZE}, x, z and yaw free; objects drawn a second")
    print(f"{'backend':10} {'identities':10} {'draws':15} {'one thread':>12} {'two threads':>12} {'ratio':>6}")
    for row in rows:
        one, two = row["one thread"], row["two threads"]
        print(
            f"{row['backend']:10} {row['identities']:10} {row['draws']:15} {one:12,.0f} {two:12,.0f} {two / one:6.2f}"
        )
    print("\npeak memory of the fused finite differences")
    print(f"{'backend':10} {'free':14} {'fused':>10} {'layers kept':>12}")
    for row in peaks:
        fused, kept = row["fused MiB"], row["perturbed layers MiB"]
        print(f"{row['backend']:10} {row['free']:14} {fused:6.1f} MiB {kept:8.0f} MiB")
    if arguments.json:
        machine = {"processor": platform.processor(), "python": platform.python_version(), "torch": torch.__version__}
        arguments.json.write_text(json.dumps({"machine": machine, "speed": rows, "memory": peaks}, indent=2) + "\n")


if __name__ == "__main__":
    main()
