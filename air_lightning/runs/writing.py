"""What is written into a run folder: whole files, or none."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from air_lightning.runs.reading import read_checkpoint


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
    """A process may be killed at any moment: half a row is cut off; a new head comes with all rows or not at all."""

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        path = Path(self.metrics_file_path)
        if path.exists():
            cut_half_line(path)
            with path.open(newline="") as file:
                self.metrics_keys = next(csv.reader(file), [])
            if not self.metrics_keys:  # killed as it wrote the head
                path.unlink()

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path = Path(self.metrics_file_path)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames)
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(path, text.getvalue())

    def _check_log_dir_exists(self) -> None:
        """Lightning's deletes what an earlier session wrote."""


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never half of one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, newline="")
    os.replace(draft, path)


def amend_checkpoint(path: Path, entries: Mapping[str, Any]) -> None:
    """Put entries into a checkpoint beside all else that it holds, the old file staying until the new one is whole.

    Raises:
        RunError: it cannot be read.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(read_checkpoint(path) | dict(entries), draft)
    os.replace(draft, path)


def cut_half_line(path: Path) -> None:
    """Cut off what comes after the last whole line: a process that was killed had not written it to its end."""
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write `record` as JSON for people: two spaces of indent, in the order given.

    JSON knows no NaN or infinity: such a figure becomes `null`.
    """
    write_atomically(path, json.dumps(_finite(record), indent=2, default=str) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
