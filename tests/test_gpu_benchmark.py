"""benchmarks/gpu.py where there is no GPU: its draws by Triton's interpreter, and its tables."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

pytest.importorskip("triton", reason="what draws on CUDA needs Triton")
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="is of machines without a GPU; run the script itself")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    return importlib.import_module("gpu")


def test_draws_are_counted_and_written(
    gpu: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "SLOTS", 1)  # the interpreter is slow
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    file = tmp_path / "gpu.json"
    gpu.main(["--device=cpu", "--parts", "draws", "--batches", "1", "--size", "8", "--json", str(file)])
    written = json.loads(file.read_text())
    assert written["machine"]["card"] == "none: Triton's interpreter"
    found = [(row["backend"], row["draws"], row["scenes"]) for row in written["draws"]]
    assert found == [("Triton", "canvases", 1), ("Triton", "fused differences", 1)]
    assert all(row["objects a second"] > 0 for row in written["draws"])
    assert "| backend | draws | scenes | objects a second |" in capsys.readouterr().out


def test_nothing_is_begun_after_the_end(gpu: ModuleType, tmp_path: Path) -> None:
    gpu.main(["--device=cpu", "--parts", "draws", "steps", "accuracy", "--minutes=0", "--json", str(tmp_path / "f")])
    written = json.loads((tmp_path / "f").read_text())
    assert (written["draws"], written["steps"], written["accuracy"]) == ([], [], [])


def test_what_a_measurement_came_to_is_said(gpu: ModuleType) -> None:
    limits = gpu.Limits(1, "cpu", [1], 8, 1)
    assert gpu._run([gpu.sys.executable, "-c", "print('fine')"], limits) == "ok"
    assert gpu._run([gpu.sys.executable, "-c", "raise SystemExit('no MNIST here')"], limits) == "failed: no MNIST here"


def test_a_gpu_that_is_not_there_is_said(gpu: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "torch sees no CUDA GPU: --device cpu tries the script without one" in capsys.readouterr().err
