"""Every estimator for presence over many seeds: the same network, data and budget.

    python benchmarks/estimators.py --world multi_mnist --out mnist.jsonl [--seeds 1 2 3] [--jobs 2]
    python benchmarks/estimators.py --table mnist.jsonl sprites.jsonl

A run trains the world's own config with `model.count` replaced, validates every `--every` steps on 512 held-out scenes
and counts 2 000 test scenes at the end. Runs that `--out` holds already are not made again. The gradient's variance is
that of the presence logits' over 64 draws of the estimator alone, trace(Cov) / |mean|^2 at one state, batch and sample
of the slots for each seed: `--common` steps of training by PosteriorCount, presence's delay included, after which
baselines are trained alone. Runs side by side have one thread each. What all runs share besides the config: a warm-up
of 100 steps, evidence to the power of 0.1, and presence that learns only after 150 steps (100 on sprites).
"""

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser
from torch import Tensor

from air_lightning.estimators import (
    ConcreteCount,
    CountEstimator,
    ExactCount,
    NVILCount,
    PosteriorCount,
    ReweightedWakeSleepCount,
    RLOOCount,
    VIMCOCount,
)
from air_lightning.model.module import AIRModule
from air_lightning.model.objective import Objective, objective
from air_lightning.model.slots import Slots, infer
from datamodules import Batch, SceneDataModule

CONFIGS = Path(__file__).parent.parent / "configs"
ESTIMATORS: dict[str, Callable[..., CountEstimator]] = {
    "exact": ExactCount,
    "posterior": PosteriorCount,
    "nvil": NVILCount,
    "rloo": RLOOCount,
    "vimco": VIMCOCount,
    "concrete": ConcreteCount,
    "wake_sleep": ReweightedWakeSleepCount,
}
STEPS = {"multi_mnist": 1000, "multi_sprites": 400}
# Steps before presence learns, so that no estimator has to learn it while nothing is explained yet.
DELAY = {"multi_mnist": 150, "multi_sprites": 100}
BALANCE = 1 / 0.3**2  # the bound's own: slots weigh as much as presence
SUCCESS, GOAL = 0.95, 0.98
DRAWS, BASELINE_STEPS = 64, 100
SETTLED = 10**9  # a step long after every warm-up


def build(world: str, estimator: str, seed: int, batch_size: int) -> tuple[AIRModule, SceneDataModule]:
    """Model and data of the world's config, with this estimator in the place of its own."""
    config = yaml.safe_load((CONFIGS / f"{world}.yaml").read_text())
    config["data"]["init_args"] |= {"batch_size": batch_size, "seed": seed}
    options = {"warmup": 100, "power": 0.1, "delay": DELAY[world]}
    name = f"air_lightning.estimators.{ESTIMATORS[estimator].__name__}"
    config["model"] |= {"count": {"class_path": name, "init_args": options}, "balance": BALANCE}
    parser = ArgumentParser()
    parser.add_class_arguments(AIRModule, "model")
    parser.add_subclass_arguments(SceneDataModule, "data")
    torch.manual_seed(seed)
    instantiate = getattr(parser, "instantiate", parser.instantiate_classes)  # renamed in jsonargparse 4.49
    made = instantiate(parser.parse_object({"model": config["model"], "data": config["data"]}))
    return made["model"], made["data"]


def loss_of(model: AIRModule, batch: Batch, slots: Slots, step: int) -> Objective:
    """The module's training objective, without a trainer."""
    sd = model.likelihood_sd(step)
    return objective(
        model.renderer, slots, batch.images, model.log_prior, sd, model.count_estimator, None, step, 1.0,
        model.balance * sd**2,
    )  # fmt: skip


def train(model: AIRModule, data: SceneDataModule, steps: int, after: Callable[[int, float], None]) -> None:
    """Adam with the module's own schedule; ``after`` is called with every step's number and the seconds so far."""
    scenes, size, seconds = data.scenes("train"), data.batch_size, 0.0
    optimizer = torch.optim.Adam(model.parameters(), lr=model.lr)
    for step in range(steps):
        start = time.perf_counter()
        batch = scenes.__getitems__(list(range(step * size, (step + 1) * size)))
        optimizer.param_groups[0]["lr"] = model.lr * model._rate(step, steps)
        optimizer.zero_grad()
        loss_of(model, batch, infer(model.renderer, model.network, batch.images, model.slots), step).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        seconds += time.perf_counter() - start
        after(step + 1, seconds)


@torch.no_grad()
def evaluate(model: AIRModule, data: SceneDataModule, split: str, scenes: int) -> tuple[float, float]:
    """Count accuracy and ELBO on the first scenes of a split."""
    model.eval()
    source, right, bounds = data.scenes(split), 0, []
    for first in range(0, scenes, 250):
        batch = source.__getitems__(list(range(first, min(first + 250, scenes))))
        right += int((model.infer(batch.images).count == batch.count).sum())
        bounds.append(float(model.elbo(batch.images).mean()))
    model.train()
    return right / scenes, fmean(bounds)


def variances(world: str, names: list[str], seed: int, batch_size: int, common: int) -> dict[str, float]:
    """trace(Cov) / |mean|^2 of each estimator's gradient in the presence logits, after ``common`` steps."""
    model, data = build(world, "posterior", seed, batch_size)
    train(model, data, common, lambda step, seconds: None)
    batch = data.scenes("val").__getitems__(list(range(batch_size)))
    with torch.no_grad():
        slots = infer(model.renderer, model.network, batch.images, model.slots)
    result = {}
    for name in names:
        other, _ = build(world, name, seed, batch_size)
        model.count_estimator = other.count_estimator
        train_baseline(model, data)
        model.count_estimator.eval()
        draws = torch.stack([gradient(model, batch, slots) for _ in range(DRAWS)])
        result[name] = relative_variance(draws)
    return result


def relative_variance(draws: Tensor) -> float:
    """trace(Cov) / |mean|^2 of draws (M, D), infinite where the mean is lost in the noise.

    The draws' own mean is longer than the true one by trace(Cov) / M, which alone would keep the ratio below M.
    """
    spread = float(draws.var(0).sum())
    length = float(draws.mean(0).pow(2).sum()) - spread / len(draws)
    return spread / length if length > 0 else math.inf


def train_baseline(model: AIRModule, data: SceneDataModule) -> None:
    """Train what parameters the count estimator has, and nothing else: in a run they would have come along."""
    parameters = list(model.count_estimator.parameters())
    if not parameters:
        return
    scenes, size = data.scenes("train"), data.batch_size
    optimizer = torch.optim.Adam(parameters, lr=model.lr)
    for step in range(BASELINE_STEPS):
        batch = scenes.__getitems__(list(range(step * size, (step + 1) * size)))
        with torch.no_grad():
            slots = infer(model.renderer, model.network, batch.images, model.slots)
        loss = loss_of(model, batch, slots, SETTLED).terms["presence"]
        optimizer.zero_grad()
        loss.backward(inputs=parameters)
        optimizer.step()


def gradient(model: AIRModule, batch: Batch, slots: Slots) -> Tensor:
    """One draw of the presence logits' gradient, flat."""
    logits = slots.presence_logits.clone().requires_grad_()
    loss = loss_of(model, batch, slots._replace(presence_logits=logits), SETTLED).terms["presence"]
    (drawn,) = torch.autograd.grad(loss, logits)
    return drawn.flatten()


def run(world: str, estimator: str, seed: int, steps: int, batch_size: int, every: int) -> dict[str, Any]:
    """Train, follow and test one estimator with one seed."""
    torch.set_num_threads(1)
    model, data = build(world, estimator, seed, batch_size)
    curve: list[tuple[int, float, float]] = []

    def follow(step: int, seconds: float) -> None:
        if step % every == 0:
            curve.append((step, seconds, evaluate(model, data, "val", 512)[0]))

    train(model, data, steps, follow)
    accuracy, elbo = evaluate(model, data, "test", 2000)
    first = next((seconds for _, seconds, value in curve if value >= GOAL), None)
    return {
        "world": world, "estimator": estimator, "seed": seed, "steps": steps, "batch_size": batch_size,
        "count_accuracy": accuracy, "elbo": elbo, "seconds_to_goal": first, "curve": curve,
    }  # fmt: skip


def spread_of(world: str, seed: int, batch_size: int, common: int) -> dict[str, Any]:
    """The record of one seed's gradient variances."""
    torch.set_num_threads(1)
    found = variances(world, list(ESTIMATORS), seed, batch_size, common)
    return {"world": world, "seed": seed, "common": common, "variance": found}


def records(path: Path) -> list[dict[str, Any]]:
    """What a file holds so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def measured_already(rows: list[dict[str, Any]], world: str) -> set[tuple[str | None, int]]:
    """Estimator and seed of a world's runs so far; None for a seed's gradient variances."""
    return {(row.get("estimator"), row["seed"]) for row in rows if row["world"] == world}


def tables(rows: list[dict[str, Any]]) -> str:
    """Markdown: a table a world."""
    worlds = sorted({row["world"] for row in rows})
    return "\n\n".join(f"{world}\n\n{table([row for row in rows if row['world'] == world])}" for world in worlds)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown of one world: an estimator a row."""
    runs, spreads = defaultdict(list), defaultdict(list)
    for row in rows:
        if "variance" in row:
            for name, value in row["variance"].items():
                spreads[name].append(value)
        else:
            runs[row["estimator"]].append(row)
    head = f"| estimator | runs with count accuracy >= {SUCCESS} | count accuracy, mean (least to most) | ELBO, mean |"
    lines = [head + f" seconds to {GOAL}, median | gradient variance |", "|---|---|---|---|---|---|"]
    for name in sorted(runs, key=list(ESTIMATORS).index):
        values = [row["count_accuracy"] for row in runs[name]]
        times = [row["seconds_to_goal"] for row in runs[name] if row["seconds_to_goal"] is not None]
        reached = f"{median(times):.0f} ({len(times)} of {len(values)})" if times else f"none of {len(values)}"
        spread = f"{median(spreads[name]):.2g}" if spreads[name] else ""
        lines.append(
            f"| {name} | {sum(v >= SUCCESS for v in values)} of {len(values)} | {fmean(values):.3f} "
            f"({min(values):.3f} to {max(values):.3f}) | {fmean(row['elbo'] for row in runs[name]):.1f} "
            f"| {reached} | {spread} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", choices=list(STEPS), default="multi_mnist")
    parser.add_argument("--estimators", nargs="+", choices=list(ESTIMATORS), default=list(ESTIMATORS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 11)))
    parser.add_argument("--steps", type=int, help="default: 1000 for multi_mnist, 400 for multi_sprites")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--common", type=int, default=300, help="steps to the state of the gradient variances")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("estimators.jsonl"))
    parser.add_argument("--table", type=Path, nargs="+", help="print the tables of these files and run nothing")
    args = parser.parse_args()
    if args.table:
        print(tables([row for path in args.table for row in records(path)]))
        return
    if args.common <= DELAY[args.world]:
        parser.error(f"--common must be more than presence's delay of {DELAY[args.world]}, got {args.common}")
    steps = args.steps or STEPS[args.world]
    done = measured_already(records(args.out), args.world)
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool, args.out.open("a") as file:
        jobs = [
            pool.submit(spread_of, args.world, seed, args.batch_size, args.common)
            for seed in args.seeds if (None, seed) not in done
        ]  # fmt: skip
        jobs += [
            pool.submit(run, args.world, name, seed, steps, args.batch_size, args.every)
            for seed in args.seeds for name in args.estimators if (name, seed) not in done
        ]  # fmt: skip
        for job in as_completed(jobs):
            file.write(json.dumps(job.result()) + "\n")
            file.flush()
    print(tables(records(args.out)))


if __name__ == "__main__":
    main()
