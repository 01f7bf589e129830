"""benchmarks/peers.py: ours beside peers that are absent or draw something else, what agreement is, and its table."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    return importlib.import_module("peers")


def layers(alpha: list[int], color: float) -> dict[str, Any]:
    shown = np.array([[alpha]], np.float32)
    return {"alpha": shown, "color": np.full((*shown.shape, 3), color, np.float32)}


def test_agreement_by_hand(peers: ModuleType) -> None:
    """Two pixels of four are seen by both; colours are compared there."""
    found = peers.agreement(layers([1, 1, 1, 0], 0.5), layers([0, 1, 1, 1], 0.25))
    assert found == {"overlap": 0.5, "color": 0.25}
    assert peers.agreement(layers([1, 0], 0.5), layers([0, 1], 0.5))["overlap"] == 0


def test_scenes_are_read_as_they_were_written(peers: ModuleType, tmp_path: Path) -> None:
    files = peers.scenes(tmp_path, objects=4)
    assert list(files) == ["all three", "cube", "sphere", "cylinder"]
    scene = peers.Scene.read(files["all three"])
    assert scene.meshes.tolist() == [0, 1, 2, 0]
    assert (scene.names, scene.size, scene.angle) == (["cube", "sphere", "cylinder"], 64, 48.0)
    assert [len(faces) for faces in scene.faces] == [12, 192, 64]
    assert scene.positions.shape == (peers.DRAWS, 4, 3) and scene.rotations.shape == (peers.DRAWS, 4, 3, 3)
    scene.write(tmp_path / "again.npz")
    np.testing.assert_equal(peers.Scene.read(tmp_path / "again.npz")._asdict(), scene._asdict())


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A python that has the standard library alone."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    python.chmod(0o755)
    return python


def test_ours_beside_an_absent_peer(
    peers: ModuleType, bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "peers.json"
    short = ["--objects", "3", "--turns", "1", "--seconds", "0.01", "--scenes", "cube", "--json", str(file)]
    peers.main(["--peers", "mitsuba-scalar", "--python", f"mitsuba={bare}", *short])
    said, head, _, *lines = capsys.readouterr().out.splitlines()
    assert said == (
        "mitsuba-scalar is left out (ModuleNotFoundError: No module named 'numpy'); to have it: pip install mitsuba"
    )
    assert head == "|  | version | cube | silhouettes | colours |"
    assert len(lines) == 1 and lines[0].startswith("| ours | ") and lines[0].endswith("(1.00) | 1.000 | 0.000 |")
    found = json.loads(file.read_text())
    assert list(found) == ["cube"] and list(found["cube"]) == ["ours"]
    assert found["cube"]["ours"]["overlap"] == 1 and found["cube"]["ours"]["rate"] > 0


class FakePeer:
    """In the place of a peer in a process of its own: its layers, and rates that grow from turn to turn."""

    def __init__(self, name: str, alpha: list[int], rate: float) -> None:
        self.name, self.alpha, self.rate = name, alpha, rate
        self.start = {"version": "1"}

    def ask(self, task: str, more: Any) -> dict[str, Any]:
        if task == "layers":
            np.savez(more, **layers(self.alpha, 0.5))
            return {"written": more}
        self.rate += 10
        return {"rate": self.rate}


def test_medians_and_ratios(peers: ModuleType, tmp_path: Path) -> None:
    found = peers.measured([FakePeer("ours", [1], 90), FakePeer("other", [1], 40)], 3, 0.1, tmp_path)
    assert {name: row["rate"] for name, row in found.items()} == {"ours": 110, "other": 60}
    worse = {name: row | {"rate": 55, "overlap": 0.95, "color": 0.125} for name, row in found.items()}
    assert peers.table({"cube": found, "sphere": worse}).splitlines() == [
        "|  | version | cube | sphere | silhouettes | colours |",
        "| --- | --- | --- | --- | --- | --- |",
        "| ours | 1 | 110 (1.00) | 55 (1.00) | 0.950 | 0.125 |",
        "| other | 1 | 60 (1.83) | 55 (1.00) | 0.950 | 0.125 |",
    ]


def test_a_peer_that_draws_something_else_is_an_error(peers: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^other does not draw what ours does: silhouettes overlap by 0.500, and 0.9"):
        peers.measured([FakePeer("ours", [1, 1], 1), FakePeer("other", [1, 0], 1)], 1, 0.1, tmp_path)
