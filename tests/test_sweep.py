"""Sweeps: the file, its parameters, and the sweep on this machine."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import tiny_digits
import yaml

from air_lightning.cli import main
from air_lightning.commands.sweep import Choice, Halving, Metric, Range, load
from air_lightning.commands.sweep.command import check_goal, run_count
from air_lightning.commands.sweep.fits import environment
from air_lightning.commands.sweep.parameters import grid, nth, read, size
from air_lightning.commands.sweep.shares import Shaped, Weighted
from air_lightning.runs.curves import curve

TESTS = Path(__file__).parent
ROOT = TESTS.parent
FAKE = ["${env}", "${interpreter}", "${program}", "fit", "${args}"]
SWEEP: dict[str, Any] = {
    "program": str(TESTS / "fake_fit.py"),
    "method": "grid",
    "metric": {"name": "val/score", "goal": "maximize"},
    "parameters": {"x": {"values": [0.25, 1.0, 0.5]}},
    "command": FAKE,
}


def write(folder: Path, **changes: Any) -> Path:
    """A sweep file; what is changed to None is left out."""
    content = {key: value for key, value in (SWEEP | changes).items() if value is not None}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


# ---- parameters


@pytest.mark.parametrize(
    "settings, parameter",
    [
        ({"value": 3}, Choice((3,))),
        ({"values": [1, "two", [3]]}, Choice((1, "two", [3]))),
        ({"distribution": "categorical", "values": [True]}, Choice((True,))),
        ({"min": 1, "max": 4}, Range(1, 4, integer=True)),
        ({"min": 1.0, "max": 4}, Range(1.0, 4)),
        ({"min": 1, "max": 4, "distribution": "uniform"}, Range(1, 4)),
        ({"min": 1e-3, "max": 1.0, "distribution": "log_uniform_values"}, Range(1e-3, 1.0, log=True)),
        ({"min": 0, "max": 9, "distribution": "q_uniform"}, Range(0, 9, quantum=1)),
        ({"min": 0, "max": 9, "q": 0.5, "distribution": "q_uniform"}, Range(0, 9, quantum=0.5)),
        ({"min": -5, "max": 0, "distribution": "log_uniform"}, Range(-5, 0, exponent=True)),
        ({"min": 1, "max": 5, "distribution": "inv_log_uniform"}, Range(-5, -1, exponent=True)),
        ({"min": 1e-3, "max": 1.0, "distribution": "inv_log_uniform_values"}, Range(1e-3, 1.0, log=True)),
        ({"distribution": "normal"}, Shaped("normal", 0, 1)),
        ({"mu": 1, "sigma": 2, "distribution": "q_normal"}, Shaped("normal", 1, 2, 1)),
        ({"sigma": 0.5, "distribution": "log_normal"}, Shaped("log_normal", 0, 0.5)),
        ({"a": 2, "b": 3, "q": 0.1, "distribution": "q_beta"}, Shaped("beta", 2, 3, 0.1)),
        ({"values": [1, "b"], "probabilities": [0.25, 0.75]}, Weighted((1, "b"), (0.25, 0.75))),
    ],
)
def test_kinds_of_parameters_are_wandbs(settings: dict[str, Any], parameter: Choice | Range) -> None:
    assert read("a.b", settings) == parameter


@pytest.mark.parametrize(
    "settings, message",
    [
        (3, r"parameter 'a.b' must be a mapping such as \{values: \[1, 2\]\}, got 3"),
        ({"min": 1}, r"parameter 'a.b' needs `value`, `values`, or `min` and `max`, got \{'min': 1\}"),
        ({"distribution": "gamma"}, "parameter 'a.b' has the distribution 'gamma': known here are constant, categ"),
        ({"distribution": "normal", "min": 1}, "parameter 'a.b': normal knows no min: known are mu, sigma"),
        ({"distribution": "normal", "sigma": 0}, "parameter 'a.b': sigma must be positive, got 0"),
        ({"distribution": "beta", "a": "2"}, "parameter 'a.b': a must be a number .*, got '2'"),
        ({"min": -800, "max": 0, "distribution": "inv_log_uniform"}, "min of inv_log_uniform is a logarithm, and e to"),
        ({"values": [1, 2], "probabilities": [0.5, 0.4]}, "probabilities must be 2 numbers >= 0 that add up to 1, one"),
        ({"value": {"c": [None]}}, "parameter 'a.b' has the value null, which `wandb agent` cannot pass on: leave it"),
        ({"values": []}, "parameter 'a.b' must have a list of values, not empty, got "),
        ({"values": [1, None]}, "parameter 'a.b' has the value null, which `wandb agent` cannot pass on: leave it out"),
        ({"value": 1, "probabilities": [1.0]}, "parameter 'a.b': categorical_w_probabilities needs values, got"),
        ({"min": 2, "max": 1}, "parameter 'a.b': min must be below max, got 2 and 1"),
        ({"min": "1e-3", "max": 1}, "parameter 'a.b': min must be a number .*, got '1e-3'"),
        ({"min": 1.5, "max": 2, "distribution": "int_uniform"}, "min must be a whole number, got 1.5"),
        ({"min": 1, "max": 2, "q": 0, "distribution": "q_uniform"}, "q must be positive, got 0"),
        ({"min": 0, "max": 2, "distribution": "log_uniform_values"}, "log_uniform_values needs a positive min, got 0"),
        ({"min": 0.0, "max": math.inf}, "parameter 'a.b': min and max must be finite, got 0.0 and inf"),
        ({"min": 0, "max": 5000, "distribution": "log_uniform"}, "max of log_uniform is a logarithm, and e to 5000 is"),
        ({"values": [date(2020, 1, 1)]}, "parameter 'a.b' has a value that is no number nor text, write it in quotes"),
        ({"max": 2, "distribution": "uniform"}, r"uniform needs min, got \{'max': 2, 'distribution': 'uniform'\}"),
    ],
)
def test_wrong_parameters(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read("a.b", settings)


def test_values_are_rounded_and_exponentiated() -> None:
    assert Range(0, 9, quantum=50).value(274.0) == 250 and isinstance(Range(0, 9, quantum=50).value(274.0), int)
    assert Range(0, 1, quantum=0.1).value(0.31) == 0.3
    assert Range(-5, 0, exponent=True).value(-2.0) == math.exp(-2.0)


def test_shares_of_distributions_are_wandbs() -> None:
    """As W&B's own package `sweeps` 0.3.0 computes them."""
    assert Shaped("normal", 1, 2).value(0.9) == pytest.approx(3.5631031310892007)
    assert Shaped("normal", 1, 2, quantum=1).value(0.9) == 4
    assert Shaped("log_normal", 0.5, 2).value(0.1) == pytest.approx(0.12705907653820686)
    assert Shaped("beta", 2, 3).value(0.3) == pytest.approx(0.27238394207510536)
    assert Shaped("beta", 2, 3, quantum=0.1).value(0.3) == 0.3
    choice = Weighted(("a", "b", "c"), (0.2, 0.0, 0.8))
    assert [choice.value(share) for share in (0.0, 0.19, 0.21, 1.0)] == ["a", "a", "c", "c"]


def test_grid_goes_through_every_combination_once() -> None:
    choices = grid({"a": Choice(("x", "y")), "b": Range(1, 3, integer=True), "c": Range(0.0, 0.2, quantum=0.1)})
    combinations = [tuple(nth(choices, n).values()) for n in range(size(choices))]
    assert len(set(combinations)) == 18 == len(combinations)
    assert combinations[:4] == [("x", 1, 0.0), ("x", 1, 0.1), ("x", 1, 0.2), ("x", 2, 0.0)]
    with pytest.raises(ValueError, match="parameter 'a' has no end of values, and method grid goes through all"):
        grid({"a": Range(0.0, 1.0)})
    with pytest.raises(ValueError, match="parameter 'a' has no end of values"):
        grid({"a": Shaped("normal", 0, 1)})
    with pytest.raises(ValueError, match="parameter 'a' has probabilities, which method grid has no use for: leave"):
        grid({"a": Weighted((1, 2), (0.5, 0.5))})
    with pytest.raises(ValueError, match="parameter 'a' has more than 10000 values"):
        grid({"a": Range(1, 10**12, integer=True)})
    with pytest.raises(ValueError, match="parameter 'a' has the value 1 twice, and method grid would run it twice"):
        grid({"a": Choice((1, "1", 1.0, True, 1))})


# ---- the file


def test_file_is_read(tmp_path: Path) -> None:
    sweep = load(write(tmp_path, early_terminate={"type": "hyperband", "min_iter": 2}, run_cap=7, name="mine"))
    assert (sweep.method, sweep.metric, sweep.run_cap) == ("grid", Metric("val/score", "maximize"), 7)
    assert sweep.early == Halving(2, 3) and sweep.parameters == {"x": Choice((0.25, 1.0, 0.5))}
    command = sweep.argv("python", {"x": 1e-05, "flag": True}, ["--more", "1"])
    assert command == ["python", SWEEP["program"], "fit", "--more", "1", "--x=1e-05", "--flag=True"]
    assert sweep.argv("python", {"model": {"a": [True, "it's"]}})[-1] == '--model={"a": [true, "it\'s"]}'
    other = load(write(tmp_path, early_terminate={"type": "hyperband", "max_iter": 27, "s": 2, "eta": 3}))
    assert other.early == Halving(3, 3)


def test_nested_parameters_are_arguments_by_dotted_name(tmp_path: Path) -> None:
    nested = {"model": {"parameters": {"lr": {"value": 1}, "count": {"parameters": {"power": {"min": 1, "max": 2}}}}}}
    assert load(write(tmp_path, parameters=nested, method="random")).parameters == {
        "model.lr": Choice((1,)),
        "model.count.power": Range(1, 2, integer=True),
    }


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"controller": {}}, "unknown key 'controller': known are method, metric"),
        ({"method": "guess"}, "method must be one of grid, random, bayes, got 'guess'"),
        ({"metric": {"goal": "maximize"}}, "metric must have a name and a goal"),
        ({"metric": {"name": "a", "impute": "best"}}, "metric knows no 'impute': known are name, goal, target"),
        ({"metric": {"name": "a", "target": "high"}}, "metric.target must be a number .*, got 'high'"),
        ({"parameters": {"x": {"parameters": {}}}}, "parameter 'x' must have `parameters` by name and no other key"),
        (
            {"parameters": {"x": {"parameters": {"y": {"value": 1}}}, "x.y": {"value": 2}}},
            "parameter 'x.y' comes twice",
        ),
        ({"metric": {"name": "a", "goal": "up"}}, "metric.goal must be one of minimize, maximize, got 'up'"),
        ({"parameters": {}}, "parameters must be a mapping of dotted names"),
        ({"command": None}, r"command must be a list that ends in \$\{args\}, got None"),
        ({"command": ["${args}", "fit"]}, r"command must have \$\{args\} as its last item, got"),
        ({"command": ["${args_json}", "fit", "${args}"]}, r"command has '\$\{args_json\}': known are"),
        ({"command": ["train", "${args}"]}, "command must run `fit`, got"),
        ({"program": None}, r"command has \$\{program\}, but there is no program: give program: air_lightning"),
        ({"early_terminate": {"type": "median"}}, "early_terminate must be of type hyperband, got"),
        ({"early_terminate": {"type": "hyperband"}}, "early_terminate needs min_iter, or max_iter and s, got"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 0}}, "min_iter must be a whole number of at least 1"),
        ({"early_terminate": {"type": "hyperband", "x": 1}}, "early_terminate knows no 'x'"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "strict": True}}, "strict must be false, got True"),
        ({"run_cap": 0}, "run_cap must be a whole number of at least 1, got 0"),
        ({"parameters": {"x": {"min": 0.0, "max": 1.0}}}, "parameter 'x' has no end of values"),
        ({"parameters": {"--x": {"value": 1}}}, "parameter '--x' is no dotted name of an argument"),
        ({"parameters": {"run_dir": {"value": "here"}}}, "parameter 'run_dir' is not yours to give"),
    ],
)
def test_wrong_file_ends_with_status_2(
    changes: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        load(path)
    assert f"error: sweep file {str(path)!r}: " in refused(capsys, path, "--local", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_parameter_given_twice_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace("parameters:\n", "parameters:\n  x:\n    value: 3\n"))
    assert "'x' comes twice" in refused(capsys, path, "--local", "--out", tmp_path / "out")


def test_without_local_it_says_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    main(["sweep", str(path)])
    said = capsys.readouterr().out
    assert f"wandb sweep {path}" in said and f"python -m air_lightning sweep {path} --local" in said
    for more in (["--jobs", 2], ["--no_wait"]):
        assert "arguments after -- are for sweeps on this machine: add --local" in refused(capsys, path, *more)
    assert "sweep file 'nowhere.yaml' does not exist" in refused(capsys, "nowhere.yaml")


@pytest.mark.parametrize(
    "metric, right",
    [({"name": "val/elbo"}, "max"), ({"name": "val/position_error", "goal": "maximize"}, "min")],
)
def test_the_worst_of_a_known_figure_is_not_searched_for(
    metric: dict[str, str], right: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, metric=metric)
    said = refused(capsys, path, "--local", "--out", tmp_path / "out")
    assert f"metric.name {metric['name']!r} is better the " in said and said.endswith(f"give goal: {right}imize\n")
    assert "searches for the worst" in refused(capsys, path), "nor by W&B"
    assert not (tmp_path / "out").exists()
    check_goal(load(write(tmp_path, metric=metric | {"goal": f"{right}imize"})))


def test_number_of_runs(tmp_path: Path) -> None:
    assert [run_count(load(write(tmp_path)), count) for count in (None, 2, 9)] == [3, 2, 3]
    endless = load(write(tmp_path, method="random"))
    assert run_count(endless, 5) == 5
    with pytest.raises(ValueError, match="method random has no end: give --count N, or run_cap in the file"):
        run_count(endless, None)


# ---- what a fit says


def test_threads_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert "OMP_NUM_THREADS" not in environment(1) and environment(3)["OMP_NUM_THREADS"] == "2"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environment(3)["OMP_NUM_THREADS"] == "5"


# ---- on this machine


@pytest.fixture
def optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna", reason="sweeps on this machine need Optuna")
    monkeypatch.setattr("air_lightning.commands.sweep.local.POLL", 0.02)


def sweep(path: Path, out: Path, *more: object) -> list[dict[str, Any]]:
    """Run it; the runs as `results.json` has them."""
    main(["sweep", str(path), "--local", "--out", str(out), *map(str, more)])
    return results(out)


def results(out: Path) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads((out / "results.json").read_text())["runs"]
    return runs


def refused(capsys: pytest.CaptureFixture[str], *args: object, status: int = 2) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["sweep", *map(str, args)])
    assert stop.value.code == status
    return capsys.readouterr().err


@pytest.mark.usefixtures("optuna")
def test_grid_runs_and_lists_the_best_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = sweep(write(tmp_path), tmp_path / "out", "--jobs", 2)
    assert [(r["run"], r["state"], r["value"], r["step"], r["values"]) for r in runs] == [
        (2, "finished", 1.0, 30, {"x": 1.0}),
        (3, "finished", 0.5, 30, {"x": 0.5}),
        (1, "finished", 0.25, 30, {"x": 0.25}),
    ]
    lines = capsys.readouterr().out.splitlines()
    assert "run 1 of 3: x=0.25" in lines and "run 2 finished, val/score 1" in lines
    assert lines[-5].split() == ["run", "val/score", "step", "state", "x"] and lines[-4].split()[0] == "2"
    with (tmp_path / "out" / "results.csv").open(newline="") as file:
        assert [row["x"] for row in csv.DictReader(file)] == ["1.0", "0.5", "0.25"]
    assert (tmp_path / "out" / "001" / "metrics.csv").is_file()


@pytest.mark.usefixtures("optuna")
def test_shipped_file_runs_here_without_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command has --wandb, for `wandb agent`."""
    (tmp_path / "sitecustomize.py").write_text('import sys\nsys.modules["wandb"] = None  # as if not installed\n')
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    monkeypatch.setenv("AIR_DATA_ROOT", str(tiny_digits.write(tmp_path / "data")))
    monkeypatch.chdir(ROOT)
    small = ["--trainer.max_steps=2", "--trainer.val_check_interval=1", "--figures.every_minutes=0"]
    small += ["--data.batch_size=2", "--data.val_scenes=4"]
    runs = sweep(ROOT / "configs" / "sweeps" / "multi_mnist.yaml", tmp_path / "out", "--count", 1, "--", *small)
    assert [(r["run"], r["state"], r["error"]) for r in runs] == [(1, "finished", "")]
    assert math.isfinite(runs[0]["value"]) and not (tmp_path / "out" / "001" / "wandb").exists()


@pytest.mark.usefixtures("optuna")
def test_finished_runs_are_not_repeated_and_more_can_be_had(tmp_path: Path) -> None:
    path, out = write(tmp_path), tmp_path / "out"
    sweep(path, out, "--count", 2)
    before = {file: file.stat().st_mtime_ns for file in out.glob("00*/metrics.csv")}
    runs = sweep(path, out)
    assert sorted(r["run"] for r in runs) == [1, 2, 3] and len(before) == 2
    assert before == {file: file.stat().st_mtime_ns for file in before}


@pytest.mark.usefixtures("optuna")
@pytest.mark.parametrize("method", ["random", "bayes"])
def test_drawn_parameters_are_within_their_range_and_all_different(method: str, tmp_path: Path) -> None:
    parameters = {"x": {"min": 0.001, "max": 1.0, "distribution": "log_uniform_values"}, "points": {"min": 1, "max": 4}}
    path, out = write(tmp_path, method=method, parameters=parameters), tmp_path / "out"
    sweep(path, out, "--count", 2, "--jobs", 2)
    runs = sweep(path, out, "--count", 4, "--jobs", 2)  # in two parts
    xs = {r["values"]["x"] for r in runs}
    assert len(xs) == 4 and all(0.001 <= x <= 1 for x in xs)
    assert [r["value"] for r in runs] == pytest.approx([r["values"]["x"] for r in runs])
    assert all(r["step"] == 10 * r["values"]["points"] for r in runs)


@pytest.mark.usefixtures("optuna")
def test_poor_runs_are_stopped_early(tmp_path: Path) -> None:
    parameters = {"x": {"values": [1.0, 0.1, 0.9]}, "points": {"value": 40}, "pause": {"value": 0.05}}
    early = {"type": "hyperband", "min_iter": 2, "eta": 2}
    runs = sweep(write(tmp_path, parameters=parameters, early_terminate=early), tmp_path / "out")
    assert [(r["state"], r["values"]["x"]) for r in runs] == [
        ("finished", 1.0), ("stopped early", 0.9), ("stopped early", 0.1),
    ]  # fmt: skip
    assert all(r["step"] < 400 and not r["error"] for r in runs[1:])


@pytest.mark.usefixtures("optuna")
def test_failed_run_is_recorded_and_the_others_go_on(tmp_path: Path) -> None:
    runs = sweep(write(tmp_path, parameters={"x": {"value": 1.0}, "fail": {"values": [True, False]}}), tmp_path / "out")
    assert [(r["run"], r["state"], r["value"]) for r in runs] == [(2, "finished", 1.0), (1, "failed", None)]
    assert runs[1]["error"] == "exit status 1: error: it was told to fail"


@pytest.mark.usefixtures("optuna")
@pytest.mark.parametrize("spoil", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("early", [None, {"type": "hyperband", "min_iter": 1, "eta": 2}])
def test_a_run_that_diverges_is_ended_and_recorded_as_failed(spoil: str, early: Any, tmp_path: Path) -> None:
    parameters = {
        "x": {"value": 1.0},
        "points": {"value": 20},
        "pause": {"value": 0.02},
        "spoil": {"values": [spoil, ""]},
    }
    changes = {"parameters": parameters, "early_terminate": early, "metric": {"name": "val/score", "goal": "minimize"}}
    runs = sweep(write(tmp_path, **changes), tmp_path / "out")
    assert [(r["run"], r["value"]) for r in runs] == [(2, 0.05), (1, 0.05)]
    assert runs[1]["state"] == "failed" and runs[1]["error"] == f"it has diverged: val/score is {spoil} at step 20"


@pytest.mark.usefixtures("optuna")
def test_a_metric_that_is_never_finite_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, parameters={"x": {"value": "inf"}})
    refused(capsys, path, "--local", "--out", tmp_path / "out", status=1)
    assert results(tmp_path / "out")[0]["error"] == "val/score has never been finite"


@pytest.mark.usefixtures("optuna")
def test_no_more_runs_begin_once_the_target_is_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metric = {"name": "val/score", "goal": "maximize", "target": 1.0}
    path, out = write(tmp_path, metric=metric), tmp_path / "out"  # the second of x 0.25, 1.0, 0.5 reaches it
    assert [r["run"] for r in sweep(path, out)] == [2, 1]
    assert "run 2 has reached metric.target 1: no more runs begin" in capsys.readouterr().out
    assert [r["run"] for r in sweep(path, out)] == [2, 1]  # nor when it goes on
    assert sorted(r["run"] for r in sweep(write(tmp_path, metric=metric | {"target": 2}), out)) == [1, 2, 3]


@pytest.mark.usefixtures("optuna")
def test_a_lock_that_a_killed_sweep_has_left_behind_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("air_lightning.commands.sweep.journal.GRACE", 3)
    monkeypatch.chdir(tmp_path)
    path, out = write(tmp_path), Path("runs/out")  # relative, as the default is
    sweep(path, out, "--count", 1)
    (out / "journal.log.lock").touch()
    assert sorted(r["run"] for r in sweep(path, out, "--count", 2)) == [1, 2]


@pytest.mark.usefixtures("optuna")
def test_five_failures_in_a_row_stop_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, parameters={"x": {"min": 1, "max": 9}, "metric": {"value": "val/other"}})
    error = refused(capsys, path, "--local", "--out", tmp_path / "out", status=1)
    assert error == f"error: 5 runs in a row have failed; their logs are {tmp_path / 'out'}/*.log\n"
    runs = results(tmp_path / "out")
    assert len(runs) == 5 and {r["state"] for r in runs} == {"failed"}
    assert runs[0]["error"] == "it has logged no metric 'val/score'; logged were ['val/other']"


@pytest.mark.usefixtures("optuna")
def test_a_sweep_of_failures_alone_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, parameters={"x": {"values": [1, 2]}, "fail": {"value": True}})
    error = refused(capsys, path, "--local", "--out", tmp_path / "out", status=1)
    assert error == f"error: every run has failed; their logs are {tmp_path / 'out'}/*.log\n"
    assert [r["state"] for r in results(tmp_path / "out")] == ["failed", "failed"]


@pytest.mark.usefixtures("optuna")
def test_interrupted_sweep_goes_on_with_the_runs_it_had(tmp_path: Path) -> None:
    parameters = {"x": {"values": [0.5, 1.0]}, "points": {"value": 30}, "pause": {"value": 0.1}}
    path, out = write(tmp_path, parameters=parameters), tmp_path / "out"
    command = [sys.executable, "-m", "air_lightning", "sweep", str(path), "--local", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=TESTS.parent)
    state = out / "001" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 60
    while not state.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143 and error.endswith("interrupted; the same command goes on with the sweep\n")
    assert [r["state"] for r in results(out)] == ["running"] and 0 < int(state.read_text()) < 30
    runs = sweep(path, out)
    assert [(r["run"], r["state"], r["value"], r["step"]) for r in runs] == [
        (2, "finished", 1.0, 300), (1, "finished", 0.5, 300),
    ]  # fmt: skip
    assert [point[0] for point in curve(out / "001" / "metrics.csv", "val/score")] == list(range(10, 310, 10))


@pytest.mark.usefixtures("optuna")
def test_a_journal_cut_short_goes_on_and_a_damaged_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write(tmp_path), tmp_path / "out"
    sweep(path, out, "--count", 2)
    journal = out / "journal.log"
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 8, "worker')
    assert [r["run"] for r in sweep(path, out) if r["state"] == "finished"] == [2, 3, 1]
    journal.write_text("no journal\n")
    assert f"{str(journal)!r} is damaged" in refused(capsys, path, "--local", "--out", out)


@pytest.mark.usefixtures("optuna")
def test_what_is_in_the_way_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write(tmp_path), tmp_path / "out"
    sweep(path, out, "--count", 1)
    assert "holds another sweep" in refused(capsys, path, "--local", "--out", out, "--", "--pause", "0")
    assert f"--out {str(tmp_path)!r} is not empty and holds no sweep" in refused(
        capsys, path, "--local", "--out", tmp_path
    )
    assert f"--out {str(path)!r} is a file: name a folder" in refused(capsys, path, "--local", "--out", path)
    assert f"cannot be made, for {str(path)!r} is no folder" in refused(capsys, path, "--local", "--out", path / "out")
    other = write(tmp_path, command=["no_such_python", "fit", "${args}"])
    assert "command starts with 'no_such_python', which is no program here" in refused(
        capsys, other, "--local", "--out", tmp_path / "new"
    )
    assert "must be at least 0, got -1" in refused(capsys, path, "--local", "--seed", "-1")


def test_missing_optuna_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    error = refused(capsys, write(tmp_path), "--local", "--out", tmp_path / "out")
    assert error == "error: sweep --local needs Optuna, which is not installed: pip install 'air-lightning[sweep]'\n"
    assert not (tmp_path / "out").exists()
