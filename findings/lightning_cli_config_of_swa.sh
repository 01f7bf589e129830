#!/usr/bin/env bash
# pytorch-lightning 2.6.6, jsonargparse 4.53.0 (with signatures), torch 2.13.0 (CPU): the config that LightningCLI saves of a fit with
# StochasticWeightAveraging cannot be given back to it.
#
# The callback's `device` is by default an instance, `torch.device("cpu")`, for which YAML has no words. jsonargparse then writes a sentence
# in its place, with a warning, and the fit goes on:
#
#   config.yaml    device: Unable to serialize instance cpu
#   fit --config config.yaml    RuntimeError: Invalid device string: 'Unable to serialize instance cpu'
#
# With `--trainer.callbacks.device cpu` the config says `cpu` and is taken again. Whoever keeps configs has to leave such sentences out.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numpy pytorch-lightning==2.6.6 "jsonargparse[signatures]==4.53.0"
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import logging
import warnings
from pathlib import Path

import yaml
from pytorch_lightning.cli import LightningCLI
from pytorch_lightning.demos.boring_classes import BoringDataModule, BoringModel

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.simplefilter("ignore")
SMALL = [
    f"--trainer.{option}"
    for option in (
        "max_epochs=1", "limit_train_batches=1", "limit_val_batches=0", "accelerator=cpu", "logger=false",
        "enable_progress_bar=false", "enable_model_summary=false", "enable_checkpointing=false",
    )
]  # fmt: skip
AVERAGE = ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01"]


def saved(folder, *arguments):
    """The config that a fit saves, and the device of the callback as it says it."""
    LightningCLI(BoringModel, BoringDataModule, args=["fit", *arguments, f"--trainer.default_root_dir={folder}", *SMALL])
    config = Path(folder, "config.yaml")
    return config, yaml.safe_load(config.read_text())["trainer"]["callbacks"][0]["init_args"]["device"]


def given_back(config):
    try:
        saved(f"{config.parent}_again", "--config", str(config))
    except RuntimeError as error:
        return f"{type(error).__name__}: {error}"
    return "taken"


for folder, arguments, expected, end in (
    ("untold", AVERAGE, "Unable to serialize instance cpu", "RuntimeError: Invalid device string"),
    ("told", [*AVERAGE, "--trainer.callbacks.device=cpu"], "cpu", "taken"),
):
    config, said = saved(folder, *arguments)
    found = given_back(config)
    print(f"device: {said}\n  given back: {found}")
    assert said == expected and found.startswith(end)
PYTHON
