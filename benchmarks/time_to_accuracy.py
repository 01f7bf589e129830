"""CPU time of training until validation's counts are right so often, by seed, beside that of another checkout.

    python benchmarks/time_to_accuracy.py CONFIG --reach 0.95 0.98 [--every 25] [--seeds 1 2 3 4 5] [--scenes 1000]
                                          [--threads 1] [--against DIR] [--json FILE] [-- FIT_ARGUMENT ...]

Every seed is a `fit` of the config (`--seed_everything SEED --data.seed SEED`), validated on so many scenes every so
many steps, and ended when the last threshold is reached twice running: a threshold counts as reached at the first of
two validations in a row that reach it. With `--against` the other checkout's fit of the same seed runs next. Time is
CPU time of the process from the first training step on, compiling included, validations left out. FIT_ARGUMENT go to
both; `--model.refinement null` makes validations cheaper.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from training import HERE, process

MARK = "validated: "
COUNTS = "val/count_accuracy"
RUNNING = 2
"""Validations in a row that must reach a threshold."""


class Stopwatch(Callback):
    """Prints step, CPU seconds and count accuracy of every validation, and ends the fit when ``last`` is reached."""

    def __init__(self, last: float) -> None:
        self.last, self.row, self.seconds, self._since = last, 0, 0.0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.process_time()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seconds += time.process_time() - self._since

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.sanity_checking:
            accuracy = float(trainer.callback_metrics[COUNTS])
            print(MARK + json.dumps([trainer.global_step, self.seconds, accuracy]), flush=True)
            self.row = self.row + 1 if accuracy >= self.last else 0
            trainer.should_stop = self.row >= RUNNING
        self._since = time.process_time()


def validations(checkout: Path, args: argparse.Namespace, seed: int, folder: Path) -> list[tuple[int, float, float]]:
    """Step, CPU seconds and count accuracy of the validations of one fit."""
    options = {
        "seed_everything": seed, "data.seed": seed, "data.val_scenes": args.scenes, "run_dir": folder / "run",
        "trainer.val_check_interval": args.every, "trainer.num_sanity_val_steps": 0,
        "trainer.enable_progress_bar": "false", "trainer.callbacks+": "time_to_accuracy.Stopwatch",
        "trainer.callbacks.last": max(args.reach), "trainer.accelerator": "cpu",
    }  # fmt: skip
    started = process(checkout, args.config, args.threads, options)
    run = subprocess.run([*started.pop("args"), *args.fit], capture_output=True, **started)
    if run.returncode:
        raise SystemExit(f"a fit ended with status {run.returncode}:\n{run.stdout[-1000:]}\n{run.stderr[-2000:]}")
    return [json.loads(line.removeprefix(MARK)) for line in run.stdout.splitlines() if line.startswith(MARK)]


def first_reached(found: list[tuple[int, float, float]], threshold: float) -> tuple[int, float]:
    """Step and CPU seconds of the first of ``RUNNING`` validations in a row that reach it; infinite if none did."""
    for place in range(len(found) - RUNNING + 1):
        if all(accuracy >= threshold for _, _, accuracy in found[place : place + RUNNING]):
            return found[place][:2]
    return 0, math.inf


def main() -> None:
    from air_lightning.cli.checks import parsed_with_rest  # the callback runs in checkouts that lack it

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a name in configs/, without .yaml")
    parser.add_argument("--reach", nargs="+", type=float, default=[0.95, 0.98])
    parser.add_argument("--every", type=int, default=25)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--json", type=Path)
    args, fit = parsed_with_rest(parser, sys.argv[1:])
    args.fit = fit
    checkouts = {"here": HERE.parent} | ({"against": args.against.absolute()} if args.against else {})
    rows: list[dict[str, object]] = []
    for seed in args.seeds:
        for name, checkout in checkouts.items():
            with tempfile.TemporaryDirectory() as folder:
                found = validations(checkout, args, seed, Path(folder))
            reached = {str(threshold): first_reached(found, threshold) for threshold in args.reach}
            rows.append({"seed": seed, "checkout": name, "reached": reached, "validations": found})
            told = "  ".join(f"{at}: {seconds:7.1f} s ({step})" for at, (step, seconds) in reached.items())
            print(f"seed {seed}  {name:8} {told}", flush=True)
            if args.json:
                args.json.write_text(json.dumps(rows))
    for threshold in map(str, args.reach):
        middle = {
            name: median(row["reached"][threshold][1] for row in rows if row["checkout"] == name)  # type: ignore[index]
            for name in checkouts
        }
        ratio = f", {middle['against'] / middle['here']:.2f} times sooner" if args.against else ""
        print(f"{threshold}: medians {', '.join(f'{name} {seconds:.1f} s' for name, seconds in middle.items())}{ratio}")


if __name__ == "__main__":
    main()
