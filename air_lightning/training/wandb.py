"""Weights & Biases: a run folder recorded there too. Nothing that goes wrong there stops a training.

    DIR/wandb_id    the id of the W&B run, which `fit --resume` continues
    DIR/wandb_step  the W&B step (`_step`, one a row) from which it goes on
    DIR/wandb/      what the `wandb` package writes

The `wandb` package is an extra, imported when a run is opened: `pip install 'air-lightning[wandb]'`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only, rank_zero_warn

from air_lightning.runs import CHECKPOINTS, RunError, write_atomically

if TYPE_CHECKING:
    from air_lightning.training.callbacks.checkpoints import Best

RUN_ID = "wandb_id"
STEP = "wandb_step"
PROJECT = "air-lightning"
"""The project of runs for which neither the command line nor `WANDB_PROJECT` names one."""
LOCAL_MODES = ("offline", "dryrun", "disabled")
DEFAULTS = {
    # What a killed process loses, in seconds. W&B's own: 15.
    "WANDB__TRANSACTION_LOG_FLUSH_INTERVAL": "2",
    # How long the end waits, in seconds, for a server that has gone away. W&B's own: for ever.
    "WANDB_FINISH_TIMEOUT": "600",
}


def check(loggers: Sequence[Mapping[str, Any]], switch: bool, switched_off: bool) -> None:
    """Refuse what cannot be had, before a folder is made.

    Args:
        loggers: those of the config, by `class_path`. switch: `--wandb`. switched_off: `--trainer.logger false`.

    Raises:
        RunError: W&B is asked for and not installed, or loggers are switched off beside `--wandb`.
    """
    if switch and switched_off:
        raise RunError("--wandb needs loggers, and --trainer.logger false switches them off: leave one of them out")
    asked = switch or any("WandbLogger" in logger["class_path"] for logger in loggers)
    if asked and find_spec("wandb") is None:
        raise RunError(
            "Weights & Biases is asked for (--wandb or a WandbLogger) and the package wandb is not installed: "
            "pip install 'air-lightning[wandb]', or leave it out"
        )


def chosen(loggers: Sequence[Logger], switch: bool, folder: Path) -> list[Logger]:
    """The config's loggers, a `RunLogger` in the place of Lightning's own WandbLogger.

    The `--wandb` switch adds one, unless there is one already.
    """
    result = [RunLogger.of(logger) if type(logger) is WandbLogger else logger for logger in loggers]
    if switch and not any(isinstance(logger, WandbLogger) for logger in result):
        result.append(RunLogger(project=os.environ.get("WANDB_PROJECT", PROJECT), save_dir=folder))
    return result


class RunLogger(WandbLogger):
    """Lightning's WandbLogger with one W&B run for one run folder, which is its `save_dir`.

    - Where nobody is logged in, or the server cannot be used, it says so once and records offline. It never asks.
    - A run folder that has a W&B run continues it, whatever id is given; but in a sweep the sweep's id stands.
    - A failure of W&B while training goes on ends its records, not the training.

    Arguments are WandbLogger's. `WANDB_MODE`, `WANDB_PROJECT`, `WANDB_RUN_ID` and the like work as W&B documents them.
    """

    _lost = False
    _best: Best | None = None

    @classmethod
    def of(cls, logger: WandbLogger) -> RunLogger:
        """The same logger, as ours. (jsonargparse finds their arguments in their source, so configs name theirs.)"""
        ours = cls.__new__(cls)
        vars(ours).update(vars(logger))
        return ours

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = open_run(self._wandb_init, self._offline)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        with self._guarded():
            if not self.experiment.disabled:
                count_row(Path(self._wandb_init["dir"]))
            super().log_metrics(metrics, step)

    @rank_zero_only
    def begin(self, config: Mapping[str, Any]) -> None:
        """Open the run, with the arguments of the command."""
        with self._guarded():
            self.experiment.config.update(dict(config), allow_val_change=True)

    @rank_zero_only
    def note_best(self, best: Best) -> None:
        """Put the best validation, and all that it measured, into the run's summary as `best/...`."""
        self._best = best
        with self._guarded():
            figures = {**best.metrics, best.monitor: best.value}
            self.experiment.summary.update(
                {"best/step": best.step, **{f"best/{key}": value for key, value in figures.items()}}
            )

    @rank_zero_only
    def close(self, status: int, checkpoint: Path) -> None:
        """Close the run with the command's exit status; the best checkpoint goes with it, if there is one."""
        with self._guarded():
            if checkpoint.is_file():
                self._log_checkpoint(checkpoint)
            self.experiment.finish(exit_code=status)

    def _log_checkpoint(self, checkpoint: Path) -> None:
        import wandb

        metadata = None if self._best is None else vars(self._best)
        artifact = wandb.Artifact(f"model-{self.experiment.id}", type="model", metadata=metadata)
        artifact.add_file(str(checkpoint), name=checkpoint.name)
        self.experiment.log_artifact(artifact, aliases=["best"])

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Do nothing more, and say why, once W&B has failed: its service may die, or the disk be full."""
        import wandb

        try:
            if not self._lost:
                yield
        except (wandb.Error, OSError) as error:
            self._lost = True
            rank_zero_warn(f"W&B has failed, and training goes on without it: {type(error).__name__}: {error}")


def open_run(arguments: Mapping[str, Any], offline: bool) -> Any:
    """`wandb.init`, with the id of the run folder, and offline where it cannot be online.

    Args:
        arguments: those of `wandb.init`; `dir` is the run folder.
        offline: do not try the server.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    import wandb

    if wandb.run is not None:
        return wandb.run
    folder, settings = Path(arguments["dir"]), wandb.setup().settings
    given = {"resume": "allow"} | {key: value for key, value in arguments.items() if value is not None}
    if (folder / RUN_ID).is_file():
        given["id"] = (folder / RUN_ID).read_text().strip()
    if settings.sweep_id:  # its agent has named them
        given = {key: value for key, value in given.items() if key not in ("id", "project", "entity")}
    mode = given.pop("mode", None) or ("offline" if offline else settings.mode)
    run = _init(given | {"mode": mode, "settings": given.get("settings") or _settings()}, folder)
    if mode != "disabled":
        write_atomically(folder / RUN_ID, f"{run.id}\n")
    if (start := next_step(folder)) > run.starting_step:
        run.log({}, step=start, commit=False)  # offline W&B does not know that there are rows already
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return run


def next_step(folder: Path) -> int:
    """The W&B step after all rows that a run folder's run has, uploaded or not."""
    file = folder / STEP
    return int(file.read_text()) if file.is_file() else 0


def count_row(folder: Path) -> None:
    """Note that one more row is about to be logged: a process that is killed then leaves a gap, and nothing twice."""
    write_atomically(folder / STEP, f"{next_step(folder) + 1}\n")


def _init(arguments: dict[str, Any], folder: Path) -> Any:
    import wandb

    reason = None if arguments["mode"] in LOCAL_MODES else _why_offline()
    if reason is None:
        try:
            return wandb.init(**arguments)
        except wandb.Error as error:
            if arguments["mode"] in LOCAL_MODES:
                raise
            reason = str(error)
    rank_zero_warn(
        f"W&B records offline, for its server cannot be used: {reason.rstrip('.')}. "
        f"Upload the run later: wandb sync {folder}/wandb/offline-run-*"
    )
    return wandb.init(**arguments | {"mode": "offline"})


def _why_offline() -> str | None:
    """What keeps W&B's server from being used; None if nothing does. Never asks for a key."""
    import wandb

    try:
        return None if wandb.login(prompt=False, verify=True) else "nobody is logged in (wandb login)"
    except wandb.Error as error:
        return str(error)


def _settings() -> Any:
    """The stop button on W&B's pages ends a training as SIGTERM does: with `last.ckpt` saved."""
    import wandb

    return wandb.Settings(stop_fn=lambda: os.kill(os.getpid(), signal.SIGTERM))


def run_loggers(trainer: pl.Trainer) -> list[RunLogger]:
    """Those of the trainer's loggers that record to W&B."""
    return [logger for logger in trainer.loggers if isinstance(logger, RunLogger)]


@contextmanager
def recorded(trainer: pl.Trainer, config: Mapping[str, Any]) -> Iterator[None]:
    """Record what is trained in this block, and close W&B's runs with the status that the process will have."""
    loggers, status = run_loggers(trainer), 1
    for logger in loggers:
        logger.begin(config)
    try:
        yield
        status = 0
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        raise
    finally:
        for logger in loggers:
            logger.close(status, Path(trainer.default_root_dir) / CHECKPOINTS / "best.ckpt")
