"""The camera's geometry, and the background that must agree with it."""

import math
import re

import numpy as np
import pytest
import torch
from torch import Tensor

from renderers import MeshRenderer
from renderers.mesh import Camera, Light, Table
from renderers.mesh.scenery import paint_background

CAMERAS = [Camera(), Camera((2.0, 1.0, 3.0), (0.0, 0.5, -0.5), 60.0), Camera((-3.0, 6.0, 0.5), (0.5, 0.0, 0.0), 25.0)]


@pytest.fixture(params=CAMERAS, ids=["default", "low", "high"])
def camera(request: pytest.FixtureRequest) -> Camera:
    return request.param


def points(seed: int, height: float | None = None) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    found = 1.5 * (2 * torch.rand(4, 50, 3, generator=random, dtype=torch.float64) - 1)
    if height is not None:
        found[..., 1] = height
    return found


def test_rotation_is_a_rotation(camera: Camera) -> None:
    rotation = camera.rotation()
    assert np.allclose(rotation @ rotation.T, np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(-1)  # x right, y up, z away: left-handed
    assert rotation[0, 1] == pytest.approx(0) and rotation[1, 1] > 0  # level, and upright


@pytest.mark.parametrize("aspect", [1.0, 1.6, 0.5])
@pytest.mark.parametrize("height", [0.0, 0.4])
def test_unproject_undoes_project(camera: Camera, height: float, aspect: float) -> None:
    world = points(0, height)
    image, _ = camera.project(world, aspect)
    assert torch.allclose(camera.unproject(image, height, aspect), world)


@pytest.mark.parametrize("aspect", [1.0, 1.6, 0.5])
def test_project_undoes_unproject(camera: Camera, aspect: float) -> None:
    image = torch.rand(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.6 - 0.3
    again, depth = camera.project(camera.unproject(image, 0.2, aspect), aspect)
    assert torch.allclose(again, image) and (depth > 0).all()


def test_the_target_is_seen_in_the_middle(camera: Camera) -> None:
    image, depth = camera.project(torch.tensor(camera.target, dtype=torch.float64))
    assert torch.allclose(image, torch.zeros(2, dtype=torch.float64), atol=1e-12)
    assert depth.item() == pytest.approx(math.dist(camera.position, camera.target))


def test_image_axes_are_right_and_down() -> None:
    camera = Camera((0.0, 2.0, 5.0), (0.0, 0.0, 0.0))
    (right, _), (up, _) = (camera.project(torch.tensor(p)) for p in ([0.5, 0.0, 0.0], [0.0, 0.5, 0.0]))
    assert right[0] > 0.05 and abs(right[1]) < 1e-6
    assert up[1] < -0.05 and abs(up[0]) < 1e-6


@pytest.mark.parametrize("degrees", [10.0, 48.0, 90.0, 150.0])
def test_field_of_view_is_the_whole_vertical_angle(degrees: float) -> None:
    """A ray half of it above the axis meets the upper edge of the image, whatever the aspect."""
    camera = Camera((0.0, 0.0, 4.0), (0.0, 0.0, 0.0), degrees)
    height = 4 * math.tan(math.radians(degrees / 2))
    for aspect in (1.0, 2.0):
        upper, _ = camera.project(torch.tensor([0.0, height, 0.0]), aspect)
        side, _ = camera.project(torch.tensor([height * aspect, 0.0, 0.0]), aspect)
        assert torch.allclose(upper, torch.tensor([0.0, -1.0]), atol=1e-5)
        assert torch.allclose(side, torch.tensor([1.0, 0.0]), atol=1e-5)


def test_depth_is_measured_along_the_axis(camera: Camera) -> None:
    world, forward = points(2), torch.from_numpy(camera.rotation()[2])
    _, depth = camera.project(world)
    assert torch.allclose(depth, (world - torch.tensor(camera.position, dtype=torch.float64)) @ forward)


def test_rays_above_the_horizon_stay_finite_and_far() -> None:
    world = Camera().unproject(torch.tensor([[0.0, -5.0], [0.3, -50.0]]), 0.0)
    assert world.isfinite().all() and (world[:, 2] < -5).all()


def test_project_passes_gradients() -> None:
    world = points(3)[0, :5].requires_grad_()
    assert torch.autograd.gradcheck(lambda w: Camera().project(w, 1.3), world)
    image = Camera().project(world.detach())[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda i: Camera().unproject(i, 0.1), image)


@pytest.mark.parametrize("degrees", [0.0, -5.0, 180.0, math.nan])
def test_refuses_a_field_of_view_that_is_none(degrees: float) -> None:
    said = f"camera field_of_view must lie between 0 and 180 degrees, got {degrees}: 48 shows a table 3.8 wide"
    with pytest.raises(ValueError, match=re.escape(said)):
        Camera(field_of_view=degrees)


def test_refuses_to_look_at_itself() -> None:
    said = "camera position (1.0, 5.0, 2.0) is its target (1.0, 5.0, 2.0): move one of them, the image's axis is"
    with pytest.raises(ValueError, match=re.escape(said)):
        Camera((1.0, 5.0, 2.0), (1.0, 5.0, 2.0))


def test_refuses_positions_that_are_nowhere() -> None:
    said = "camera position and target must be finite, got (0.0, inf, 1.0) and (0.0, 0.2, 0.2)"
    with pytest.raises(ValueError, match=re.escape(said)):
        Camera((0.0, math.inf, 1.0))


TABLE = Table(3.0, (0.5, 0.4, 0.3), (0.9, 0.8, 0.7), 6, (0.1, 0.2, 0.3))


def seen_on_table(camera: Camera, height: int, width: int) -> Tensor:
    """World points (H, W, 3) of the plane y = 0 under every pixel's centre."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return camera.unproject(torch.stack([2 * x / width - 1, 2 * y / height - 1], -1).double(), 0.0, width / height)


@pytest.mark.parametrize("size", [(24, 24), (20, 36)])
def test_background_is_the_table_where_the_camera_sees_it(camera: Camera, size: tuple[int, int]) -> None:
    image = torch.from_numpy(paint_background(camera, TABLE, *size)).permute(1, 2, 0)
    ground = seen_on_table(camera, *size)[..., [0, 2]]
    on = ground.abs().amax(-1) <= 1.5
    odd = ((ground / 0.5).floor().sum(-1) % 2 == 1) & on
    for mask, color in ((~on, TABLE.beyond), (on & ~odd, TABLE.color), (odd, TABLE.checker)):
        assert mask.any() and torch.allclose(image[mask], torch.tensor(color))


def test_without_width_there_is_no_table() -> None:
    image = paint_background(Camera(), Table(0.0, beyond=(0.1, 0.2, 0.3)), 8, 8)
    assert np.allclose(image, np.array([0.1, 0.2, 0.3])[:, None, None])


def test_without_checker_squares_are_alike() -> None:
    image = paint_background(Camera(), Table(50.0), 8, 8)
    assert np.allclose(image, np.array(Table().color)[:, None, None])


@pytest.mark.parametrize("height", [0.0, -1.0])
def test_refuses_a_camera_that_is_not_above_the_table(height: float) -> None:
    said = f"camera position (0.0, {height}, 4.8) is not above the table (y = 0), which would hide what stands on it"
    camera = Camera((0.0, height, 4.8))
    with pytest.raises(ValueError, match=re.escape(said)):
        MeshRenderer(camera=camera)
    MeshRenderer(camera=Camera((0.0, height, 9.0)), table=Table(0.0), image_size=(8, 8), x=(-0.5, 0.5), z=(-0.5, 0.5))


def test_what_ambient_leaves_is_diffuse() -> None:
    assert Light().directed == pytest.approx(0.6) and Light(ambient=0.9).directed == pytest.approx(0.1)
    assert Light(ambient=0.2, diffuse=0.5).directed == 0.5
    with pytest.raises(ValueError, match="light ambient and diffuse must not be negative .* got 1.2 and -0.2"):
        Light(ambient=1.2)
