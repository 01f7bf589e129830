"""benchmarks/growth.py: exponents by hand, its table, and that the fits it asks for run."""

import importlib
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from air_lightning.cli import main

CONFIGS = Path(__file__).parent.parent / "configs"
PARTS = ("data", "network", "renderer", "rest")


@pytest.fixture
def growth(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    return importlib.import_module("growth")


def rows(power: float, constant: float = 0.0) -> list[dict[str, float]]:
    return [{"slots": n, "cpu": constant + 3.0 * n**power} for n in (3, 6, 10, 16)]


@pytest.mark.parametrize("power", [0.0, 1.0, 1.7])
def test_exponents_are_those_of_powers(growth: ModuleType, power: float) -> None:
    assert growth.exponent(rows(power), "cpu") == pytest.approx(power)
    assert growth.exponent(rows(power, 50.0), "cpu", 50.0) == pytest.approx(power)


def test_exponents_look_at_ten_slots_at_most(growth: ModuleType) -> None:
    given = rows(1.0)
    given[-1]["cpu"] *= 100
    assert growth.exponent(given, "cpu") == pytest.approx(1.0)
    assert math.isnan(growth.exponent(given[-2:], "cpu"))
    assert math.isnan(growth.exponent(given, "cpu", 9.0))


class FakeFit:
    """In the place of a fit in a process of its own: what it was asked for, and a cost in proportion to its slots."""

    asked: ClassVar[list[tuple[str, list[str]]]] = []

    def __init__(self, checkout: Path, config: str, steps: int, turns: int, threads: int, folder: Path, more: Any):
        self.asked.append((config, more))
        (slots,) = (int(option.split("=")[1]) for option in more if option.startswith("--model.slots="))
        self.result = lambda: {**dict.fromkeys(("cpu", *PARTS), 0.01 * slots), "peak": 600.0 + slots, "before": 600.0}

    def turn(self) -> None:
        pass


def test_the_table(
    growth: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "Fit", FakeFit)
    file = tmp_path / "growth.json"
    growth.main(["--worlds", "scenes3d", "--sizes", "24x16", "--slots", "2", "4", "--json", str(file)])
    assert [(row["world"], row["size"], row["slots"]) for row in json.loads(file.read_text())] == [
        ("scenes3d", "24x16", 2),
        ("scenes3d", "24x16", 4),
    ]
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| `scenes3d` 24x16 | 2 | 20 | 20 | 20 | 20 | 20 | 602 |",
        "| `scenes3d` 24x16 | 4 | 40 | 40 | 40 | 40 | 40 | 604 |",
        "| exponent of N | to 10 | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 |",
    ]


@pytest.mark.parametrize("world", ["scenes3d", "multi_sprites"])
def test_sixteen_objects_find_room(
    world: str, growth: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a fit is asked for is a fit that runs."""
    FakeFit.asked.clear()
    monkeypatch.setattr(growth, "Fit", FakeFit)
    growth.main(["--worlds", world, "--sizes", "64x64", "--slots", "16", "--scenes", "2"])
    ((config, more),) = FakeFit.asked
    short = [f"--trainer.{name}={value}" for name, value in {"max_steps": 1, "limit_val_batches": 1}.items()]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.val_check_interval=null"]
    run = tmp_path / "run"
    main(["fit", "--config", f"{CONFIGS}/{config}.yaml", "--run_dir", str(run), *more, *short, *quiet])
    assert (run / "checkpoints" / "last.ckpt").is_file()
