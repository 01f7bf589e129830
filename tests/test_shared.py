"""What all images share: the renderer's contract, the light that is learnt, and how checkpoints keep it."""

import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging
from renderers_for_tests import IdentityBumps, grid
from torch import Tensor

from air_lightning.inference import ResidualAttention
from air_lightning.model import Adaptation, AIRModule
from air_lightning.model.adaptation import Explained, fit_shared, say
from air_lightning.model.observation import Observation
from air_lightning.training.callbacks import with_own_buffers
from datamodules import Scenes3D
from renderers import Categorical, Coordinate, Layer, MeshRenderer, Renderer
from renderers.mesh import Light, Shadow
from renderers.pixel_loss import Normal, PixelLoss, StudentT

LAMP = Light((-0.8, 0.9, 0.4), ambient=0.15, shadow=Shadow(0.8, softness=8.0), distance=6.0, linear=True)
UNKNOWN = Light(ambient=0.3, linear=True)


class Lamps(Renderer):
    """Bumps as bright as a lamp that all images share; a black box of no other coordinates."""

    def __init__(self, brightness: float = 0.5) -> None:
        where = tuple(Coordinate(n, "half images", -0.8, 0.8, 0.05) for n in ("x", "y"))
        lamp = Coordinate("brightness", "share of white", 0.0, 1.0, 0.02)
        super().__init__(Categorical(("bump",)), where, (1, 12, 12), shared=[(lamp, brightness)])

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, y = grid(12)
        dx, dy = x - where[:, 0, None, None], y - where[:, 1, None, None]
        near = dx**2 + dy**2 < 0.2
        color = self.shared_values[0] * torch.exp(-(dx**2 + dy**2)) * near
        return Layer(color.unsqueeze(1), torch.where(near, 1.0, torch.inf))


def scenes(renderer: Renderer, images: int, **changes: Any) -> tuple[Tensor, Tensor]:
    """Two objects far from one another in each of so many images."""
    torch.manual_seed(3)
    what = torch.randint(0, renderer.identity_count, (images, 2))
    where = torch.rand(images, 2, len(renderer.where)) * 2 - 1
    return what, where * 0.6 + torch.tensor([[0.8], [-0.8]])


def explained(images: Tensor, what: Tensor, where: Tensor, loss: PixelLoss) -> Explained:
    return Explained(Observation(images, loss), what, where, torch.full((len(what),), 2))


def test_a_lamp_that_nobody_knows_is_found_without_labels() -> None:
    """From noisy images and rough poses: the direction to 6 degrees, the rest to a tenth of its range or so."""
    drawn, mine = (
        MeshRenderer(image_size=(40, 40), light=LAMP),
        MeshRenderer(image_size=(40, 40), light=UNKNOWN, shared=["light", "shadow"]),
    )
    what, where = scenes(drawn, 8)
    images = drawn.render(what, where)[:, -1]
    images = images + 0.03 * torch.randn_like(images)
    rough = where + torch.randn_like(where) * 0.03
    fit = fit_shared(mine, explained(images, what, rough, StudentT(0.1)))
    x, y, z = LAMP.direction
    truth = {
        "light_azimuth": (math.atan2(x, z), 0.1),
        "light_elevation": (math.asin(y / math.hypot(x, y, z)), 0.1),
        "light_nearness": (1 / 6, 0.06),
        "light_ambient": (0.15, 0.08),
        "light_diffuse": (0.85, 0.15),
        "shadow_strength": (0.8, 0.12),
    }
    for name, (value, tolerance) in truth.items():
        assert abs(fit.values[name] - value) < tolerance, (name, fit.values[name], value)
    assert fit.misfit < 0.6 * fit.before and not fit.poor
    assert mine.shared_values.tolist() == list(fit.values.values())


def test_a_third_party_renderer_needs_the_contract_alone() -> None:
    drawn, mine = Lamps(0.8), Lamps(0.3)
    what, where = scenes(drawn, 6)
    fit = fit_shared(mine, explained(drawn.render(what, where)[:, -1], what, where, Normal(0.05)), power=1.0)
    assert fit.values == {"brightness": pytest.approx(0.8, abs=0.01)}


def test_the_light_of_the_arguments_is_drawn_until_another_is_learnt() -> None:
    plain, free = (MeshRenderer(image_size=(24, 24), light=LAMP, shared=names) for names in ((), ["all"]))
    what, where = scenes(plain, 2)
    assert torch.allclose(plain.render(what, where), free.render(what, where), atol=1e-5)
    assert plain.shared is None and free.shared is not None
    free.share(free.shared_values + 0.2)
    assert not torch.allclose(plain.render(what, where), free.render(what, where), atol=1e-2)


@pytest.mark.parametrize("light", [LAMP, Light((0.3, 0.8, 0.5), diffuse=0.9, ambient=0.1, distance=4.0)])
def test_near_and_linear_light_is_the_same_in_torch_operations(light: Light) -> None:
    renderer = MeshRenderer(image_size=(24, 24), light=light)
    what, where = scenes(renderer, 3)
    exported = renderer.traceable()
    gap = (renderer.render(what, where) - exported.render(what, where)).abs()
    assert gap.mean() < 1e-3 and (gap > 0.02).float().mean() < 0.01  # edges


def test_light_in_linear_numbers_by_hand() -> None:
    """Straight from above, half a length of it away: a cube's top gets a fraction 1 / distance^2, as sRGB."""
    light = Light((0.0, 1.0, 0.0), ambient=0.1, diffuse=0.5, distance=2.0, linear=True)
    renderer = MeshRenderer(identities=["cube"], colors={"cube": (0.5, 0.2, 0.8)}, light=light)
    image = renderer.render(torch.tensor([[0]]), torch.zeros(1, 1, 3))[0, 1]
    top = (0.1 + 0.5) ** (1 / 2.2) * torch.tensor([0.5, 0.2, 0.8])
    assert torch.allclose(image.flatten(1).amax(1)[2], top[2], atol=1e-4)


def test_values_travel_in_checkpoints_by_name() -> None:
    of_light, of_all = (AIRModule(MeshRenderer(image_size=(24, 24), shared=names)) for names in (["light"], ["all"]))
    of_light.renderer.share(of_light.renderer.shared_values + 0.1)
    saved: dict[str, Any] = {"state_dict": of_light.state_dict()}
    of_light.on_save_checkpoint(saved)
    of_all.on_load_checkpoint(saved)
    of_all.load_state_dict(saved["state_dict"])
    assert of_all.renderer.shared is not None and of_light.renderer.shared is not None
    values = dict(zip(of_all.renderer.shared.names, of_all.renderer.shared_values.tolist()))
    assert {name: values[name] for name in of_light.renderer.shared.names} == pytest.approx(saved["shared"])
    what, where = scenes(of_all.renderer, 2)
    images = [model.renderer.render(what, where)[:, -1] for model in (of_light, of_all)]
    assert (images[0] - images[1]).abs().max() > 0.01  # shadows, which the other has not
    plain = AIRModule(MeshRenderer(image_size=(24, 24)))
    plain.on_load_checkpoint(saved)
    plain.load_state_dict(saved["state_dict"])


class Learns(Callback):
    """Has the renderer draw in another light after a step, as an adaptation does."""

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        if trainer.global_step == 2:
            pl_module.renderer.share(pl_module.renderer.shared_values + 0.1)
            self.values = pl_module.renderer.shared_values.clone()


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*GPU available but not used.*")
def test_averaged_weights_are_drawn_saved_and_loaded_with_the_light_that_was_learnt(tmp_path: Path) -> None:
    def module() -> AIRModule:
        renderer = MeshRenderer(image_size=(16, 16), shared=["light"])
        return AIRModule(renderer, lambda r: ResidualAttention(r, channels=8, hidden=64, glimpse=12), slots=1)

    model, learns = module(), Learns()
    given = with_own_buffers([learns, EMAWeightAveraging(decay=0.9, update_every_n_steps=3)])
    trainer = pl.Trainer(
        max_steps=4, limit_val_batches=1, callbacks=given, accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, datamodule=Scenes3D(counts=[1], batch_size=2, train_scenes=8, val_scenes=2))
    assert torch.equal(model.renderer.shared_values, learns.values)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = module()
    kept = torch.load(tmp_path / "a.ckpt", weights_only=True)
    again.on_load_checkpoint(kept)
    again.load_state_dict(kept["state_dict"])
    assert torch.equal(again.renderer.shared_values, learns.values)
    what, where = scenes(again.renderer, 2)
    assert torch.equal(again.renderer.render(what, where), model.renderer.render(what, where))


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: MeshRenderer(shared=["sun"]), "shared names 'sun', which is none of light, tint, shadow, all, light_"),
        (lambda: Light(distance=0.0), "light distance must be positive and finite, got 0.0: null is far away"),
        (
            lambda: Lamps().share(torch.tensor([math.nan])),
            "one for each of its shared coordinates (brightness), got [n",
        ),
        (lambda: IdentityBumps().share(torch.ones(1)), "IdentityBumps: shared values must be finite numbers, one for"),
        (lambda: Adaptation(images=0), "adaptation's images must be at least 1, got 0: 32 is usual"),
        (lambda: Adaptation(scales=()), "adaptation's scales must be one or more positive factors, got []"),
        (lambda: Adaptation(power=0.0), "adaptation's power must lie in (0, 1], got 0.0: 0.1 is usual"),
        (lambda: Adaptation(at=(-1,)), "adaptation's steps must not be negative, got [-1]"),
        (
            lambda: AIRModule(IdentityBumps(), adaptation=Adaptation()),
            "model.adaptation learns what all images share, and IdentityBumps names nothing: let it",
        ),
        (lambda: AIRModule(IdentityBumps()).adapt(torch.zeros(1, 1, 12, 12)), "the model has no adaptation: give"),
    ],
)
def test_what_cannot_be_is_said(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        wrong()


class Lit(Lamps):
    """Bumps that a lamp lights from one side, at an angle that all images share."""

    def __init__(self, azimuth: float) -> None:
        super().__init__()
        lamp = Coordinate("azimuth", "radians", -math.pi, math.pi, 0.05, circular=True)
        Renderer.__init__(self, self.what, self.where.coordinates, self.image_shape, shared=[(lamp, azimuth)])

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, y = grid(12)
        dx, dy = x - where[:, 0, None, None], y - where[:, 1, None, None]
        near = dx**2 + dy**2 < 0.2
        color = 0.5 + 0.45 * torch.cos(torch.atan2(dy, dx) - self.shared_values[0]) * near
        return Layer(color.unsqueeze(1), torch.where(near, 1.0, torch.inf))


@pytest.mark.parametrize("start, asked", [(0.3, 3), (0.8 - math.pi, 6), (-1.2, 9), (2.0, 12)])
def test_an_explanation_that_holds_a_wrong_angle_up_is_left_behind(start: float, asked: int) -> None:
    """Objects are seen where the lamp is within an eighth of a turn of the true one: three turns of asking a start."""
    drawn, mine = Lit(0.5), Lit(start)
    what, where = scenes(drawn, 6)
    seen = []

    def explain(observation: Observation) -> Any:
        near = math.cos(float(mine.shared_values[0]) - 0.5) > math.cos(math.pi / 4)
        seen.append(near)
        return SimpleNamespace(slots=SimpleNamespace(what=what, where=where), count=torch.full((6,), 2 * near))

    fit = Adaptation(power=1.0)(mine, Observation(drawn.render(what, where)[:, -1], Normal(0.05)), explain)
    assert len(seen) == asked and seen[-1]
    assert fit.values == {"azimuth": pytest.approx(0.5, abs=0.02)} and fit.misfit < 0.1 < fit.before
    assert mine.shared_values.tolist() == list(fit.values.values())


def test_where_nothing_helps_the_least_misfit_is_kept_and_said_to_be_poor() -> None:
    drawn, mine = Lit(0.5), Lit(1.0)
    what, where = scenes(drawn, 6)
    unseen = SimpleNamespace(slots=SimpleNamespace(what=what, where=where), count=torch.zeros(6, dtype=torch.long))
    fit = Adaptation()(mine, Observation(drawn.render(what, where)[:, -1], Normal(0.05)), lambda _: unseen)
    assert fit.poor and fit.misfit == fit.before
    assert mine.shared_values.tolist() == list(fit.values.values())


def test_values_that_leave_more_than_those_of_before_are_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """A prior that knows better than few images: of those drawn so already nothing is learnt."""
    mine = Lamps(0.95)
    what, where = scenes(mine, 1)
    seen = SimpleNamespace(slots=SimpleNamespace(what=what, where=where), count=torch.full((1,), 2))
    observation = Observation(mine.render(what, where)[:, -1], Normal(0.5))
    fit = Adaptation(power=0.01)(mine, observation, lambda _: seen)
    assert fit.values == {"brightness": pytest.approx(0.95)} and fit.misfit == fit.before
    assert mine.shared_values.tolist() == pytest.approx([0.95])
    with pytest.warns(UserWarning, match="only 24 of their pixels are no background"):
        say(mine, fit)
    assert "nothing that was tried leaves less of the images than what was drawn before" in capsys.readouterr().out
