"""`adapt` through the real command line: another light is found, and a run folder is left that other commands take."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from runs_for_tests import GLIMPSES, write_run

from air_lightning import load
from air_lightning.cli import main
from datamodules import Scenes3D
from renderers import MeshRenderer
from renderers.mesh import Light, Shadow

LAMP = Light((-0.7, 0.9, 0.5), ambient=0.15, shadow=Shadow(0.8, softness=8.0), distance=6.0, linear=True)
QUICK = ["--model.adaptation.scales", "[3.0,1.0]", "--model.search.rounds", "1", "--model.refinement.starts", "0"]


def write_images(folder: Path, renderer: MeshRenderer, number: int) -> list[int]:
    """Scenes as PNG files; their counts."""
    folder.mkdir()
    scenes = Scenes3D(renderer, counts=[1, 2, 3], noise=0.02).scenes("test")
    batch = scenes.__getitems__(list(range(number)))
    for i, image in enumerate(batch.images):
        pixels = (image.movedim(0, -1) * 255).round().to(torch.uint8).numpy()
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return batch.count.tolist()


def said_errors(said: str) -> tuple[float, float]:
    """The reconstruction errors that `adapt` says its images have: their median, and what 99 of 100 have at most."""
    found = re.search(r"reconstruction error of these images: ([\d.e-]+) \(median\), ([\d.e-]+) \(99 of 100\)", said)
    assert found, said
    return float(found[1]), float(found[2])


def test_a_shipped_model_learns_another_light_and_other_commands_take_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = write_images(tmp_path / "images", MeshRenderer(light=LAMP), 12)
    out = tmp_path / "out"
    main(["adapt", "--model", "scenes3d", "--input", str(tmp_path / "images"), "--output", str(out), *QUICK])
    said = capsys.readouterr().out
    assert "learnt of all images: light_azimuth" in said and f"wrote {out}/" in said
    kept = torch.load(out / "checkpoints" / "best.ckpt", weights_only=True)["shared"]
    assert kept["light_azimuth"] == pytest.approx(math.atan2(-0.7, 0.5), abs=0.1)
    assert kept["shadow_strength"] == pytest.approx(0.8, abs=0.1)
    model = load(out)
    assert dict(zip(model.module.renderer.shared.names, model.module.renderer.shared_values.tolist())) == kept
    found = [len(p.objects) for p in model.infer([Image.open(tmp_path / "images" / f"{i}.png") for i in range(12)])]
    assert sum(a == b for a, b in zip(found, counts)) >= 11
    assert said_errors(said)[1] == pytest.approx(model.usual_error, rel=1e-2) and 0.01 < model.usual_error < 0.06
    assert any(model.is_unlike(p) for p in model.infer([Image.new("RGB", (64, 64))])), "black images are unlike"
    told = re.search(r"as sure as parts of objects agree, to the power of count ([\d.]+), x", said)
    assert told and float(told[1]) == pytest.approx(model.module.powers.count, rel=1e-2) and float(told[1]) < 1
    assert set(model.module.powers.pose) == {"x", "z", "yaw"} and model.module.powers.searched
    held_out = ["--data.val_share", "0.8", "--trainer.enable_progress_bar", "false"]
    main(["validate", "--run_dir", str(out), "--calibrate", *held_out])
    assert "(no truth is known: as sure as parts of objects agree)" in capsys.readouterr().out
    powers = load(out).module.powers
    assert 0 < powers.count < 1 and powers.refined and powers.usual_error == pytest.approx(model.usual_error, rel=0.2)
    truth = {"images": [{"file": f"{i}.png", "count": count} for i, count in enumerate(counts)]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    of_images = ["--data.truth", str(tmp_path / "truth.json"), "--data.test_share", "1.0", "--data.test_scenes", "4"]
    main(["test", "--run_dir", str(out), *of_images, "--trainer.logger", "false"])
    assert json.loads((out / "test_metrics.json").read_text())["metrics"]["test/count_accuracy"] >= 0.75


def test_black_and_white_are_those_of_the_run_or_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"class_path": "datamodules.ImageFolder", "init_args": {"scale": 4095.0, "offset": 10.0, "stretch": "asinh"}}
    run, images = write_run(tmp_path / "run", GLIMPSES), tmp_path / "images"
    with (run / "config.yaml").open("a") as config:
        yaml.safe_dump({"data": data}, config)
    images.mkdir()
    for i in range(4):
        Image.fromarray(np.full((20, 24), 500 * i, np.uint16)).save(images / f"{i}.png")
    for name, given, told in (("of the run", [], (4095.0, 10.0)), ("given", ["--scale", "2000"], (2000.0, 10.0))):
        main(["adapt", "--run_dir", str(run), "--input", str(images), "--output", str(tmp_path / name), *given])
        arguments = yaml.safe_load((tmp_path / name / "config.yaml").read_text())["data"]["init_args"]
        assert (arguments["scale"], arguments["offset"], arguments["stretch"]) == (*told, "asinh")
        levels = load(tmp_path / name).levels  # which `predict` takes then
        assert (levels.scale, levels.offset) == told


def test_a_renderer_that_names_nothing_gets_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, images = write_run(tmp_path / "run", GLIMPSES), tmp_path / "images"
    images.mkdir()
    for i in range(4):
        Image.new("L", (24, 20), 10 * i).save(images / f"{i}.png")
    main(["adapt", "--run_dir", str(run), "--input", str(images), "--output", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "GlimpseRenderer names nothing that all images share: only noise" in said
    model = load(tmp_path / "out")
    assert said_errors(said)[1] == pytest.approx(model.usual_error, rel=1e-2)
    module = model.module
    assert module.search is not None and module.background is not None and not module.background.waits


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--input", "nowhere"], "error: --input 'nowhere' is not a folder"),
        (["--output", "."], "error: --output '.' exists: name another"),
        (["--model", "nobody"], "error: no model 'nobody' comes with the package: choose one of"),
        (["--model.slots", "0"], "slots must be at least 1, got 0"),
        (["--model.nothing", "1"], "with --model.nothing 1: "),
        (
            ["--model.search.cst", "3"],
            "model.search: no argument of Search is called 'cst', did you mean cost? There are",
        ),
        (["--model", "tabletop_camera"], "infers what differs from image to image (camera_azimuth, camera_elevation, "),
        (["--model", "clevr"], "adapt takes models of one camera; `fit --start_from` trains this one on the images"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_written(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    given = {"--model": "scenes3d", "--input": "images", "--output": "out"} | {arguments[0]: arguments[1]}
    with pytest.raises(SystemExit) as ended:
        main(["adapt", *(word for pair in given.items() for word in pair)])
    assert ended.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
