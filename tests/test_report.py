"""Reports: the command, and what its pages say of made-up runs."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from reports_for_tests import report

from air_lightning.cli import main
from air_lightning.commands.report.record import Bin, read_runs
from air_lightning.commands.report.reliability import interval
from air_lightning.runs import RunFolder
from air_lightning.runs.curves import SECONDS

CONFIG = {
    "seed_everything": 1,
    "trainer": {"max_steps": 400},
    "model": {"slots": 3, "lr": 0.003},
    "checkpoint": {"monitor": "val/count_accuracy", "mode": "max"},
    "data": {"class_path": "datamodules.MultiSprites", "init_args": {"counts": [0, 1]}},
}
HEAD = "# torch==2.13.0\n# machine: a Turing machine, 1 tape\n"
CURVE = ((100, 12.5, 0.5), (200, 25.0, 0.975), (300, 40.0, 0.96), (400, 52.0, 0.94))  # steps, seconds, count accuracy
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def write_run(folder: Path, curve: Any = CURVE, config: dict[str, Any] | None = None, **record: Any) -> Path:
    """A run folder without weights: config, metrics.csv and, with ``metrics``, what `test` writes."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(HEAD + yaml.safe_dump(CONFIG | (config or {}), sort_keys=False))
    names = ["step", SECONDS, "val/count_accuracy", "val/elbo", "train/loss", "train/what_kl", "lr/model"]
    with (folder / "metrics.csv").open("w", newline="") as file:
        log = csv.DictWriter(file, names)
        log.writeheader()
        for steps, seconds, accuracy in curve:
            time = {"step": steps - 1, SECONDS: seconds}
            log.writerow(time | {"train/loss": 1 / steps, "train/what_kl": 0.25, "lr/model": 1e-3})
            log.writerow(time | {"val/count_accuracy": accuracy, "val/elbo": 10.0 * steps})
    if "metrics" in record:
        whole = {"checkpoint": "checkpoints/best.ckpt", "step": 200, "scenes": 50, "overrides": {}} | record
        (folder / "test_metrics.json").write_text(json.dumps(whole))
    return folder


def evaluated(folder: Path, accuracy: float = 0.96, **record: Any) -> Path:
    """The same, tested."""
    metrics = {"test/count_accuracy": accuracy, "test/elbo": 1234.56, "test/position_error": None}
    return write_run(folder, metrics=metrics, count_confusion=[[30, 0, 1], [0, 15, 4]], **record)


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """The message of a command that must end with status 2."""
    with pytest.raises(SystemExit) as stop:
        main(["report", *[str(arg) for arg in args]])
    assert stop.value.code == 2
    return capsys.readouterr().err.strip().removeprefix("error: ")


# ---- one run


def test_figures_of_test_and_of_the_best_and_the_last_validation(tmp_path: Path) -> None:
    page = report(evaluated(tmp_path / "run"))
    head = next(row for table in page.tables for row in table if row[0] == "Figure")
    assert head == [
        "Figure", "test [50 scenes, weights of step 200]", "best validation [in training, step 200]",
        "last validation [in training, step 400]", "Unit",
    ]  # fmt: skip
    assert page.row("Count accuracy") == ["0.9600", "0.9750", "0.9400", "share of scenes"]
    assert page.row("ELBO") == ["1\u202f234.6", "2\u202f000.0", "4\u202f000.0", "nats"]
    assert page.row("Position error, median")[:2] == ["–", "–"]
    assert "finished" in page.text and "400 steps" in page.text and "52.0 s" in page.text


def test_without_curves_all_the_rest_is_there_and_that_is_said(tmp_path: Path) -> None:
    run, other = evaluated(tmp_path / "run"), evaluated(tmp_path / "other")
    (run / "metrics.csv").unlink()
    page = report(run)
    assert page.row("Count accuracy") == ["0.9600", "share of scenes"]
    assert "no metrics.csv here" in page.text and "steps, validations left out" not in page.text
    assert "There are none: nothing has been logged yet, or metrics.csv is not in the folder." in page.text
    assert "--resume" not in page.text
    both = report(run, other, "--output", tmp_path / "both.html")
    assert both.row("run")[:3] == ["✓ yes", "0.9600", "1\u202f234.6"] and "52.0 s [400 steps]" in both.row("other")
    assert "[0 steps]" not in str(both.tables)


def test_count_confusion_with_shares_of_rows(tmp_path: Path) -> None:
    page = report(evaluated(tmp_path / "run"))
    assert page.row("0 true") == ["30 [96.8 %]", "0 [0.0 %]", "1 [3.2 %]"]
    assert page.row("1 true") == ["0 [0.0 %]", "15 [78.9 %]", "4 [21.1 %]"]


def test_figures_over_the_number_of_objects(tmp_path: Path) -> None:
    rows = [{"count": n, "scenes": 5, "count_accuracy": 1 - n / 10, "box_ap50": n / 4 or None} for n in (0, 1, 2)]
    page = report(evaluated(tmp_path / "run", by_count=rows))
    assert "By the number of objects" in page.text and "objects there" in page.text
    assert all(said in page.source for said in ("Count accuracy: 0.8 at 2", "Box AP at 0.5: 0.25 at 1"))
    assert "Box AP at 0.5: 0 at 0" not in page.source and "Foreground ARI: " not in page.source
    assert "By the number of objects" not in report(evaluated(tmp_path / "one", by_count=rows[:1])).text


def test_untested_run_says_the_command(tmp_path: Path) -> None:
    run = write_run(tmp_path / "my run", CURVE[:2])
    page = report(run)
    command = f"python -m air_lightning test --run_dir '{run}'"
    assert f"not been tested on held-out scenes. This command does it: {command}" in page.text
    assert page.row("Count accuracy") == ["0.9750", "share of scenes"]  # best and last are one
    assert "0 true" not in page.text
    assert "stopped; last logged step 200 of 400" in page.text
    assert f"fit --resume --run_dir '{run}'" in page.text


def test_run_in_progress_is_said_to_be(tmp_path: Path) -> None:
    folder = RunFolder(write_run(tmp_path / "run", CURVE[:1]))
    try:
        assert read_runs([folder.path])[0].state == "in progress, last logged step 100 of 400"
    finally:
        folder.close()
    assert read_runs([folder.path])[0].state == "stopped; last logged step 100 of 400"


def test_epochs_say_where_a_run_ended_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", CURVE[:2], config={"trainer": {"max_steps": -1, "max_epochs": 3}})
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    for last, state in ((1, "stopped; last logged step 200, epoch 2"), (2, "ended; last logged step 200, epoch 3")):
        with (run / "metrics.csv").open("w", newline="") as file:
            log = csv.DictWriter(file, ["epoch", *rows[0]])
            log.writeheader()
            log.writerows({"epoch": last} | row for row in rows)
        assert read_runs([run])[0].state == f"{state} of 3"


def test_run_without_a_row_yet(tmp_path: Path) -> None:
    page = report(write_run(tmp_path / "run", ()))
    assert "Nothing has been measured here yet." in page.text and "nothing has been logged yet" in page.text


def test_overrides_and_a_checkpoint_that_has_moved_on_are_said(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run", overrides={"data.init_args.noise": 0.1, "model.lr": None})
    (run / "checkpoints").mkdir()
    torch.save({"global_step": 400, "state_dict": {}}, run / "checkpoints" / "best.ckpt")
    page = report(run)
    assert "arguments other than the run's own: data.init_args.noise 0.1, model.lr None." in page.text
    assert "measured the weights of step 200; best.ckpt is now of step 400" in page.text
    again = f"python -m air_lightning test --run_dir {run} --data.init_args.noise 0.1 --model.lr null"
    assert again in page.text


def test_versions_machine_and_commands(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run")
    page = report(run)
    assert "torch==2.13.0" in page.text and "machine: a Turing machine, 1 tape" in page.text
    assert f"fit --config {run / 'config.yaml'} --run_dir NEW_FOLDER" in page.text
    assert (run / "config.yaml").read_text() in "".join(page.texts)


def test_model_that_cannot_be_loaded_is_said_and_the_rest_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = report(evaluated(tmp_path / "run"))
    assert "No scenes are shown: model and data could not be loaded. nothing was saved in checkpoints/ yet" in page.text
    assert "note: the page shows no scenes: nothing was saved" in capsys.readouterr().err
    assert page.row("Count accuracy")[0] == "0.9600"


def test_images_are_in_the_page_unless_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = evaluated(tmp_path / "run")
    (run / "figures").mkdir()
    Image.new("RGB", (8, 8)).save(run / "figures" / "step-000200.png")
    Image.new("RGB", (8, 8)).save(run / "figures" / "steps.gif")
    page = report(run)
    kinds = [link.partition(";")[0] for link in page.links if link.startswith("data:image")]
    assert kinds == ["data:image/gif", "data:image/png"] and "reconstructions at step 200" in page.text
    monkeypatch.setattr("air_lightning.commands.report.page.LARGEST", 10)
    page = report(run, "--overwrite")
    assert "Too large for this page: see figures/steps.gif" in page.text
    assert not [link for link in page.links if link.startswith("data:image")]


def test_what_users_write_is_escaped(tmp_path: Path) -> None:
    evil = "</pre><script>alert(1)</script><img src=x onerror=alert(1)>"
    run = evaluated(tmp_path / "<img src=x>&'\"", config={"note": evil}, overrides={evil: evil})
    log = (run / "metrics.csv").read_text().replace("train/what_kl", "train/<svg onload=alert(1)>")
    (run / "metrics.csv").write_text(log)
    page = report(run)
    assert "script" not in page.tags and "img" not in page.tags
    assert evil in page.text and "<svg onload=alert(1)>" in page.text
    other = evaluated(tmp_path / "b" / "<script>", config={"note": "plain"})
    page = report(run, other, "--output", tmp_path / "all.html")
    assert "script" not in page.tags and page.row("note") == [evil, "plain"]


def test_data_without_a_truth_has_no_accuracy(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", metrics={"test/elbo": 53.0}, config={"checkpoint": {"monitor": "val/elbo"}})
    text = (run / "metrics.csv").read_text().replace("val/count_accuracy", "val/log_evidence")
    (run / "metrics.csv").write_text(text)
    assert "the data has no truth" in report(run).text


def test_config_is_compared_with_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "multi_sprites" / "1")
    page = report(run)
    assert "What differs from multi_sprites.yaml" in page.text
    assert page.row("data.init_args.counts") == ["[0, 1, 2, 3]", "[0, 1]"]
    assert not [row for table in page.tables for row in table if row[0] in ("run_dir", "trainer.max_steps", "model.lr")]
    assert "What differs" not in report(evaluated(tmp_path / "unheard_of")).text


# ---- several runs


def test_table_of_runs_with_success_rate_median_and_worst(tmp_path: Path) -> None:
    runs = [evaluated(tmp_path / str(i), accuracy) for i, accuracy in enumerate((0.99, 0.96, 0.5), 1)]
    page = report(*runs, "--output", tmp_path / "all.html")
    assert "2 of 3 runs reach count accuracy ≥ 0.95" in page.text and "67 %" in page.text
    assert page.row("1")[:2] == ["✓ yes", "0.9900"] and page.row("3")[:2] == ["✗ no", "0.5000"]
    assert page.row("median")[1:3] == ["0.9600", "1\u202f234.6"] and page.row("worst")[1] == "0.5000"
    assert page.row("1")[-2:] == ["25.0 s", "52.0 s [400 steps]"]  # to the first validation >= 0.95; in all


def test_rounding_to_float32_is_no_failure(tmp_path: Path) -> None:
    runs = [evaluated(tmp_path / str(i), accuracy) for i, accuracy in enumerate((0.949999988079071, 0.9499), 1)]
    page = report(*runs, "--output", tmp_path / "all.html")
    assert page.row("1")[:2] == ["✓ yes", "0.9500"] and page.row("2")[0] == "✗ no"


def test_success_by_another_figure_of_which_less_is_better(tmp_path: Path) -> None:
    errors = {f"{i}": write_run(tmp_path / f"{i}", metrics={"test/position_error": i / 100}) for i in (1, 2, 3)}
    given = [*errors.values(), "--output", tmp_path / "all.html", "--success", "test/position_error", 0.02]
    page = report(*given)
    assert "2 of 3 runs reach position error, median ≤ 0.02" in page.text
    assert page.row("worst")[1] == "0.03"


def test_untested_runs_are_judged_by_their_best_validation(tmp_path: Path) -> None:
    runs = [evaluated(tmp_path / "a"), write_run(tmp_path / "b"), write_run(tmp_path / "c", ())]
    page = report(*runs, "--output", tmp_path / "all.html")
    heads = [page.headed_row(name)[0].partition(" [")[2] for name in "abc"]
    assert [head.rpartition(": ")[2] for head in heads] == ["test]", "validation, step 200]", "none yet]"]
    assert heads[1].startswith("finished") and heads[2].startswith("stopped; last logged step 0 of 400")
    assert page.row("b")[:2] == ["✓ yes", "0.9750"] and page.row("c")[0] == "✗ no"
    assert "2 of 3 runs reach" in page.text and "c: not measured, and not counted as a success." in page.text


def test_arguments_in_which_runs_differ(tmp_path: Path) -> None:
    a, b = evaluated(tmp_path / "a"), evaluated(tmp_path / "b", config={"model": {"slots": 3}, "seed_everything": 2})
    page = report(a, b, "--output", tmp_path / "all.html")
    assert page.row("seed_everything") == ["1", "2"] and page.row("model.lr") == ["0.003", "–"]
    assert not [row for table in page.tables for row in table if row[0] == "model.slots"]


def test_null_and_no_argument_are_no_difference(tmp_path: Path) -> None:
    a, b = evaluated(tmp_path / "a"), evaluated(tmp_path / "b", config={"trainer": {"tags": None, "logger": "csv"}})
    page = report(a, b, "--output", tmp_path / "all.html")
    assert page.row("trainer.logger") == ["–", "csv"]
    assert not [row for table in page.tables for row in table if row[0] == "trainer.tags"]


def test_every_run_has_a_line_in_every_chart(tmp_path: Path) -> None:
    runs = [evaluated(tmp_path / f"seed-{i}") for i in range(10)]
    page = report(*runs, "--output", tmp_path / "all.html")
    charts = re.findall(r'<svg viewBox="0 0 \d+ \d+" role="img" class="chart".*?</svg>', page.source)
    assert len(charts) == 2 * 3  # count accuracy, ELBO, loss; over steps and over seconds
    for chart in charts:
        assert chart.count("<polyline") == 10 and chart.count("stroke-dasharray") == 2  # more than there are colours


# ---- the command


def test_page_is_written_where_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = evaluated(tmp_path / "a"), evaluated(tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    main(["report", "a"])
    main(["report", "a", "b"])
    main(["report", "a", "--output", "c.html"])
    assert (a / "report.html").is_file() and (tmp_path / "report.html").is_file() and (tmp_path / "c.html").is_file()
    assert not (b / "report.html").exists()


def test_wrong_input_is_refused_and_nothing_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, nothing = evaluated(tmp_path / "runs" / "1"), tmp_path / "nothing"
    assert "does not exist: give the folder that `fit --run_dir DIR` wrote" in refused(capsys, nothing)
    nothing.mkdir()
    assert "holds no run, for it has no config.yaml" in refused(capsys, nothing)
    assert "is no run itself but holds 1, '1' first: give" in refused(capsys, tmp_path / "runs")
    (nothing / "config.yaml").write_text("a: 1\n")
    assert "has no metrics.csv and no checkpoint: its fit has logged and saved nothing" in refused(capsys, nothing)
    assert "given more than once" in refused(capsys, run, run / ".." / "1")
    assert "there is no folder" in refused(capsys, run, "--output", tmp_path / "no" / "a.html")
    assert "is a folder: name a file" in refused(capsys, run, "--output", tmp_path)
    config = (run / "config.yaml").read_text()
    assert "must end in .html" in refused(capsys, run, "--output", run / "config.yaml", "--overwrite")
    assert (run / "config.yaml").read_text() == config
    assert "is not a file: name a config" in refused(capsys, run, "--config", tmp_path / "no.yaml")
    assert "is not a config of fit: " in refused(capsys, run, "--config", nothing / "config.yaml")
    two = [run, evaluated(tmp_path / "2"), "--output", tmp_path / "all.html"]
    assert "--config is for a report about one run" in refused(capsys, *two, "--config", run / "config.yaml")
    assert "'nonsense' is no metric: give one of count_accuracy" in refused(capsys, *two, "--success", "nonsense", 1)
    for value in ("high", "nan"):
        assert f"{value!r}: the second must be a number" in refused(capsys, *two, "--success", "elbo", value)
    assert not [*tmp_path.rglob("*.html")]


def test_an_earlier_page_is_kept_unless_it_may_be_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = evaluated(tmp_path / "run")
    (run / "report.html").write_text("mine")
    assert "is there already: give --overwrite" in refused(capsys, run)
    assert (run / "report.html").read_text() == "mine"
    assert report(run, "--overwrite").row("Count accuracy")


def test_damaged_curves_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = evaluated(tmp_path / "run")
    (run / "metrics.csv").write_bytes(b"\xff\xfe")
    assert f"could not read {run / 'metrics.csv'}: 'utf-8' codec can't decode" in refused(capsys, run)
    (run / "metrics.csv").write_text("name;value\n1;2\n")
    assert "metrics.csv is not what `fit` logs, for it has no column 'step'" in refused(capsys, run)


def test_damaged_checkpoints_and_images_of_other_names_are_left_out(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run")
    for folder in ("checkpoints", "figures"):
        (run / folder).mkdir()
    (run / "checkpoints" / "best.ckpt").write_bytes(b"no checkpoint")
    (run / "figures" / "step-000010 (copy).png").write_bytes(b"no image")
    assert "best.ckpt' cannot be read, it is damaged, or no checkpoint" in report(run).text
    main(["report", str(run), str(evaluated(tmp_path / "other")), "--output", str(tmp_path / "both.html")])


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"metrics": {"test/a": "high"}}',
        '{"metrics": 3}',
        '{"metrics": {}, "step": "ten"}',
        '{"metrics": {}, "calibration": {"reliability": 3}}',
    ],
)
def test_damaged_records_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    run = evaluated(tmp_path / "run")
    (run / "test_metrics.json").write_text(text)
    assert re.search(r"test_metrics\.json is not what `test` writes .* again", refused(capsys, run))
    (run / "config.yaml").write_text("a: [")
    assert "config.yaml' is not YAML" in refused(capsys, run)


# ---- in a browser


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Path]:
    """A page about one run and one over two."""
    a, b = evaluated(tmp_path / "a"), evaluated(tmp_path / "b")
    (a / "figures").mkdir()
    Image.new("RGB", (8, 8)).save(a / "figures" / "steps.gif")
    report(a, "--output", tmp_path / "one.html")
    report(a, b, "--output", tmp_path / "two.html")
    yield tmp_path


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome to look at pages")
@pytest.mark.parametrize("name, text", [("one", "0.9600"), ("two", "2 of 2 runs reach")])
def test_browser_shows_the_page_without_complaint_or_network(pages: Path, name: str, text: str) -> None:
    assert CHROMIUM is not None
    blocked = ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={pages / 'profile'}"]
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--dump-dom"]
    page = (pages / f"{name}.html").as_uri()
    shown = subprocess.run([CHROMIUM, *quiet, *blocked, page], capture_output=True, text=True, timeout=120, check=True)
    assert text in shown.stdout and "<polyline" in shown.stdout
    assert "CONSOLE" not in shown.stderr, shown.stderr


# ---- how sure, and how often right

CALIBRATION: dict[str, Any] = {
    "reliability": {
        "presence": [
            {"from": 0.0, "to": 0.5, "number": 40, "confidence": 0.1, "right": 0.05},
            {"from": 0.5, "to": 1.0, "number": 20, "confidence": 0.9, "right": 0.75},
        ],
        "identity": [{"from": 0.0, "to": 0.5, "number": 0, "confidence": None, "right": None}],
    },
    "coverage": {"x": {"objects": 15, "coverage50": 0.4, "coverage90": None}},
    "powers": {"count": 0.5, "pose": {"x": 0.25}, "refined": True, "tilt": 0.1, "doubt": 0.02},
}


def test_expected_stands_beside_realised(tmp_path: Path) -> None:
    metrics = {"test/expected_count": 1.25, "test/true_count": 1.5, "test/calibration_error": 0.0833}
    page = report(write_run(tmp_path / "run", metrics=metrics, calibration=CALIBRATION))
    assert page.row("Objects in a scene, mean") == ["1.2500", "1.5000"]
    assert page.row("x within its 50 % interval") == ["0.5000", "0.4000"]
    assert page.row("x within its 90 % interval") == ["0.9000", "–"]
    assert "to the power of count 0.5 (tilt 0.1, doubt 0.02), x 0.25, as validate --calibrate has" in page.text
    assert "an object of its own is there: 0.750 of 20, confidence 0.900" in page.text
    points = re.search(r'<g class="line c0"><polyline points="([\d.]+),([\d.]+) ([\d.]+),([\d.]+)"', page.source)
    assert points
    x0, y0, x1, y1 = map(float, points.groups())
    assert x1 - x0 == pytest.approx(0.8 * 356, abs=0.2) and y0 - y1 == pytest.approx(0.7 * 188, abs=0.2)


def test_without_a_truth_nothing_is_said_of_confidence(tmp_path: Path) -> None:
    assert "how often right" not in report(evaluated(tmp_path / "run")).text
    plain = CALIBRATION | {"powers": {"count": 1.0, "pose": {}, "refined": False}}
    page = report(write_run(tmp_path / "other", metrics={"test/elbo": 1.0}, calibration=plain))
    assert "They are as they were learnt" in page.text


def test_bins_of_few_forecasts_say_how_little_they_know() -> None:
    low, high = interval(Bin(10, 0.9, 1.0))
    assert (low, high) == pytest.approx((0.722, 1.0), abs=0.002)
    assert interval(Bin(10_000, 0.5, 0.5)) == pytest.approx((0.4902, 0.5098), abs=1e-3)
