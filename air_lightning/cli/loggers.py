"""The loggers of a command: those of its config, and `--wandb`."""

from pathlib import Path
from typing import Any

from jsonargparse import Namespace

from air_lightning.training import wandb


def check(arguments: Namespace) -> None:
    """Refuse what cannot be had, before a folder is made.

    Raises:
        RunError: W&B is asked for and not installed, or loggers are switched off beside `--wandb`.
    """
    logger = arguments.trainer.logger
    wandb.check(listed(logger), arguments.wandb, switched_off=logger is False)


def direct(trainer: Namespace, run_dir: Path | None, subcommand: str) -> None:
    """Have every logger save to the run folder. Evaluations have none, lest they add to fit's records."""
    for logger in listed(trainer.logger):
        if "save_dir" in logger.get("init_args", {}):
            logger.init_args.save_dir = str(run_dir)
    if subcommand != "fit":
        trainer.logger = False


def listed(value: Any) -> list[Any]:
    """What a config has where Lightning accepts one, several, none or a switch."""
    if value is None or isinstance(value, bool):
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
