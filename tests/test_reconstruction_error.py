"""How well an image is drawn: what evaluations, checkpoints and predictions say of it, and when `predict` warns."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from predict_for_tests import discs as discs
from predict_for_tests import lines, noise, predict
from test_calibrated_posteriors import keep, run_with_data
from test_module import MODULE, data_for, drawn_images, trainer

import air_lightning
from air_lightning.cli import main
from air_lightning.metrics import SceneQuantile
from air_lightning.model import Refinement
from air_lightning.model.calibration import Powers
from air_lightning.runs.loading import load_module
from datamodules import Scenes3D


@pytest.mark.parametrize(("share", "expected"), [(0.99, 99.0), (0.5, 50.0), (1.0, 100.0), (0.001, 1.0)])
def test_so_many_scenes_have_that_at_most(share: float, expected: float) -> None:
    metric = SceneQuantile(share)
    for part in (torch.arange(1.0, 101)[torch.randperm(100)]).split(33):
        metric.update(part)
    assert metric.compute() == expected
    metric.reset()
    metric.update(torch.empty(0))
    assert metric.compute().isnan()


@pytest.mark.parametrize("share", [0.0, 1.1, math.nan])
def test_a_share_lies_between_none_and_all(share: float) -> None:
    with pytest.raises(ValueError, match=r"share must lie in \(0, 1\], got"):
        SceneQuantile(share)


def test_it_is_the_root_mean_square_of_what_is_not_drawn() -> None:
    module = MODULE["mesh"]().eval()
    images = drawn_images(module.renderer)
    found = module.infer(images)
    expected = [float(np.sqrt(np.mean(np.square(part)))) for part in (images - found.reconstruction).numpy()]
    assert found.reconstruction_error.tolist() == pytest.approx(expected, rel=1e-5)
    exact = module.infer(found.reconstruction[:0]).reconstruction_error
    assert exact.shape == (0,)


def test_a_fit_keeps_what_is_usual_and_training_on_forgets_it(tmp_path: Path) -> None:
    module, run = MODULE["mesh"](), trainer()
    data = data_for(module)
    run.fit(module, datamodule=data)
    usual = float(run.callback_metrics["val/reconstruction_error"])
    assert module.powers == Powers(usual_error=usual) and module.powers.are_none and 0 < usual < 1
    run.test(module, datamodule=data, verbose=False)
    assert module.powers.usual_error == usual
    saved = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(saved)
    other = MODULE["mesh"]()
    other.on_load_checkpoint(saved)
    assert other.powers.usual_error == usual
    other.on_train_start()
    assert other.powers.usual_error is None


class Untold(Scenes3D):
    """Scenes of which nobody knows what is there."""

    has_truth = False  # type: ignore[assignment]


def test_without_a_truth_a_fit_and_a_test_measure_it_too() -> None:
    module, run = MODULE["mesh"](refinement=Refinement(1)), trainer()
    data = Untold(batch_size=4, train_scenes=8, val_scenes=4, test_scenes=4)
    run.fit(module, datamodule=data)
    usual = float(run.callback_metrics["val/reconstruction_error"])
    assert module.powers == Powers(usual_error=usual) and 0 < usual < 1
    assert set(module.validation_metrics(data)) == {"val/elbo", "val/reconstruction_error"}
    (tested,) = run.test(module, datamodule=data, verbose=False)
    images = torch.cat([batch.images for batch in data.test_dataloader()])
    errors = module.eval().infer(images).reconstruction_error
    assert tested["test/reconstruction_error"] == pytest.approx(float(errors.max()), rel=1e-4)
    assert tested["test/evidence_after"] >= tested["test/evidence_before"]


def test_calibration_keeps_what_is_usual_with_the_arguments_in_force(tmp_path: Path) -> None:
    run = run_with_data(tmp_path / "run")
    main(["validate", "--run_dir", str(run), "--calibrate", "--trainer.enable_progress_bar=false"])
    usual = air_lightning.load(run).usual_error
    measured = json.loads((run / "validate_metrics.json").read_text())["metrics"]["val/reconstruction_error"]
    assert usual == pytest.approx(measured, rel=1e-6)
    keep(run / "checkpoints" / "best.ckpt", Powers(usual_error=usual))
    assert load_module(run).powers.usual_error == usual
    # nothing was fitted, so that nobody need be told that it does not hold
    assert load_module(run, options=["--model.count_prior", "0.5"]).powers.usual_error is None


def test_predictions_say_it_and_images_of_another_world_are_warned_of(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = noise(3)
    images[0] = np.round(255 * air_lightning.load(discs).module.renderer.image_background().permute(1, 2, 0).numpy())
    np.save(tmp_path / "images.npy", images)
    predict("--run_dir", discs, "--input", tmp_path / "images.npy", "--output", tmp_path / "a")
    errors = [row["reconstruction_error"] for row in lines(tmp_path / "a")]
    assert errors[0] < 0.3 < min(errors[1:]) and "unlike" not in capsys.readouterr().err
    assert [p.reconstruction_error for p in air_lightning.load(discs).infer(images)] == pytest.approx(errors, rel=1e-4)
    keep(discs / "checkpoints" / "best.ckpt", Powers(usual_error=0.15))
    model = air_lightning.load(discs)
    assert [model.is_unlike(seen) for seen in model.infer(images)] == [False, True, True]
    predict("--run_dir", discs, "--input", tmp_path / "images.npy", "--output", tmp_path / "b")
    assert (
        "warning: 2 of 3 images are unlike those that the model was validated with or adapted to (first "
        f"{tmp_path}/images.npy): what it draws of them is off by more than 0.3 (reconstruction_error). "
        "What it says of them may be wrong, however sure it is: "
    ) in capsys.readouterr().err


def test_what_8_bits_leave_is_usual(discs: Path) -> None:
    model = air_lightning.load(discs)
    model.module.powers = Powers(usual_error=1e-5)
    assert model.unlike_from == 0.01
    model.module.powers = Powers()
    assert model.usual_error is None and model.unlike_from == math.inf
