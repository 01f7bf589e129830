"""The callbacks, in small fits through the real command line."""

from __future__ import annotations

import csv
import math
import random
import re
import shutil
import sys
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import toy
from PIL import Image

from air_lightning.training.callbacks import Checkpoints, Figures, NonFiniteError, Progress, SceneCount, figures
from air_lightning.training.callbacks.checkpoints import Best
from air_lightning.training.callbacks.figures import spread, write_png
from air_lightning.training.callbacks.progress import shorten
from air_lightning.training.callbacks.random_state import collect, restore


def load(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def same_weights(a: toy.AIRCLI, b: toy.AIRCLI) -> bool:
    weights, others = a.model.state_dict(), b.model.state_dict()
    return all(torch.equal(weights[name], others[name]) for name in weights)


# ---- Progress


def test_progress_names_are_short_where_that_is_clear():
    metrics = {"v_num": 1, "val/count_accuracy": 0.98437, "val/position_error": 0.05421, "val/elbo": 627.41}
    assert shorten(metrics) == {"count": "0.984", "position": "0.0542", "elbo": "627"}
    assert shorten({"val/count_accuracy": 0.5, "val/count_error": 2}) == {
        "val/count_accuracy": "0.5",
        "val/count_error": "2",
    }


def test_progress_moves_rarely_where_nobody_watches(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert Progress().refresh_rate == 100
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert Progress().refresh_rate == 1
    assert Progress(refresh_rate=7).refresh_rate == 7


def test_progress_shows_what_the_module_logs(tmp_path, capsys):
    toy.fit("--run_dir", tmp_path, "--trainer.enable_progress_bar", "true")
    out = capsys.readouterr().out
    assert "position=0." in out and "scene=0." in out and "v_num" not in out


@pytest.mark.parametrize("end, total", [(["--trainer.max_epochs=2"], 8), (["--trainer.max_steps=13"], 5)])
def test_progress_goes_on_within_an_epoch(tmp_path, capsys, end, total):
    """Epochs have 8 steps, and the run stops after 3 of its second one."""
    with pytest.raises(SystemExit):
        toy.fit("--run_dir", tmp_path, "--model.sigterm_at", "train 10", "--trainer.max_epochs=-1", *end)
    capsys.readouterr()
    toy.run("fit", "--resume", "--run_dir", tmp_path, "--model.sigterm_at", "", "--trainer.enable_progress_bar", "true")
    shown = re.findall(r"Epoch 1: [^\r]* (\d+/\S+) \[", capsys.readouterr().out)
    assert f"3/{total}" in shown and shown[-1] == f"{total}/{total}"


# ---- Figures


def drawn(run: Path) -> list[int]:
    """The steps at which a run drew images."""
    return sorted(int(path.stem.removeprefix("step-")) for path in (run / "figures").glob("*.png"))


def frames_of(path: Path) -> int:
    with Image.open(path) as gif:
        for n in range(gif.n_frames):
            gif.seek(n)
            gif.load()
        return gif.n_frames


def test_figures_are_drawn_at_start_and_end(tmp_path):
    toy.fit("--run_dir", tmp_path, "--figures.every_minutes", 3, "--figures.scenes", 2, "--figures.frames", 0)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "step-000000.png",
        "step-000016.png",
        "training.gif",
    ]
    with Image.open(tmp_path / "figures" / "step-000016.png") as image:
        assert image.size == (6, 4)  # three columns for each of the two scenes
    assert frames_of(tmp_path / "figures" / "training.gif") == 2


def test_figures_are_drawn_as_time_goes_by_and_change_no_training(tmp_path):
    plain = toy.fit("--run_dir", tmp_path / "plain")
    often = toy.fit("--run_dir", tmp_path / "drawn", "--figures.every_minutes", 1e-9)
    assert drawn(tmp_path / "drawn") == list(range(17))
    assert not (tmp_path / "plain" / "figures").exists()
    assert plain.model.losses == often.model.losses and same_weights(plain, often)


def test_figures_are_spread_over_training(tmp_path):
    plain = toy.fit("--run_dir", tmp_path / "plain")
    spread_out = toy.fit("--run_dir", tmp_path / "drawn", "--figures.every_minutes", 60, "--figures.frames", 4)
    assert drawn(tmp_path / "drawn") == [0, 1, 4, 9, 16]
    assert frames_of(tmp_path / "drawn" / "figures" / "training.gif") == 5
    assert plain.model.losses == spread_out.model.losses and same_weights(plain, spread_out)


def test_figures_of_a_run_without_a_last_step_are_by_time_alone(tmp_path):
    end = ["--trainer.max_epochs", -1, "--trainer.max_time", "00:00:00:01", "--model.seconds", 0.2]
    cli = toy.fit("--run_dir", tmp_path, "--figures.every_minutes", 60, *end)
    assert drawn(tmp_path) == [0, cli.trainer.global_step]


def test_figures_that_take_long_are_fewer(tmp_path, monkeypatch):
    """Each takes 20 seconds by a clock that else stands still: start and end, and what the share allows between."""
    now = [0.0]
    image = toy.ToyModule.image

    def slowly(self, batch):
        now[0] += 20
        return image(self, batch)

    monkeypatch.setattr(toy.ToyModule, "image", slowly)
    monkeypatch.setattr(figures, "time", SimpleNamespace(monotonic=lambda: now[0]))
    given = ["--figures.every_minutes", 60, "--figures.frames", 4]
    toy.fit("--run_dir", tmp_path / "few", *given)
    assert drawn(tmp_path / "few") == [0, 16]
    toy.fit("--run_dir", tmp_path / "all", *given, "--figures.share", 1)
    assert drawn(tmp_path / "all") == [0, 1, 4, 9, 16]


def test_animation_of_a_resumed_run_keeps_its_earlier_frames(tmp_path):
    given = ["--run_dir", tmp_path, "--figures.every_minutes", 60, "--figures.frames", 4]
    toy.fit(*given, "--trainer.max_epochs", 1)
    first = drawn(tmp_path)
    assert first == [0, 1, 2, 4, 8] and frames_of(tmp_path / "figures" / "training.gif") == 5
    toy.run("fit", "--resume", "--run_dir", tmp_path, "--trainer.max_epochs", 4)
    assert set(drawn(tmp_path)) == {*first, 18, 32}
    assert frames_of(tmp_path / "figures" / "training.gif") == 7


def test_module_that_explains_in_steps_has_an_animation_of_that(tmp_path, monkeypatch):
    asked = []

    def steps(module, batch):
        assert not module.training and not torch.is_grad_enabled()
        asked.append(len(batch["image"]))
        return [np.full((4, 40, 3), 60 * n, np.uint8) for n in range(3)]

    plain = toy.fit("--run_dir", tmp_path / "plain")
    monkeypatch.setattr(toy.ToyModule, "steps", steps, raising=False)
    with_steps = toy.fit("--run_dir", tmp_path / "steps", "--figures.every_minutes", 60, "--figures.scenes", 3)
    assert asked == [3]
    assert frames_of(tmp_path / "steps" / "figures" / "steps.gif") == 3
    assert same_weights(plain, with_steps)


@pytest.mark.parametrize(
    "last, frames, steps",
    [
        (100, 5, [4, 16, 36, 64, 100]),
        (3, 24, [1, 2, 3]),
        (1, 4, [1]),
        (100, 0, []),
        (math.inf, 4, []),
        (-1, 4, []),
    ],
)
def test_spread(last, frames, steps):
    assert spread(last, frames) == steps


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), float)])
def test_image_of_wrong_shape_or_type_is_refused(tmp_path, image):
    with pytest.raises(ValueError, match=r"`image` must return an array \(height, width, 3\) of uint8.*got \(4, 4"):
        write_png(tmp_path / "a.png", image)


def test_figures_refuse_values_that_mean_nothing():
    with pytest.raises(ValueError, match=r"figures.every_minutes must be at least 0 \(0 draws none\), got -1"):
        Figures(every_minutes=-1)
    with pytest.raises(ValueError, match=r"figures.scenes must be at least 1, got 0"):
        Figures(scenes=0)
    with pytest.raises(ValueError, match=r"figures.frames must be at least 0 \(0 spreads none over training\), got -2"):
        Figures(frames=-2)
    with pytest.raises(ValueError, match=r"figures.share must be in \[0, 1\], got 5"):
        Figures(share=5)


# ---- WeightAveraging


@pytest.mark.parametrize("name", ["WeightAveraging", "EMAWeightAveraging"])
def test_lightnings_weight_averaging_leaves_buffers_of_whole_numbers_alone_and_resumes(tmp_path, name):
    given = ["--trainer.callbacks", name, "--trainer.num_sanity_val_steps", 0]
    straight = toy.fit("--run_dir", tmp_path / "a", *given)
    assert straight.model.used.tolist() == [True, False, True] and straight.model.places.tolist() == [0, 5, 7]
    with pytest.raises(SystemExit):
        toy.fit("--run_dir", tmp_path / "b", *given, "--model.sigterm_at", "train 10")
    ended = toy.run("fit", "--resume", "--run_dir", tmp_path / "b", "--model.sigterm_at", "")
    assert same_weights(straight, ended)
    plain = toy.fit("--run_dir", tmp_path / "c")
    assert plain.model.losses == straight.model.losses and not same_weights(plain, straight)


class Summing(toy.ToyModule):
    """Keeps what its first input has added up to, and what that was when it was validated."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__(lr)
        self.register_buffer("total", torch.zeros(()))
        self.expected, self.validated = 0.0, []

    def training_step(self, batch, batch_idx):
        self.total += batch["image"][0, 0]
        self.expected = float(self.total)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch, batch_idx):
        self.validated.append(float(self.total) - self.expected)
        super().validation_step(batch, batch_idx)


@pytest.mark.parametrize("given", [[], ["--trainer.callbacks.update_every_n_steps", 3]], ids=["each step", "some"])
def test_weight_averaging_never_averages_buffers(tmp_path, monkeypatch, given):
    monkeypatch.setattr(toy, "ToyModule", Summing)
    averaging = ["--trainer.callbacks", "EMAWeightAveraging", "--trainer.callbacks.decay", 0.5, *given]
    model = toy.fit("--run_dir", tmp_path, *averaging).model
    assert float(model.total) == model.expected != 0
    assert set(model.validated) == {0.0}
    kept = load(tmp_path / "checkpoints" / "last.ckpt")
    assert float(kept["state_dict"]["total"]) == float(kept["current_model_state"]["total"]) == model.expected
    assert not torch.equal(kept["state_dict"]["line.weight"], kept["current_model_state"]["line.weight"])


# ---- FinalValidation


@pytest.mark.parametrize(
    "end",
    [
        ["--trainer.max_steps", 5],
        ["--trainer.max_steps", 8, "--trainer.check_val_every_n_epoch", 5],
        ["--trainer.max_time", "00:00:00:01", "--model.seconds", 0.2, "--trainer.check_val_every_n_epoch", 5],
        ["--trainer.max_time", "00:00:00:01", "--model.seconds", 0.2],
    ],
)
def test_last_weights_are_validated_and_saved(tmp_path, end):
    cli = toy.fit("--run_dir", tmp_path, "--trainer.max_epochs", -1, *end)
    steps = cli.trainer.global_step
    assert 0 < steps <= 8
    assert f"at step {steps}" in str(next(c for c in cli.trainer.callbacks if isinstance(c, Checkpoints)).best)
    for name in ("best", "last"):
        checkpoint = load(tmp_path / "checkpoints" / f"{name}.ckpt")
        assert checkpoint["global_step"] == steps
        assert torch.equal(checkpoint["state_dict"]["line.weight"], cli.model.line.weight)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert sum(row["val/position_error"] != "" for row in csv.DictReader(file)) == 1  # once, and once only


def test_a_resumed_run_without_time_left_says_so(tmp_path, capsys):
    toy.fit(
        "--run_dir", tmp_path, "--trainer.max_epochs", -1, "--trainer.max_time", "00:00:00:01", "--model.seconds", 0.2
    )
    capsys.readouterr()
    step = toy.run("fit", "--resume", "--run_dir", tmp_path).trainer.global_step
    said = capsys.readouterr().err
    assert f"nothing was trained: the run had used up its max_time by step {step}; give more with --trainer.max" in said
    toy.run(
        "fit", "--resume", "--run_dir", tmp_path, "--trainer.max_time", "00:01:00:00", "--trainer.max_steps", step + 1
    )
    assert "nothing was trained" not in capsys.readouterr().err


# ---- NonFiniteGuard


def test_not_finite_before_anything_was_saved_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit):
        toy.fit("--run_dir", tmp_path / "bad", "--model.bad_step", 3)
    error = capsys.readouterr().err
    assert "The step was not applied and no checkpoint has been saved yet: look at these terms or lower" in error
    assert "and start again" in error and "--resume" not in error


@pytest.mark.parametrize(
    "argument, message",
    [
        (
            "--model.bad_step",
            "the loss of step 11 (epoch 1) is not finite in: prior. The step was not applied",
        ),
        (
            "--model.bad_gradient",
            "the gradient of step 11 (epoch 1) is not finite in: line.bias. The step was not",
        ),
    ],
)
def test_not_finite_ends_training_before_the_step(tmp_path, capsys, argument, message):
    with pytest.raises(SystemExit) as stop:
        toy.fit("--run_dir", tmp_path / "bad", argument, 11)
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert message in error and "last.ckpt is as before it" in error and "then --resume" in error
    last = load(tmp_path / "bad" / "checkpoints" / "last.ckpt")
    assert last["global_step"] == 8
    good = toy.fit("--run_dir", tmp_path / "good", "--trainer.max_epochs", 1)
    assert torch.equal(last["state_dict"]["line.weight"], good.model.line.weight)


def test_not_finite_step_leaves_weights_alone(tmp_path, monkeypatch):
    """Seen on the module itself, which the command line does not hand out after an error."""
    seen = []
    monkeypatch.setattr(toy.ToyModule, "on_train_batch_end", lambda self, *_: seen.append(weights(self)))
    monkeypatch.setattr(toy.ToyModule, "on_exception", lambda *_: None, raising=False)
    modules = []
    monkeypatch.setattr(toy.ToyModule, "on_fit_start", lambda self: modules.append(self))
    with pytest.raises(SystemExit):
        toy.fit("--run_dir", tmp_path, "--model.bad_gradient", 3)
    assert len(seen) == 3 and torch.equal(seen[-1], weights(modules[0]))
    assert "training_step" not in vars(modules[0])  # the guard has gone


def weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])


def test_not_finite_error_is_an_arithmetic_error():
    assert issubclass(NonFiniteError, ArithmeticError)


# ---- Checkpoints


@pytest.mark.parametrize("mode, step", [("max", 16), ("min", 8)])
def test_best_is_by_the_mode(tmp_path, mode, step):
    toy.fit("--run_dir", tmp_path, "--checkpoint.mode", mode)
    assert load(tmp_path / "checkpoints" / "best.ckpt")["global_step"] == step
    assert load(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 16
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


NO_METRIC = (
    "error: checkpoint.monitor 'val/none' is not among the metrics logged in validation: choose one of "
    "val/position_error, val/scene_accuracy with --checkpoint.monitor"
)


def test_monitor_that_is_not_logged_is_named_by_the_first_validation_and_leaves_no_folder(tmp_path, capsys):
    """Of a module that does not know beforehand what it measures."""
    with pytest.raises(SystemExit) as stop:
        toy.fit("--run_dir", tmp_path / "run", "--checkpoint.monitor", "val/none")
    assert stop.value.code == 2 and capsys.readouterr().err.endswith(f"{NO_METRIC}\n")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_monitor_that_is_not_logged_costs_no_training(tmp_path, capsys):
    run = tmp_path / "run"
    with pytest.raises(SystemExit) as stop:
        toy.fit("--run_dir", run, "--checkpoint.monitor", "val/none", "--trainer.num_sanity_val_steps", 0)
    assert stop.value.code == 2
    remedy = f"{NO_METRIC}; continue with: fit --resume --run_dir {run} --checkpoint.monitor NAME\n"
    assert capsys.readouterr().err.endswith(remedy)
    cli = toy.run("fit", "--resume", "--run_dir", run, "--checkpoint.monitor", "val/scene_accuracy")
    assert load(run / "checkpoints" / "last.ckpt")["global_step"] == 16 and len(cli.model.losses) == 8


def test_checkpoint_interval_must_be_positive():
    with pytest.raises(ValueError, match=r"checkpoint.every_minutes must be positive, got 0"):
        Checkpoints(every_minutes=0)


def test_last_is_saved_as_time_goes_by(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(toy.ToyModule, "on_save_checkpoint", lambda self, _: saved.append(self.global_step))
    toy.fit("--run_dir", tmp_path, "--checkpoint.every_minutes", 1e-9, "--trainer.max_epochs", 1)
    assert saved == [1, 2, 3, 4, 5, 6, 7, 8, 8]  # the last is `best`


def test_best_of_a_moved_run_is_not_forgotten(tmp_path):
    toy.fit("--run_dir", tmp_path / "a", "--checkpoint.mode", "min")
    shutil.move(tmp_path / "a", tmp_path / "b")
    toy.run("fit", "--resume", "--run_dir", tmp_path / "b", "--trainer.max_epochs", 3)
    assert load(tmp_path / "b" / "checkpoints" / "best.ckpt")["global_step"] == 8
    # Of another metric there is no best yet.
    metric = ["--checkpoint.monitor", "val/position_error"]
    toy.run("fit", "--resume", "--run_dir", tmp_path / "b", "--trainer.max_epochs", 4, *metric)
    assert load(tmp_path / "b" / "checkpoints" / "best.ckpt")["best"]["monitor"] == "val/position_error"


def test_best_is_said_in_words():
    assert str(Best("val/accuracy", 0.98765, 1200)) == "val/accuracy 0.9877 at step 1200"


def test_metric_that_is_nan_is_never_the_best(tmp_path):
    toy.fit("--run_dir", tmp_path, "--model.bias", "toy.Bias", "--model.bias.value", ".nan")
    assert not (tmp_path / "checkpoints" / "best.ckpt").exists()
    assert load(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 16


# ---- RandomState

EPOCHS, STEPS = ["--trainer.max_epochs"], ["--trainer.max_epochs", -1, "--trainer.max_steps"]
EVERY_3 = ["--trainer.val_check_interval", 3, "--trainer.check_val_every_n_epoch", "null"]
OF_3 = ["--trainer.accumulate_grad_batches", 3]  # steps of three batches, and of the last two of an epoch's eight


@pytest.mark.parametrize(
    "limit, ends, more",
    [
        (EPOCHS, [1, 2], []),
        (EPOCHS, [1, 2, 3, 4], []),
        (EPOCHS, [2, 4], ["--data.shuffle", "true"]),
        (EPOCHS, [1, 3], ["--trainer.val_check_interval", 0.5]),
        (EPOCHS, [1, 3], ["--trainer.check_val_every_n_epoch", 2]),
        (STEPS, [8, 24], []),
        (STEPS, [8, 16, 24, 28], []),  # at an epoch's end, after its validation
        (STEPS, [8, 16, 24, 28], ["--trainer.limit_val_batches", 0]),
        (STEPS, [8, 24], ["--data.shuffle", "true"]),
        (STEPS, [5, 16], []),
        (STEPS, [3, 6, 7, 8, 9, 20], []),  # within epochs, and at the end of one that was begun before
        (STEPS, [4, 8, 20], ["--trainer.val_check_interval", 4]),
        (STEPS, [4, 6, 8, 14], ["--trainer.val_check_interval", 0.25]),
        (STEPS, [6, 16], EVERY_3),
        (STEPS, [8, 16], EVERY_3),
        (STEPS, [13, 30], EVERY_3),
        (STEPS, [6, 9, 16, 24, 30], EVERY_3),  # just after validations
        (STEPS, [1, 3, 5, 8], OF_3),
        (EPOCHS, [1, 3], OF_3),
    ],
)
def test_resumed_run_is_the_run_without_a_break_bit_for_bit(tmp_path, limit, ends, more):
    straight = toy.fit("--run_dir", tmp_path / "straight", *more, *limit, ends[-1])
    parts = [toy.fit("--run_dir", tmp_path / "broken", *more, *limit, ends[0])]
    parts += [toy.run("fit", "--resume", "--run_dir", tmp_path / "broken", *limit, end) for end in ends[1:]]
    assert straight.model.losses == [loss for part in parts for loss in part.model.losses]
    assert same_weights(straight, parts[-1])
    for count in ("global_step", "current_epoch"):
        assert getattr(straight.trainer, count) == getattr(parts[-1].trainer, count)
    first, rest = (load(tmp_path / name / "checkpoints" / "last.ckpt")["loops"] for name in ("straight", "broken"))
    assert first["fit_loop"]["epoch_loop.state_dict"] == rest["fit_loop"]["epoch_loop.state_dict"]


@pytest.mark.parametrize("limit", [["--trainer.max_epochs", 3], [*STEPS, 8]])
def test_a_run_that_is_stopped_between_two_steps_of_the_optimizer_goes_on_bit_for_bit(tmp_path, limit):
    """Its gradients so far, of two batches of three, are in the checkpoint."""
    more = [*OF_3, "--trainer.num_sanity_val_steps", 0]
    straight = toy.fit("--run_dir", tmp_path / "a", *more, *limit)
    with pytest.raises(SystemExit):
        toy.fit("--run_dir", tmp_path / "b", *more, *limit, "--model.sigterm_at", "batch 12")
    assert load(tmp_path / "b" / "checkpoints" / "last.ckpt")["gradients"]
    ended = toy.run("fit", "--resume", "--run_dir", tmp_path / "b", "--model.sigterm_at", "")
    assert straight.model.losses[13:] == ended.model.losses and same_weights(straight, ended)


def test_training_is_the_same_however_often_it_is_validated(tmp_path):
    rarely = toy.fit("--run_dir", tmp_path / "rarely")
    often = toy.fit("--run_dir", tmp_path / "often", "--trainer.val_check_interval", 2)
    assert rarely.model.losses == often.model.losses


def test_states_of_all_generators_are_restored():
    state = collect()
    drawn = torch.randn(3), np.random.randn(3), random.random()
    restore(state)
    again = torch.randn(3), np.random.randn(3), random.random()
    assert torch.equal(drawn[0], again[0]) and (drawn[1] == again[1]).all() and drawn[2] == again[2]


def test_other_number_of_processes_is_said(tmp_path):
    toy.fit("--run_dir", tmp_path)
    path = tmp_path / "checkpoints" / "last.ckpt"
    checkpoint = load(path)
    checkpoint["random_state"]["processes"] *= 2
    torch.save(checkpoint, path)
    with pytest.warns(UserWarning, match="saved by 2 processes and is resumed by 1: random numbers will differ"):
        toy.run("fit", "--resume", "--run_dir", tmp_path, "--trainer.max_epochs", 3)


# ---- SceneCount


@dataclass
class Scenes:
    name: str
    image: torch.Tensor


@pytest.mark.parametrize(
    "batch, scenes",
    [
        (torch.zeros(5, 3), 5),
        ({"seed": torch.tensor(1), "image": torch.zeros(5)}, 5),
        ((torch.zeros(5), torch.zeros(7)), 5),
        (namedtuple("Pair", "image")(torch.zeros(5)), 5),
        (Scenes("a", torch.zeros(5)), 5),
        ("nothing", None),
    ],
)
def test_scenes_of_a_batch_are_the_first_axis_of_its_first_tensor(batch, scenes):
    count = SceneCount()
    count.on_test_batch_end(SimpleNamespace(), None, None, batch)
    assert count.scenes == scenes


# ---- Summary and SIGTERM


def test_summary_says_what_was_reached_and_where_it_lies(tmp_path, capsys):
    toy.fit("--run_dir", tmp_path)
    out = capsys.readouterr().out
    assert "trained   16 steps, 0:00:0" in out
    assert "best      val/scene_accuracy 0." in out and "at step 16" in out
    assert "last      val/position_error 0." in out
    assert f"run       {tmp_path}/  config.yaml, metrics.csv, checkpoints/best.ckpt, checkpoints/last.ckpt" in out
    for epochs, said in ((3, "trained   8 steps, "), (3, "trained   0 steps, ")):
        toy.run("fit", "--resume", "--run_dir", tmp_path, "--trainer.max_epochs", epochs)
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("trained")]
        assert line.startswith(said) and line.endswith("(h:mm:ss) in this session, 24 steps in all")


@pytest.mark.parametrize("where", ["test 1", "test 2", "val 0"])  # 2: the last batch
def test_sigterm_ends_an_evaluation(tmp_path, capsys, where):
    toy.fit("--run_dir", tmp_path)
    files = sorted(tmp_path.iterdir())
    subcommand = where.split()[0].replace("val", "validate")
    with pytest.raises(SystemExit) as stop:
        toy.run(subcommand, "--run_dir", tmp_path, "--model.sigterm_at", where)
    assert stop.value.code == 143
    assert f"{subcommand} stopped by SIGTERM; nothing was written" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == files


@pytest.mark.parametrize(
    "where, step, more",
    [
        ("train 4", 5, []),
        ("train 7", 8, []),
        ("train 15", 16, []),
        ("val 0", 8, []),
        ("val 2", 8, []),
        ("train 7", 8, [*STEPS, 12, *EVERY_3]),
        ("train 15", 16, [*STEPS, 20, "--trainer.check_val_every_n_epoch", 3]),
    ],
)
def test_sigterm_ends_a_fit_after_the_step_with_its_state_saved(tmp_path, capsys, where, step, more):
    more = [*more, "--trainer.num_sanity_val_steps", 0]
    with pytest.raises(SystemExit) as stop:
        toy.fit("--run_dir", tmp_path / "a", "--model.sigterm_at", where, *more)
    assert stop.value.code == 143
    assert f"stopped by SIGTERM after step {step}; continue with: fit --resume" in capsys.readouterr().err
    assert load(tmp_path / "a" / "checkpoints" / "last.ckpt")["global_step"] == step
    whole = toy.fit("--run_dir", tmp_path / "b", *more)
    rest = toy.run("fit", "--resume", "--run_dir", tmp_path / "a", "--model.sigterm_at", "")
    assert rest.model.losses == whole.model.losses[step:] and same_weights(rest, whole)
