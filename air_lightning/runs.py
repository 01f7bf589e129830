"""Run folders: one folder holds everything about one training run.

    DIR/config.yaml            all arguments of the run; `fit --config DIR/config.yaml` repeats it
    DIR/metrics.csv            what was logged, one row per logging step
    DIR/checkpoints/best.ckpt  the weights with the best monitored metric
    DIR/checkpoints/last.ckpt  the newest state, from which `fit --resume --run_dir DIR` goes on
    DIR/figures/               scenes beside their reconstructions
    DIR/test_metrics.json      written by `test`, likewise validate_metrics.json
    DIR/.lock                  held while a fit is in progress

This file knows folders, files and locks; it knows nothing of the command line.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
import yaml
from filelock import FileLock, Timeout
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from torch import Tensor

CONFIG = "config.yaml"
METRICS = "metrics.csv"
CHECKPOINTS = "checkpoints"
FIGURES = "figures"
LOCK = ".lock"
NAMED_CHECKPOINTS = ("best", "last")


class RunError(ValueError):
    """A run folder is not what the command needs; the message names the folder and the remedy."""


def default_folder(name: str, root: Path = Path("runs"), now: datetime | None = None) -> Path:
    """`root/name/YYYY-mm-dd_HH-MM-SS`: where a run goes when the user names no folder.

    Args:
        name: the experiment, usually the stem of its config file.
        root: the folder of all experiments.
        now: local time of the start (default: the present).
    """
    return root / name / (now or datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")


def holds_run(folder: Path) -> bool:
    """Whether `folder` already has the config, metrics or checkpoints of a run."""
    return any((folder / name).exists() for name in (CONFIG, METRICS, CHECKPOINTS))


def config_of(folder: Path) -> Path:
    """`folder/config.yaml` of an existing run.

    Raises:
        RunError: there is no such folder, or no config in it.
    """
    if not folder.is_dir():
        raise RunError(f"run_dir {str(folder)!r} does not exist: give the folder that `fit --run_dir DIR` wrote")
    if not (folder / CONFIG).is_file():
        raise RunError(
            f"run_dir {str(folder)!r} holds no run, for it has no {CONFIG}: "
            "give the folder that `fit --run_dir DIR` wrote"
        )
    return folder / CONFIG


def checkpoint_of(folder: Path, name: str) -> Path:
    """`folder/checkpoints/<name>.ckpt` of an existing run, `name` one of `best` and `last`.

    Raises:
        RunError: no such checkpoint; the message lists those there are.
    """
    path = folder / CHECKPOINTS / f"{name}.ckpt"
    if path.is_file():
        return path
    there = sorted(p.name for p in path.parent.glob("*.ckpt"))
    remedy = (
        f"give one of {there} as --ckpt_path" if there else "nothing was saved there: run `fit` again in a new folder"
    )
    if there and name == "best":
        remedy += " (best.ckpt is written by the first validation)"
    raise RunError(f"run_dir {str(folder)!r} has no {CHECKPOINTS}/{name}.ckpt: {remedy}")


def in_use(folder: Path) -> bool:
    """Whether a fit trains into a folder now; no where that cannot be told, the folder being somebody else's."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def read_arguments(path: Path, name: str) -> tuple[str, dict[str, Any]]:
    """The text of a YAML file, and the arguments that it holds; ``name`` says in errors what gave its path.

    Raises:
        RunError: it cannot be read, or holds something else.
    """
    try:
        text = path.read_text()
        content = yaml.safe_load(text)
    except OSError as error:
        raise RunError(f"{name} {str(path)!r} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise RunError(f"{name} {str(path)!r} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise RunError(f"{name} {str(path)!r} {found}: expected arguments by name, as the files in configs/ have them")
    return text, content


def read_config(folder: Path) -> tuple[str, dict[str, Any]]:
    """The text of a run's `config.yaml`, and the arguments that it holds.

    Raises:
        RunError: there is no such run, or its config cannot be read, or holds something else.
    """
    return read_arguments(config_of(folder), "the run's config")


def read_checkpoint(path: Path, mmap: bool = False) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU; with ``mmap`` its tensors are read when they are used, and not checked.

    Raises:
        RunError: the file cannot be read, is damaged, or no checkpoint.
    """
    try:
        if not mmap and (part := ZipFile(path).testzip()) is not None:  # torch does not look at the checksums
            raise BadZipFile(part)
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # archives, pickles and torch have their own; what torch advises is not safe
        reason = (isinstance(error, OSError) and error.strerror) or "it is damaged, or no checkpoint"
        raise RunError(f"checkpoint {str(path)!r} cannot be read, {reason}: name another as --ckpt_path") from error
    if not isinstance(saved, dict) or "state_dict" not in saved:
        raise RunError(
            f"checkpoint {str(path)!r} holds no weights, it is not one of `fit`: name another as --ckpt_path"
        )
    return saved


def check_weights(weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raise ValueError unless the weights of a checkpoint are of a model with this state."""
    mine, theirs = ({name: value.shape for name, value in tensors.items()} for tensors in (state, weights))
    other = sorted(name for name in mine | theirs if mine.get(name) != theirs.get(name))
    if other:
        raise ValueError(
            f"its weights are of another model than the config's, {len(other)} of them differ ({other[0]} first): "
            "the checkpoint must be the run's, its config as `fit` wrote it, and this version that which trained it"
        )


def figures_of(folder: Path) -> list[tuple[int, Path]]:
    """(step, file) of the pictures `step-000123.png` in a `figures/`, ascending; files of other names are not ours."""
    files = [(re.fullmatch(r"step-(\d+)\.png", path.name), path) for path in folder.glob("step-*.png")]
    return sorted((int(match[1]), path) for match, path in files if match is not None)


def trained_with(checkpoint: Path) -> dict[str, Any]:
    """The model's arguments as the config beside a checkpoint has them, or else the checkpoint itself."""
    config = checkpoint.absolute().parent.parent / CONFIG
    if config.is_file():
        return dict(read_arguments(config, "the config beside the checkpoint")[1]["model"])
    return dict(read_checkpoint(checkpoint, mmap=True).get("hyper_parameters", {}))


def step_of(checkpoint: str | Path | None) -> int | None:
    """The optimizer step at which a checkpoint of this machine was saved.

    Raises:
        RunError: it cannot be read.
    """
    if checkpoint is None or not Path(checkpoint).is_file():
        return None
    return int(read_checkpoint(Path(checkpoint), mmap=True)["global_step"])


class RunFolder:
    """One run's folder, locked by this process until `close`.

    The lock is the operating system's, on `DIR/.lock`: it vanishes with the process that holds it, however
    that ends, so a lock file left behind by a dead process blocks nobody.
    """

    def __init__(self, path: Path) -> None:
        """Make the folder if it is missing, and lock it.

        Raises:
            RunError: another process trains into the folder, or `path` is a file.
        """
        self.path = path
        self._made, self._made_config = _missing(path), False
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise RunError(f"run_dir {str(path)!r} cannot be a folder, a file is in its way: name another") from error
        except OSError as error:
            raise _unwritable(path, error) from error
        self._made_lock = not (path / LOCK).exists()
        self._lock = FileLock(path / LOCK)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                f"run_dir {str(path)!r} is in use by another fit, which holds {LOCK} there: "
                "wait for it, or give another --run_dir"
            ) from error
        except OSError as error:
            raise _unwritable(path, error) from error

    @classmethod
    def new(cls, path: Path) -> RunFolder:
        """Open a folder for a run that starts now.

        Raises:
            RunError: the folder holds a run, or is in use. Nothing has been written then.
        """
        _refuse_run(path)
        folder = cls(path)
        try:
            _refuse_run(path)  # again, for another process may have started and ended in between
        except RunError:
            folder.close()
            raise
        return folder

    @classmethod
    def new_default(cls, path: Path) -> RunFolder:
        """Open `path`, or `path-2`, `path-3` ... where runs of a sweep start within the same second."""
        for free in _numbered(path):
            with suppress(FileExistsError):
                made = _missing(free)
                try:
                    free.parent.mkdir(parents=True, exist_ok=True)
                    free.mkdir()
                except PermissionError as error:
                    raise _unwritable(free, error) from error
                folder = cls(free)
                folder._made = made
                return folder
        raise AssertionError("unreachable")

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """Open the folder of an earlier run, to continue it.

        Raises:
            RunError: the folder holds no run, or is in use.
        """
        config_of(path)
        return cls(path)

    def write_config(self, text: str, step: int | None = None) -> None:
        """Write `config.yaml`, atomically.

        A config that a resumed run replaces is kept as `config.until-step-000123.yaml`: the arguments in
        force up to optimizer step `step`.
        """
        path = self.path / CONFIG
        if path.exists():
            if path.read_text() == text:
                return
            shutil.copy2(path, self.path / f"config.until-step-{step or 0:06d}.yaml")
        else:
            self._made_config = True
        write_atomically(path, text)

    def close(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def discard(self) -> None:
        """Close, and remove what was made for this run, unless others use it: the run did not start."""
        self.close()
        for name, made in ((CONFIG, self._made_config), (LOCK, self._made_lock)):
            if made:
                (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # not empty: somebody's files, which stay
            for folder in self._made:
                folder.rmdir()


class MetricsFile(CSVLogger):
    """Lightning's CSVLogger, writing exactly `DIR/metrics.csv`.

    A resumed run appends. Rows that it logs again, for the run had gone on after its last checkpoint, come
    twice: the later one is the one in force.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name="", version="", flush_logs_every_n_steps=1)

    def log_hyperparams(self, params: Any = None) -> None:
        """Nothing: `config.yaml` has them."""

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        if self._experiment is None:
            self._experiment = _AppendingWriter(self.log_dir)
        return self._experiment  # type: ignore[return-value]


class _AppendingWriter(ExperimentWriter):
    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        path = Path(self.metrics_file_path)
        if path.exists():
            with path.open(newline="") as file:
                self.metrics_keys = next(csv.reader(file), [])

    def _check_log_dir_exists(self) -> None:
        """Lightning's deletes what an earlier session wrote."""


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never half of one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    os.replace(draft, path)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write `record` as JSON for people: two spaces of indent, in the order given.

    JSON knows no NaN or infinity: such a figure becomes `null`.
    """
    write_atomically(path, json.dumps(_finite(record), indent=2, default=str) + "\n")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `new` that `old` has otherwise or lacks, nested keys joined by dots.

    >>> differences({"data": {"noise": 0.0, "seed": 1}}, {"data": {"noise": 0.1, "seed": 1}})
    {'data.noise': 0.1}
    """
    before = dict(_flat(old))
    return {key: value for key, value in _flat(new) if key not in before or before[key] != value}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _missing(path: Path) -> list[Path]:
    """`path` and those of its parents that do not exist yet, innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(f"run_dir {str(path)!r} cannot be written to ({error.strerror}): name another")


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def _refuse_run(folder: Path) -> None:
    if holds_run(folder):
        raise RunError(
            f"run_dir {str(folder)!r} already holds a run: continue it with --resume, or give another --run_dir"
        )
