"""What a CUDA GPU does, in ten minutes and without a network: `python benchmarks/gpu.py [--json FILE]`.

Parts, in this order; `--parts` chooses:

- tests: those that draw and train on CUDA, where there is a GPU;
- draws: objects a second of canvases and of fused finite differences, by batch size, beside PyTorch3D where it is
  installed;
- steps: training steps a second by experiment and batch size, GPU memory, and the share of time in which the GPU works;
- accuracy: seconds of training until 0.95 and 0.98 of the validation's counts are right.

No part begins a further measurement when `--minutes` are over, and what runs then is ended. MNIST is not downloaded:
`multi_mnist` needs $AIR_DATA_ROOT. Without a GPU (`--device cpu`) the draws are those of Triton's interpreter, which
shows that the script works, and not how fast anything is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import dropwhile
from pathlib import Path
from statistics import mean
from typing import Any

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

from seeds import reached
from torch import Tensor

from air_lightning.runs.curves import curve
from renderers import MeshRenderer
from renderers.mesh.backends import make_backend
from renderers.mesh.backends.base import Backend
from renderers.mesh.backends.cuda import Triton

ROOT = Path(__file__).parent.parent
CUDA_TESTS = ("test_triton.py", "test_pytorch3d.py", "test_scene_metrics.py")
SLOTS, STEPS = 3, 100
Row = dict[str, Any]


class Limits:
    """When the whole measurement ends, and at which sizes it is made."""

    def __init__(self, minutes: float, device: str, batches: list[int], size: int, steps: int) -> None:
        self.end = time.monotonic() + 60 * minutes
        self.device, self.batches, self.size, self.steps = device, batches, size, steps

    @property
    def left(self) -> float:
        return self.end - time.monotonic()


def rate(action: Callable[[], object], device: str, seconds: float = 1.0) -> float:
    """How often a second ``action`` runs, after it has run once."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    action()
    wait()
    start, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - start < seconds:
        action()
        wait()
        count += 1
    return count / (time.perf_counter() - start)


def scenes(renderer: MeshRenderer, batch: int, device: str) -> dict[str, tuple[int, tuple[Tensor, ...]]]:
    """By name, how many objects are drawn, and what a backend is given for that."""
    torch.manual_seed(0)
    what = torch.randint(renderer.identity_count, (batch, SLOTS))
    where = renderer.where.constrain(torch.randn(batch, SLOTS, len(renderer.where)))
    steps = torch.diag(renderer.where.steps(where))
    moved = where.unsqueeze(2) + torch.cat([steps, -steps])
    slots, others = renderer._objects(what, where), renderer._objects(what.unsqueeze(2).expand(moved.shape[:3]), moved)
    gradient = torch.randn(batch, SLOTS + 1, *renderer.image_shape)
    put = [part.to(device) for part in (*slots, *others, gradient)]
    return {"canvases": (what.numel(), tuple(put[:2])), "fused differences": (moved[..., 0].numel(), tuple(put))}


def draws(limits: Limits) -> Iterator[Row]:
    renderer = MeshRenderer(image_size=(limits.size, limits.size))
    scenery = renderer._backend.scenery
    backends: dict[str, Backend] = {"Triton": Triton(scenery)}
    if find_spec("pytorch3d"):
        backends["PyTorch3D"] = make_backend("pytorch3d", scenery)
    for batch in limits.batches:
        given = scenes(renderer, batch, limits.device)
        for name, backend in backends.items():
            for what, (objects, tensors) in given.items():
                if limits.left > 0:
                    action = backend.canvases if what == "canvases" else lambda *t, b=backend: b.scores(*t, None)
                    a_second = objects * rate(lambda a=action, t=tensors: a(*t), limits.device)
                    yield {
                        "backend": name,
                        "draws": what,
                        "scenes": batch,
                        "objects a second": float(f"{a_second:.3g}"),
                    }


def tests(limits: Limits) -> Iterator[Row]:
    files = [str(ROOT / "tests" / name) for name in CUDA_TESTS]
    done = _run([sys.executable, "-m", "pytest", "-q", *files], limits)
    yield {"tests": ", ".join(CUDA_TESTS), "result": done}


def steps(limits: Limits) -> Iterator[Row]:
    for config in ("scenes3d", "multi_mnist"):
        for batch in limits.batches:
            if limits.left > 0:
                with tempfile.TemporaryDirectory() as folder:
                    yield {"experiment": config, "batch": batch, **_speed(config, batch, Path(folder) / "run", limits)}


def _speed(config: str, batch: int, run: Path, limits: Limits) -> Row:
    every = limits.steps
    options = {"max_steps": 2 * every, "log_every_n_steps": every, "limit_val_batches": 0, "val_check_interval": "null"}
    with _utilisation(limits.device) as shares:
        result = _fit(config, run, limits, options, [f"--data.batch_size={batch}"])
    if result != "ok":
        return {"fit": result}
    log = run / "metrics.csv"
    memory, busy = curve(log, "gpu/memory_mib"), list(dropwhile(lambda share: share == 0, shares))
    return {
        "fit": result,
        "steps a second": round(curve(log, "speed/steps_per_second")[-1].value, 2),
        "GPU MiB": round(memory[-1].value) if memory else None,
        "GPU busy, %": round(mean(busy)) if busy else None,
    }


def accuracy(limits: Limits) -> Iterator[Row]:
    for number, config in enumerate(("scenes3d", "multi_mnist")):
        if limits.left > 0:
            seconds = max(1, int(limits.left / (2 - number) - 20))
            options = {
                "val_check_interval": limits.steps // 2,
                "max_time": f"00:00:{seconds // 60:02}:{seconds % 60:02}",
            }
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                result = _fit(config, run, limits, options, ["--seed_everything=1", "--data.seed=1"])
                times = {
                    f"seconds to {goal}": reached(run, "val/count_accuracy", goal) if result == "ok" else None
                    for goal in (0.95, 0.98)
                }
                yield {"experiment": config, "fit": result, **times}


PARTS: dict[str, Callable[[Limits], Iterator[Row]]] = {
    "tests": tests, "draws": draws, "steps": steps, "accuracy": accuracy,
}  # fmt: skip


def _fit(config: str, run: Path, limits: Limits, trainer: dict[str, Any], more: list[str]) -> str:
    quiet = {"enable_progress_bar": "false", "enable_model_summary": "false"}
    kind = {"accelerator": "gpu" if limits.device == "cuda" else "cpu", "devices": 1}
    command = [sys.executable, "-m", "air_lightning", "fit", "--config", str(ROOT / "configs" / f"{config}.yaml")]
    options = [f"--trainer.{name}={value}" for name, value in (trainer | quiet | kind).items()]
    return _run([*command, "--run_dir", str(run), *options, *more], limits)


def _run(command: list[str], limits: Limits) -> str:
    """``ok``, or what became of it."""
    try:
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=max(1.0, limits.left))
    except subprocess.TimeoutExpired:
        return "no time left"
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()
        return f"failed: {said[-1] if said else error.returncode}"
    return "ok"


@contextmanager
def _utilisation(device: str) -> Iterator[list[float]]:
    """Collects, until it is left, the percentage of time in which the GPU has worked, five times a second."""
    shares: list[float] = []
    if device != "cuda":
        yield shares
        return
    query = ["nvidia-smi", "-i", "0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200"]
    with subprocess.Popen(query, stdout=subprocess.PIPE, text=True) as sampler:
        assert sampler.stdout is not None
        try:
            yield shares
        finally:
            sampler.terminate()
            shares += [float(line) for line in sampler.stdout if line.strip().isdigit()]


def table(rows: list[Row]) -> str:
    """Markdown."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([str(row.get(name, "")) for name in columns] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def machine(device: str) -> Row:
    card = torch.cuda.get_device_name() if device == "cuda" else "none: Triton's interpreter"
    return {"card": card, "torch": torch.__version__, "CUDA": torch.version.cuda}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 512, 4096], help="scenes at a time")
    parser.add_argument("--size", type=int, default=64, help="pixels along a side of what is drawn (default: 64)")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps that are measured (default: 100)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA GPU: --device cpu tries the script without one")
    limits = Limits(args.minutes, args.device, args.batches, args.size, args.steps)
    results: dict[str, Any] = {"machine": machine(args.device)}
    print(table([results["machine"]]), flush=True)
    for part in args.parts:
        results[part] = list(PARTS[part](limits))
        print(f"\n{part}\n\n{table(results[part])}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
