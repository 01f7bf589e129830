"""The command line, run for real on a tiny module."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import toy
import yaml
from pytorch_lightning.callbacks import LearningRateMonitor
from pytorch_lightning.loggers import CSVLogger

from air_lightning.cli import main, with_run_config
from air_lightning.runs import MetricsFile, RunError, RunFolder

TESTS = Path(__file__).parent


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


# ---- fit: the folder


def test_fit_writes_one_folder(run):
    assert names(run) == ["checkpoints", "config.yaml", "metrics.csv"]
    assert names(run / "checkpoints") == ["best.ckpt", "last.ckpt"]
    with (run / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file) if row["val/scene_accuracy"]] == ["0", "1"]


def test_config_is_complete_and_repeats_the_run(run, tmp_path):
    saved = config(run)
    assert saved["model"]["lr"] == 0.1 and saved["seed_everything"] == 1
    assert saved["data"] == {
        "class_path": "toy.ToyData",
        "init_args": {"size": 32, "noise": 0.0, "shuffle": False},
    }
    assert saved["checkpoint"] == {"monitor": "val/scene_accuracy", "mode": "max", "every_minutes": 10.0}
    assert not {"config", "run_dir", "resume", "ckpt_path"} & set(saved)
    toy.run("fit", "--config", run / "config.yaml", "--run_dir", tmp_path / "again")
    assert config(tmp_path / "again") == saved
    first, again = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]["line.weight"]
        for folder in (run, tmp_path / "again")
    )
    assert torch.equal(first, again)


def test_seed_is_an_argument_and_saved(tmp_path):
    first, same, other = (
        toy.fit("--run_dir", tmp_path / name, "--seed_everything", seed)
        for name, seed in (("a", 7), ("b", 7), ("c", 8))
    )
    assert config(tmp_path / "a")["seed_everything"] == 7
    assert first.model.losses == same.model.losses != other.model.losses


def test_folder_without_a_name_is_by_config_and_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("one.yaml").write_text("model: {lr: 0.2}\n")
    Path("two.yaml").write_text("model: {lr: 0.3}\n")
    toy.fit("--config", "one.yaml", "--config", "two.yaml", "--trainer.max_epochs", 1)
    (folder,) = Path("runs/two").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)
    assert config(folder)["model"]["lr"] == 0.3
    toy.fit("--trainer.max_epochs", 1)
    assert len(list(Path("runs/run").iterdir())) == 1


def test_folder_that_holds_a_run_is_refused_and_left_alone(run, capsys):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    error = refused(capsys, *toy.FIT, "--run_dir", run)
    assert error == f"run_dir '{run}' already holds a run: continue it with --resume, or give another --run_dir\n"
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


def test_folder_in_use_is_refused(run, capsys):
    folder = RunFolder.existing(run)
    assert "is in use by another fit" in refused(capsys, "fit", "--resume", "--run_dir", run)
    toy.run("validate", "--run_dir", run)  # reading is free
    folder.close()


def test_fast_dev_run_writes_nothing(run, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    toy.fit("--trainer.fast_dev_run", "true", "--figures.every_minutes", 1)
    assert names(tmp_path / "empty") == []
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    toy.run("fit", "--resume", "--run_dir", run, "--trainer.fast_dev_run", "true")
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


def test_second_process_takes_the_folder_of_the_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("air_lightning.processes.rank", lambda: 1)
    error = refused(capsys, *toy.FIT)
    assert error == "several processes started from outside need --run_dir DIR, one folder for all of them\n"
    monkeypatch.setenv("AIR_LIGHTNING_RUN_DIR", str(tmp_path / "first"))
    cli = toy.fit("--trainer.fast_dev_run", "true")
    assert cli.run_dir == tmp_path / "first" and cli.folder is None
    assert names(tmp_path) == []


# ---- fit: wrong arguments


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--model.nosuch", "1"], "unrecognized arguments: --model.nosuch 1"),
        (["--nosuch", "1"], "unrecognized arguments: --nosuch 1"),
        (["--model.lr", "fast"], "model.lr: Expected a <class"),
        (["--data", "toy.Nowhere"], "toy.Nowhere"),
        (["--data", "toy.NotData"], "toy.NotData"),
        (["--data.nosuch", "1"], "data: no argument of ToyData is called 'nosuch'. There are size, noise, shuffle"),
        (["--model.bias", "toy.NotData"], "toy.NotData"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--checkpoint.mode", "best"], "checkpoint.mode: Expected a "),
        # Found by constructors rather than by the parser:
        (["--model.lr", "-1"], "model.lr must be positive, got -1.0"),
        (["--figures.scenes", "0"], "figures.scenes must be at least 1, got 0 (every_minutes 0 draws none)"),
        (["--trainer.accelerator", "abacus"], "`accelerator='abacus'`"),
        (["--trainer.devices", "x"], "trainer: `devices` selected with"),
        (
            ["--ckpt_path", "nowhere.ckpt"],
            "--ckpt_path 'nowhere.ckpt' is not a file: give one, or `best` or `last`",
        ),
        (["--ckpt_path", "last"], "has no checkpoints/last.ckpt: nothing was saved there"),
        (["--resume"], "does not exist: give the folder that `fit --run_dir DIR` wrote"),
    ],
)
def test_wrong_arguments_end_with_status_2_and_no_folder(tmp_path, monkeypatch, capsys, wrong, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *toy.FIT, "--run_dir", tmp_path / "new" / "run", *wrong)
    assert message in refused(capsys, *toy.FIT, *wrong) or "--resume" in wrong or "last" in wrong
    assert names(tmp_path) == []


def test_resume_needs_a_folder_with_a_run_and_a_last_checkpoint(run, tmp_path, capsys):
    assert "--resume needs --run_dir DIR, the folder of the run to continue" in refused(capsys, *toy.FIT, "--resume")
    assert "holds no run, for it has no config.yaml" in refused(capsys, "fit", "--resume", "--run_dir", tmp_path)
    (run / "checkpoints" / "last.ckpt").unlink()
    error = refused(capsys, "fit", "--resume", "--run_dir", run)
    assert error == f"run_dir '{run}' has no checkpoints/last.ckpt: give one of ['best.ckpt'] as --ckpt_path\n"
    assert "--resume is for fit, not for test: leave it out" in refused(capsys, "test", "--run_dir", run, "--resume")


def test_trace_of_a_wrong_value_is_shown_on_demand(tmp_path, monkeypatch):
    monkeypatch.setenv("JSONARGPARSE_DEBUG", "true")
    with pytest.raises(ValueError, match="model.lr must be positive"):
        toy.fit("--run_dir", tmp_path / "run", "--model.lr", -1)
    assert names(tmp_path) == []


def test_error_of_a_class_that_is_no_value_error_keeps_its_trace_and_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(toy.ToyModule, "save_hyperparameters", lambda self, **_: {}["missing"])
    with pytest.raises(KeyError, match="missing"):
        toy.fit("--run_dir", tmp_path / "run")
    assert names(tmp_path) == []


# ---- fit: resuming


def test_resume_goes_on_with_the_runs_own_config(run):
    before = (run / "metrics.csv").read_text()
    cli = toy.run("fit", "--resume", "--run_dir", run, "--trainer.max_epochs", 3)
    assert cli.trainer.global_step == 24 and len(cli.model.losses) == 8
    assert (run / "metrics.csv").read_text().startswith(before)
    assert (run / "metrics.csv").read_text().count("\n") == before.count("\n") + 1
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 24
    assert names(run / "checkpoints") == ["best.ckpt", "last.ckpt"]
    # The new end is the run's now; the old arguments are kept under the step up to which they held.
    assert config(run)["trainer"]["max_epochs"] == 3
    assert config(run, "config.until-step-000016.yaml")["trainer"]["max_epochs"] == 2


def test_resume_of_a_finished_run_changes_nothing(run):
    toy.run("fit", "--resume", "--run_dir", run)
    assert names(run) == ["checkpoints", "config.yaml", "metrics.csv"]


def test_resume_from_another_checkpoint(run, capsys):
    cli = toy.run("fit", "--resume", "--run_dir", run, "--ckpt_path", "best", "--model.lr", 0.2)
    assert cli.trainer.global_step == 16
    note = capsys.readouterr().err
    assert "best.ckpt was trained with other arguments; now in force: model.lr 0.2 (the optimizer, learning" in note


def test_new_run_from_the_checkpoint_of_another(run, tmp_path):
    checkpoint = run / "checkpoints" / "last.ckpt"
    toy.fit("--run_dir", tmp_path / "new", "--ckpt_path", checkpoint, "--trainer.max_epochs", 3)
    assert torch.load(tmp_path / "new" / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] == 24


# ---- fit: what is the user's


def test_loggers_write_to_the_run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logger = "{class_path: CSVLogger, init_args: {save_dir: elsewhere, name: more}}"
    cli = toy.fit("--run_dir", "run", "--trainer.logger", logger)
    assert [type(logger) for logger in cli.trainer.loggers] == [MetricsFile, CSVLogger]
    assert names(tmp_path) == ["run"] and names(tmp_path / "run") == [
        "checkpoints",
        "config.yaml",
        "metrics.csv",
        "more",
    ]
    assert config(Path("run"))["trainer"]["logger"]["init_args"]["save_dir"] == "elsewhere"
    toy.run("test", "--run_dir", "run")
    assert names(tmp_path / "run" / "more") == ["version_0"]  # evaluations do not add to it


def test_no_logger_means_no_metrics_file(tmp_path):
    toy.fit("--run_dir", tmp_path, "--trainer.logger", "false")
    assert names(tmp_path) == ["checkpoints", "config.yaml"]


def test_callbacks_of_the_user_are_added_to_ours(tmp_path):
    cli = toy.fit("--run_dir", tmp_path, "--trainer.callbacks", "LearningRateMonitor")
    kinds = [type(callback).__name__ for callback in cli.trainer.callbacks]
    assert LearningRateMonitor.__name__ in kinds and {"RandomState", "NonFiniteGuard", "Summary"} <= set(kinds)
    assert kinds[-1] == "Checkpoints"  # after all that changes what it saves


# ---- test, validate


def test_test_writes_its_metrics_and_leaves_the_rest(run, capsys):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    toy.run("test", "--run_dir", run)
    assert "test/position_error" in capsys.readouterr().out
    record = json.loads((run / "test_metrics.json").read_text())
    assert list(record["metrics"]) == ["test/position_error"] and record["metrics"]["test/position_error"] > 0
    assert record["checkpoint"] == str(run / "checkpoints" / "best.ckpt")
    assert (record["step"], record["scenes"], record["overrides"]) == (16, 12, {})
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != "test_metrics.json"}


def test_overrides_win_and_are_recorded(run):
    toy.run("test", "--run_dir", run)
    plain = json.loads((run / "test_metrics.json").read_text())
    cli = toy.run("test", "--run_dir", run, "--data.noise", 0.5, "--trainer.limit_test_batches", 2)
    record = json.loads((run / "test_metrics.json").read_text())
    assert cli.datamodule.noise == 0.5
    assert record["overrides"] == {"trainer.limit_test_batches": 2, "data.init_args.noise": 0.5}
    assert record["scenes"] == 8 and record["metrics"] != plain["metrics"]
    assert config(run)["data"]["init_args"]["noise"] == 0.0


def test_arguments_win_over_those_of_the_checkpoint_and_that_is_said(run, capsys):
    cli = toy.run("validate", "--run_dir", run, "--model.lr", 0.5)
    assert cli.model.lr == 0.5
    err = capsys.readouterr().err
    assert "best.ckpt was trained with other arguments; now in force: model.lr 0.5\n" in err
    toy.run("validate", "--run_dir", run)
    assert "other arguments" not in capsys.readouterr().err
    # A checkpoint that has left its folder knows its arguments itself.
    copy = shutil.copy(run / "checkpoints" / "last.ckpt", run.parent)
    toy.run("validate", "--config", run / "config.yaml", "--ckpt_path", copy, "--model.lr", 0.5)
    assert "last.ckpt was trained with other arguments; now in force: model.lr 0.5\n" in capsys.readouterr().err


def test_validate_writes_the_figures_of_fit(run):
    toy.run("validate", "--run_dir", run, "--ckpt_path", "last")
    record = json.loads((run / "validate_metrics.json").read_text())
    with (run / "metrics.csv").open(newline="") as file:
        fitted = list(csv.DictReader(file))[-1]
    assert record["checkpoint"].endswith("last.ckpt") and record["scenes"] == 10
    assert record["metrics"]["val/position_error"] == pytest.approx(float(fitted["val/position_error"]))


@pytest.mark.parametrize("subcommand", ["test", "validate"])
def test_evaluation_without_a_run_is_refused(run, tmp_path, capsys, subcommand):
    error = refused(capsys, subcommand, "--run_dir", tmp_path / "nowhere")
    assert error.startswith(f"run_dir '{tmp_path / 'nowhere'}' does not exist: give the folder")
    error = refused(capsys, subcommand, "--config", run / "config.yaml")
    assert error.startswith(f"{subcommand} needs --run_dir DIR, the folder of a fit (or --config and --ckpt_path")
    error = refused(capsys, subcommand, "--config", run / "config.yaml", "--ckpt_path", "best")
    assert error == "--ckpt_path best needs --run_dir DIR: it names a checkpoint of that run\n"
    error = refused(capsys, subcommand, "--run_dir", run, "--ckpt_path", "nowhere.ckpt")
    assert error == "--ckpt_path 'nowhere.ckpt' is not a file: give one, or `best` or `last` of --run_dir\n"
    (run / "checkpoints" / "best.ckpt").unlink()
    error = refused(capsys, subcommand, "--run_dir", run)
    assert error.startswith(f"run_dir '{run}' has no checkpoints/best.ckpt: give one of ['last.ckpt'] as --ckpt_path")


def test_weights_from_elsewhere_are_tested_without_a_folder(run, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    toy.run("test", "--config", run / "config.yaml", "--ckpt_path", run / "checkpoints" / "last.ckpt")
    assert "test/position_error" in capsys.readouterr().out
    assert names(tmp_path / "empty") == []


# ---- the command line itself


def test_config_of_the_run_comes_first_so_that_arguments_win(tmp_path):
    (tmp_path / "config.yaml").write_text("seed_everything: 1\n")
    config = ["--config", str(tmp_path / "config.yaml")]
    given = ["--run_dir", str(tmp_path), "--data.noise", "1"]
    assert with_run_config(["test", *given]) == ["test", *config, *given]
    assert with_run_config(["test", f"--run_dir={tmp_path}"]) == ["test", *config, f"--run_dir={tmp_path}"]
    assert with_run_config(["fit", "--resume", *given]) == ["fit", *config, "--resume", *given]
    for untouched in (["fit", *given], ["test", "--help", "--run_dir", "nowhere"], ["test"], ["--help"], []):
        assert with_run_config(untouched) == untouched
    with pytest.raises(RunError, match="does not exist"):
        with_run_config(["test", "--run_dir", "nowhere"])
    assert with_run_config(["test", "--run_dir"]) == ["test", "--run_dir"]  # for the parser to refuse


def test_an_unknown_command_is_told_all_there_are(capsys):
    for argv, start in (
        (["fut"], "error: no command is called 'fut', did you mean fit? There are fit, "),
        ([], "error: no command given: there are "),
    ):
        with pytest.raises(SystemExit) as stop:
            main(argv)
        error = capsys.readouterr().err
        assert stop.value.code == 2 and error.startswith(start) and error.count("\n") == 1
        assert all(name in error for name in ("fit", "test", "predict", "sweep"))


def test_an_unknown_argument_is_the_last_of_three_lines(capsys):
    with pytest.raises(SystemExit) as stop:
        toy.run(*toy.FIT, "--model.slotz", 3)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.endswith("error: unrecognized arguments: --model.slotz 3\n")
    assert error.count("\n") == 3


def test_print_config_and_help_make_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for asked, shown in (("--print_config", "class_path: toy.ToyData"), ("--help", "--checkpoint.monitor")):
        with pytest.raises(SystemExit) as stop:
            toy.run(*toy.FIT, asked)
        assert stop.value.code == 0 and shown in capsys.readouterr().out
    assert names(tmp_path) == []


@pytest.mark.parametrize("asked", [["test"], ["fit", "--resume"]])
def test_a_checkpoint_of_another_model_is_refused(run, capsys, asked):
    """As one of an older version may be."""
    path = run / "checkpoints" / ("best.ckpt" if asked == ["test"] else "last.ckpt")
    saved = torch.load(path, weights_only=False)
    saved["state_dict"]["curve.weight"] = saved["state_dict"].pop("line.weight")
    torch.save(saved, path)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    error = refused(capsys, *asked, "--run_dir", run)
    assert error.startswith(
        f"checkpoint {str(path)!r} does not fit: its weights are of another model than the config's"
    )
    assert "2 of them differ (curve.weight first)" in error
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "toy", *(str(arg) for arg in args)]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def heed_interrupts():
    """In a new process: tests run behind a shell's ``&`` inherit that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stopped_by(number, status, tmp_path):
    """A fit in a process of its own, sent a signal in training: its folder, what it said, and the step it saved."""
    run, log = tmp_path / "run", tmp_path / "log"
    fit = command(*toy.FIT, "--run_dir", run, "--model.seconds", 0.1, "--trainer.max_epochs", 100)
    with (
        log.open("w") as file,
        subprocess.Popen(fit, env=environment(), stdout=file, stderr=file, preexec_fn=heed_interrupts) as process,
    ):
        while not (run / "checkpoints" / "last.ckpt").exists() and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(timeout=120) == status, log.read_text()
    step = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    return run, log.read_text(), step


def test_process_stopped_by_sigterm_has_status_143_and_can_be_resumed(tmp_path):
    run, text, step = stopped_by(signal.SIGTERM, 143, tmp_path)
    assert "stopped by SIGTERM after step" in text
    resume = command("fit", "--resume", "--run_dir", run, "--model.seconds", 0, "--trainer.max_steps", step + 2)
    ended = subprocess.run(resume, env=environment(), capture_output=True, text=True, timeout=120, check=True)
    assert f"trained   {step + 2} steps" in ended.stdout
    assert "UserWarning" not in ended.stderr and "Tip" not in ended.stderr


def test_ctrl_c_ends_after_the_step_and_loses_nothing(tmp_path):
    run, text, step = stopped_by(signal.SIGINT, 130, tmp_path)
    assert "stopping after this batch; Ctrl-C again ends at once" in text and "Traceback" not in text
    assert f"stopped by Ctrl-C after step {step}; continue with: fit --resume --run_dir {run}" in text
    cli = toy.run("fit", "--resume", "--run_dir", run, "--model.seconds", 0, "--trainer.max_steps", step + 2)
    assert len(cli.model.losses) == 2


def test_ctrl_c_before_training_is_no_traceback(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("air_lightning.cli.main", interrupted)
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("air_lightning", run_name="__main__")
    assert stop.value.code == 130 and capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty: expected arguments by name, as the files in configs/ have them"),
        ("[1, 2]", "holds a list: expected arguments by name"),
        ("model:\n\tlr: 1", "is not YAML: while scanning for the next token"),
    ],
)
def test_a_config_without_arguments_is_named(tmp_path, capsys, text, message):
    file = tmp_path / "a ü.yaml"
    file.write_text(text)
    assert refused(capsys, *toy.FIT, "--config", file, "--run_dir", tmp_path / "run").startswith(
        f"--config '{file}' {message}"
    )
    assert names(tmp_path) == ["a ü.yaml"]


@pytest.mark.parametrize("subcommand", ["test", "validate", "fit"])
def test_a_command_with_nothing_to_start_from_says_what_it_needs(capsys, subcommand):
    needed = (
        "--config FILE" if subcommand == "fit" else "--run_dir DIR, the folder of a fit (or --config and --ckpt_path"
    )
    assert refused(capsys, subcommand).startswith(f"{subcommand} needs {needed}")


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, capsys, monkeypatch):
    def denied(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    for given, path in ((["--run_dir", "here"], "here"), ([], "runs/run/")):
        error = refused(capsys, *toy.FIT, *given)
        assert error.startswith(f"run_dir '{path}") and "cannot be written to (Permission denied): name" in error


def test_two_processes_share_one_folder(tmp_path):
    """Lightning starts the second with the same command line; it must not think the folder another's."""
    two = ["--trainer.devices", 2, "--trainer.strategy", "ddp", "--config", "two.yaml"]
    (tmp_path / "two.yaml").write_text("seed_everything: 2\n")
    fit = command(*toy.FIT, *two)
    subprocess.run(fit, cwd=tmp_path, env=environment(), capture_output=True, timeout=180, check=True)
    (run,) = (tmp_path / "runs" / "two").iterdir()
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 8 and len(last["random_state"]["processes"]) == 2


@pytest.mark.skipif(
    importlib.util.find_spec("air_lightning.module") is None or importlib.util.find_spec("datamodules.base") is None,
    reason="the model and the datamodules are not written yet",
)
def test_python_m_air_lightning_shows_its_arguments():
    command = [sys.executable, "-m", "air_lightning", "fit", "--help"]
    shown = subprocess.run(command, cwd=TESTS.parent, env=environment(), capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    assert "--run_dir" in shown.stdout and "--model.renderer" in shown.stdout


def test_data_that_cannot_be_had_is_an_error_before_a_folder_is_made(tmp_path, capsys, monkeypatch):
    def absent(self):
        raise ValueError("the files are not there: put them there")

    monkeypatch.setattr(toy.ToyData, "prepare_data", absent)
    assert refused(capsys, *toy.FIT, "--run_dir", tmp_path / "run") == "the files are not there: put them there\n"
    assert not (tmp_path / "run").exists()
