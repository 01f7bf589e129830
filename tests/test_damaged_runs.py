"""Runs whose checkpoint or config is damaged: the error names the file and says what to do."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from runs_for_tests import DISCS, write_run

import air_lightning


@pytest.fixture(scope="module")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("discs") / "run", DISCS)


def damaged(good: Path, folder: Path, **state: Any) -> Path:
    """A copy of a run in which a part of the checkpoint is another."""
    run = folder / "damaged"
    shutil.copytree(good, run, dirs_exist_ok=True)
    path = run / "checkpoints" / "best.ckpt"
    torch.save(torch.load(path) | state, path)
    return run


@pytest.mark.parametrize("kind", ["cut", "empty", "flipped", "text", "no weights", "nan"])
def test_damaged_checkpoints_are_named(discs: Path, tmp_path: Path, kind: str) -> None:
    run = damaged(discs, tmp_path)
    path = run / "checkpoints" / "best.ckpt"
    content, message = path.read_bytes(), f"checkpoint '{path}' cannot be read, it is damaged, or no checkpoint: name"
    if kind == "no weights":
        torch.save({"epoch": 3}, path)
        message = f"checkpoint '{path}' holds no weights, it is not one of `fit`"
    elif kind == "nan":
        damaged(discs, tmp_path, state_dict={n: v * torch.nan for n, v in torch.load(path)["state_dict"].items()})
        message = r"its weights are not finite \(.* first\): its training diverged, or it is damaged"
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes(255 - byte for byte in content[middle : middle + 9]) + content[middle + 9 :]
        path.write_bytes({"cut": content[:-50], "empty": b"", "flipped": flipped, "text": b"version 1"}[kind])
    with pytest.raises(ValueError, match=message):
        air_lightning.load(run)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "config.yaml' is empty: expected arguments by name"),
        ("- 1", "config.yaml' holds a list: expected arguments by name"),
        ("a: [1", "config.yaml' is not YAML: while parsing a flow sequence"),
        (b"\xff\xfe", "config.yaml' is not YAML: 'utf-8' codec can't decode"),
        ("data: {}", "its config.yaml has no `model`: it must be as `fit` wrote it"),
    ],
)
def test_damaged_configs_are_named(discs: Path, tmp_path: Path, text: str | bytes, message: str) -> None:
    run = damaged(discs, tmp_path)
    (run / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        air_lightning.load(run)
