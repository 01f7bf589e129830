"""The parts of benchmarks/estimators.py that decide what its table says."""

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

PATH = Path(__file__).parent.parent / "benchmarks" / "estimators.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("estimator_benchmark", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(
    estimator: str, seed: int, accuracy: float, seconds: float | None, world: str = "multi_mnist"
) -> dict[str, Any]:
    return {
        "world": world, "estimator": estimator, "seed": seed, "count_accuracy": accuracy, "elbo": 100.0 * seed,
        "seconds_to_goal": seconds, "curve": [],
    }  # fmt: skip


ROWS = [
    run("exact", 1, 0.99, 10.0),
    run("exact", 2, 0.95, 30.0),
    run("exact", 3, 0.40, None),
    run("nvil", 1, 0.30, None),
    {"world": "multi_mnist", "seed": 1, "common": 300, "variance": {"exact": 0.0, "nvil": 4.0}},
    {"world": "multi_mnist", "seed": 2, "common": 300, "variance": {"exact": 0.0, "nvil": math.inf}},
    {"world": "multi_mnist", "seed": 3, "common": 300, "variance": {"exact": 0.0, "nvil": 5.0}},
    run("exact", 1, 0.50, None, world="multi_sprites"),
]


def test_tables_have_a_row_an_estimator_and_a_table_a_world(benchmark: ModuleType) -> None:
    mnist, sprites = benchmark.tables(ROWS).split("multi_sprites")
    assert mnist.startswith("multi_mnist")
    assert "| exact | 2 of 3 | 0.780 (0.400 to 0.990) | 200.0 | 20 (2 of 3) | 0 |" in mnist
    assert "| nvil | 0 of 1 | 0.300 (0.300 to 0.300) | 100.0 | none of 1 | 5 |" in mnist
    assert "| exact | 0 of 1 | 0.500 (0.500 to 0.500) | 100.0 | none of 1 |  |" in sprites and "nvil" not in sprites


def test_runs_of_another_world_are_not_taken_for_done(benchmark: ModuleType) -> None:
    assert benchmark.measured_already(ROWS, "multi_sprites") == {("exact", 1)}
    assert benchmark.measured_already(ROWS[3:5], "multi_mnist") == {("nvil", 1), (None, 1)}


def test_table_of_files_runs_nothing(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path, rows in zip(files, (ROWS[:2], ROWS[2:])):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(sys, "argv", ["estimators.py", "--table", *map(str, files)])
    benchmark.main()
    assert capsys.readouterr().out == benchmark.tables(ROWS) + "\n"


def test_common_state_lies_after_presence_began_to_learn(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["estimators.py", "--common", "150", "--out", str(tmp_path / "out.jsonl")])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert "--common must be more than presence's delay of 150, got 150" in capsys.readouterr().err


@pytest.mark.parametrize("ratio", [0.5, 4.0, 100.0])
def test_relative_variance_is_that_of_the_distribution(benchmark: ModuleType, ratio: float) -> None:
    """Above the number of draws too; the median over many repetitions, as in the table."""
    torch.manual_seed(0)
    mean = torch.ones(50)
    found = [benchmark.relative_variance(mean + ratio**0.5 * torch.randn(64, 50)) for _ in range(401)]
    assert float(torch.tensor(found).median()) == pytest.approx(ratio, rel=0.15)


def test_relative_variance_of_a_constant_is_zero_and_of_noise_infinite(benchmark: ModuleType) -> None:
    assert benchmark.relative_variance(torch.ones(64, 3)) == 0
    pair = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert benchmark.relative_variance(pair) == math.inf
