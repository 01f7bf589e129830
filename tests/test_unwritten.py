"""Full disks and the like: one line, what was whole before stays, and nothing half-written does."""

import csv
import errno
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toy
from cli_for_tests import names
from PIL import Image
from runs_for_tests import DISCS, write_run

from air_lightning import runs
from air_lightning.cli import main
from air_lightning.runs.metrics_file import MetricsFile
from air_lightning.runs.writing import drafted, unwritten, write_atomically
from air_lightning.training.callbacks.checkpoints import _written_first
from air_lightning.training.callbacks.figures import write_png

CONFIGS = Path(__file__).parent.parent / "configs"
SPRITES = ["--data=MultiSprites", "--data.canvas=48", "--count=6"]
LARGE = "file too large: allow larger files (ulimit -f)"
FULL = "no space left on device: free some space"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses to write larger ones in here, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def ended(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """The last line of a command that could not write."""
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    assert stop.value.code == 1
    return capsys.readouterr().err.strip().rpartition("\n")[2]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "number, said",
    [
        (errno.ENOSPC, "no space left on device: free some space"),
        (errno.EDQUOT, "disk quota exceeded: free some space"),
        (errno.EFBIG, "file too large: allow larger files (ulimit -f)"),
        (errno.EROFS, "read-only file system: make it writable"),
        (errno.EACCES, "permission denied: make it writable"),
        (errno.EPERM, "operation not permitted: make it writable"),
    ],
)
def test_what_is_said(tmp_path: Path, number: int, said: str) -> None:
    path = tmp_path / "not there" / "a.json"
    assert unwritten(OSError(number, "whatever", str(path))) == f"{str(path)!r} cannot be written, {said}"
    with pytest.raises(OSError) as raised, drafted(tmp_path / "b") as draft:
        raise OSError(number, "whatever", str(draft / "c"))
    assert unwritten(raised.value) == f"'{tmp_path}/b/c' cannot be written, {said}"
    assert names(tmp_path) == []


def test_errors_that_are_not_of_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (FileNotFoundError(errno.ENOENT, "", "a"), OSError(errno.EIO, "", "a"), OSError("of some library")):
        assert unwritten(error) is None
    assert unwritten(OSError(errno.EACCES, "no file")) is None
    secret = PermissionError(errno.EACCES, "", str(tmp_path / "secret"))
    assert unwritten(secret) is not None  # it is not there, and the folder may be looked at
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.R_OK)
    assert unwritten(secret) is None  # it could not be read


def test_other_errors_are_bugs_and_are_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "somewhere")

    monkeypatch.setattr("air_lightning.commands.adapt.adapt", broken)
    with pytest.raises(OSError, match="Input/output error"):
        main(["adapt", "--model=scenes3d", f"--input={tmp_path}", f"--output={tmp_path / 'out'}"])


def test_drafts(tmp_path: Path) -> None:
    """The old file stays where the new one is not written to its end, whatever the reason, and a folder is not made."""
    file = tmp_path / "file"
    file.write_text("old")
    with files_of_at_most(100), pytest.raises(OSError) as raised:
        write_atomically(file, 101 * "x")
    assert unwritten(raised.value) == f"{str(file)!r} cannot be written, {LARGE}"
    with pytest.raises(KeyboardInterrupt), drafted(tmp_path / "folder") as draft:
        (draft / "within").mkdir(parents=True)
        raise KeyboardInterrupt
    assert everything(tmp_path) == {"file": b"old"} and names(tmp_path) == ["file"]
    with drafted(tmp_path / "folder") as draft:
        draft.mkdir()
        (draft / "within").touch()
    assert names(tmp_path) == ["file", "folder"] and names(tmp_path / "folder") == ["within"]


def test_checkpoints_are_amended_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {}}, path)
    before = everything(tmp_path)
    with files_of_at_most(2000), pytest.raises(OSError) as raised:
        runs.amend_checkpoint(path, {"more": torch.zeros(1000)})
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(path)) and everything(tmp_path) == before


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", DISCS, sure=20.0)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for i in range(4):
        noise = np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "images" / f"{i}.png")
    return tmp_path / "images"


@pytest.mark.parametrize(
    "largest, words, output",
    [
        (1000, "predict --run_dir=RUN --input=IMAGES --overlay", "out"),
        (1000, "predict --run_dir=RUN --input=IMAGES --all_slots", "out"),
        (1000, "predict --run_dir=RUN --input=IMAGES --all_slots --format=coco", "out"),
        (3000, "adapt --run_dir=RUN --input=IMAGES", "out"),
        (3000, "export --run_dir=RUN --format=checkpoint", "out"),
        (3000, "export --run_dir=RUN --overwrite", "out.pt2"),
        (3000, "report RUN --judge=0 --overwrite", "out.html"),
    ],
)
def test_commands_leave_what_was_there(
    tmp_path: Path, run: Path, images: Path, capsys: pytest.CaptureFixture[str], largest: int, words: str, output: str
) -> None:
    out = tmp_path / output
    if "--overwrite" in words:
        out.write_text("old")
    before, there = everything(tmp_path), names(tmp_path)
    args = words.replace("RUN", str(run)).replace("IMAGES", str(images)).split()
    with files_of_at_most(largest):
        said = ended(capsys, *args, "--output", out)
    assert said == f"error: {str(out)!r} cannot be written, {LARGE}, and run the same command again"
    assert everything(tmp_path) == before and names(tmp_path) == there


@pytest.mark.parametrize("more", [[], ["--bits=32"], ["--format=coco"], ["--format=hdf5"]])
def test_scenes_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    words = ["scenes", *SPRITES, f"--output={tmp_path / 'out'}", *more]
    with files_of_at_most(1000):
        said = ended(capsys, *words)
    assert said.startswith(f"error: '{tmp_path}/out.partial") and "Errno" not in said
    assert said.endswith(f"' cannot be written, {LARGE}, and the same command goes on")
    main(words)
    assert names(tmp_path) == ["out"]


# ---- fit


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, on the disk of the runs."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def stopped(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """The last line of a fit that could not write."""
    with pytest.raises(SystemExit) as stop:
        toy.run(*args)
    assert stop.value.code == 1
    return capsys.readouterr().err.strip().rpartition("\n")[2]


def steps(run: Path) -> list[int]:
    """Of the rows in ``metrics.csv``, each of which must have all its columns."""
    with (run / "metrics.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert all(len(row) == len(head) for row in rows)
    return [int(row[head.index("step")]) for row in rows]


def test_a_fit_that_has_saved_nothing_is_begun_anew(
    tmp_path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with files_of_at_most(3000):
        said = stopped(capsys, *toy.FIT, "--run_dir", run)
    again = f"run the same command again once {run} is removed"
    assert said == f"error: '{run}/checkpoints/best.ckpt' cannot be written, {LARGE}, and {again}"
    assert names(run) == ["checkpoints", "config.yaml", "metrics.csv"] and steps(run) == [7]
    assert names(run / "checkpoints") == names(scratch) == []


def test_a_fit_goes_on_from_what_it_has_saved(
    tmp_path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    toy.fit("--run_dir", run)
    before = everything(run / "checkpoints")
    with files_of_at_most(3000):
        said = stopped(capsys, "fit", "--resume", "--run_dir", run, "--trainer.max_epochs", 4)
    how = f"continue with: fit --resume --run_dir {run} (from step 16)"
    assert said.startswith(f"error: '{run}/checkpoints/") and said.endswith(f"cannot be written, {LARGE}, and {how}")
    assert everything(run / "checkpoints") == before and names(scratch) == [] and steps(run) == [7, 15, 23]
    toy.run("fit", "--resume", "--run_dir", run)
    assert steps(run) == [7, 15, 23, 23, 31]


def test_a_fit_that_has_saved_its_best_alone_goes_on_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, replace = tmp_path / "run", os.replace

    def full(draft: Path, path: Path) -> None:
        if path.name == "last.ckpt":
            raise OSError(errno.ENOSPC, "No space left on device", str(draft), None, str(path))
        replace(draft, path)

    monkeypatch.setattr(os, "replace", full)
    said = stopped(capsys, *toy.FIT, "--run_dir", run)
    how = f"continue with: fit --resume --run_dir {run} --ckpt_path best (from step 8)"
    assert said == f"error: '{run}/checkpoints/last.ckpt' cannot be written, {FULL}, and {how}"
    assert names(run / "checkpoints") == ["best.ckpt"]


def test_a_full_folder_of_temporary_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = SimpleNamespace(default_root_dir=str(tmp_path))
    other, path = Path("/dev"), tmp_path / "checkpoints" / "best.ckpt"
    monkeypatch.setattr(tempfile, "tempdir", str(other))
    assert _written_first(trainer, path) == other  # type: ignore[arg-type]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert _written_first(trainer, path) == path  # type: ignore[arg-type]


def test_a_config_that_cannot_be_written(tmp_path: Path, scratch: Path) -> None:
    """A new run leaves no folder, a resumed one its config as it was."""
    with files_of_at_most(100), pytest.raises(OSError, match="config.yaml") as raised:
        toy.fit("--run_dir", tmp_path / "new")
    assert unwritten(raised.value) is not None and names(tmp_path) == ["scratch"]
    run = tmp_path / "run"
    toy.fit("--run_dir", run)
    before = everything(run)
    with files_of_at_most(100), pytest.raises(OSError, match="config"):
        toy.run("fit", "--resume", "--run_dir", run, "--trainer.max_epochs", 4)
    assert everything(run) == before


def test_a_new_fit_of_a_real_model_that_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with files_of_at_most(100):
        said = ended(capsys, "fit", f"--config={CONFIGS / 'multi_sprites.yaml'}", f"--run_dir={tmp_path / 'run'}")
    assert said == f"error: '{tmp_path}/run/config.yaml' cannot be written, {LARGE}, and run the same command again"
    assert names(tmp_path) == []


def test_rows_that_cannot_be_written_leave_the_others(tmp_path: Path) -> None:
    """Neither half a row is left, nor one under a head without its columns."""
    path, file = tmp_path / "metrics.csv", MetricsFile(tmp_path)
    file.log_metrics({"a": 1.0}, 1)
    file.log_metrics({"a": 2.0}, 2)
    before = path.read_bytes()
    for more, room in (({"a": 1 / 3}, 5), ({"b": 3.0}, 0)):
        with files_of_at_most(len(before) + room), pytest.raises(OSError) as raised:
            file.log_metrics(more, 3)
        assert unwritten(raised.value) == f"'{path}' cannot be written, {LARGE}"
        file.finalize("failed")
        assert path.read_bytes() == before and names(tmp_path) == ["metrics.csv"]


def test_a_figure_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    before = everything(tmp_path)
    with files_of_at_most(1000), pytest.raises(OSError, match="a.png"):
        write_png(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    assert everything(tmp_path) == before
