"""The curves of a run, as Lightning writes them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter

from air_lightning.runs.writing import cut_half_line, naming, write_atomically


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

    def save(self) -> None:
        """Write the rows that are new. Where that fails the file keeps what it had, and a resumed run logs them again.

        They are forgotten, for Lightning would try once more as it closes, and a new column has no head then.
        """
        path = Path(self.metrics_file_path)
        try:
            with naming(path):
                super().save()
        except OSError:
            self.metrics = []
            if path.is_file():
                cut_half_line(path)
            raise

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
