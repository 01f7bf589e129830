"""What is read from `metrics.csv`."""

from pathlib import Path

from air_lightning.runs import MetricsFile
from air_lightning.runs.curves import SECONDS, columns, curve, curves


def test_curve_of_a_file_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    assert curve(path, "val/a") == [] and columns(path) == []
    path.write_text("step,val/a,b\n9,0.5,\n19,,1\n19,nan,\n29,0.7,\n19,0.25,\n39,0.9")
    assert [(p.step, p.value) for p in curve(path, "val/a")] == [(9, 0.5), (19, 0.25), (29, 0.7)]
    assert curve(path, "val/other") == []
    assert columns(path) == ["val/a", "b"]


def test_rows_that_a_resumed_run_logged_again_are_the_later_ones(tmp_path: Path) -> None:
    for run in ([(9, 0.1, 1.0), (19, 0.2, 2.0)], [(19, 0.3, 2.5), (29, 0.4, 3.5)]):
        log = MetricsFile(tmp_path)
        for step, value, seconds in run:
            log.log_metrics({"val/a": value, SECONDS: seconds}, step=step)
            log.log_metrics({"train/b": 10 * value, "epoch": 0}, step=step)
        log.save()
    points = curves(tmp_path / "metrics.csv")
    assert points["val/a"] == [(9, 1.0, 0.1), (19, 2.5, 0.3), (29, 3.5, 0.4)]
    assert [p.value for p in points["train/b"]] == [1, 3, 4]
    assert all(p.seconds != p.seconds for p in points["train/b"])  # these rows do not say


def test_rows_without_a_step_and_words_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,a,b\n,1,2\n9,word,inf\n19,3\n29,4,5,6\n")
    assert [(p.step, p.value) for p in curve(path, "a")] == [(19, 3), (29, 4)]
    assert [(p.step, p.value) for p in curve(path, "b")] == [(9, float("inf")), (29, 5)]
