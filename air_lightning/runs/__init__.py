"""Run folders: one folder holds everything about one training run.

    DIR/config.yaml            all arguments of the run; `fit --config DIR/config.yaml` repeats it
    DIR/metrics.csv            what was logged, one row per logging step
    DIR/checkpoints/best.ckpt  the weights with the best monitored metric
    DIR/checkpoints/last.ckpt  the newest state, from which `fit --resume --run_dir DIR` goes on
    DIR/figures/               scenes beside their reconstructions
    DIR/test_metrics.json      written by `test`, likewise validate_metrics.json
    DIR/.lock                  held while a fit is in progress

They know folders, files and locks, and nothing of the command line.
"""

from typing import TYPE_CHECKING, Any

from air_lightning.runs.folder import RunFolder
from air_lightning.runs.layout import (
    CHECKPOINTS,
    CONFIG,
    FIGURES,
    METRICS,
    NAMED_CHECKPOINTS,
    RunError,
    checkpoint_of,
    config_of,
    default_folder,
    evaluation_of,
    figures_of,
    holds_run,
    in_use,
    named_folder,
)
from air_lightning.runs.reading import (
    ARGUMENTS,
    OtherWeights,
    check_resumable,
    check_weights,
    differences,
    is_resumable,
    read_arguments,
    read_checkpoint,
    read_config,
    saved_with,
    step_of,
    trained_with,
)
from air_lightning.runs.writing import amend_checkpoint, drafted, save_tensors, unwritten, write_atomically, write_json

if TYPE_CHECKING:
    from air_lightning.runs.metrics_file import MetricsFile

__all__ = [
    "ARGUMENTS",
    "CHECKPOINTS",
    "CONFIG",
    "FIGURES",
    "METRICS",
    "MetricsFile",
    "NAMED_CHECKPOINTS",
    "OtherWeights",
    "RunError",
    "RunFolder",
    "amend_checkpoint",
    "check_resumable",
    "check_weights",
    "checkpoint_of",
    "config_of",
    "default_folder",
    "differences",
    "drafted",
    "evaluation_of",
    "figures_of",
    "holds_run",
    "in_use",
    "is_resumable",
    "named_folder",
    "read_arguments",
    "read_checkpoint",
    "read_config",
    "save_tensors",
    "saved_with",
    "step_of",
    "trained_with",
    "unwritten",
    "write_atomically",
    "write_json",
]


def __getattr__(name: str) -> Any:
    if name == "MetricsFile":
        from air_lightning.runs.metrics_file import MetricsFile  # Lightning, for those who train

        return MetricsFile
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
