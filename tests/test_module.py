"""AIRModule: what it says of images, how it trains in a real Trainer, and what it refuses."""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from renderers_for_tests import Bumps, BumpScenes, Discs
from slots_for_tests import observed
from torch import Tensor

from air_lightning.distributions import count_log_posterior
from air_lightning.estimators import (
    ExactCount,
    ExactIdentity,
    NVILCount,
    NVILIdentity,
    RLOOCount,
    RLOOIdentity,
)
from air_lightning.inference import RecurrentAIR, ResidualAttention
from air_lightning.likelihoods import NormalLikelihood
from air_lightning.model.data_checks import check_data
from air_lightning.model.evidence import bound, evidence, log_likelihoods, slot_kl
from air_lightning.model.module import AIRModule
from air_lightning.model.observation import Observation
from air_lightning.model.refinement import Refinement
from air_lightning.model.sleep import Sleep
from air_lightning.model.slots import infer
from air_lightning.schedules import Constant, Geometric, Linear
from air_lightning.training.callbacks.random_state import RandomState
from datamodules import Batch, SceneDataModule, Scenes3D
from renderers import MeshRenderer, Renderer

pytestmark = [
    # scenes are made by compiled code on the process's own threads, with which workers would compete
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    # fits of two steps are shorter than any logging interval
    pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval.*"),
    # Lightning's own use of torch, for Lightning to change
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated.*"),
    # on a machine with a GPU: these tests are for the CPU
    pytest.mark.filterwarnings("ignore:.*GPU available but not used.*"),
]

network = partial(ResidualAttention, channels=8, hidden=16)
lstm = partial(RecurrentAIR, lstm=16, encoded=16, predict=16, glimpse=8, what_hidden=16)
MODULE: dict[str, Callable[..., AIRModule]] = {
    "mesh": lambda **options: AIRModule(mesh(), **{"inference": network, **options}),
    "bumps": lambda **options: AIRModule(Bumps(16), **{"inference": network, **options}),
    "discs": lambda **options: AIRModule(Discs(), **{"inference": network, **options}),
}
SIZES = {"batch_size": 4, "train_scenes": 8, "val_scenes": 4, "test_scenes": 4}
over_modules = pytest.mark.parametrize("kind", MODULE)


def mesh(size: int = 32) -> MeshRenderer:
    return MeshRenderer(image_size=(size, size))


def data_for(module: AIRModule) -> SceneDataModule:
    if isinstance(module.renderer, Bumps):
        return BumpScenes(module.renderer)
    return Scenes3D(counts=(0, 1, 2, 3), apart=0.5, **SIZES)


def trainer(**options: Any) -> pl.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(**{"accelerator": "cpu", "max_steps": 2, "log_every_n_steps": 1, **quiet, **options})


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def stirred(module: AIRModule) -> AIRModule:
    """The module as training may leave it: no layer at zero any more."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return module


def drawn_images(renderer: Renderer, batch: int = 6) -> Tensor:
    where = renderer.where.constrain(torch.randn(batch, 2, len(renderer.where)))
    if isinstance(renderer, Bumps):
        return renderer.render(torch.randn(batch, 2, 2), where)[:, 2]
    return renderer.render(torch.randint(renderer.identity_count, (batch, 2)), where)[:, 2]


# ---- inference


@over_modules
@pytest.mark.parametrize("refinement", [None, Refinement(2)], ids=["plain", "refined"])
@pytest.mark.parametrize("slots", [1, 3])
def test_infer(kind: str, refinement: Refinement | None, slots: int) -> None:
    module = stirred(MODULE[kind](refinement=refinement, slots=slots))
    images = drawn_images(module.renderer)
    count, log_posterior, found, reconstruction, where_sd, *_ = module.infer(images)
    assert count.shape == (6,) and log_posterior.shape == (6, slots + 1)
    assert found.presence_logits.shape == (6, slots) and found.where.shape == (
        6,
        slots,
        len(module.renderer.where),
    )
    torch.testing.assert_close(log_posterior.exp().sum(1), torch.ones(6))
    assert torch.equal(count, log_posterior.argmax(1))
    assert where_sd.shape == found.where.shape and bool((where_sd > 0).all())
    canvases = module.renderer.render(found.what, found.where)
    torch.testing.assert_close(reconstruction, torch.stack([c[n] for c, n in zip(canvases, count)]))
    assert not any(part.requires_grad for part in (log_posterior, reconstruction, where_sd, *found))


@over_modules
def test_infer_is_deterministic_and_scene_by_scene(kind: str) -> None:
    module = stirred(MODULE[kind](refinement=Refinement(1)))
    images = drawn_images(module.renderer)
    whole, again, few = module.infer(images), module.infer(images), module.infer(images[2:4])
    assert torch.equal(whole.posterior, again.posterior) and torch.equal(whole.slots.where, again.slots.where)
    torch.testing.assert_close(few.posterior, whole.posterior[2:4], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(few.reconstruction, whole.reconstruction[2:4], rtol=1e-3, atol=1e-2)


@over_modules
@pytest.mark.parametrize("refinement", [None, Refinement(2)], ids=["plain", "refined"])
def test_the_count_is_the_networks(kind: str, refinement: Refinement | None) -> None:
    module = stirred(MODULE[kind](refinement=refinement))
    images = drawn_images(module.renderer)
    slots = infer(module.renderer, module.network, observed(images), 3, sample=False)
    expected = count_log_posterior(slots.presence_logits).exp()
    torch.testing.assert_close(module.infer(images).posterior, expected.detach())


@over_modules
def test_refinement_at_the_final_scale_changes_the_slots(kind: str) -> None:
    refinement = Refinement(2)
    module = stirred(MODULE[kind](refinement=refinement, likelihood_sd=Geometric(2.0, 0.5, 10)))
    renderer, images = module.renderer, drawn_images(module.renderer)
    with torch.no_grad():  # as the model does it, to the last bit: what refinement starts from decides where it ends
        slots = infer(renderer, module.network, observed(images), 3, sample=False)
        expected = refinement(renderer, observed(images, 0.5), slots, slot_kl(renderer, slots), module.log_prior)
    found = module.infer(images).slots
    torch.testing.assert_close(found.where, expected.where)
    torch.testing.assert_close(found.what, expected.what)
    assert not torch.equal(found.where, slots.where)


@over_modules
def test_elbo_is_the_bound_of_one_sample_at_the_final_scale(kind: str) -> None:
    module = stirred(MODULE[kind](likelihood_sd=Geometric(2.0, 0.5, 10)))
    images, renderer = drawn_images(module.renderer), module.renderer
    torch.manual_seed(3)
    value = module.elbo(images)
    torch.manual_seed(3)
    slots = infer(renderer, module.network, observed(images), module.slots)
    likelihood = log_likelihoods(renderer.render(slots.what, slots.where), observed(images, 0.5))
    worth = evidence(likelihood, slot_kl(renderer, slots))
    expected = bound(count_log_posterior(slots.presence_logits), worth, module.log_prior)
    torch.testing.assert_close(value, expected.detach())
    assert value.shape == (6,) and not value.requires_grad


@over_modules
def test_image(kind: str) -> None:
    module = stirred(MODULE[kind]())
    data = data_for(module)
    data.renderer = module.renderer
    batch = data.scenes("val").__getitems__([0, 1, 2])
    image = module.image(batch)
    height, width = module.renderer.image_shape[1:]
    assert image.dtype == np.uint8 and image.shape == (3 * height + 8, 4 * (2 * 3 * width + 8), 3)


# ---- learning rate


def test_learning_rate_grows_then_falls() -> None:
    module = AIRModule(Discs(), network, lr_warmup=10, lr_final=0.1)
    rates = [module._rate(step, 1000) for step in range(1001)]
    assert rates[0] == pytest.approx(0.1, rel=1e-3) and rates[9] == pytest.approx(1, rel=1e-3)
    assert rates[500] == pytest.approx(0.55) and rates[1000] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) <= 1 and module._rate(5000, 1000) == pytest.approx(0.1)


@pytest.mark.parametrize("warmup, expected", [(4, [0.25, 0.5, 0.75, 1, 1]), (0, [1] * 5)])
def test_without_a_last_step_the_learning_rate_stays(warmup: int, expected: list[float]) -> None:
    module = AIRModule(Discs(), network, lr_warmup=warmup)
    assert [module._rate(step, math.inf) for step in (0, 1, 2, 3, 10**6)] == pytest.approx(expected)


class Rates(pl.Callback):
    """The learning rate of every step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"])


@pytest.mark.parametrize("limits", [{"max_steps": 4}, {"max_steps": -1, "max_epochs": 2}])
def test_the_trainer_follows_the_learning_rate(limits: dict[str, int]) -> None:
    module, rates = MODULE["discs"](lr=0.01, lr_warmup=2, lr_final=0.2), Rates()
    trainer(callbacks=[rates], limit_val_batches=0, **limits).fit(module, datamodule=data_for(module))
    assert rates.seen == pytest.approx([0.01 * module._rate(step, 4) for step in range(4)])


# ---- training

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "exact": {"count": ExactCount(warmup=5)},
    "rloo": {"count": RLOOCount(2), "identity": RLOOIdentity(2)},
    "nvil": {"count": NVILCount(), "identity": NVILIdentity()},
    "lstm": {"inference": lstm},
    "schedules": {"likelihood_sd": Geometric(2.0, 0.5, 4), "coarseness": Linear(3.0, 1.0, 2)},
}


class Gradients(pl.Callback):
    """Names of parameters without a gradient in the first step."""

    missing: list[str]
    bad: list[str]

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        named = list(pl_module.named_parameters())
        self.missing = [n for n, p in named if p.grad is None]
        self.bad = [n for n, p in named if p.grad is not None and not bool(p.grad.isfinite().all())]


@over_modules
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_fit(kind: str, options: dict[str, Any]) -> None:
    options = {n: v for n, v in options.items() if n != "identity" or kind != "bumps"}
    module, gradients = MODULE[kind](**options), Gradients()
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    run = trainer(callbacks=[gradients], num_sanity_val_steps=0)
    run.fit(module, datamodule=data_for(module))
    assert run.global_step == 2
    # parallel training waits for the gradient of every parameter
    assert gradients.missing == [] and gradients.bad == []
    assert all(bool(p.isfinite().all()) for p in module.parameters())
    changed = [n for n, p in module.named_parameters() if not torch.equal(p, before[n])]
    assert len(changed) > len(before) / 2
    parts = {"reconstruction", "where_kl", "what_kl", "presence"}
    parts |= {"identity"} if kind != "bumps" else set()
    logged = {name: float(value) for name, value in run.logged_metrics.items() if name.startswith("train/")}
    assert set(logged) == {f"train/{name}" for name in parts | {"loss", "elbo"}}
    assert sum(logged[f"train/{name}"] for name in parts) == pytest.approx(logged["train/loss"], rel=1e-4)


@pytest.mark.parametrize(("every", "steps"), [(2, [2, 4]), (3, [3]), (0, [])])
def test_lightning_is_told_the_steps_that_loggers_are_given(
    every: int, steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, told = MODULE["bumps"](), []
    monkeypatch.setattr(module, "log_dict", lambda figures: told.append(module.global_step))
    run = trainer(num_sanity_val_steps=0, max_steps=4, log_every_n_steps=every, limit_val_batches=0)
    run.fit(module, datamodule=data_for(module))
    assert told == steps


def test_schedules_are_used_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    module = MODULE["discs"](likelihood_sd=Geometric(2.0, 0.5, 2), coarseness=Linear(3.0, 1.0, 2))
    scales, steps = [], []
    contract, likelihoods = module.renderer.contract, log_likelihoods

    def record_scale(canvases: Tensor, observation: Observation) -> Tensor:
        scales.append(observation.loss.scale)
        return likelihoods(canvases, observation)

    def record_step(*args: Any) -> Tensor:
        steps.append(args[3])
        return contract(*args)

    monkeypatch.setattr("air_lightning.model.objective.log_likelihoods", record_scale)
    monkeypatch.setattr(module.renderer, "contract", record_step)
    run = trainer(num_sanity_val_steps=0, limit_val_batches=0)
    run.fit(module, datamodule=data_for(module))
    assert scales == pytest.approx([2.0, 1.0]) and steps == pytest.approx([3.0, 2.0])
    assert float(run.logged_metrics["schedule/likelihood_sd"]) == pytest.approx(1.0)
    assert float(run.logged_metrics["schedule/coarseness"]) == pytest.approx(2.0)


@over_modules
def test_the_same_seed_gives_the_same_model(kind: str) -> None:
    states = []
    for _ in range(2):
        pl.seed_everything(5, verbose=False)
        module = MODULE[kind]()
        trainer().fit(module, datamodule=data_for(module))
        states.append(module.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values()))


COMMON = {"count_accuracy", "over_count", "under_count", "position_error", "position_error_share"} | {
    "position_error_mean",
    "scene_accuracy",
    "elbo",
    "expected_count",
    "true_count",
    "count_log_loss",
    "stated_precision",
    "precision",
    "recall",
    "calibration_error",
    "coverage50",
    "coverage90",
    "reconstruction_error",
}
IDENTITIES = {"identity_accuracy", "identity_calibration_error"}
METRICS = {
    "mesh": COMMON | IDENTITIES | {"rotation_error"},
    "discs": COMMON | IDENTITIES,
    "bumps": COMMON,
}


@over_modules
def test_evaluation_metrics(kind: str) -> None:
    module = MODULE[kind](refinement=Refinement(1))
    data, run = data_for(module), trainer()
    run.fit(module, datamodule=data)
    names = {name for name in run.callback_metrics if name.startswith("val/")}
    assert names == {f"val/{name}" for name in METRICS[kind]}
    (tested,) = run.test(module, datamodule=data, verbose=False)
    assert set(tested) == {f"test/{name}" for name in METRICS[kind]}
    rates = [tested[f"test/{name}"] for name in ("count_accuracy", "over_count", "under_count")]
    assert sum(rates) == pytest.approx(1) and all(0 <= rate <= 1 for rate in rates)


def test_data_without_truth_is_not_held_against_that_of_the_data_before() -> None:
    module = MODULE["bumps"]()
    data = data_for(module)
    trainer().fit(module, datamodule=data)
    (tested,) = trainer().test(module, dataloaders=data.val_dataloader(), verbose=False)
    assert "test/elbo" in tested and not any("count" in name for name in tested)


@pytest.mark.parametrize("off", [0.0, 0.05])
def test_the_truth_for_an_explanation_scores_perfectly(monkeypatch: pytest.MonkeyPatch, off: float) -> None:
    """The truth in place of inference, in another order; or moved and turned by a known amount."""
    module = MODULE["mesh"]()
    data, run = Scenes3D(counts=(2, 3), apart=0.5, **SIZES), trainer()
    infer, batches = module.infer, []
    monkeypatch.setattr(module, "on_test_batch_start", lambda batch, *args: batches.append(batch))

    def cheat(images: Tensor) -> Any:
        batch, explanation = batches[-1], infer(images)
        order = torch.arange(3).expand(len(images), 3).clone()
        order[:, [0, 1]] = order[:, [1, 0]]
        where = batch.where.gather(1, order.unsqueeze(2).expand_as(batch.where))
        where = where + off * torch.tensor([3, 4, 1])
        slots = explanation.slots._replace(what=batch.what.gather(1, order), where=where)
        return explanation._replace(count=batch.count, slots=slots)

    monkeypatch.setattr(module, "infer", cheat)
    (tested,) = run.test(module, datamodule=data, verbose=False)
    assert tested["test/count_accuracy"] == tested["test/identity_accuracy"] == 1
    assert tested["test/position_error"] == pytest.approx(5 * off, abs=1e-5)
    assert tested["test/position_error_share"] == pytest.approx(5 * off / 3.8, abs=1e-5)
    assert tested["test/rotation_error"] == pytest.approx(math.degrees(off), abs=1e-2)
    # a right scene has its objects within a twentieth of the table's width
    assert tested["test/scene_accuracy"] == (1 if off == 0 else 0)


def test_predict() -> None:
    module = MODULE["discs"]()
    data, run = data_for(module), trainer()
    (explanation,) = run.predict(module, datamodule=data)
    (batch,) = data.test_dataloader()
    torch.testing.assert_close(explanation.posterior, module.eval().infer(batch.images).posterior)


class Images(pl.Callback):
    """The images of every batch by stage."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Tensor]] = {"train": [], "val": [], "test": []}

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Batch, *_: Any) -> None:
        self.seen["train"].append(batch.images)

    def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Batch, *_: Any) -> None:
        self.seen["val"].append(batch.images)

    def on_test_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Batch, *_: Any) -> None:
        self.seen["test"].append(batch.images)


def test_held_out_scenes_stay_and_training_scenes_do_not_return() -> None:
    """Over epochs of a real fit, and in a test after it as in a test alone."""
    module, watch = MODULE["discs"](), Images()
    data = Scenes3D(counts=(3,), apart=0.3, **SIZES)
    run = trainer(max_steps=-1, max_epochs=3, num_sanity_val_steps=0, callbacks=[watch])
    run.fit(module, datamodule=data)
    run.test(module, datamodule=data, verbose=False)
    assert [len(seen) for seen in watch.seen.values()] == [6, 3, 1]
    assert all(torch.equal(images, watch.seen["val"][0]) for images in watch.seen["val"])
    assert len(torch.cat(watch.seen["train"]).flatten(1).unique(dim=0)) == 24
    (alone,) = data.test_dataloader()
    assert torch.equal(alone.images, watch.seen["test"][0])


# ---- checkpoints


@over_modules
@pytest.mark.parametrize(
    "options", [OPTIONS["default"], OPTIONS["nvil"], OPTIONS["lstm"]], ids=["default", "nvil", "lstm"]
)
def test_a_state_loads_strictly(kind: str, options: dict[str, Any]) -> None:
    options = {n: v for n, v in options.items() if n != "identity" or kind != "bumps"}
    module = stirred(MODULE[kind](**options))
    torch.manual_seed(9)
    other = MODULE[kind](**options)
    other.load_state_dict(module.state_dict(), strict=True)
    images = drawn_images(module.renderer)
    torch.testing.assert_close(other.infer(images).posterior, module.infer(images).posterior)


def test_a_state_holds_no_constants_of_the_renderer() -> None:
    """What was learnt on 32x32 images loads into a model of 48x48 ones, other settings and all."""
    module = stirred(MODULE["mesh"](slots=2))
    assert not any(name.startswith(("renderer", "log_prior", "metrics")) for name in module.state_dict())
    other = AIRModule(mesh(48), network, slots=3, count_prior=0.5)
    other.load_state_dict(module.state_dict(), strict=True)
    other.infer(drawn_images(other.renderer))


def test_a_checkpoint_of_a_trainer_loads_strictly(tmp_path: Any) -> None:
    module = MODULE["mesh"]()
    run = trainer()
    run.fit(module, datamodule=data_for(module))
    run.save_checkpoint(tmp_path / "a.ckpt")
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"]
    MODULE["mesh"]().load_state_dict(state, strict=True)


class SaveAt(pl.Callback):
    """A checkpoint after the step of this number."""

    def __init__(self, step: int, path: Any) -> None:
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("step", [1, 3, 4, 6], ids=["first", "within", "end_of_epoch", "second_epoch"])
def test_a_resumed_run_is_the_run_without_a_break(tmp_path: Any, step: int) -> None:
    """Bit for bit, wherever in an epoch of 4 steps it is cut: the same scenes, noise and weights."""
    data = {"counts": (3,), "apart": 0.3, **SIZES, "train_scenes": 16}
    # a trainer that has to ask how long an epoch is before it can tell its last step
    path, limits = tmp_path / "cut.ckpt", {"max_steps": 7, "max_epochs": 9, "num_sanity_val_steps": 0}
    sleep = Sleep(Linear(1.0, 0.0, 5), scenes=3)
    whole, watch = MODULE["discs"](count=NVILCount(), sleep=sleep), Images()
    run = trainer(callbacks=[RandomState(), SaveAt(step, path), watch], **limits)
    run.fit(whole, datamodule=Scenes3D(**data))
    torch.manual_seed(99)
    resumed, rest = MODULE["discs"](count=NVILCount(), sleep=sleep), Images()
    run = trainer(callbacks=[RandomState(), rest], **limits)
    run.fit(resumed, datamodule=Scenes3D(**data), ckpt_path=path)
    assert len(rest.seen["train"]) == 7 - step
    assert all(torch.equal(a, b) for a, b in zip(watch.seen["train"][step:], rest.seen["train"]))
    pairs = zip(whole.state_dict().values(), resumed.state_dict().values())
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_balance_that_leaves_slots_without_weight_is_warned_of() -> None:
    """At the likelihood's final scale; a balance that suits it is taken without a word."""
    warned = (
        "model.balance is 0.1 and the noise's variance 0.0001: slots learn with 1e-05 of presence's weight, and "
        "hardly. Set it from 40 (what 0.1 is at a scale of 0.2) to 1e+04 (their weight in the bound)"
    )
    low = Geometric(1.0, 0.01, 10)
    with pytest.warns(UserWarning, match=re.escape(warned)):
        MODULE["discs"](likelihood_sd=low).on_fit_start()
    with pytest.warns(UserWarning, match="slots learn with 0.0003 of presence's weight"):
        MODULE["discs"](likelihood_sd=Constant(0.05)).on_fit_start()
    for options in ({"likelihood_sd": low, "balance": 40.0}, {"likelihood_sd": Constant(0.06)}):
        MODULE["discs"](**options).on_fit_start()


# ---- errors


@pytest.mark.parametrize(
    "options, text",
    [
        ({"slots": 0}, "slots must be at least 1, got 0"),
        ({"lr": 0.0}, "lr must be positive and finite, got 0.0: 0.001 is a good start"),
        ({"lr": -1e-3}, "lr must be positive and finite, got -0.001: 0.001 is a good start"),
        ({"lr": math.nan}, "lr must be positive and finite, got nan: 0.001 is a good start"),
        ({"likelihood_sd": Constant(0.0)}, "the likelihood's scale must lie between 1e-06 and 1e+06, got 0: 0.3 is"),
        ({"coarseness": Linear(3.0, -1.0, 5)}, "coarseness must be positive and finite, got -1.0: 1 is a good start"),
        ({"evidence_samples": -1}, "evidence_samples must not be negative, got -1: 0 leaves the bound out"),
        ({"count_prior": -1.0}, "the count prior's ratio must be positive and finite, got -1.0"),
        ({"count_prior": [0.5, 0.5]}, "needs 4 positive probabilities (counts 0 to 3), got [0.5, 0.5]: a ratio, 0.3,"),
    ],
)
@over_modules
def test_errors(kind: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        MODULE[kind](**options)


def test_a_continuous_what_needs_no_identity_estimator() -> None:
    text = "Bumps has a continuous `what`, which needs no identity estimator, got ExactIdentity: leave"
    with pytest.raises(ValueError, match=re.escape(text)):
        MODULE["bumps"](identity=ExactIdentity())
    assert MODULE["bumps"]().identity_estimator is None


def test_too_few_slots_for_the_data() -> None:
    module = MODULE["discs"](slots=2)
    text = (
        "the model has 2 slots and the data holds scenes of up to 3 objects: "
        "raise model.slots to at least 3, or lower the data's counts"
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        check_data(module, data_for(module))
    with pytest.raises(ValueError, match=re.escape(text)):
        trainer().fit(module, datamodule=data_for(module))


def test_counts_that_the_prior_all_but_excludes_are_warned_of() -> None:
    module = MODULE["discs"](count_prior=[1, 1, 1, 0.0003])
    text = "model.count_prior makes 3 objects 0.0003 times as likely as 2, and the data holds scenes of up to 3: they"
    with pytest.warns(UserWarning, match=re.escape(text)):
        check_data(module, data_for(module))
    for allowed in ([1e-4, 1, 0.1, 0.01], 0.01):  # the latter is the paper's
        module = MODULE["discs"](count_prior=allowed)
        check_data(module, data_for(module))


def test_estimators_by_default() -> None:
    module = MODULE["discs"]()
    assert isinstance(module.identity_estimator, ExactIdentity)
    assert type(module.count_estimator).__name__ == "PosteriorCount"
    assert isinstance(module.likelihood, NormalLikelihood) and module.refinement is None


@over_modules
def test_mixed_precision_trains_with_clipped_gradients(kind: str) -> None:
    module = MODULE[kind]()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    trainer(precision="bf16-mixed", gradient_clip_val=1.0).fit(module, datamodule=data_for(module))
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, module.parameters()))
