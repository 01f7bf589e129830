"""What tests of predictions share: runs of small models, images of discs, what the command wrote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from runs_for_tests import DISCS, GLIMPSES, write_run

import air_lightning
from air_lightning.cli import main
from air_lightning.commands.predict import Model, Prediction

SIZE = 32


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model is sure of two objects in every image (3, 32, 32)."""
    return write_run(tmp_path_factory.mktemp("discs") / "run", DISCS, sure=20.0)


@pytest.fixture(scope="module")
def glimpses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("glimpses") / "run", GLIMPSES, sure=20.0)


@pytest.fixture
def model(discs: Path) -> Model:
    return air_lightning.load(discs)


def disc(x: float, y: float) -> NDArray[np.uint8]:
    """(32, 32, 3): a green disc of radius 4 pixels around column x and row y."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    inside = (columns - x) ** 2 + (rows - y) ** 2 < 16
    return (inside[..., None] * np.array([25, 230, 51])).astype(np.uint8)


def noise(n: int, height: int = SIZE, width: int = SIZE, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)


def predict(*args: object) -> None:
    main(["predict", *(str(arg) for arg in args)])


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def same(a: Prediction, b: Prediction) -> None:
    """Assert that two predictions agree but for rounding."""
    assert (a.width, a.height, a.count, len(a.objects)) == (b.width, b.height, b.count, len(b.objects))
    assert a.count_probabilities == pytest.approx(b.count_probabilities, abs=1e-5)
    for mine, theirs in zip(a.objects, b.objects):
        assert (mine.kind, mine.box) == (theirs.kind, theirs.box)
        assert mine.pose == pytest.approx(theirs.pose, abs=1e-4)
        assert mine.confidence == pytest.approx(theirs.confidence, abs=1e-5)
