"""What a user gets wrong on the command line: a message with thing, value and remedy, status 2, and no folder."""

import re
from pathlib import Path

import pytest

from air_lightning.cli import main

CONFIG = Path(__file__).parent.parent / "configs" / "scenes3d.yaml"

WRONG = {
    "unknown key": (["--model.likelihod_sd", "1"], "likelihod_sd"),
    "no such renderer": (["--model.renderer", "renderers.Meshes"], "renderers.Meshes"),
    "no renderer": (["--model.renderer", "torch.nn.Linear"], "torch.nn.Linear"),
    "unknown identity": (["--model.renderer.identities", "[cube,mug]"], "unknown identity 'mug'"),
    "too few slots": (["--model.slots", "2"], "the model has 2 slots and the data holds scenes of up to 3 objects"),
    "out of view": (["--model.renderer.x", "[-9,9]"], "reaches outside the camera's view: x=-9"),
    "malformed YAML": (["--model.lr", "{a:[0,1]}"], "model.lr: Expected a"),
    "a number for a table": (["--model.renderer.scene", "3"], "model.renderer.scene"),
    "negative distance": (
        ["--data.apart", "-1"],
        "data.apart and noise must be finite and not negative, got apart=-1.0",
    ),
    "noise that is no number": (["--data.noise", ".nan"], "data.apart and noise must be finite and not negative, got"),
    "noise without end": (["--data.noise", ".inf"], "data.apart and noise must be finite and not negative, got"),
    "a turn that is no number": (["--model.renderer.yaw", ".nan"], "yaw must be a finite number, at which it is fixed"),
    "a height that is no number": (["--model.renderer.y", ".nan"], "y must be a finite number, at which it is fixed"),
    "a rate without end": (["--model.lr", ".inf"], "model.lr must be positive and finite, got inf"),
    "a last rate that is no number": (["--model.lr_final", ".nan"], "model.lr_final must be a share of lr, finite and"),
    "a limit that is no number": (["--trainer.gradient_clip_val", ".nan"], "trainer.gradient_clip_val must not be neg"),
    "a negative limit": (["--trainer.gradient_clip_val", "-1"], "trainer.gradient_clip_val must not be negative, got"),
    "too crowded": (["--data.apart", "5"], "could not place 3 objects 5.0 apart in 2000 tries"),
    "flat scenes": (
        ["--data", "MultiSprites"],
        "MultiSprites says where objects are by scale, x, y, MeshRenderer by x, z, yaw: choose data of the model's",
    ),
    "images of another size": (
        ["--data.renderer", "MeshRenderer", "--data.renderer.image_size", "[32,32]"],
        "the data's images are (3, 32, 32) (channels, height, width), the renderer draws (3, 64, 64)",
    ),
    "identities that the model lacks": (
        ["--data.renderer", "MeshRenderer", "--data.renderer.identities", "[cube,cone]"],
        "Scenes3D has objects of the identity 'cone', MeshRenderer draws cube, sphere, cylinder: name identities alike",
    ),
    "no such metric": (
        ["--checkpoint.monitor", "val/box_ap50"],
        "checkpoint.monitor 'val/box_ap50' is not among the metrics logged in validation: choose one of "
        "val/calibration_error, val/count_accuracy, val/count_log_loss, val/coverage50, val/coverage90, val/elbo, ",
    ),
    "the worst kept as the best": (
        ["--checkpoint.monitor", "val/position_error"],
        "checkpoint.monitor 'val/position_error' is better the less it is, and mode 'max' takes the more for better: "
        "give --checkpoint.mode min",
    ),
    "stopping as it gets better": (
        ["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "val/elbo"],
        "the monitor of trainer.callbacks' EarlyStopping, 'val/elbo' is better the more it is, and mode 'min' takes "
        "the less for better: give its mode as 'max'",
    ),
    "no such metric to stop by": (
        ["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "val_loss"],
        "the monitor of trainer.callbacks' EarlyStopping, 'val_loss' is not among the metrics logged in validation",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, text = WRONG[case]
    run = tmp_path / "run"
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", str(CONFIG), "--run_dir", str(run), *arguments])
    assert stopped.value.code == 2
    assert re.search(re.escape(text), capsys.readouterr().err)
    assert not run.exists()


def test_3d_scenes_cannot_be_drawn_by_a_decoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = CONFIG.with_name("multi_sprites.yaml")
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", str(flat), "--run_dir", str(tmp_path / "run"), "--data", "Scenes3D"])
    assert stopped.value.code == 2 and not (tmp_path / "run").exists()
    assert "scenes are drawn from a renderer with named identities, GlimpseRenderer has" in capsys.readouterr().err


def test_a_diverged_model_stops_with_the_step_and_the_terms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    short = ["--trainer.enable_progress_bar", "false", "--data.batch_size", "4", "--data.val_scenes", "4"]
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", str(CONFIG), "--run_dir", str(run), "--model.lr", "1e25", *short])
    assert stopped.value.code == 1
    assert re.search(r"the loss of step \d+ .* is not finite in: reconstruction, where_kl", capsys.readouterr().err)
    assert not list(run.rglob("*.ckpt"))
