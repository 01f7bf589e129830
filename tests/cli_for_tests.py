"""What tests of the command line share: a finished fit of toy.py, its files, and the words of a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy
import yaml


def refused(capsys: pytest.CaptureFixture[str], *args: object, status: int = 2) -> str:
    """Run what must be refused; return the error without the usage before it."""
    with pytest.raises(SystemExit) as stop:
        toy.run(*args)
    assert stop.value.code == status
    return capsys.readouterr().err.rpartition("error: ")[2]


def config(folder: Path, name: str = "config.yaml") -> dict:
    return yaml.safe_load((folder / name).read_text())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a finished fit."""
    toy.fit("--run_dir", tmp_path / "run")
    return tmp_path / "run"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")
