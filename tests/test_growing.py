"""A canvas that grows slot by slot is the prefix canvas of all slots so far, whatever the compositing rule."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from renderers import GlimpseRenderer, MeshRenderer
from renderers.base import Renderer
from renderers.compositing import Layer, laid
from renderers.growing import GrowingCanvas
from renderers.mesh import Light, Shadow

SLOTS = 4


def glimpses(compositing: str) -> Renderer:
    return GlimpseRenderer((3, 12, 14), 4, 8, 16, compositing=compositing)  # type: ignore[arg-type]


def moving() -> Renderer:
    scene = {"camera_azimuth": (-0.4, 0.4), "exposure": (0.8, 1.2)}
    renderer = MeshRenderer(image_size=(18, 20), x=(-1.0, 1.0), z=(-1.0, 1.0), scene=scene)
    return renderer.at(torch.tensor([[-0.3, 0.9], [0.2, 1.1]]))


RENDERERS: dict[str, Callable[[], Renderer]] = {
    "additive": lambda: glimpses("additive"),
    "over": lambda: glimpses("over"),
    "meshes": lambda: MeshRenderer(image_size=(18, 20)),
    "finer meshes": lambda: MeshRenderer(image_size=(18, 20), supersample=2),
    "shadows": lambda: MeshRenderer(image_size=(18, 20), light=replace(Light(), shadow=Shadow())),
    "moving camera": moving,
}


def slots(renderer: Renderer) -> tuple[Tensor, Tensor]:
    shape = (2, SLOTS)
    where = renderer.where.constrain(0.5 * torch.randn(*shape, len(renderer.where)))  # close: they hide one another
    if renderer.identity_count > 1:
        return torch.randint(renderer.identity_count, shape), where
    return torch.randn(*shape, 4), where


@pytest.mark.parametrize("name", RENDERERS)
@pytest.mark.parametrize("given", [False, True], ids=["own background", "given background"])
def test_it_is_the_prefix_canvas(name: str, given: bool) -> None:
    torch.manual_seed(0)
    renderer = RENDERERS[name]()
    what, where = slots(renderer)
    behind = torch.rand(2, *renderer.image_shape) if given else None
    with torch.no_grad():
        canvases = renderer.render(what, where, behind)
    growing = GrowingCanvas(renderer, 2, behind)
    for n in range(SLOTS):
        canvas = growing.add(what[:, n], where[:, n])
        torch.testing.assert_close(canvas, canvases[:, n + 1], rtol=1e-5, atol=2e-6)
        assert not canvas.requires_grad and not torch.equal(canvas, canvases[:, n])


@pytest.mark.parametrize("name", ["over", "meshes"])
def test_each_slot_is_drawn_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = RENDERERS[name]()
    what, where = slots(renderer)
    drawn: list[int] = []
    own = renderer.draw
    monkeypatch.setattr(renderer, "draw", lambda w, p: drawn.append(len(w)) or own(w, p))  # type: ignore[func-returns-value]
    growing = GrowingCanvas(renderer, 2)
    for n in range(SLOTS):
        growing.add(what[:, n], where[:, n])
    assert drawn == [2] * SLOTS


def test_layers_without_alpha_cannot_lie_over_one_another() -> None:
    layer = Layer(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match=re.escape("compositing `over` needs layers with alpha, got None")):
        laid(layer.color, None, layer, "over")
