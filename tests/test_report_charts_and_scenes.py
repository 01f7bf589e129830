"""What reports are made of: charts to scale, figures for people, and how scenes are judged."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reports_for_tests import report

from air_lightning.cli import main
from air_lightning.commands.report.chart import HEIGHT, MOST_POINTS, WIDTH, Line, label, line_chart, thinned, ticks
from air_lightning.commands.report.figures import duration, number
from air_lightning.commands.report.record import read_runs, short_names
from air_lightning.commands.report.scenes import judge, overlap
from air_lightning.figures.gallery import Box
from air_lightning.runs.machine import describe

CONFIGS = Path(__file__).parent.parent / "configs"


# ---- charts


def points_of(svg: str) -> list[tuple[float, float]]:
    found = re.search(r'<polyline points="([^"]*)"', svg)
    assert found
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in found[1].split())]


def test_lines_are_drawn_to_scale() -> None:
    chart = line_chart([Line("a", [(0.0, 0.0), (50.0, 0.5), (100.0, 1.0)], 0)], "title", "unit", "steps")
    assert chart is not None
    (x0, y0), (x1, y1), (x2, y2) = points_of(chart.svg)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
    assert 0 < x0 < x2 < WIDTH and 0 < y2 < y0 < HEIGHT and chart.note == ""


def test_early_outliers_do_not_flatten_a_chart_and_are_said() -> None:
    points = [(1.0, -5000.0)] + [(float(x), 600 + x / 10) for x in range(20, 101, 20)]
    chart = line_chart([Line("elbo", points, 0)], "ELBO", "nats", "steps")
    assert chart is not None and chart.note == "Early values reach -5e+03, off this chart."
    heights = [y for _, y in points_of(chart.svg)]
    assert heights[0] > HEIGHT and max(heights[1:]) - min(heights[1:]) > 100
    assert line_chart([Line("empty", [], 0)], "t", "", "steps") is None


@pytest.mark.parametrize("value", [0.0, 3.0, -2e-9, 1e9])
def test_constant_curves_have_a_chart(value: float) -> None:
    assert line_chart([Line("a", [(1.0, value), (2.0, value)], 0)], "t", "", "steps") is not None


def test_thinning_keeps_ends_and_extremes() -> None:
    points = [(float(i), float(np.sin(i / 50))) for i in range(10_000)]
    points[5001] = (5001.0, 77.0)
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS and kept[0] == points[0] and kept[-1] == points[-1]
    assert points[5001] in kept and kept == sorted(kept) and set(kept) <= set(points)
    assert thinned(points[:10]) == points[:10]


@pytest.mark.parametrize("low, high", [(0, 1), (-3.7, 11.2), (0.9912, 0.9977), (-5e4, 3e4), (1e-6, 3e-6)])
def test_ticks_are_round_and_span_the_range(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 3 <= len(found) <= 8 and found[0] <= low + 1e-12 and found[-1] >= high - 1e-12
    assert np.allclose(np.diff(found), found[1] - found[0], rtol=1e-6)
    labels = [label(value, found[1] - found[0]) for value in found]
    assert len(set(labels)) == len(labels) and max(map(len, labels)) <= 7


def test_numbers_for_people() -> None:
    assert number(0.98765, "share of scenes") == "0.9877" and number(-12345.67, "nats") == "-12\u202f345.7"
    assert number(0.0123456, "world units") == "0.01235"
    assert [number(None), number(float("nan"))] == ["–", "–"]
    assert [duration(s) for s in (None, 8.25, 75, 3720)] == ["–", "8.2 s", "1 min 15 s", "1 h 2 min"]


def test_short_names_differ() -> None:
    assert short_names([Path("/runs/digits/1"), Path("/runs/digits/2")]) == ["1", "2"]
    assert short_names([Path("/runs/a/1"), Path("/runs/b/1")]) == ["a/1", "b/1"]
    assert short_names([Path("/runs/a"), Path("/runs/a/b")]) == ["a", "a/b"]


def test_machine_is_described() -> None:
    assert re.fullmatch(r"\S+ \S+, .+ \(\d+ threads\)(, \d+ CUDA devices?)?, Python 3\.\d+\.\d+", describe())


# ---- scenes


def box(x: float, identity: int = 0) -> Box:
    return Box((x, 0.0, x + 10.0, 10.0), identity, "it", {})


def test_overlap_of_boxes_in_words_of_its_definition() -> None:
    assert overlap([box(0), box(20)], [box(20), box(0)], 2, False) == 1  # whatever the order
    assert overlap([box(0)], [box(5)], 1, False) == pytest.approx(50 / 150)
    assert overlap([box(0), box(20)], [box(0)], 2, False) == 0.5  # one was missed
    assert overlap([box(0)], [box(0), box(40)], 2, False) == 0.5  # one is not there
    assert overlap([box(0, 1)], [box(0, 2)], 1, True) == 0 and overlap([box(0, 1)], [box(0, 2)], 1, False) == 1
    assert overlap([box(0)], [], 1, False) == 0 and overlap([], [], 0, False) == 1
    assert overlap([box(0), box(4)], [box(5), box(1)], 2, False) == pytest.approx(90 / 110)  # the better pairing


SMALL = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--trainer.enable_progress_bar", "false"]
DATA = ["--data.batch_size", "4", "--data.train_scenes", "8", "--data.val_scenes", "4", "--data.test_scenes", "10"]


@pytest.fixture(params=["multi_sprites", "scenes3d"])
def trained(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a fit of two steps."""
    run = tmp_path / request.param / "1"
    main(["fit", "--config", str(CONFIGS / f"{request.param}.yaml"), "--run_dir", str(run), *SMALL, *DATA])
    return run


def test_scenes_are_judged_and_shown(trained: Path) -> None:
    (run,) = read_runs([trained])
    found = judge(run, 9, 2)
    assert found.scenes == 9 and found.has_truth and "intersection over union" in found.criterion
    assert [scene.number for scene in found.first] == [0, 1]
    everything = judge(run, 99, 99)
    assert everything.scenes == 10  # all there are
    scores = [scene.score for scene in everything.worst]
    assert len(scores) == 10 and scores == sorted(scores) and 0 <= scores[0] <= scores[-1] <= 1
    assert all(scene.truth > 0 for scene in everything.best) and len(everything.best) < 10
    page = report(trained, "--judge", 9, "--shown", 2)
    assert "best.ckpt judged the first 9 held-out test scenes" in page.text
    assert sum(link.startswith("data:image/png") for link in page.links) == 3 * (3 + 3)  # three groups of up to two
    assert "What differs from" in page.text and len(page.source) < 10e6
    assert f"machine: {describe()}" in page.text


def test_scenes_are_those_of_the_overridden_test(tmp_path: Path) -> None:
    run = tmp_path / "run"
    main(["fit", "--config", str(CONFIGS / "multi_sprites.yaml"), "--run_dir", str(run), *SMALL, *DATA])
    main(["test", "--run_dir", str(run), "--data.counts", "[2]", "--ckpt_path", "last"])
    found = judge(read_runs([run])[0], 99, 99)
    assert [scene.truth for scene in found.first] == [2] * 10
    page = report(run)
    assert "data.init_args.counts [2]" in page.text and "last.ckpt judged the first 10" in page.text


def test_images_of_unknown_content_are_judged_by_their_reconstruction(tmp_path: Path) -> None:
    folder, run = tmp_path / "images", tmp_path / "run"
    folder.mkdir()
    for i in range(12):
        pixels = np.zeros((32, 32), np.uint8)
        pixels[8:16, i : i + 8] = 20 * i
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    data = ["--data", "ImageFolder", "--data.folder", str(folder), "--data.batch_size", "4", "--data.test_share", "0.5"]
    model = ["--model.renderer.image_shape", "[1, 32, 32]", "--checkpoint.monitor", "val/elbo"]
    main(["fit", "--config", str(CONFIGS / "multi_sprites.yaml"), "--run_dir", str(run), *SMALL, *data, *model])
    found = judge(read_runs([run])[0], 99, 99)
    assert not found.has_truth and found.scenes == 6 and "root mean square error" in found.criterion
    scores = [scene.score for scene in found.worst]
    assert scores == sorted(scores, reverse=True) and scores == [scene.error for scene in found.worst]
    page = report(run)
    assert "the data has no truth" in page.text and "The truth is not known" in page.text and " true, " not in page.text
