"""Interrupted while Lightning is at work, commands have the interruption's status: Lightning's own is 1."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import toy
from cli_for_tests import names
from cli_for_tests import run as run
from runs_for_tests import GLIMPSES, write_run

from air_lightning.cli.exit_status import INTERRUPTED, interrupt_status, interruptions_raised
from air_lightning.commands.report.scenes import judge_all
from air_lightning.model import AIRModule
from air_lightning.runs.loading import load_module
from datamodules import MultiSprites


def interrupt(*_: object) -> None:
    """As Ctrl-C does, wherever it comes."""
    raise KeyboardInterrupt


def test_only_interruptions_are_raised_again() -> None:
    with pytest.raises(KeyboardInterrupt) as told, interruptions_raised():
        try:
            raise KeyboardInterrupt(143)
        except KeyboardInterrupt:
            sys.exit(1)
    assert interrupt_status(told.value) == 143
    with pytest.raises(SystemExit), interruptions_raised():
        sys.exit(1)


@pytest.mark.parametrize("subcommand, step", [("test", "test_step"), ("validate", "validation_step")])
def test_an_evaluation_writes_nothing(subcommand: str, step: str, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = names(run)
    monkeypatch.setattr(toy.ToyModule, step, interrupt)
    with pytest.raises(KeyboardInterrupt) as told:
        toy.run(subcommand, "--run_dir", run)
    assert interrupt_status(told.value) == INTERRUPTED and names(run) == before


def test_a_fit_before_its_first_step_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy.ToyModule, "training_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        toy.fit("--run_dir", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_report_judges_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = GLIMPSES | {"init_args": {"image_shape": [3, 40, 40], "what": 3, "glimpse": 8, "hidden": 8}}
    model = load_module(write_run(tmp_path / "run", renderer), kind=AIRModule)
    assert isinstance(model, AIRModule)
    monkeypatch.setattr(AIRModule, "predict_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        judge_all(model, MultiSprites(canvas=40, counts=[0, 1, 2], batch_size=2), 2)
