"""The glimpse renderer: placement, gradients, and one fit through the generic core on coloured shapes."""

import re
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from air_lightning.estimators import ExactCount
from air_lightning.inference import RecurrentAIR, ResidualAttention, crop
from air_lightning.model.module import AIRModule
from air_lightning.schedules import Constant
from datamodules import MultiSprites
from renderers import GlimpseRenderer
from renderers.placing import place


def white(renderer: GlimpseRenderer) -> GlimpseRenderer:
    """A renderer whose every glimpse is white."""
    last = renderer.decoder[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, 30.0)
    return renderer


@pytest.mark.parametrize(("height", "width"), [(40, 40), (40, 60)])
def test_a_glimpse_lies_where_it_is_told(height: int, width: int) -> None:
    renderer = white(GlimpseRenderer((1, height, width), what=3))
    color = renderer.draw(torch.zeros(1, 3), torch.tensor([[0.25, 0.5, -0.25]])).color[0, 0]
    rows, columns = (color > 0.5).nonzero().unbind(1)
    middle_x, middle_y = (0.5 + 1) * width / 2, (-0.25 + 1) * height / 2
    assert columns.float().mean().item() + 0.5 == pytest.approx(middle_x, abs=0.6)
    assert rows.float().mean().item() + 0.5 == pytest.approx(middle_y, abs=0.6)
    side = 0.25 * min(height, width)
    assert rows.max() - rows.min() + 1 == pytest.approx(side, abs=1.1)
    assert columns.max() - columns.min() + 1 == pytest.approx(side, abs=1.1)


def test_layers_add_up() -> None:
    renderer = white(GlimpseRenderer((3, 20, 20), what=2))
    where = torch.tensor([[[0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]])
    canvases = renderer.canvases(torch.zeros(1, 2, 2), where)
    torch.testing.assert_close(canvases[0, :, 0, 10, 10], torch.tensor([0.0, 1.0, 2.0]))


def test_claims_to_be_differentiable_and_is() -> None:
    renderer = GlimpseRenderer((1, 12, 12), what=2, glimpse=6, hidden=8).double()
    what = torch.randn(1, 2, 2, dtype=torch.float64, requires_grad=True)
    where = torch.tensor([[[0.51, 0.1, -0.21], [0.43, -0.33, 0.27]]], dtype=torch.float64, requires_grad=True)
    assert renderer.differentiable
    assert torch.autograd.gradcheck(renderer.canvases, (what, where))


SETTINGS = {
    "plain": {},
    "anisotropic": {"anisotropic": True},
    "turned": {"turn": 0.7},
    "over": {"compositing": "over"},
    "all": {"anisotropic": True, "turn": 0.7, "compositing": "over"},
}


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("shape", [(1, 20, 20), (3, 18, 24)])
def test_every_setting_is_differentiable(options: dict[str, Any], shape: tuple[int, int, int]) -> None:
    renderer = GlimpseRenderer(shape, what=2, glimpse=6, hidden=8, **options).double()
    torch.manual_seed(0)
    what = torch.randn(1, 2, 2, dtype=torch.float64, requires_grad=True)
    where = renderer.where.constrain(0.4 * torch.randn(1, 2, len(renderer.where), dtype=torch.float64)).requires_grad_()
    canvases = renderer.canvases(what, where)
    assert canvases.shape == (1, 3, *shape)
    assert torch.autograd.gradcheck(renderer.canvases, (what, where), fast_mode=True)


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_window_is_the_inverse_of_the_placement(options: dict[str, Any]) -> None:
    """A glimpse that is pasted and then cropped at its own window comes back, up to resampling twice."""
    renderer = GlimpseRenderer((3, 60, 80), what=2, glimpse=12, hidden=8, **options)
    torch.manual_seed(1)
    nn.init.normal_(renderer.decoder[-1].weight, std=0.5)
    what, where = torch.randn(4, 2), renderer.where.constrain(0.3 * torch.randn(4, len(renderer.where)))
    seen = crop(renderer.draw(what, where).color, renderer.window(where), 12)
    glimpse = renderer.decode(what)[:, :3]
    inside = slice(2, -2)  # the rim mixes with what is around the glimpse
    pair = [part[..., inside, inside].flatten() for part in (seen, glimpse)]
    assert torch.corrcoef(torch.stack(pair))[0, 1] > 0.93
    assert torch.corrcoef(torch.stack([pair[0], pair[1].roll(1)]))[0, 1] < 0.5


def test_upright_placement_is_grid_sampling() -> None:
    renderer = GlimpseRenderer((2, 30, 40), what=2, glimpse=9)
    where = renderer.where.constrain(torch.randn(5, 3))
    glimpses, window = torch.rand(5, 2, 9, 9), renderer.window(where)
    torch.testing.assert_close(place(glimpses, window, (30, 40)), renderer._placed(glimpses, window))


def test_over_lets_later_slots_hide_earlier_ones() -> None:
    renderer = white(GlimpseRenderer((3, 20, 20), what=2, compositing="over"))
    where = torch.tensor([[[0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]])
    canvases = renderer.canvases(torch.zeros(1, 2, 2), where)
    torch.testing.assert_close(canvases[0, :, 0, 10, 10], torch.tensor([0.0, 1.0, 1.0]))


@pytest.mark.parametrize("compositing, shown", [("over", [1.0, 1.0, 1.0]), ("additive", [1.9, 1.8, 1.2])])
def test_glimpses_lie_on_the_background(compositing: Any, shown: list[float]) -> None:
    empty = [0.9, 0.8, 0.2]
    renderer = white(GlimpseRenderer((3, 20, 20), what=2, compositing=compositing, background=empty))
    canvases = renderer.canvases(torch.zeros(1, 1, 2), torch.tensor([[[0.5, 0.0, 0.0]]]))
    torch.testing.assert_close(canvases[0, :, :, 0, 0], torch.tensor([empty, empty]))
    torch.testing.assert_close(canvases[0, 0, :, 10, 10], torch.tensor(empty))
    torch.testing.assert_close(canvases[0, 1, :, 10, 10], torch.tensor(shown))


@pytest.mark.parametrize("background", [[0.5], [0.5, 0.5, 255.0]])
def test_background_must_be_a_colour_of_the_image(background: list[float]) -> None:
    said = f"background must hold 3 values in [0, 1], one for each channel, got {background}: divide those of 8 bits"
    with pytest.raises(ValueError, match=re.escape(said)):
        GlimpseRenderer((3, 20, 20), background=background)


def test_boxes_are_those_of_the_ink() -> None:
    renderer = white(GlimpseRenderer((1, 40, 40), what=3))
    where = torch.tensor([[[0.25, 0.5, -0.25], [0.5, 0.0, 0.0]]])
    boxes = renderer.boxes(torch.zeros(1, 2, 3), where)
    torch.testing.assert_close(boxes[0], torch.tensor([[25.0, 10, 35, 20], [10, 10, 30, 30]]), atol=1.0, rtol=0)
    nn.init.constant_(renderer.decoder[-1].bias, -30.0)
    assert not renderer.boxes(torch.zeros(1, 2, 3), where).any()


@pytest.mark.parametrize("turn", [-0.1, 3.2])
def test_rotation_stays_within_half_a_turn(turn: float) -> None:
    with pytest.raises(ValueError, match=rf"turn must lie in \[0, pi\) radians, got {turn}"):
        GlimpseRenderer(turn=turn)


def test_scale_must_be_positive() -> None:
    with pytest.raises(ValueError, match="bias must be finite, got nan"):
        GlimpseRenderer(bias=float("nan"))
    with pytest.raises(ValueError, match="the scale must be positive, got a support from 0.0"):
        GlimpseRenderer(scale=(0.0, 0.5))


@pytest.mark.parametrize("network", [ResidualAttention, RecurrentAIR])
@pytest.mark.filterwarnings("ignore:.*num_workers.*", "ignore:.*logging interval.*")  # as the command line does
def test_trains_decoder_and_network_on_sprites(network: type[ResidualAttention] | type[RecurrentAIR]) -> None:
    torch.manual_seed(0)
    renderer = GlimpseRenderer((3, 64, 64), what=4, glimpse=12, hidden=16)
    model = AIRModule(renderer, network, slots=2, count=ExactCount(10), likelihood_sd=Constant(0.3))
    before = {name: value.clone() for name, value in model.named_parameters()}
    data = MultiSprites(counts=(0, 1, 2), batch_size=8, train_scenes=16, val_scenes=8)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(max_steps=2, accelerator="cpu", enable_model_summary=False, **quiet)
    trainer.fit(model, data)
    assert all(not torch.equal(before[name], value) for name, value in model.named_parameters())
    metrics = trainer.callback_metrics
    assert torch.isfinite(metrics["val/elbo"])
    assert "val/count_accuracy" in metrics and "val/identity_accuracy" not in metrics
