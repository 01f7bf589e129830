"""Whether a fit that is killed (kill -9) and resumed again and again ends with the weights of one that never was.

    python benchmarks/kill_and_resume.py [--kills 50] [--steps 60] [--seed 1] [-- FIT_ARGUMENT ...]

Each fit is a process of its own, killed at a moment drawn at random, from its start on; the next one resumes from
`last.ckpt`, or begins anew where there is none yet. A run that ends gets more steps, until there were as many kills
as were asked for. Then the same number of steps is trained without a break, and the weights are compared bit for bit.
Ends with status 1 where they differ, or where a run that was killed could not be resumed.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from air_lightning.cli.checks import parsed_with_rest

CONFIG = Path(__file__).parent.parent / "configs" / "multi_sprites.yaml"
SMALL = [
    f"--config={CONFIG}", "--data.train_scenes=72", "--data.batch_size=4", "--data.val_scenes=8", "--model.lr_final=1",
    "--trainer.val_check_interval=6", "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false",
    "--figures.every_minutes=0", "--checkpoint.every_minutes=0.002",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=60, help="of the run, at first")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    options, further = parsed_with_rest(parser, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if compare(Path(folder), options, [*SMALL, *further]) else 1)


def compare(folder: Path, options: argparse.Namespace, arguments: Sequence[str]) -> bool:
    """Whether both runs end with the same weights."""
    start = time.monotonic()
    steps = kill(folder / "killed", options, arguments)
    fit(folder / "straight", steps, arguments).wait()
    killed, straight = (weights(folder / name) for name in ("killed", "straight"))
    differing = [name for name, value in straight.items() if not torch.equal(value, killed[name])]
    best = [load(folder / name, "best")["global_step"] for name in ("killed", "straight")]
    print(
        f"{options.kills} kills, {steps} steps, {time.monotonic() - start:.0f} s: {len(differing)} of {len(straight)} "
        f"tensors differ; best.ckpt is of step {best[0]}, without a break of step {best[1]}"
    )
    return not differing and best[0] == best[1]


def kill(run: Path, options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Kill and resume a run as often as was asked for, and let it come to its end; the steps it then has."""
    moments, steps, kills = random.Random(options.seed), options.steps, 0
    seconds = ended_after(run, steps, arguments)
    shutil.rmtree(run)
    while True:
        process = fit(run, steps, arguments)
        try:
            process.wait(moments.uniform(0, 1.1 * seconds) if kills < options.kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            print(f"kill {kills}: {place(run)}", flush=True)
            continue
        if process.returncode != 0:
            sys.exit(f"a fit has ended with status {process.returncode} after {kills} kills: {run} {place(run)}")
        if kills == options.kills:
            return steps
        steps += options.steps


def ended_after(run: Path, steps: int, arguments: Sequence[str]) -> float:
    """How long the run takes without a break, in seconds."""
    start = time.monotonic()
    if fit(run, steps, arguments).wait() != 0:
        sys.exit("the run fails without any kill")
    return time.monotonic() - start


def fit(run: Path, steps: int, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Begin a run, or resume it where it has a checkpoint."""
    if (run / "checkpoints" / "last.ckpt").is_file():
        given = ["--resume"]
    else:
        shutil.rmtree(run, ignore_errors=True)  # killed before there was anything to go on from
        given = [*arguments]
    command = [sys.executable, "-m", "air_lightning", "fit", *given, f"--run_dir={run}", f"--trainer.max_steps={steps}"]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)


def place(run: Path) -> str:
    """Where a run is, in words."""
    if not (run / "checkpoints" / "last.ckpt").is_file():
        return "no checkpoint yet"
    return f"step {load(run, 'last')['global_step']}"


def load(run: Path, name: str) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return checkpoint


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load(run, "last")["state_dict"]
    return state


if __name__ == "__main__":
    main()
