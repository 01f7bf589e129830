"""What constructors refuse, as the command line says it: the argument first, our words, one line."""

from pathlib import Path

import pytest

from air_lightning.cli import main
from air_lightning.plugins.constructor_errors import named_message, root_cause

CONFIGS = Path(__file__).parent.parent / "configs"

SCALE = ["--model.likelihood_sd", "null", "--model.likelihood", "NormalLikelihood", "--model.likelihood.scale"]
SLEEP = ["--model.sleep", "Sleep", "--model.sleep.weight"]

WRONG = {
    "data": (["--data.counts", "[-1]"], "data.counts must be a list of numbers >= 0, got [-1]: [0, 1, 2, 3], for"),
    "model": (["--model.slots", "-1"], "model.slots must be at least 1, got -1"),
    "renderer": (["--model.renderer.identities", "[cube,mug]"],
        "model.renderer: unknown identity 'mug': the built-in shapes"),
    "data's renderer": (
        ["--data.renderer", "MeshRenderer", "--data.renderer.identities", "[cube,mug]"],
        "data.renderer: unknown identity 'mug': the built-in shapes",
    ),
    "estimator": (["--model.identity.spread", "-1"], "model.identity.spread must be positive, got -1.0: null leaves"),
    "schedule": (
        ["--model.likelihood_sd.start", "-1"],
        "model.likelihood_sd: a geometric schedule needs positive and finite ends, got start=-1.0 and end=0.2",
    ),
    "one of two schedules of a class": (
        ["--model.coarseness", "Geometric", "--model.coarseness.start", "3", "--model.coarseness.end", "-2",
         "--model.coarseness.steps", "10"],
        "model.coarseness: a geometric schedule needs positive and finite ends, got start=3.0 and end=-2.0",
    ),
    "learnt scale, where a number will do": (
        [*SCALE, "LearntScale", "--model.likelihood.scale.floor", "0"],
        "model.likelihood.scale: a learnt scale needs a positive floor and a start above it, got floor=0.0",
    ),
    "schedule, where a number will do": (
        [*SCALE, "Geometric", "--model.likelihood.scale.start", "1", "--model.likelihood.scale.steps", "9",
         "--model.likelihood.scale.end", "0"],
        "model.likelihood.scale: a geometric schedule needs positive and finite ends, got start=1.0 and end=0.0",
    ),
    "schedule, where null will do, too": (
        [*SLEEP, "Linear", "--model.sleep.weight.start", "1", "--model.sleep.weight.end", "0",
         "--model.sleep.weight.steps", "0"],
        "model.sleep.weight: a schedule needs at least 1 step, got 0",
    ),
    "network, which the model builds": (
        ["--model.inference.glimpse", "-1"],
        "model.inference.glimpse must be a positive multiple of 4 samples, got -1: 24, for example",
    ),
    "callback": (["--checkpoint.every_minutes", "0"], "checkpoint.every_minutes must be positive, got 0.0"),
    "trainer": (["--trainer.accelerator", "abacus"], "trainer: You selected an invalid accelerator name"),
}  # fmt: skip


MALFORMED = {
    "type": (["--model.slots", "few"], "model.slots: Expected a <class 'int'>. Got value: few"),
    "type, of a class": (["--data.counts", "3.5"], "data.counts: Expected a <class 'collections.abc.Sequence'>. Got "),
    "type, two classes down": (
        ["--model.renderer.light.ambient", "dim"],
        "model.renderer.light.ambient: Expected a <class 'float'>. Got value: dim",
    ),
    "type, of a class where a number will do": (
        [*SCALE, "LearntScale", "--model.likelihood.scale.over", "pixels"],
        "model.likelihood.scale.over: Expected a typing.Literal['all', 'channel', 'pixel']. Got value: pixels",
    ),
    "type, of a schedule where null will do, too": (
        [*SLEEP, "Linear", "--model.sleep.weight.steps", "few"],
        "model.sleep.weight.steps: Expected a <class 'int'>. Got value: few",
    ),
    "argument that a class has none of, where a number will do": (
        [*SCALE, "LearntScale", "--model.likelihood.scale.flor", "1"],
        "model.likelihood.scale: no argument of LearntScale is called 'flor', did you mean floor?",
    ),
    "class that is not there but nearly, where a number will do": (
        [*SCALE, "LearntScal"],
        "model.likelihood.scale: no LearntScale is called 'LearntScal', did you mean LearntScale? There are ",
    ),
    "argument that there is none of": (
        ["--data.count", "[1]"],
        "data: no argument of Scenes3D is called 'count', did you mean counts? There are renderer, counts, apart, ",
    ),
    "class that its module has not": (
        ["--data.renderer", "renderers.Mesh"],
        "data.renderer: renderers.Mesh: module 'renderers' has no attribute 'Mesh', did you mean mesh?",
    ),
    "class that its module has nearly": (
        ["--model.inference", "air_lightning.inference.ResidualAtention"],
        "model.inference: module 'air_lightning.inference' has no attribute 'ResidualAtention', did you mean "
        "ResidualAttention?",
    ),
    "module that is not there but nearly": (
        ["--model.inference", "air_lightning.inferense.ResidualAttention"],
        "model.inference: module 'air_lightning' has no attribute 'inferense', did you mean inference?",
    ),
    "class unlike any of its module": (
        ["--model.inference", "air_lightning.inference.Xyz"],
        "model.inference: module 'air_lightning.inference' has no attribute 'Xyz'",
    ),
    "package that is not there": (
        ["--model.inference", "nowhere.Network"],
        "model.inference: No module named 'nowhere'",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_cannot_be_parsed_is_told_in_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, text = MALFORMED[case]
    error = refused(capsys, "fit", "--config", CONFIGS / "scenes3d.yaml", *arguments)
    assert error.startswith(text) and error.count("\n") == 1


def test_where_several_types_will_do_all_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(capsys, "fit", "--config", CONFIGS / "scenes3d.yaml", "--model.count_prior", "high")
    assert "model.count_prior" in error and "- Expected a <class 'float'>" in error and "<class 'list'>" in error


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """The whole error of a command that ends with status 2."""
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    assert stop.value.code == 2
    return capsys.readouterr().err.rpartition("error: ")[2]


@pytest.mark.parametrize("case", WRONG)
def test_the_error_is_one_line_and_names_the_argument(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, text = WRONG[case]
    error = refused(capsys, "fit", "--config", CONFIGS / "scenes3d.yaml", "--run_dir", tmp_path / "run", *arguments)
    assert error.startswith(text) and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_other_commands_say_it_alike(capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(capsys, "check", "--renderer", "MeshRenderer", "--renderer.identities", "[cube,mug]")
    assert error.startswith("renderer: unknown identity 'mug': the built-in shapes")


def test_what_cannot_be_read_is_a_wrong_value_and_a_bug_keeps_its_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from datamodules import Scenes3D

    def fails(error: Exception) -> None:
        def init(self: Scenes3D, **_: object) -> None:
            raise error

        init.__name__ = "__init__"
        monkeypatch.setattr(Scenes3D, "__init__", init)

    args = ["fit", "--config", CONFIGS / "scenes3d.yaml", "--run_dir", tmp_path / "run"]
    fails(PermissionError(13, "Permission denied", "scenes"))
    assert refused(capsys, *args).endswith("[Errno 13] Permission denied: 'scenes'\n")
    fails(KeyError("missing"))
    with pytest.raises(KeyError, match="missing"):
        main([str(arg) for arg in args])
    assert not (tmp_path / "run").exists()


def test_errors_of_classes_that_were_not_given_stay_as_they_are() -> None:
    error = ValueError("it is broken")
    assert root_cause(error) is error
    assert named_message(error, {"data": {"class_path": "nowhere.Nothing", "init_args": None}}, {}) == "it is broken"
