"""Powers, tilt and doubt of posteriors: what they do, where they are kept, and the command that fits them."""

import inspect
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from runs_for_tests import DISCS, GLIMPSES, MESHES, REFINED, write_run
from test_module import COMMON, MODULE, data_for, drawn_images, stirred, trainer
from test_module import pytestmark as pytestmark

import air_lightning
from air_lightning.backgrounds import MedianBackground
from air_lightning.cli import calibration, main
from air_lightning.commands.export.program import Inference as Exported
from air_lightning.commands.export.weights import write_weights
from air_lightning.model.air import AIR
from air_lightning.model.calibration import FITTED_WITH, Powers
from air_lightning.runs import RunFolder
from air_lightning.runs.loading import load_module

DATA = {
    "class_path": "datamodules.Scenes3D",
    "init_args": {"counts": [0, 1, 2], "apart": 0.5, "batch_size": 4, "val_scenes": 8, "test_scenes": 4},
}
QUIET = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]


def run_with_data(folder: Path, **options: Any) -> Path:
    """An untrained run of meshes, with data to validate it on."""
    run = write_run(folder, MESHES, sure=1.0, **options)
    model = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(model | {"data": DATA}))
    return run


def command(name: str, *arguments: object) -> None:
    main([name, *(str(argument) for argument in arguments), *QUIET])


def keep(checkpoint: Path, powers: Powers) -> None:
    """Put powers into a checkpoint."""
    torch.save(torch.load(checkpoint, weights_only=True) | {"powers": powers.state()}, checkpoint)


def figures(run: Path, name: str) -> Any:
    return json.loads((run / f"{name}_metrics.json").read_text())


# ---- what they do


def test_a_power_flattens_or_sharpens_and_keeps_the_likeliest() -> None:
    log_q = torch.tensor([[0.7, 0.2, 0.1]]).log()
    for power in (0.3, 1.0, 4.0):
        q = Powers(power).of_count(log_q).exp()
        assert int(q.argmax()) == 0 and float(q.sum()) == pytest.approx(1)
        assert float((q[0, 0] / q[0, 1]).log()) == pytest.approx(power * math.log(3.5), rel=1e-5)


def test_a_gaussian_to_a_power_has_another_sd() -> None:
    sd, names = torch.tensor([[2.0, 3.0]]), ("x", "yaw")
    assert Powers(pose={"x": 0.25}).of_pose(names, sd, refined=False).tolist() == [[4.0, 3.0]]
    assert Powers(pose={"x": 0.25}).of_pose(names, sd, refined=True) is sd  # fitted to other poses


def test_a_tilt_moves_the_number_and_a_doubt_spreads_it() -> None:
    log_q = torch.tensor([[0.6, 0.3, 0.1]]).log()
    tilted = Powers(tilt=math.log(3)).of_count(log_q).exp()
    torch.testing.assert_close(tilted, torch.tensor([[0.6, 0.9, 0.9]]) / 2.4)
    torch.testing.assert_close(Powers(doubt=0.5).of_count(log_q).exp(), 0.5 * log_q.exp() + 0.5 / 3)
    torch.testing.assert_close(Powers(tilt=1.0, doubt=0.5).of_count(log_q, searched=True), log_q)


def test_powers_in_words_and_in_checkpoints() -> None:
    first = Powers(0.5, {"x": 0.25, "yaw": 2.0}, refined=True)
    assert str(first) == "count 0.5, x 0.25, yaw 2" and Powers(**first.state()) == first
    more = Powers(0.5, identity=0.25, tilt=0.0421, doubt=0.01, identity_doubt=0.002, overrides={"search": None})
    assert str(more) == "count 0.5 (tilt 0.0421, doubt 0.01), identity 0.25 (doubt 0.002)"
    assert Powers(**more.state()) == more and not more.are_none and Powers(pose={"x": 1.0}, refined=True).are_none
    old = {"count": 0.5, "pose": {"x": 0.25}, "refined": True, "searched": False}  # of earlier versions
    assert Powers(**old) == Powers(0.5, {"x": 0.25}, True)


def test_identities_to_a_power() -> None:
    logits = torch.tensor([[0.0, -4.0]])
    found = Powers(identity=0.25, refined=True).of_identity(logits, refined=True)
    torch.testing.assert_close(found.softmax(1), torch.tensor([[0.0, -1.0]]).softmax(1))
    assert Powers(identity=0.25, refined=True).of_identity(logits, refined=False) is logits
    doubted = Powers(identity_doubt=0.5).of_identity(logits, refined=False).softmax(1)
    torch.testing.assert_close(doubted, 0.5 * logits.softmax(1) + 0.25)


def test_a_model_reports_its_posteriors_to_their_powers() -> None:
    module = stirred(MODULE["mesh"]())
    images, names = drawn_images(module.renderer), module.renderer.where.names
    plain = module.infer(images)
    module.powers = Powers(0.5, dict.fromkeys(names, 0.25), identity=0.5)
    found = module.infer(images)
    torch.testing.assert_close(found.posterior, plain.posterior.sqrt() / plain.posterior.sqrt().sum(1, keepdim=True))
    torch.testing.assert_close(found.where_sd, 2 * plain.where_sd)
    told = found.slots.what_parameters.softmax(-1)
    torch.testing.assert_close(told, (0.5 * plain.slots.what_parameters).softmax(-1))
    assert torch.equal(found.count, plain.count) and torch.equal(found.slots.where, plain.slots.where)


def test_the_count_reported_is_the_corrected_posteriors_likeliest() -> None:
    """And so is what is drawn, and what an exported program gives."""
    module = stirred(MODULE["mesh"]())
    images = drawn_images(module.renderer)
    plain, (lowest, *_) = module.infer(images), module.infer(images).count.sort().values
    module.powers = Powers(tilt=20.0)
    found = module.infer(images)
    assert lowest < module.slots and found.count.tolist() == [module.slots] * len(images)
    assert torch.equal(found.count, found.posterior.argmax(1)) and torch.equal(found.slots.where, plain.slots.where)
    canvases = module.renderer.render(found.slots.what, found.slots.where)
    torch.testing.assert_close(found.reconstruction, canvases[:, -1])
    probabilities = Exported(module, module.renderer)(images)[0]
    torch.testing.assert_close(probabilities, found.posterior)


# ---- where they are kept


def test_training_forgets_powers_and_checkpoints_keep_them(tmp_path: Path) -> None:
    module = MODULE["mesh"]()
    saved: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(saved)
    assert "powers" not in saved
    module.powers = Powers(0.5, {"x": 0.25}, True)
    module.on_save_checkpoint(saved)
    other = MODULE["mesh"]()
    other.on_load_checkpoint(saved)
    assert other.powers == module.powers
    trainer().fit(other, datamodule=data_for(other))
    assert other.powers.are_none and other.powers == Powers(usual_error=other.powers.usual_error)


# ---- the command


def test_calibrate_keeps_powers_that_make_validation_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_with_data(tmp_path / "run", refinement=REFINED)
    checkpoint = run / "checkpoints" / "best.ckpt"
    command("validate", "--run_dir", run, "--calibrate")
    before = figures(run, "validate")
    told, warned = capsys.readouterr()
    assert re.search(
        r"warning: corrections that are fitted to fewer than 50 cases say little: 8 scenes, (\d+) true objects, "
        r"\d+ identities, \1 of x, \1 of z, \d+ of yaw; validate on more scenes \(--data.val_scenes, ", warned
    )  # fmt: skip
    state = torch.load(checkpoint, weights_only=True)
    assert f"best.ckpt: posteriors to the power of {Powers(**state['powers'])}\n" in told
    assert re.search(r"power of count \S+( \(.+\))?, (identity .+, )?x \S+, z \S+, yaw \S", told)
    assert state["powers"]["refined"] and state["global_step"] == 7 and "optimizer_states" in state
    command("validate", "--run_dir", run)
    after = figures(run, "validate")
    assert before["calibration"]["powers"]["count"] == 1 and before["calibration"]["powers"]["tilt"] == 0
    assert after["calibration"]["powers"] == state["powers"] and "calibrate" not in after["overrides"]
    assert after["metrics"]["val/count_log_loss"] <= before["metrics"]["val/count_log_loss"]
    assert after["metrics"]["val/identity_accuracy"] == before["metrics"]["val/identity_accuracy"]
    expected, true = (after["metrics"][f"val/{name}_count"] for name in ("expected", "true"))
    assert abs(expected - true) < abs(before["metrics"]["val/expected_count"] - true)
    # what was kept is not looked at: the posteriors as they were learnt are calibrated again, and the same comes out
    command("validate", "--run_dir", run, "--calibrate")
    assert figures(run, "validate")["metrics"] == before["metrics"]
    again = torch.load(checkpoint, weights_only=True)["powers"]
    assert again == state["powers"]


def test_powers_hold_for_the_arguments_that_they_were_fitted_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With another likelihood, on the command line or in `load`, they are left out, and that is said."""
    likelihood = {"class_path": "air_lightning.likelihoods.MixtureLikelihood", "init_args": {"scale": 0.2}}
    run = run_with_data(tmp_path / "run", likelihood=likelihood)
    checkpoint, other = run / "checkpoints" / "best.ckpt", "--model.likelihood.scale=0.1"
    keep(checkpoint, Powers(0.5, {"x": 0.25}, doubt=0.125))
    command("test", "--run_dir", run, "--model.lr=0.1")  # on which no posterior depends
    assert figures(run, "test")["calibration"]["powers"]["count"] == 0.5
    left_out = r"powers were fitted with other arguments than those in force \(likelihood.init_args.scale\), so"
    with pytest.warns(UserWarning, match=left_out):
        command("test", "--run_dir", run, other)
    assert figures(run, "test")["calibration"]["powers"] == Powers().state()
    with pytest.warns(UserWarning, match=left_out):
        assert load_module(run, options=[other]).powers == Powers()
    assert load_module(run, options=["--model.lr=0.1"]).powers.count == 0.5
    # fitted with the other argument they hold for that, and no longer for the run's own
    command("validate", "--run_dir", run, other, "--calibrate")
    kept = Powers(**torch.load(checkpoint, weights_only=True)["powers"])
    assert kept.overrides == {"likelihood.init_args.scale": 0.1} and kept.doubt != 0.125
    assert load_module(run, options=[other]).powers == kept
    with pytest.warns(UserWarning, match=left_out):
        assert load_module(run).powers == Powers()


@pytest.mark.parametrize("other", ["--model.slots=5", "--model.refinement.iterations=3"])
def test_powers_are_of_so_many_slots_and_such_a_refinement(tmp_path: Path, other: str) -> None:
    """A tilt grows with the count, and a doubt is spread over all of them: fitted to two slots they say 5 of 1."""
    run = write_run(tmp_path / "run", MESHES, refinement=REFINED)
    keep(run / "checkpoints" / "best.ckpt", Powers(0.5, tilt=1.0, doubt=0.125))
    name = other.removeprefix("--model.").partition("=")[0].replace("refinement.", "refinement.init_args.")
    with pytest.warns(UserWarning, match=rf"with other arguments than those in force \({name}\), so"):
        assert load_module(run, options=[other]).powers == Powers()


def test_what_powers_are_fitted_with_are_arguments_of_the_model() -> None:
    assert set(FITTED_WITH) <= set(inspect.signature(AIR).parameters)


def test_another_background_has_no_powers(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", DISCS, sure=0.5)
    keep(run / "checkpoints" / "best.ckpt", Powers(0.5))
    model = air_lightning.load(run)
    assert model.module.powers.count == 0.5
    with pytest.warns(UserWarning, match="powers were fitted with another background than MedianBackground"):
        model.replace_background(MedianBackground())
    assert model.module.powers == Powers()


@pytest.mark.filterwarnings("error")
def test_another_background_for_a_model_without_powers_warns_of_nothing(tmp_path: Path) -> None:
    air_lightning.load(write_run(tmp_path / "run", DISCS)).replace_background(MedianBackground())


def test_powers_go_where_the_weights_go(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", DISCS, sure=0.5)
    checkpoint = run / "checkpoints" / "best.ckpt"
    image = torch.rand(3, 32, 32)
    (plain,) = air_lightning.load(run).infer(image)
    powers = Powers(0.5, {"x": 0.25}, identity=0.5)
    keep(checkpoint, powers)
    write_weights(run, "best", tmp_path / "given", air_lightning.load(run).module)
    assert load_module(tmp_path / "given").powers == powers
    (found,) = air_lightning.load(tmp_path / "given").infer(image)
    odds = [p / q for p, q in zip(plain.count_probabilities, plain.count_probabilities[1:])]
    assert [p / q for p, q in zip(found.count_probabilities, found.count_probabilities[1:])] == pytest.approx(
        [odd**0.5 for odd in odds], rel=1e-3
    )


def test_what_an_evaluation_writes_of_confidence(tmp_path: Path) -> None:
    run = run_with_data(tmp_path / "run")
    command("test", "--run_dir", run)
    record = figures(run, "test")
    assert {f"test/{name}" for name in COMMON} < set(record["metrics"])
    presence = record["calibration"]["reliability"]["presence"]
    assert len(presence) == 10 and sum(row["number"] for row in presence) == 4 * 2  # scenes, slots
    assert set(record["calibration"]["coverage"]) == {"x", "z", "yaw"}
    assert record["calibration"]["powers"] == Powers().state() and Powers().are_none


@pytest.mark.parametrize("name", ["test", "fit"])
def test_only_validate_calibrates(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_with_data(tmp_path / "run")
    given = ["--config", run / "config.yaml", "--run_dir", tmp_path / "new"] if name == "fit" else ["--run_dir", run]
    refused(capsys, f"--calibrate is for validate, not for {name}: leave it out", name, *given, "--calibrate")
    assert not (tmp_path / "new").exists()


def test_calibrating_needs_a_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", GLIMPSES)
    (tmp_path / "images").mkdir()
    for number in range(4):
        Image.new("L", (24, 20), number).save(tmp_path / "images" / f"{number}.png")
    model = yaml.safe_load((run / "config.yaml").read_text())
    init = {"folder": str(tmp_path / "images"), "color": False}
    data = {"class_path": "datamodules.ImageFolder", "init_args": init}
    (run / "config.yaml").write_text(yaml.safe_dump(model | {"data": data}))
    before = (run / "checkpoints" / "best.ckpt").read_bytes()
    message = "--calibrate needs scenes whose truth is known, and ImageFolder has none: "
    refused(capsys, message, "validate", "--run_dir", run, "--calibrate")
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == before


def test_calibrating_needs_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_with_data(tmp_path / "run")
    before = (run / "checkpoints" / "best.ckpt").read_bytes()
    message = "--calibrate needs objects, and there is none in the 8 validation scenes, so nothing is kept: validate on"
    refused(capsys, message, "validate", "--run_dir", run, "--calibrate", "--data.counts", "[0]")
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    ("cases", "few"),
    [
        ({"scenes": 50, "true objects": 49, "x": 49, "z": 51}, "49 true objects, 49 of x"),
        ({"scenes": 50, "true objects": 90, "identities": 50, "x": 50}, ""),
    ],
)
def test_that_corrections_rest_on_few_cases_is_said(
    cases: dict[str, int], few: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_with_data(tmp_path / "run")

    class Known:
        calibrating, overrides, sureness = True, {}, {}
        fitted_powers, fitted_cases = Powers(0.5), cases

    calibration.keep(Known(), run / "checkpoints" / "best.ckpt")
    said = capsys.readouterr().err
    assert f"say little: {few}; validate" in said if few else said == ""
    assert torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["powers"]["count"] == 0.5


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (3, "as sure as the likelihood has it: 3 objects were found, and from 10 on"),
        (60, "as sure as parts of objects"),
    ],
)
def test_what_a_correction_without_a_truth_rests_on_is_said(
    found: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Untold:
        calibrating, overrides, sureness = True, {}, None
        fitted_powers, fitted_cases = Powers(), {"objects found": found, "x": found}

    calibration.keep(Untold(), run_with_data(tmp_path / "run") / "checkpoints" / "best.ckpt")
    assert f"(no truth is known: {said}" in capsys.readouterr().out


def test_a_fit_at_work_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(run_with_data(tmp_path / "run"))
    try:
        refused(capsys, "is in use by a fit, which writes", "validate", "--run_dir", folder.path, "--calibrate")
    finally:
        folder.close()


def refused(capsys: pytest.CaptureFixture[str], message: str, *arguments: object) -> None:
    with pytest.raises(SystemExit) as stop:
        command(str(arguments[0]), *arguments[1:])
    assert stop.value.code == 2 and message in capsys.readouterr().err
