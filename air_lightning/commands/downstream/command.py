"""`python -m air_lightning downstream`: what the objects that a model has inferred are worth to a classifier.

    python -m air_lightning downstream --config configs/downstream_sum.yaml --run_dir RUN [--labels 125 1000 ...]
        [--out DIR] [--overwrite]

RUN is the folder of a finished fit, whose config and best checkpoint are used. It writes `downstream_<task>.json` and
`downstream_<task>.png` to DIR (default: `RUN/downstream_<task>`). Exit status: 0 done; 1 they could not be written,
on a full disk for example; 2 wrong arguments, and then nothing was computed; 130 (Ctrl-C) or 143 (SIGTERM) interrupted.
"""

import os
import time
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from air_lightning import runs
from air_lightning.cli.checks import check_writable
from air_lightning.cli.exit_status import exit_with
from air_lightning.cli.parsers import Parser, Positive, Seed, check_data_given
from air_lightning.commands.downstream.chart import draw_chart
from air_lightning.commands.downstream.latents import check_model
from air_lightning.commands.downstream.study import Result, compare, material
from air_lightning.commands.downstream.tasks import OBJECTS, Task
from air_lightning.model.air import AIR
from air_lightning.model.data_checks import check_data
from air_lightning.plugins.constructor_errors import named_message
from air_lightning.runs.hub import is_shared
from air_lightning.runs.loading import best_device, load_module, run_folder
from datamodules.base import SceneDataModule

CURVES = {"latents": "inferred objects", "pixels": "pixels (CNN)"}


def main(args: Sequence[str]) -> None:
    """Run the subcommand with the arguments after its name.

    Raises:
        SystemExit: with status 2 where they are wrong.
    """
    parser = arguments()
    config = parser.read(args)
    check_data_given(config, "downstream")
    try:
        folder = run_folder(config.run_dir)
        check_output(config, folder)
        model = load_module(folder, device=best_device())
        data = parser.instantiate_classes(config).data
        check(model, data, config)
        data.prepare_data()
        check_scenes(data, config)
    except ValueError as error:
        if os.environ.get("JSONARGPARSE_DEBUG"):
            raise
        exit_with(2, f"error: {named_message(error, config.as_dict(), {})}")
    report(config, run(config, folder, model, data))


def arguments() -> Parser:
    """The subcommand's parser."""
    parser = Parser(
        prog="python -m air_lightning downstream",
        description="Compare a small classifier of inferred objects with a CNN on pixels, over the number of labels "
        "(AIR, Eslami et al. 2016, section 3.1).",
    )
    parser.add_argument("-c", "--config", action="config", help="Path to a YAML file of these arguments.")
    parser.add_argument("--run_dir", type=str, required=True, help="Folder of a fit of two-digit scenes, or hf://.")
    parser.add_argument("--task", type=Task, required=True, help="The sum of both digits, or whether they ascend.")
    parser.add_argument("--labels", type=Positive, nargs="+", required=True, help="Numbers of labelled scenes.")
    parser.add_argument("--seeds", type=Seed, nargs="+", default=[1], help="Of the classifiers' trainings.")
    parser.add_argument("--test_scenes", type=Positive, default=5000, help="Held-out scenes to report on.")
    parser.add_argument("--out", type=str | None, default=None, help="Folder to write to (default: in the run's).")
    parser.add_argument("--overwrite", action="store_true", help="Replace an earlier comparison.")
    parser.add_subclass_arguments(SceneDataModule, "data", help="Scenes of two digits.")
    return parser


def folder_of(config: Namespace) -> Path:
    """Where the record and its chart go."""
    return Path(config.run_dir) / f"downstream_{config.task}" if config.out is None else Path(config.out)


def check_output(config: Namespace, run_dir: Path) -> None:
    """ValueError where nothing can be written, or an earlier comparison would be lost."""
    runs.config_of(run_dir)  # a wrong run is said first
    if config.out is None and is_shared(config.run_dir):
        raise ValueError(f"--run_dir {config.run_dir!r} cannot be written to: give --out, a folder for the comparison")
    folder = folder_of(config)
    check_writable("--out", folder)
    record = folder / f"downstream_{config.task}.json"
    if record.exists() and not config.overwrite:
        raise ValueError(f"{str(record)!r} is there already: give --overwrite to replace it, or another --out")


def check(model: AIR, data: SceneDataModule, config: Namespace) -> None:
    """ValueError where model, data and numbers of labels do not go together."""
    check_model(model)
    check_data(model, data)
    counts = getattr(data, "counts", None)
    if counts is None:
        raise ValueError(
            f"downstream needs scenes of {OBJECTS} digits, and {type(data).__name__} does not say how many objects its "
            f"scenes hold: use data such as MultiMNIST, with data.counts [{OBJECTS}]"
        )
    if {*counts, *getattr(data, "test_counts", counts)} != {OBJECTS}:
        raise ValueError(
            f"downstream needs scenes of {OBJECTS} digits, got counts {counts}: give data.counts [{OBJECTS}]"
        )
    if min(config.labels) < 10:
        raise ValueError(f"labels must be at least 10, got {min(config.labels)}: a fifth of them is held out")


def check_scenes(data: SceneDataModule, config: Namespace) -> None:
    """ValueError where the data has fewer scenes than are asked for."""
    for name, split, asked in (("labels", "train", max(config.labels)), ("test_scenes", "test", config.test_scenes)):
        scenes = data.scenes(split)
        if isinstance(scenes, Sized) and asked > len(scenes):
            raise ValueError(
                f"{name} {asked} is more than the {len(scenes)} scenes that {type(data).__name__} has for {split}: "
                f"give {len(scenes)} at most"
            )


def run(config: Namespace, run_dir: Path, model: AIR, data: SceneDataModule) -> dict[str, Any]:
    """Compute the record that is written."""
    start, task = time.monotonic(), config.task
    train_on = material(model, data, task, "train", max(config.labels))
    test_on = material(model, data, task, "test", config.test_scenes)
    inference, results = time.monotonic() - start, list[Result]()
    for seed in dict.fromkeys(config.seeds):
        for result in compare(task, train_on, test_on, sorted(set(config.labels)), seed):
            print(
                f"{task}, {result.labels} labels, seed {seed}: inferred objects {result.latents:.4f} "
                f"({result.latents_seconds:.0f} s), pixels {result.pixels:.4f} ({result.pixels_seconds:.0f} s)",
                flush=True,
            )
            results.append(result)
    return {
        "task": task,
        "run": str(config.run_dir),
        "checkpoint": str(runs.checkpoint_of(run_dir, "best")),
        "seeds": list(config.seeds),
        "test_scenes": config.test_scenes,
        "results": [result._asdict() for result in results],
        "inference_seconds": round(inference, 2),
        "seconds": round(time.monotonic() - start, 2),
    }


def report(config: Namespace, record: dict[str, Any]) -> None:
    """Write the record and its chart."""
    name = f"downstream_{config.task}"
    folder = folder_of(config)
    folder.mkdir(parents=True, exist_ok=True)
    curves = {title: [(r["labels"], r[key]) for r in record["results"]] for key, title in CURVES.items()}
    title = {"sum": "Sum of two digits", "order": "Do two digits ascend from left to right?"}[config.task]
    with runs.drafted(folder / f"{name}.png") as chart:
        draw_chart(chart, curves, title, "labelled scenes", "accuracy on held-out scenes")
        runs.write_json(folder / f"{name}.json", record)
    print(f"wrote {folder}/  {name}.json, {name}.png")
