"""Data that turn out to be damaged when a run has begun: one line, status 2, and nothing written."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from predict_for_tests import SIZE
from predict_for_tests import discs as discs

from air_lightning.cli import main

CONFIG = Path(__file__).parent.parent / "configs" / "image_folder.yaml"


def write(path: Path, broken: int) -> Path:
    """Six grey images, real numbers, of which one is not finite."""
    image = np.full((6, SIZE, SIZE, 3), 0.5, np.float32)
    image[broken] = np.nan
    with h5py.File(path, "w") as file:
        file["image"] = image
    return path


def test_an_image_that_test_cannot_read(discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "a.h5", broken=4)
    data = ["--data", "ImageArrays", "--data.file", str(file), "--data.truth", "false", "--data.color", "true"]
    with pytest.raises(SystemExit) as stop:
        main(["test", "--run_dir", str(discs), *data, "--data.test_share", "1.0"])
    assert stop.value.code == 2 and not (discs / "test_metrics.json").exists()
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: could not read image 4 of file='{file}': real values must be finite")


@pytest.mark.parametrize("broken, val_share, stays", [(4, 0.1, False), (5, 0.33, True)], ids=["train", "validate"])
def test_images_that_fit_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: int, val_share: float, stays: bool
) -> None:
    """At the first step no folder stays; later, one from which to go on once the file is mended."""
    file, run = write(tmp_path / "a.h5", broken), tmp_path / "run"
    small = ["--trainer.max_steps", "4", "--trainer.val_check_interval", "2", "--trainer.limit_train_batches", "4"]
    with pytest.raises(SystemExit) as stop:
        main([
            "fit", "--config", str(CONFIG), "--run_dir", str(run), "--data", "ImageArrays", "--data.file", str(file),
            "--data.truth", "false", "--data.color", "true", "--data.resize", f"[{SIZE},{SIZE}]",
            "--data.val_share", str(val_share), "--data.batch_size", "4",
            "--model.renderer.image_shape", f"[3,{SIZE},{SIZE}]", "--trainer.num_sanity_val_steps", "0", *small,
        ])  # fmt: skip
    assert stop.value.code == 2 and run.exists() == stays
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: could not read image {broken} of file='{file}': ")
    assert error.endswith(f"continue with: fit --resume --run_dir {run}") == stays
