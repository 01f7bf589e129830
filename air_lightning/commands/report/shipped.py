"""What a run's arguments are compared with: a shipped config, or those of the runs beside it."""

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from air_lightning import runs
from air_lightning.cli import main
from air_lightning.cli.records import NOT_SAVED
from air_lightning.commands.report.record import Run

FOLDERS = (Path("configs"), Path(__file__).parents[3] / "configs")
"""Where shipped configs are looked for: from where one works, and in the repository."""
ABSENT = "–"


def shipped_config(run: Run) -> Path | None:
    """The shipped config that the run's folder is called after, or the folder it lies in; None where there is none.

    `runs/scenes3d/2026-01-31_12-00-00`, where `fit` puts runs by itself, and `seeds/multi_mnist/3` are such names.
    """
    folder = run.folder.resolve()
    files = [place / f"{name}.yaml" for name in (folder.name, folder.parent.name) for place in FOLDERS]
    return next((file for file in files if file.is_file()), None)


def compare(run: Run, file: Path) -> list[tuple[str, str, str]]:
    """(argument, there, here) of every difference between `fit --config file` and the run.

    Raises:
        ValueError: it is not a config of `fit`.
    """
    there, here = complete(file), run.config
    theirs, ours = runs.differences(here, there), runs.differences(there, here)
    names = [name for name in runs.differences({}, {**there, **here}) if name in theirs or name in ours]
    rest = [name for name in (*theirs, *ours) if name not in names]
    return [(name, _config_value(theirs, name), _config_value(ours, name)) for name in dict.fromkeys([*names, *rest])]


def complete(file: Path) -> dict[str, Any]:
    """What `fit --config file` would save as its config: with the defaults of this version."""
    printed, complaint = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complaint):
        try:
            main(["fit", "--config", str(file), "--print_config"])
        except SystemExit as stop:
            if stop.code not in (None, 0):
                reason = complaint.getvalue().rpartition("error: ")[2].strip()
                raise ValueError(f"--config {str(file)!r} is not a config of fit: {reason}") from stop
    return {name: value for name, value in yaml.safe_load(printed.getvalue()).items() if name not in NOT_SAVED}


def differing(shown: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """(argument, its value in each run) of the arguments in which runs differ: null and not having it are the same."""
    flat = [runs.differences({}, run.config) for run in shown]
    names = dict.fromkeys(name for arguments in flat for name in arguments)
    rows = [(name, [_config_value(arguments, name) for arguments in flat]) for name in names]
    return [(name, values) for name, values in rows if len({ABSENT if v == "null" else v for v in values}) > 1]


def _config_value(arguments: dict[str, Any], name: str) -> str:
    """A value as a config has it."""
    if name not in arguments:
        return ABSENT
    value = arguments[name]
    return value if isinstance(value, str) else json.dumps(value, default=str)
