"""`fit` on the command line, run for real on a tiny module: its folder, resuming, loggers, signals and processes."""

from __future__ import annotations

import csv
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import toy
from cli_for_tests import config, names, refused
from cli_for_tests import run as run
from pytorch_lightning.callbacks import LearningRateMonitor, ProgressBar
from pytorch_lightning.loggers import CSVLogger

from air_lightning.runs import MetricsFile, RunFolder

TESTS = Path(__file__).parent


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


@pytest.mark.parametrize("option", ["barebones=true", "enable_checkpointing=false"])
def test_a_run_that_is_to_keep_nothing_is_refused(run, tmp_path, capsys, option):
    name, value = option.split("=")
    said = f"trainer.{name} {value.title()} is not supported, for a run keeps its metrics, and its best and its last"
    assert refused(capsys, *toy.FIT, "--run_dir", tmp_path / "new", f"--trainer.{option}").startswith(said)
    assert not (tmp_path / "new").exists()
    assert refused(capsys, "test", "--run_dir", run, f"--trainer.{option}").startswith(said)


def test_second_process_takes_the_folder_of_the_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("air_lightning.parallel.rank", lambda: 1)
    error = refused(capsys, *toy.FIT)
    assert error == "several processes started from outside need --run_dir DIR, one folder for all of them\n"
    monkeypatch.setenv("AIR_LIGHTNING_RUN_DIR", str(tmp_path / "first"))
    cli = toy.fit("--trainer.fast_dev_run", "true")
    assert cli.run_dir == tmp_path / "first" and cli.folder is None
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "left",
    [
        {"NODE_RANK": "1"},
        {"GROUP_RANK": "1"},
        {"LOCAL_RANK": "1", "RANK": "1", "WORLD_SIZE": "1"},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "sweep"},  # the shell of a job of four tasks
    ],
)
def test_one_process_is_the_first_whatever_a_launch_before_has_left(tmp_path, monkeypatch, left):
    monkeypatch.chdir(tmp_path)
    for name in ("NODE_RANK", "GROUP_RANK", "LOCAL_RANK", "RANK", "SLURM_JOB_NAME"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("pytorch_lightning.utilities.rank_zero_only.rank", int(left.get("LOCAL_RANK", 0)))
    toy.fit()
    (folder,) = Path("runs/run").iterdir()
    assert names(folder) == ["checkpoints", "config.yaml", "metrics.csv"]


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path, capsys, monkeypatch):
    def denied(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    for given, path in ((["--run_dir", "here"], "here"), ([], "runs/run/")):
        error = refused(capsys, *toy.FIT, *given)
        assert error.startswith(f"run_dir '{path}") and "cannot be written to (Permission denied): name" in error


@pytest.mark.parametrize("precision", ["16-true", "bf16-true"])
def test_half_precision_throughout_is_refused_before_a_folder_is_made(tmp_path, capsys, precision):
    error = refused(capsys, *toy.FIT, "--run_dir", tmp_path / "run", "--trainer.precision", precision)
    assert error.startswith(
        f"trainer.precision '{precision}' is not supported, scenes and evidence need 32 bits: choose"
    )
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_had_is_an_error_before_a_folder_is_made(tmp_path, capsys, monkeypatch):
    def absent(self):
        raise ValueError("the files are not there: put them there")

    monkeypatch.setattr(toy.ToyData, "prepare_data", absent)
    assert refused(capsys, *toy.FIT, "--run_dir", tmp_path / "run") == "the files are not there: put them there\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [RuntimeError("singular"), ZeroDivisionError("by 0"), KeyboardInterrupt()])
def test_a_fit_that_fails_before_its_first_step_leaves_no_folder(tmp_path, monkeypatch, error):
    def fails(self):
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(toy.ToyModule, "on_fit_start", fails, raising=False)
        with pytest.raises((type(error), SystemExit)):
            toy.fit("--run_dir", tmp_path / "run")
        assert not (tmp_path / "run").exists()
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "mine.txt").write_text("notes")
        with pytest.raises((type(error), SystemExit)):
            toy.fit("--run_dir", tmp_path / "run")
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]
    toy.fit("--run_dir", tmp_path / "run", "--trainer.max_epochs", 1)
    assert names(tmp_path / "run") == ["checkpoints", "config.yaml", "metrics.csv", "mine.txt"]


def test_a_resumed_fit_that_fails_before_it_starts_leaves_the_run(run, monkeypatch):
    def fails(self):
        raise RuntimeError("singular")

    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with monkeypatch.context() as broken:
        broken.setattr(toy.ToyModule, "on_fit_start", fails, raising=False)
        with pytest.raises(RuntimeError, match="singular"):
            toy.run("fit", "--resume", "--run_dir", run)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_sigterm_before_the_first_step_leaves_no_folder(tmp_path, capsys):
    given = ["--run_dir", tmp_path / "run", "--model.sigterm_at", "val 0"]
    with pytest.raises(SystemExit) as stop:
        toy.fit(*given)
    assert stop.value.code == 143 and not (tmp_path / "run").exists()
    assert "stopped by SIGTERM before the first step; nothing was written" in capsys.readouterr().err


@pytest.mark.parametrize("given", [True, False])
def test_a_progress_bar_of_the_user_takes_our_own_ones_place(tmp_path, given):
    own = ["--trainer.callbacks+=TQDMProgressBar"] if given else []
    cli = toy.fit("--run_dir", tmp_path / "run", "--trainer.enable_progress_bar", "true", *own)
    bars = [type(callback).__name__ for callback in cli.trainer.callbacks if isinstance(callback, ProgressBar)]
    assert bars == ["TQDMProgressBar" if given else "Progress"]


def test_a_run_without_a_name_is_none(tmp_path, monkeypatch, capsys):
    """As `--run_dir $DIR` gives it where DIR is not set."""
    monkeypatch.chdir(tmp_path)
    said = "--run_dir must name a folder, got '': give one, or leave the option out\n"
    assert refused(capsys, *toy.FIT, "--run_dir", "") == said
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


@pytest.mark.parametrize("end", [(), ("--trainer.max_steps", 16)])
def test_resume_of_a_finished_run_with_other_arguments_says_that_they_do_not_hold(run, capsys, end):
    before = (run / "config.yaml").read_text()
    toy.run("fit", "--resume", "--run_dir", run, "--model.lr", 0.2, *end)
    assert "note: no step was left to train, so config.yaml is as it was before" in capsys.readouterr().err
    assert (run / "config.yaml").read_text() == before
    assert names(run) == ["checkpoints", "config.yaml", "metrics.csv"]


def test_resume_with_other_data_says_what_the_best_was_measured_with(run, capsys):
    toy.run("fit", "--resume", "--run_dir", run, "--trainer.max_epochs", 3, "--model.lr", 0.2)
    assert "was measured" not in capsys.readouterr().err
    more = ("--trainer.max_epochs", 4, "--data.noise", 0.3, "--model.seconds", 0.001)
    toy.run("fit", "--resume", "--run_dir", run, *more)
    best = run / "checkpoints" / "best.ckpt"
    assert of_others(best, "model.seconds, data.init_args.noise") in capsys.readouterr().err


def of_others(best: Path, names: str) -> str:
    """What is said of a best checkpoint that was measured with other arguments."""
    return (
        f"note: {best} was measured with another {names}, and stays until a validation is better: "
        "remove it where the two cannot be compared\n"
    )


@pytest.mark.parametrize("old", [False, True])
def test_the_best_is_said_to_be_of_other_data_as_long_as_it_is(run, capsys, old):
    """By the checkpoint itself, or of one of an older version by the configs that are kept."""
    best = run / "checkpoints" / "best.ckpt"
    if old:
        content = torch.load(best, weights_only=True)
        del content["arguments"]
        torch.save(content, best)
    said = of_others(best, "data.init_args.noise")
    for epochs, more, of_other in (
        (3, ("--data.noise", 0.9), True),
        (4, (), True),  # nothing has changed since, and the best is still that of the first data
        (5, ("--model.lr", 0.2), True),
        (6, ("--data.noise", 0), False),  # its own data again
    ):
        before = best.read_bytes()
        toy.run("fit", "--resume", "--run_dir", run, "--trainer.max_epochs", epochs, *more)
        assert (said in capsys.readouterr().err) == of_other
        assert best.read_bytes() == before or not of_other, "the best must stay, or the test says nothing"


def test_a_best_of_the_data_in_force_is_no_longer_of_others(run, capsys):
    toy.run("fit", "--resume", "--run_dir", run, "--trainer.max_epochs", 3, "--data.noise", 0.3)
    (run / "checkpoints" / "best.ckpt").unlink()
    toy.run("fit", "--resume", "--run_dir", run, "--trainer.max_epochs", 4)
    capsys.readouterr()
    toy.run("fit", "--resume", "--run_dir", run, "--trainer.max_epochs", 5)
    assert "was measured" not in capsys.readouterr().err


def test_a_best_later_than_the_step_resumed_from_is_of_the_data_before(tmp_path, capsys):
    """From an earlier checkpoint other data is trained on, and the best, of a later step, stays."""
    run, early = tmp_path / "run", tmp_path / "early.ckpt"
    toy.fit("--run_dir", run, "--trainer.max_epochs", 1)
    (run / "checkpoints" / "last.ckpt").rename(early)
    toy.run("fit", "--resume", "--run_dir", run, "--trainer.max_epochs", 4, "--ckpt_path", early)
    more = ("--ckpt_path", early, "--trainer.max_epochs", 2, "--data.noise", 0.9)
    for given in (more, ("--trainer.max_epochs", 3)):
        capsys.readouterr()
        toy.run("fit", "--resume", "--run_dir", run, *given)
        assert of_others(run / "checkpoints" / "best.ckpt", "data.init_args.noise") in capsys.readouterr().err


def test_a_damaged_best_is_named_before_a_resumed_run_goes_on(run, capsys):
    best, before = run / "checkpoints" / "best.ckpt", (run / "config.yaml").read_bytes()
    best.write_bytes(b"damaged")
    error = refused(capsys, "fit", "--resume", "--run_dir", run, "--trainer.max_epochs", 3)
    assert error == f"checkpoint {str(best)!r} cannot be read: remove it, and the next validation writes another\n"
    assert (run / "config.yaml").read_bytes() == before


def test_resume_to_fewer_steps_than_were_trained_is_refused(run, capsys):
    before = (run / "config.yaml").read_text()
    error = refused(capsys, "fit", "--resume", "--run_dir", run, "--trainer.max_steps", 10)
    last = run / "checkpoints" / "last.ckpt"
    assert error == (
        f"trainer.max_steps 10 is less than the 16 steps that {str(last)!r} has been trained for: give "
        "--trainer.max_steps more than 16, or an earlier checkpoint as --ckpt_path\n"
    )
    assert (run / "config.yaml").read_text() == before
    toy.run("fit", "--resume", "--run_dir", run, "--trainer.max_steps", 16)  # what is done, is done


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


@pytest.mark.filterwarnings("ignore")  # Lightning's own, of schedules that go by steps
def test_a_default_that_yaml_has_no_words_for_is_left_to_the_callback(tmp_path):
    """The device of StochasticWeightAveraging, whose text made the run's config useless."""
    average = ["--trainer.callbacks=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01"]
    toy.fit("--run_dir", tmp_path / "run", *average)
    (saved,) = config(tmp_path / "run")["trainer"]["callbacks"]
    assert saved["init_args"]["swa_lrs"] == 0.01 and "device" not in saved["init_args"]
    assert (tmp_path / "run" / "config.yaml").read_text().startswith("# air-lightning==")
    cli = toy.run("fit", "--resume", "--run_dir", tmp_path / "run", "--trainer.max_epochs=3")
    assert cli.trainer.current_epoch == 3
    toy.run("test", "--run_dir", tmp_path / "run")


# ---- fit: signals and processes


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
    assert "trained   2 steps, " in ended.stdout and f"in this session, {step + 2} steps in all\n" in ended.stdout
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


def test_two_processes_share_one_folder(tmp_path):
    """Lightning starts the second with the same command line; it must not think the folder another's."""
    two = ["--trainer.devices", 2, "--trainer.strategy", "ddp", "--config", "two.yaml"]
    (tmp_path / "two.yaml").write_text("seed_everything: 2\n")
    fit = command(*toy.FIT, *two)
    subprocess.run(fit, cwd=tmp_path, env=environment(), capture_output=True, timeout=180, check=True)
    (run,) = (tmp_path / "runs" / "two").iterdir()
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 8 and len(last["random_state"]["processes"]) == 2


def test_python_m_air_lightning_shows_its_arguments():
    command = [sys.executable, "-m", "air_lightning", "fit", "--help"]
    shown = subprocess.run(command, cwd=TESTS.parent, env=environment(), capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    assert "--run_dir" in shown.stdout and "--model.renderer" in shown.stdout
