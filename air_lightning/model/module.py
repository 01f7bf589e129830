"""AIRModule: the LightningModule that trains and evaluates AIR, keeps it in checkpoints, and draws its figures."""

import math
from dataclasses import replace
from typing import Any, cast

import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.plugins import MixedPrecision
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from air_lightning.backgrounds import NoBackground
from air_lightning.backgrounds.base import LOOKED_AT
from air_lightning.distributions import count_log_posterior
from air_lightning.figures.gallery import BoxedScene, gallery
from air_lightning.figures.images import image_rows, image_steps
from air_lightning.metrics import Rows, SceneMean, SceneQuantile
from air_lightning.metrics.evaluation import Evaluation, InferredScenes, figure_names
from air_lightning.metrics.host_tensors import is_written, on_host
from air_lightning.model.adaptation import say
from air_lightning.model.air import AIR, Inference
from air_lightning.model.calibration import USUAL, Powers
from air_lightning.model.data_checks import check_data
from air_lightning.model.jackknife import objects_told, powers_without_truth, variance_ratios
from air_lightning.model.objective import objective, warn_of_balance
from air_lightning.model.observation import Observation
from air_lightning.model.relative_clipping import clip_to_usual
from air_lightning.model.sleep import sleep_loss
from air_lightning.model.slots import infer
from air_lightning.model.supervision import label_names, labelled
from air_lightning.testing.first_look import look_at
from datamodules.base import Batch, SceneDataModule
from datamodules.batch_checks import check_images
from renderers.base import Renderer
from renderers.spaces import Categorical

SHOWN = ("count_accuracy", "identity_accuracy", "position_error", "box_ap50", "elbo")


class AIRModule(AIR, pl.LightningModule):
    """Attend, Infer, Repeat (Eslami et al. 2016) with any renderer.

    As Lightning trains, evaluates and keeps it; ``AIR`` has the arguments.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.evaluation: Evaluation | None = None
        self.mean_elbo, self.mean_log_evidence = SceneMean(), SceneMean()
        self.mean_before, self.mean_after = SceneMean(), SceneMean()
        self.errors = SceneQuantile(USUAL)
        self.ratios = Rows(len(self.renderer.where))
        self._without_truth: Tensor | None = None
        self._usual_error: float | None = None

    # ---- training

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        step = self.global_step
        observation, coarseness = self.observed(batch.images, step, sample=True), self.coarseness(step)
        if self.supervised:
            return self._supervised_step(batch, observation)
        if self.sleep is not None and step < self.sleep.alone:
            slept = self._slept(observation, step)
            return self._labelled_step("sleep", slept["sleep"])
        renderer = self._at(observation)
        slots = infer(renderer, self.network, observation, self.slots)
        variance = observation.variance
        result = objective(
            renderer, slots, observation, self.log_prior, self.count_estimator, self.identity_estimator,
            step, coarseness, self.balance * variance, self.angle,
        )  # fmt: skip
        if self.aggregate is not None:
            self.aggregate.gather(renderer, slots, count_log_posterior(slots.presence_logits))
        slept = self._slept(observation, step)
        loss = sum(slept.values(), result.loss)
        terms = {name: term.detach() for name, term in (result.terms | slept).items()}
        schedules = {"schedule/likelihood_sd": variance**0.5, "schedule/coarseness": coarseness}
        figures = {"train/elbo": result.elbo, **schedules, **self._rates()}
        return {"loss": loss, "terms": terms, "figures": figures}

    def _supervised_step(self, batch: Batch, observation: Observation) -> dict[str, Any]:
        """Of learning from labels: the negative log density of the true slots, in nats."""
        true = labelled(self.renderer, self._label_names, batch, self.slots)
        return self._labelled_step("labels", sleep_loss(self.renderer, self.network, observation, true))

    def _labelled_step(self, name: str, loss: Tensor) -> dict[str, Any]:
        """Of learning from nothing but slots that are known."""
        # parallel training waits for a gradient of every parameter, also of those that explain images
        loss = loss + sum(0.0 * parameter.sum() for parameter in self.parameters() if parameter.requires_grad)
        return {"loss": loss, "terms": {name: loss.detach()}, "figures": self._rates()}

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Log the step, if it is one that loggers are given."""
        if is_written(self.trainer):
            terms = {f"train/{name}": term for name, term in outputs["terms"].items()}
            self.log_dict(on_host({**terms, "train/loss": outputs["loss"].detach(), **outputs["figures"]}))

    def _slept(self, observation: Observation, step: int) -> dict[str, Tensor]:
        """The sleep phase's term of the loss, where the model has one and its weight is positive."""
        weight = 0.0 if self.sleep is None else self.sleep.weight(step)
        if self.sleep is None or not weight > 0:
            return {}
        real = observation._replace(loss=self.likelihood.final())
        drawn, images = self.sleep.draw(self.renderer, real)
        with torch.no_grad():
            observed = self.observed(images, step, sample=True)
        return {"sleep": weight * sleep_loss(self.renderer, self.network, observed, drawn, self.sleep.mode)}

    def configure_optimizers(self) -> Any:
        baselines = {id(p) for p in self.count_estimator.parameters()}
        learning = [p for p in self.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [{"params": [p for p in learning if id(p) not in baselines]}]
        if baselines:
            groups.append({"params": [p for p in learning if id(p) in baselines], "lr": self.baseline_lr or self.lr})
        # in one pass over all parameters; in mixed precision Lightning would not clip such an optimizer's gradients
        mixed = self._trainer is not None and isinstance(self._trainer.precision_plugin, MixedPrecision)
        optimizer = torch.optim.Adam(groups, lr=self.lr, fused=self.device.type == "cpu" and not mixed)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self._rate(step, self._last(step)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        if self.relative_clip is not None:
            clip_to_usual(cast(torch.optim.Adam, optimizer), self.relative_clip)

    def _rates(self) -> dict[str, float]:
        """The learning rate of every parameter group, as `configure_optimizers` orders them."""
        groups = cast(LightningOptimizer, self.optimizers()).param_groups
        return {f"lr/{name}": group["lr"] for name, group in zip(("model", "baselines"), groups)}

    def _last(self, step: int) -> float:
        """The trainer's last step; infinite at step 0, when it does not matter.

        To know it the trainer makes its loader. Asked before training, it would not set that loader back to where a
        checkpoint from within an epoch has left it.
        """
        return self.trainer.estimated_stepping_batches if step else math.inf

    def _rate(self, step: int, last: float) -> float:
        """Factor on the learning rate: linear growth, then a cosine down to ``lr_final`` at step ``last``."""
        start = min(1.0, (step + 1) / max(1, self.lr_warmup))
        if not math.isfinite(last):
            return start
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / last)))
        return start * (self.lr_final + (1 - self.lr_final) * fall)

    # ---- evaluation

    def validation_metrics(self, data: SceneDataModule) -> list[str]:
        """The names of what a validation on this data may log."""
        figures = figure_names(self.renderer, data) if data.has_truth else []
        return sorted(f"val/{name}" for name in ("elbo", "reconstruction_error", *figures))

    def setup(self, stage: str) -> None:
        """Look at renderer and data.

        Errors:
            WrongDrawing, a ValueError, where the renderer draws what is no image; ValueError where the model cannot
            explain the data.
        """
        # What parallel training would send from the first process to the others before every step and in evaluations,
        # where processes need not have equally many batches. But buffers hold what is the same in all of them.
        self._ddp_params_and_buffers_to_ignore = [name for name, _ in self.named_buffers()]
        self.evaluation = None  # of other data
        if self.dtype == torch.float32:  # of others nothing is known before the trainer has them on their device
            look_at(self.renderer)
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, SceneDataModule):
            return
        check_data(self, data)
        if stage == "fit" and self.supervised:
            self._label_names = label_names(self.renderer, data)
        if not data.has_truth:
            return
        self.evaluation = Evaluation(self.renderer, self.slots, data)

    def start_background(self, split: str) -> None:
        """Show a background that waits for images those of a split of the data, in all processes the same.

        Errors:
            NoBackground, a ValueError, where the data does not give one, or its file cannot be read.
        """
        if self.background is None:
            return
        self.background.check()
        if not self.background.waits:
            return
        images = self._first_images(split, LOOKED_AT)
        if images is None:
            raise NoBackground(
                f"{type(self.background).__name__} looks at images before the first step, and there is no "
                "SceneDataModule to take them from: call model.background.fit(images) yourself"
            )
        self.background.fit(images)

    def _first_images(self, split: str, most: int) -> Tensor | None:
        """The first images of a split of the data, at most so many; None where the data is not ours."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, SceneDataModule):
            return None
        images: Tensor = self.trainer.precision_plugin.convert_input(data.first_images(split, most))
        if len(images):
            check_images(self.renderer, data, images, cast(torch.dtype, self.dtype))
        return images.to(self.device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        step = self.global_step
        if self.adaptation is None or step not in self.adaptation.at or step == self._adapted:
            return
        images = self._first_images("train", self.adaptation.images)
        if images is not None:
            self._adapted = step
            say(self.renderer, self.adapt(images))

    def on_fit_start(self) -> None:
        warn_of_balance(self.balance, self.likelihood.final(), self.renderer.image_background())
        self.start_background("train")

    def on_validation_start(self) -> None:
        self.start_background("val")

    def on_test_start(self) -> None:
        self.start_background("test")

    def on_predict_start(self) -> None:
        self.start_background("predict")

    def on_train_start(self) -> None:
        self.powers = Powers()  # of other weights than those that are learnt from now on

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.write_to(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.read_from(checkpoint)

    def _evaluate(self, batch: Batch, split: str) -> None:
        if self.evaluation is None and split == "test" and self._improves:
            seen, before, after = self.improvement(batch.images)
            self.mean_before.update(before)
            self.mean_after.update(after)
        else:
            seen = self.infer(batch.images)
            if self.evaluation is None and self.calibrating and self.refines:
                observation = self.observed(batch.images).found(seen.scene)
                self.ratios.update(variance_ratios(self.renderer, observation, seen.slots, seen.count))
        self.errors.update(seen.reconstruction_error)
        if self.evaluation is not None:
            slots = seen.slots
            own = slots.what, slots.where, seen.where_sd, slots.what_parameters
            found = InferredScenes(seen.count, seen.log_posterior, *own, seen.scene)
            self.evaluation.update(self.renderer.at(seen.scene), found, batch)
        self.mean_elbo.update(self.elbo(batch.images))
        if split == "test" and self.evidence_samples:
            self.mean_log_evidence.update(self.log_evidence(batch.images, self.evidence_samples))

    def _finish(self, split: str) -> None:
        figures: dict[str, Tensor] = {}
        if self.evaluation is not None:
            figures = self.evaluation.compute(split == "test", self.calibrating)
        means = {
            "elbo": self.mean_elbo, "log_evidence": self.mean_log_evidence, "evidence_before": self.mean_before,
            "evidence_after": self.mean_after, "reconstruction_error": self.errors,
        }  # fmt: skip
        for name, mean in means.items():
            if mean.update_called:
                figures[name] = mean.compute()
                mean.reset()
        for name, value in figures.items():
            # the same in all processes already, of which Lightning is to be sure
            self.log(f"{split}/{name}", value, prog_bar=name in SHOWN, sync_dist=True)
        self._without_truth = self.ratios.compute() if self.ratios.update_called else None
        self.ratios.reset()
        self._usual_error = _finite(figures.get("reconstruction_error"))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def on_validation_epoch_end(self) -> None:
        self._finish("val")
        if self.trainer.state.fn == TrainerFn.FITTING:  # no powers are in force then
            self.powers = Powers(usual_error=self._usual_error)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def on_test_epoch_end(self) -> None:
        self._finish("test")

    @property
    def count_confusion(self) -> Tensor | None:
        """Scenes of the last evaluation by true count (row) and inferred count (column); None without a truth."""
        return None if self.evaluation is None else self.evaluation.confusion

    @property
    def figures_by_count(self) -> list[dict[str, Any]]:
        """What the last test measured of the scenes of each number of objects; empty without a truth."""
        return [] if self.evaluation is None else self.evaluation.by_count

    @property
    def sureness(self) -> dict[str, Any] | None:
        """Bins of confidence, each coordinate's coverage, and the powers in force; None without a truth."""
        return None if self.evaluation is None else self.evaluation.sureness | {"powers": self.powers.state()}

    @property
    def fitted_powers(self) -> Powers | None:
        """What would have made the last evaluation's posteriors as sure as right; None unless ``calibrating``.

        Without a truth, as sure as parts of objects agree (`jackknife`), where poses are refined.
        """
        usual, overrides = self._usual_error, dict(self.overrides)
        if self._without_truth is not None:
            names, searched = self.renderer.where.names, self.search is not None
            powers = powers_without_truth(self._without_truth, names, searched)
            return replace(powers, usual_error=usual, overrides=overrides)
        fit = None if self.evaluation is None else self.evaluation.fit
        if fit is None:
            return None
        (count, tilt, doubt), (identity, _, identity_doubt) = fit.count, fit.identity
        how = fit.pose, self.refines, self.search is not None
        return Powers(count, *how, identity, tilt, doubt, identity_doubt, usual, overrides)

    @property
    def fitted_cases(self) -> dict[str, int]:
        """How many scenes, true objects and so on `fitted_powers` were fitted to, by name; empty where it is None."""
        if self._without_truth is not None:
            return objects_told(self._without_truth, self.renderer.where.names)
        fit = None if self.evaluation is None else self.evaluation.fit
        return {} if fit is None else fit.cases

    def predict_step(self, batch: Batch, batch_idx: int) -> Inference:
        return self.infer(batch.images)

    def image(self, batch: Batch) -> NDArray[Any]:
        """Scenes beside their reconstructions with the inferred objects marked, (H, W, 3) uint8."""
        inferred = self.infer(batch.images.to(self.device))
        window = self.renderer.at(inferred.scene).window(inferred.slots.where)
        names = self.renderer.what.names if isinstance(self.renderer.what, Categorical) else None
        identities = inferred.slots.what if names else None
        scenes, beside = self._displayed(batch.images), self._displayed(drawn(self.renderer, inferred))
        return image_rows(scenes, beside, inferred.count, window, identities, names)

    def gallery(self, batch: Batch) -> list[BoxedScene]:
        """Scenes beside their reconstructions, with the boxes of the inferred and of the true objects."""
        seen = self.infer(batch.images.to(self.device))
        what, where = seen.slots.what, seen.slots.where
        shown, beside = (
            batch._replace(images=self._displayed(batch.images)),
            self._displayed(drawn(self.renderer, seen)),
        )
        return gallery(self.renderer.at(seen.scene), shown, seen.count, seen.posterior, what, where, beside)

    def steps(self, batch: Batch) -> list[NDArray[Any]]:
        """The images explained slot after slot, frames (H, W, 3) uint8: each window, then the canvas so far."""
        explanation = self.infer(batch.images.to(self.device))
        slots, behind = explanation.slots, explanation.background
        renderer = self.renderer.at(explanation.scene)
        canvases = renderer.render(slots.what, slots.where, behind)
        window = renderer.window(explanation.slots.where)
        return list(image_steps(self._displayed(batch.images), self._displayed(canvases), explanation.count, window))

    def _displayed(self, images: Tensor) -> Tensor:
        """Images as the data's figures show them."""
        data = getattr(self._trainer, "datamodule", None)
        return data.displayed(images) if isinstance(data, SceneDataModule) else images


def _finite(value: Tensor | None) -> float | None:
    """A scalar as a number; None where there is none, or none that is finite."""
    return float(value) if value is not None and bool(value.isfinite()) else None


def drawn(renderer: Renderer, seen: Inference) -> Tensor:
    """Reconstructions (B, C, H, W); beside each, where the background is a plug-in's, that and the objects alone."""
    if seen.background is None:
        return seen.reconstruction
    behind = seen.background.expand_as(seen.reconstruction)
    share = renderer.at(seen.scene).transmittance(seen.slots.what, seen.slots.where)
    share = share[torch.arange(len(share), device=share.device), seen.count].unsqueeze(1)
    return torch.cat([seen.reconstruction, behind, seen.reconstruction - share * behind], -1)
