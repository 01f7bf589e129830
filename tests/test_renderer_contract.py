"""What `Renderer` gives its plug-ins, and every word renderers say about what they refuse."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_renderers import PLACE, Blobs, Slabs

from renderers import Categorical, Coordinate, Gaussian, Layer, MeshRenderer, Renderer
from renderers.mesh import Camera, Light, Table


class Nothing(Renderer):
    """Draws nothing, of any spaces."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**{"what": Gaussian(2), "where": PLACE, "image_shape": (1, 4, 6), **changes})

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        return Layer(where.new_zeros(len(where), *self.image_shape), where.new_full((len(where), 4, 6), math.inf))


class Angles(Nothing):
    def __init__(self) -> None:
        super().__init__(where=(Coordinate("yaw", "radians", -1.0, 1.0, 0.1),))


def test_a_plug_in_needs_draw_only() -> None:
    canvases = Nothing().canvases(torch.zeros(2, 3, 2), torch.zeros(2, 3, 2))
    assert canvases.shape == (2, 4, 1, 4, 6) and (canvases == 0).all()


def test_nothing_is_drawn_without_draw() -> None:
    with pytest.raises(TypeError, match="abstract method '?draw"):
        Renderer(Gaussian(1), PLACE, (1, 4, 4))  # type: ignore[abstract]


def test_identities() -> None:
    assert Nothing().identity_count == 1 and Slabs().identity_count == 2


def test_project_defaults_to_x_and_y() -> None:
    where = torch.rand(5, 2, 2)
    middle, half = Nothing().project(where)
    assert torch.equal(middle, where) and (half == 0.25).all()
    found = Nothing().unproject(middle)
    assert torch.equal(found["x"], where[..., 0]) and torch.equal(found["y"], where[..., 1])


def test_project_reads_the_scale() -> None:
    where = torch.rand(5, 3)
    assert torch.equal(Blobs().project(where)[1], where[:, 2])


def test_image_background_is_averaged() -> None:
    renderer = Slabs(supersample=2, size=(4, 8))
    assert renderer.image_background().shape == (3, 4, 8)
    expected = torch.linspace(0, 1, 16).view(8, 2).mean(1)
    assert torch.allclose(renderer.image_background(), expected.expand(3, 4, 8))


def test_device_is_that_of_parameters_or_buffers() -> None:
    assert Nothing().device == torch.device("cpu")
    assert MeshRenderer().to("meta").device == torch.device("meta")
    plug_in = Nothing()
    plug_in.weight = torch.nn.Parameter(torch.zeros(1, device="meta"))
    assert plug_in.device == torch.device("meta")


TURN = Coordinate("yaw", "radians", -1.0, 1.0, 0.1, circular=True, periods=(1.0, 2.0))
PLUG_IN_ERRORS = [
    (
        dict(image_shape=(1, 0, 4)),
        "Nothing: image_shape must be channels, height and width, all positive, got (1, 0, 4)",
    ),
    (dict(image_shape=(4, 4)), "Nothing: image_shape must be channels, height and width, all positive, got (4, 4)"),
    (
        dict(compositing="under"),
        "Nothing: compositing must be one of zbuffer, additive, over, got 'under'",
    ),
    (dict(where=()), "`where` needs one or more coordinates of different names, got []"),
    (
        dict(what=Categorical(("a", "b", "c")), where=(TURN,)),
        "coordinate 'yaw': periods must hold one turn for each of the 3 identities, or none at all, got 2",
    ),
]


@pytest.mark.parametrize("changes, said", PLUG_IN_ERRORS)
def test_plug_in_refuses(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Nothing(**changes)


CANVAS_ERRORS = [
    ((2, 3, 2), (2, 3, 3), "`where` must have shape (batch, slots, 2), got (2, 3, 3): the renderer's pose has"),
    (
        (3, 2),
        (3, 2),
        "`where` must have shape (batch, slots, 2), got (3, 2): the renderer's pose has 2 coordinates (x, y)",
    ),
    ((2, 2, 2), (2, 3, 2), "`what` must have shape (2, 3, 2) to go with `where`, got (2, 2, 2)"),
    ((2, 3, 5), (2, 3, 2), "`what` must have shape (2, 3, 2) to go with `where`, got (2, 3, 5)"),
]


@pytest.mark.parametrize("what, where, said", CANVAS_ERRORS)
def test_canvases_refuse(what: tuple[int, ...], where: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Nothing().canvases(torch.zeros(what), torch.zeros(where))


def test_project_without_x_says_what_to_override() -> None:
    said = "Angles has no coordinate 'x' (it has yaw): override project and unproject to say where in the image"
    with pytest.raises(ValueError, match=re.escape(said)):
        Angles().project(torch.zeros(2, 1))


MESH_ERRORS = [
    (
        dict(identities=("cube", "duck")),
        "unknown identity 'duck': the built-in shapes are cube, sphere, cylinder, cone",
    ),
    (dict(identities=()), "a categorical `what` needs one or more different names, got []"),
    (dict(identities=("cube", "cube")), "a categorical `what` needs one or more different names, got ['cube', 'cube']"),
    (
        dict(colors={"cone": (0, 0, 1)}),
        "colors has 'cone', which is not one of the identities drawn: cube, sphere, cylinder",
    ),
    (dict(sizes={"ball": 2}), "sizes has 'ball', which is not one of the identities drawn: cube, sphere, cylinder"),
    (
        dict(colors={"cube": (0.5, 0.5, 255)}),
        "colors['cube'] must be red, green and blue between 0 and 1, got (0.5, 0.5, 255)",
    ),
    (dict(colors={"cube": (0.5, 0.5)}), "colors['cube'] must be red, green and blue between 0 and 1, got (0.5, 0.5)"),
    (
        dict(colors={"cube": (math.nan, 0, 0)}),
        "colors['cube'] must be red, green and blue between 0 and 1, got (nan, 0, 0)",
    ),
    (dict(sizes={"cube": 0.0}), "sizes['cube'] must be positive and finite, got 0.0: 1 is the built-in size"),
    (dict(sizes={"cube": -1.0}), "sizes['cube'] must be positive and finite, got -1.0"),
    (dict(sizes={"cube": math.inf}), "sizes['cube'] must be positive and finite, got inf"),
    (dict(image_size=(0, 64)), "image_size must be a positive height and width, got (0, 64)"),
    (dict(image_size=(64, 64, 3)), "image_size must be a positive height and width, got (64, 64, 3)"),
    (dict(supersample=0), "supersample must be at least 1 (one sample a pixel, hard edges), got 0"),
    (
        dict(x=0.0, z=0.0, yaw=0.0),
        "every one of x, y, z and yaw is fixed: free at least one, there is nothing to infer",
    ),
    (dict(x=(1.0, -1.0)), "coordinate 'x': low must be smaller than high, both finite, got low=1.0, high=-1.0"),
    (dict(position_step=0.0), "coordinate 'x': the finite-difference step must be positive and finite, got 0.0"),
    (dict(yaw_step=-1.0), "coordinate 'yaw': the finite-difference step must be positive and finite, got -1.0"),
    (
        dict(x=(-1.9, 9.0)),
        "the pose support reaches outside the camera's view: x=9, z=-1.9 is seen at image coordinates (2.55, -0.36), "
        "depth 7.91, and the image spans [-1, 1]: narrow x, y or z, move the camera back or widen its field_of_view "
        "(48 degrees)",
    ),
    (dict(x=0.0, z=9.0), "outside the camera's view: the fixed position is seen at image coordinates"),
    (dict(z=math.nan), "z must be a finite number, at which it is fixed, got nan"),
    (dict(camera=Camera((0.0, 1.0, 1.0), (0.0, 1.0, 0.0))), "outside the camera's view: x=-1.9, z=-1.9 is seen at"),
]


@pytest.mark.parametrize("changes, said", MESH_ERRORS)
def test_mesh_renderer_refuses(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        MeshRenderer(**changes)


def test_a_mesh_renderer_takes_numpys_numbers() -> None:
    fixed = MeshRenderer(yaw=np.float32(0.5))  # type: ignore[arg-type]
    assert fixed.full_pose(torch.zeros(1, 2))[0, 3] == 0.5


DRAW_ERRORS = [
    ([0, 3], (2, 3), "`what` must hold indices of the 3 identities, got 0 to 3"),
    ([-1, 2], (2, 3), "`what` must hold indices of the 3 identities, got -1 to 2"),
    ([0, 1, 2], (2, 3), "`what` must have shape (2,) to go with `where`, got (3,)"),
    ([0, 1], (2, 4), "`where` must have shape (..., 3), got (2, 4): the renderer's pose has 3 coordinates (x, z, yaw)"),
]


@pytest.mark.parametrize("what, where, said", DRAW_ERRORS)
def test_draw_refuses(what: list[int], where: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        MeshRenderer().draw(torch.tensor(what), torch.zeros(where))


SCENERY_ERRORS = [
    (Light, ((0.0, 0.0, 0.0),), "light direction must have a length, got (0.0, 0.0, 0.0): (0, 1, 0) shines straight"),
    (Light, ((0.0, math.nan, 0.0),), "light direction must have a length, got (0.0, nan, 0.0)"),
    (
        Light,
        ((0, 1, 0), 0.8, 0.3),
        "light ambient and diffuse must not be negative and add up to at most 1, got 0.8 and 0.3",
    ),
    (Light, ((0, 1, 0), -0.1, 0.3), "light ambient and diffuse must not be negative and add up to at most 1, got -0.1"),
    (Table, (-1.0,), "table width must not be negative, got -1.0: 0 draws no table"),
    (Table, (1.0, (0, 2, 0)), "table color must be red, green and blue between 0 and 1, got (0, 2, 0)"),
    (Table, (1.0, (0, 0, 0), (0, -1, 0)), "table checker must be red, green and blue between 0 and 1, got (0, -1, 0)"),
    (Table, (1.0, (0, 0, 0), None, 0), "table squares must be at least 1, got 0"),
    (
        Table,
        (1.0, (0, 0, 0), None, 8, (9, 9, 9)),
        "table beyond must be red, green and blue between 0 and 1, got (9, 9, 9)",
    ),
]


@pytest.mark.parametrize("make, given, said", SCENERY_ERRORS)
def test_scenery_refuses(make: Any, given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make(*given)
