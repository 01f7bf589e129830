"""One experiment over several seeds, through the command line: the table that the README shows.

    python benchmarks/seeds.py configs/multi_mnist.yaml --seeds 1 2 3 [--jobs 2] [--reach val/count_accuracy 0.98]
                               [--show count_accuracy elbo] [--test ARGUMENT ...] [-- FIT_ARGUMENT ...]

Every seed is trained (`fit --seed_everything SEED --data.seed SEED`) and tested in a folder of its own under `--out`.
A seed whose folder holds `test_metrics.json` already is not run again. Jobs run side by side with one thread each, one
job has all threads. The table has every seed, and the time of training at the first validation that reached `--reach`.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from air_lightning.cli.checks import parsed_with_rest
from air_lightning.runs.curves import SECONDS, curve


def run_seed(config: Path, seed: int, folder: Path, fit: list[str], test: list[str], threads: int) -> None:
    """Train and test one seed, unless that has been done."""
    if (folder / "test_metrics.json").is_file():
        return
    environment = dict(os.environ)
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    air = [sys.executable, "-m", "air_lightning"]
    quiet = ["--trainer.enable_progress_bar", "false"]
    seeds = ["--seed_everything", str(seed), "--data.seed", str(seed)]
    if not (folder / "checkpoints" / "best.ckpt").is_file():
        command = [*air, "fit", "--config", str(config), "--run_dir", str(folder), *seeds, *quiet, *fit]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    command = [*air, "test", "--run_dir", str(folder), *quiet, *test]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def reached(folder: Path, name: str, threshold: float) -> float | None:
    """Seconds of training at the first validation that reached ``threshold``; None if none did."""
    points = curve(folder / "metrics.csv", name)
    return next((point.seconds for point in points if point.value >= threshold), None)


def table(out: Path, seeds: list[int], show: list[str], reach: tuple[str, float] | None) -> str:
    """Markdown: a row for every seed."""
    head = ["seed", *show, "seconds of training", *([f"seconds to {reach[0]} >= {reach[1]}"] if reach else [])]
    rows, times = [], []
    for seed in seeds:
        folder = out / str(seed)
        metrics = json.loads((folder / "test_metrics.json").read_text())["metrics"]
        cells = [str(seed), *(f"{metrics[f'test/{name}']:.4g}" for name in show)]
        cells.append(f"{max(point.value for point in curve(folder / 'metrics.csv', SECONDS)):.0f}")
        if reach:
            first = reached(folder, *reach)
            times += [] if first is None else [first]
            cells.append("never" if first is None else f"{first:.0f}")
        rows.append(cells)
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    if reach:
        middle = f", median {median(times):.0f} s" if times else ""
        text += f"\n\n{len(times)} of {len(seeds)} reached {reach[0]} >= {reach[1]}{middle}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--reach", nargs=2, metavar=("METRIC", "VALUE"))
    parser.add_argument("--show", nargs="+", default=["count_accuracy", "elbo"])
    parser.add_argument(
        "--test", nargs="+", default=[], help="arguments of `test`, without their dashes: data.counts=[3]"
    )
    args, fit = parsed_with_rest(parser, sys.argv[1:])
    out = args.out or Path("runs") / "seeds" / args.config.stem
    threads = 1 if args.jobs > 1 else 0
    test = [f"--{argument}" for argument in args.test]
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = [pool.submit(run_seed, args.config, s, out / str(s), fit, test, threads) for s in args.seeds]
        for job in jobs:
            job.result()
    print(table(out, args.seeds, args.show, (args.reach[0], float(args.reach[1])) if args.reach else None))


if __name__ == "__main__":
    main()
