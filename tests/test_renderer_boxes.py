"""Boxes of what a renderer draws: a share of each object's own peak, however faint; and overrides of them."""

import math

import pytest
import torch
from disc_plugin import Discs
from torch import Tensor

from air_lightning.testing import check_renderer
from renderers import Coordinate, Gaussian, GlimpseRenderer, Layer, Renderer

SIZE, SIGMA = 32, 1.5


class Stars(Renderer):
    """Gaussian points of light whose logarithmic flux is a coordinate; they add up."""

    def __init__(self) -> None:
        place = [Coordinate(name, "half images", -0.7, 0.7, step=2 / SIZE) for name in ("x", "y")]
        where = (*place, Coordinate("log10_flux", "decades", -2.5, 0.5, step=0.05))
        super().__init__(Gaussian(1), where, (1, SIZE, SIZE), differentiable=True, compositing="additive")

    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        return where[..., :2], torch.full_like(where[..., 0], 6 * SIGMA / SIZE)

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        axis = (torch.arange(SIZE) + 0.5) * 2 / SIZE - 1
        across, down = ((axis - where[:, j, None]).square() for j in (0, 1))
        distance = (across[:, None, :] + down[:, :, None]) * (SIZE / 2 / SIGMA) ** 2 / 2
        light = 10 ** where[:, 2, None, None] * (-distance).exp() + 0 * what[:, :1, None]
        return Layer(light.unsqueeze(1), torch.zeros_like(light))


class Windows(Stars):
    """Their boxes are their windows."""

    def boxes(self, what: Tensor, where: Tensor, share: float | None = None) -> Tensor:
        center, half = self.project(where)
        sides = [(center + sign * half.unsqueeze(-1) + 1) * SIZE / 2 for sign in (-1, 1)]
        return torch.cat(sides, -1).clamp(0, SIZE)


class Points(Stars):
    """Boxes of a pixel, which leave out most of a star."""

    def boxes(self, what: Tensor, where: Tensor, share: float | None = None) -> Tensor:
        corner = ((where[..., :2] + 1) * SIZE / 2).floor().clamp(0, SIZE - 1)
        return torch.cat([corner, corner + 1], -1)


class Wide(Discs):
    """Boxes that reach beyond disc and window."""

    def boxes(self, what: Tensor, where: Tensor, share: float | None = None) -> Tensor:
        found = super().boxes(what, where, share)
        return torch.cat([found[..., :2] - 4, found[..., 2:] + 4], -1).clamp(0, 32)


@pytest.mark.parametrize("flux", [-2.5, -1.0, 0.0, 0.5])
def test_a_box_does_not_depend_on_how_bright_an_object_is(flux: float) -> None:
    where = torch.tensor([[[1 / SIZE, -0.25 + 1 / SIZE, flux]]])  # on a pixel's centre
    (box,) = Stars().boxes(torch.zeros(1, 1, 1), where)[0].tolist()
    reach = math.floor(SIGMA * math.sqrt(2 * math.log(5)))  # where it has a fifth of its peak
    assert box == [16 - reach, 12 - reach, 17 + reach, 13 + reach]


def test_half_the_peak_is_asked_for_by_share() -> None:
    where = torch.tensor([[[1 / SIZE, 1 / SIZE, -2.0]]])
    half = Stars().boxes(torch.zeros(1, 1, 1), where, 0.5)[0, 0].tolist()
    assert half == [15, 15, 18, 18]  # 1.18 sigma


def test_what_draws_nothing_has_no_box() -> None:
    where = torch.tensor([[[0.0, 0.0, -7.0]]])
    assert Stars().boxes(torch.zeros(1, 1, 1), where).tolist() == [[[0, 0, 0, 0]]]
    away = torch.tensor([[[9.0, 0.0]]])
    assert Discs().boxes(torch.zeros(1, 1, dtype=torch.long), away).tolist() == [[[0, 0, 0, 0]]]


def test_opaque_objects_keep_all_that_they_cover() -> None:
    what, where = torch.tensor([[0, 2]]), torch.tensor([[[0.0, 0.0], [0.5, -0.5]]])
    expected = [[12, 12, 20, 20], [20, 4, 28, 12]]
    assert Discs().boxes(what, where)[0].tolist() == Discs().boxes(what, where, 0.5)[0].tolist() == expected


def test_a_soft_shadow_is_no_part_of_what_lies_over_others() -> None:
    """Glimpses 8 x 8 of an opaque square in a halo that covers a third; additive, of a third of the brightness."""
    alpha = torch.full((8, 8), 0.33).logit()
    alpha[2:6, 2:6] = 10.0
    found = {}
    for rule in ("over", "additive"):
        renderer = GlimpseRenderer((1, 32, 32), what=1, glimpse=8, hidden=4, compositing=rule)  # type: ignore[arg-type]
        last = renderer.decoder[-1]
        torch.nn.init.zeros_(last.weight)
        last.bias.data[-64:] = alpha.flatten()
        found[rule] = renderer.boxes(torch.zeros(1, 1, 1), torch.tensor([[[0.5, 0.0, 0.0]]]))[0, 0].tolist()
    assert found["over"] == [12, 12, 20, 20]
    assert found["additive"][2] - found["additive"][0] > 14


def test_a_faint_glimpse_has_the_box_of_a_strong_one() -> None:
    renderer = GlimpseRenderer((1, 24, 24), what=2, glimpse=8, hidden=8)
    what, where = torch.randn(1, 1, 2), torch.tensor([[[0.5, 0.0, 0.0]]])
    box = renderer.boxes(what, where)
    assert (box[..., 2:] > box[..., :2]).all()


@pytest.mark.parametrize("renderer", [Stars, Windows])
def test_tight_and_wide_boxes_keep_the_law(renderer: type[Renderer]) -> None:
    assert check_renderer(renderer, only=["boxes"]).kept == ("boxes",)


@pytest.mark.parametrize(
    "renderer, message",
    [
        (Points, r"boxes leave out up to 2 pixels of what is drawn"),
        (Wide, r"boxes reach up to [34][.\d]* pixels beyond both what is drawn and the window"),
    ],
)
def test_boxes_that_break_the_law(renderer: type[Renderer], message: str) -> None:
    with pytest.raises(Exception, match=message):
        check_renderer(renderer, only=["boxes"])
