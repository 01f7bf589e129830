"""The command line, run for real on a tiny module: what it refuses, `test` and `validate`, configs and help."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys

import pytest
import torch
import toy
import yaml
from cli_for_tests import config, names, refused
from cli_for_tests import run as run

from air_lightning.cli import by_count, main
from air_lightning.cli.arguments import with_run_config
from air_lightning.cli.commands import COMMANDS, SUBCOMMANDS
from air_lightning.runs import RunError

MAY_BE_NULL = {
    "color": [0.2, 1.0],
    "yaw": 0.5,
    "scene": {"camera_azimuth": [-0.3, 0.3]},
    "units": "cm",
    "light.diffuse": 0.3,
    "light.distance": 6.0,
    "light.shadow": {"strength": 0.5, "softness": 10.0, "samples": 4},
    "camera.intrinsics": {"fx": 60.0, "fy": 60.0, "cx": 32.0, "cy": 32.0, "image_size": [64, 64]},
    "camera.extrinsics": {"rotation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], "translation": [0.0, 0.0, 4.0]},
}
"""Of a renderer's arguments those that may be null, alone and within others, each with a value."""

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


def test_a_checkpoint_of_before_a_resumption_is_known_to_be_trained_with_other_arguments(run, capsys):
    first = shutil.copy(run / "checkpoints" / "last.ckpt", run / "checkpoints" / "first.ckpt")
    toy.run("fit", "--resume", "--run_dir", run, "--trainer.max_epochs", 3, "--model.lr", 0.2)
    toy.run("fit", "--resume", "--run_dir", run, "--trainer.max_epochs", 4, "--model.lr", 0.3)
    capsys.readouterr()
    for checkpoint, other in ((first, True), ("last", False)):
        toy.run("test", "--run_dir", run, "--ckpt_path", checkpoint)
        note = "first.ckpt was trained with other arguments; now in force: model.lr 0.3\n"
        assert (note in capsys.readouterr().err) == other
    toy.run("test", "--run_dir", run, "--ckpt_path", first, "--model.lr", 0.1)
    assert "other arguments" not in capsys.readouterr().err


def test_weights_alone_are_not_resumed(run, tmp_path, capsys):
    last, best = (run / "checkpoints" / f"{name}.ckpt" for name in ("last", "best"))
    saved = torch.load(best, weights_only=True)
    torch.save({name: saved[name] for name in ("state_dict", "epoch", "global_step")}, best)
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    expected = (
        f"checkpoint '{best}' holds weights only and cannot be resumed: `fit --start_from {best}` begins a new run "
        "with them\n"
    )
    again = ("fit", "--resume", "--run_dir", run)
    assert refused(capsys, *again, "--ckpt_path", "best", "--model.lr", 0.2) == expected
    assert refused(capsys, *toy.FIT, "--run_dir", tmp_path / "new", "--ckpt_path", best) == expected
    other = last.rename(last.with_name("other.ckpt"))
    error = f"run_dir '{run}' has no checkpoints/last.ckpt: give one of ['other.ckpt'] as --ckpt_path\n"
    assert refused(capsys, *again) == error
    other.unlink()
    assert refused(capsys, *again) == expected
    left = {file for file in before if file != last}
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == {f: before[f] for f in left}
    assert not (tmp_path / "new").exists()


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


def test_figures_by_count_are_printed_where_counts_differ(capsys):
    rows = [
        {"count": 0, "scenes": 9, "count_accuracy": 1.0, "box_ap50": float("nan")},
        {"count": 10, "scenes": 120, "count_accuracy": 0.5, "box_ap50": 0.25},
    ]
    by_count.show(rows)
    assert capsys.readouterr().out.splitlines() == [
        "count  scenes  count_accuracy  box_ap50",
        "    0       9          1.0000         -",
        "   10     120          0.5000    0.2500",
    ]
    by_count.show(rows[:1])
    assert capsys.readouterr().out == ""


def test_overrides_win_and_are_recorded(run):
    toy.run("test", "--run_dir", run)
    plain = json.loads((run / "test_metrics.json").read_text())
    cli = toy.run("test", "--run_dir", run, "--data.noise", 0.5, "--trainer.limit_test_batches", 2)
    record = json.loads((run / "test_metrics.json").read_text())
    assert cli.datamodule.noise == 0.5
    assert record["overrides"] == {"trainer.limit_test_batches": 2, "data.init_args.noise": 0.5}
    assert record["scenes"] == 8 and record["metrics"] != plain["metrics"]
    assert config(run)["data"]["init_args"]["noise"] == 0.0


def test_what_the_config_of_an_earlier_version_lacks_is_overridden_only_where_it_is_not_its_default(tmp_path, capsys):
    folder = tmp_path / "run"
    toy.fit("--run_dir", folder, "--trainer.max_steps", 2, "--model.bias", "toy.Bias")
    saved = config(folder)
    del saved["model"]["bias"]["init_args"]["value"], saved["data"]["init_args"]["noise"], saved["model"]["lr"]
    (folder / "config.yaml").write_text(yaml.safe_dump(saved))
    capsys.readouterr()
    toy.run("test", "--run_dir", folder, "--data.size", 8)
    record = json.loads((folder / "test_metrics.json").read_text())
    assert record["overrides"] == {"data.init_args.size": 8}
    assert "other arguments" not in capsys.readouterr().err
    toy.run("test", "--run_dir", folder, "--data.noise", 0.5, "--model.bias.value", 0.25)
    record = json.loads((folder / "test_metrics.json").read_text())
    assert record["overrides"] == {"model.bias.init_args.value": 0.25, "data.init_args.noise": 0.5}
    assert "other arguments; now in force: model.bias.init_args.value 0.25\n" in capsys.readouterr().err


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


@pytest.mark.parametrize("start", ["fit --config", "test --run_dir"])
@pytest.mark.parametrize("by", ["options", "another config"])
def test_null_takes_back_what_a_config_says(tmp_path, capsys, start, by):
    """What a renderer's arguments are is shown before it is made, and so need not go together."""
    for name, arguments in (("config", MAY_BE_NULL), ("nulls", dict.fromkeys(MAY_BE_NULL))):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"model": {"renderer": mesh_renderer(arguments)}}))
    options = [word for name in MAY_BE_NULL for word in (f"--model.renderer.{name}", "null")]
    given = [*start.split(), str(tmp_path / "config.yaml" if "--config" in start else tmp_path)]
    before = shown_renderer(capsys, *given)
    after = shown_renderer(
        capsys, *given, *(options if by == "options" else ["--config", str(tmp_path / "nulls.yaml")])
    )
    for name, value in MAY_BE_NULL.items():
        outer, _, inner = name.rpartition(".")
        was, now = (arguments[outer] if outer else arguments for arguments in (before, after))
        assert (name, was[inner], now[inner]) == (name, value | was[inner] if isinstance(value, dict) else value, None)


def test_a_dataclass_is_given_by_its_arguments_or_null(capsys):
    """Python's own word for null is none of either."""
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--model.renderer", "MeshRenderer", "--model.renderer.light.shadow", "None"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith("error: model.renderer.light.shadow: ") and error.count("\n") == 1
    assert "Shadow is given by its arguments, any of strength, softness, samples; where it may be null" in error


def mesh_renderer(arguments):
    """A config's, from arguments by dotted names."""
    init_args = {}
    for name, value in arguments.items():
        outer, _, inner = name.rpartition(".")
        (init_args.setdefault(outer, {}) if outer else init_args)[inner] = value
    return {"class_path": "renderers.MeshRenderer", "init_args": init_args}


def shown_renderer(capsys, *argv):
    """The arguments of the renderer, as `--print_config` shows them."""
    with pytest.raises(SystemExit) as stop:
        main([*argv, "--print_config"])
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    return yaml.safe_load(out)["model"]["renderer"]["init_args"]


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


@pytest.mark.parametrize(
    "given, meant",
    [
        (["--model.biaz", "3"], ", did you mean --model.bias?"),
        (["--modle.bias=3"], ", did you mean --model.bias?"),
        (["--max_steps", "3"], ", did you mean --trainer.max_steps?"),  # its name's end
        (["--model.nothing", "3"], ""),
        (["--model.slotz", "3"], ""),
        (["--name", "3"], ""),  # the end of several
    ],
)
def test_an_unknown_argument_is_the_last_of_three_lines(given, meant, capsys):
    with pytest.raises(SystemExit) as stop:
        toy.run(*toy.FIT, *given)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.endswith(f"error: unrecognized arguments: {' '.join(given)}{meant}\n")
    assert error.count("\n") == 3


def test_an_unknown_key_of_a_config_is_named_with_the_one_that_is_near(tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text("model:\n  biaz: 3\n")
    with pytest.raises(SystemExit) as stop:
        toy.run(*toy.FIT, "--config", config)
    assert stop.value.code == 2
    expected = "error: Subcommand 'fit' does not accept option 'model.biaz', did you mean model.bias?\n"
    assert capsys.readouterr().err.endswith(expected)


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


def test_help_is_quick_and_names_every_command():
    """Without torch, which takes seconds to import."""
    code = (
        "import sys; from air_lightning.cli import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0 and shown.stdout.endswith("False\n") and not shown.stderr
    assert all(name in shown.stdout for name in (*SUBCOMMANDS, *COMMANDS))
