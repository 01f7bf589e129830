"""Size, tilt, colour and metal of meshes: against rays, against identities that have them, and in metrics."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from objects_for_tests import ARROW, CUBE, PERIODS, SPHERE
from slow_rasterizer import look
from test_rasterizer import CAMERAS, LIGHTS, agree, crumpled, draw, random_poses
from test_scenes3d import fetch
from torch import Tensor

from air_lightning.commands.predict.records import predictions
from air_lightning.metrics import Objects, compare_objects
from air_lightning.metrics.attributes import AttributeErrors
from air_lightning.metrics.evaluation import Evaluation, InferredScenes, figure_names
from air_lightning.model import AIRModule
from datamodules import Batch, Scenes3D
from renderers import MeshRenderer
from renderers.mesh import Camera, Light, Mirror, Shadow, Table
from renderers.mesh.attributes import COLUMNS
from renderers.mesh.shapes import SOLID_COLORS, SOLIDS
from renderers.pixel_loss import Normal
from renderers.rotations import angle_between, rotation_matrix

FREE: dict[str, Any] = {
    "size": (0.5, 1.5), "pitch": (-0.6, 0.6), "roll": (-0.6, 0.6), "color": (0.0, 1.0), "metal": (0.0, 1.0),
}  # fmt: skip
IDENTITIES = ("cube", "sphere", "cylinder")


def made(**changes: Any) -> MeshRenderer:
    return MeshRenderer(**{"identities": IDENTITIES, "image_size": (40, 48), **changes})


def wide_poses(seed: int, count: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    attributes = random.uniform([0.5, -0.8, -0.8, 0.1, 0.1, 0.1, 0.2], [1.5, 0.8, 0.8, 1.0, 1.0, 1.0, 1.0], (count, 7))
    wide = np.concatenate([random_poses(seed, count) / 2, attributes], 1)
    return wide.astype(np.float32).astype(np.float64)


# ---- drawing


@pytest.mark.parametrize("identity", [*SOLIDS, "crumpled"])
def test_rays_see_the_same(identity: str) -> None:
    mesh = crumpled(1) if identity == "crumpled" else SOLIDS[identity](SOLID_COLORS[identity])
    camera, light, poses = CAMERAS[len(identity) % 3], LIGHTS[len(identity) % 2], wide_poses(len(identity), 4)
    color, depth = draw([mesh], [0] * 4, poses, camera, light, 40, 56)
    for m, pose in enumerate(poses):
        agree(color[m], depth[m], look(mesh, pose, camera, light, 40, 56))


@pytest.mark.parametrize("light", [Light(), Light((0.6, 0.7, -0.4), shadow=Shadow(samples=2), distance=5.0)])
def test_as_it_is_an_object_is_drawn_as_without_attributes(light: Light) -> None:
    plain, free = made(light=light), made(light=light, **FREE)
    assert free.where.names == ("x", "z", "yaw", "size", "pitch", "roll", "red", "green", "blue", "metal")
    what = torch.tensor([[0, 1, 2], [2, 0, 1]])
    where = plain.where.constrain(torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0)))
    colors = torch.tensor([SOLID_COLORS[name] for name in IDENTITIES])[what]
    as_it_is = torch.tensor([1.0, 0.0, 0.0]).expand(2, 3, 3)
    images = free.render(what, torch.cat([where, as_it_is, colors, torch.zeros(2, 3, 1)], -1))
    assert ((images - plain.render(what, where)).abs() > 1e-5).float().mean() < 1e-3  # centres on an edge, to rounding


def test_size_is_that_of_a_larger_identity() -> None:
    what, place = torch.tensor([[0, 2, 1]]), torch.tensor([[[-1.0, 0.5, 0.3], [0.8, 0.0, 1.0], [0.2, -1.2, 0.0]]])
    size = torch.full((1, 3, 1), 1.25)
    free, larger = made(size=(0.5, 1.5)), made(sizes=dict.fromkeys(IDENTITIES, 1.25))
    images, expected = free.render(what, torch.cat([place, size], -1)), larger.render(what, place)
    assert ((images - expected).abs() > 1e-5).float().mean() < 1e-3
    assert torch.equal(made(size=1.25).render(what, place), images)  # fixed, by the same path
    for ours, theirs in zip(free.project(torch.cat([place, size], -1)), larger.project(place), strict=True):
        torch.testing.assert_close(ours, theirs)
    near = torch.tensor([[[0.0, 0.0, 0.0, 1.0], [0.85, 0.0, 0.0, 1.0]]])
    both = torch.zeros(1, 2, dtype=torch.long)
    assert not free.intersecting(both, near).any()
    assert free.intersecting(both, near * torch.tensor([1, 1, 1, 1.4])).any()


def test_color_is_a_factor_on_the_mesh_and_the_light() -> None:
    free = made(identities=("cylinder",), color=(0.0, 1.0), table=Table(0.0))
    pose = torch.tensor([[0.0, 0.0, 0.4, 1.0, 1.0, 1.0]])
    white = free.draw(torch.tensor([0]), pose).color
    tinted = free.draw(torch.tensor([0]), pose * torch.tensor([1, 1, 1, 0.5, 0.25, 0.0])).color
    torch.testing.assert_close(tinted, white * torch.tensor([0.5, 0.25, 0.0])[:, None, None])
    assert len(white[0].unique()) > 3  # its darker half, its top, what is turned away


def top(color: Tensor) -> Tensor:
    """What is seen in the middle of an image that looks down on a cube's top, (3,)."""
    return color[:, color.shape[1] // 2, color.shape[2] // 2]


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("tilt", [-0.3, 0.0, 0.4, 1.1])
def test_metal_mirrors_ground_sky_and_light(tilt: float, linear: bool) -> None:
    """Of a cube's top by the law of reflection; angles from the zenith in the plane of eye and light."""
    mirror, sun = Mirror(0.6, 0.3, 1.5, 20.0), 0.6
    light = Light((0.0, math.cos(sun), math.sin(sun)), 0.3, 0.5, (1.0, 0.8, 0.6), (0.5, 0.7, 1.0), linear=linear)
    target = (0.0, 0.8 * math.cos(tilt), 0.8 * math.sin(tilt))
    camera = Camera((0.0, target[1] + 38.0, target[2] + 12.0), target, 4.0)
    where: dict[str, Any] = {"x": (-0.1, 0.1), "z": 0.0, "yaw": 0.0, "pitch": (-1.2, 1.2)}
    free = made(
        identities=("cube",), camera=camera, light=replace(light, mirror=mirror), color=(0, 1), metal=(0, 1), **where
    )
    shares = (0.0, 0.6, 1.0)
    poses = torch.tensor([[0.0, tilt, 0.9, 0.5, 0.7, metal] for metal in shares])
    seen = torch.stack([top(layer) for layer in free.draw(torch.zeros(3, dtype=torch.long), poses).color]).numpy()
    sight = math.atan2(camera.position[2], camera.position[1])
    mirrored = 2 * tilt - sight
    sky = np.clip(1 + 2 * math.cos(mirrored), 0, 1)
    sky = sky * sky * (3 - 2 * sky)
    ambient, diffuse = 0.3 * np.array(light.ambient_color), 0.5 * np.array(light.color)
    shown = (1 - sky) * mirror.ground * (ambient + diffuse * math.cos(sun)) + sky * mirror.sky * ambient
    shown += mirror.highlight * diffuse * math.exp(mirror.sharpness * (math.cos(mirrored - sun) - 1))
    matte = ambient + diffuse * max(0.0, math.cos(tilt - sun))
    expected = np.stack([(1 - metal) * matte + metal * shown for metal in shares])
    expected = np.minimum(1, expected ** (1 / 2.2 if linear else 1) * np.array([0.9, 0.5, 0.7]))
    np.testing.assert_allclose(seen, expected, atol=1e-4)


def test_metal_that_is_none_changes_nothing() -> None:
    what, free = torch.tensor([[0, 1, 2]]), made(light=LAMP, color=(0.0, 1.0))
    where = free.where.constrain(torch.randn(1, 3, len(free.where), generator=torch.Generator().manual_seed(0)))
    matte = torch.cat([where, torch.zeros(1, 3, 1)], -1)
    renderer = made(light=LAMP, color=(0.0, 1.0), metal=(0.0, 1.0))
    assert torch.equal(renderer.render(what, matte), free.render(what, where))
    matte[..., -1] = 0.5
    assert torch.equal(made(light=LAMP, color=(0.0, 1.0), metal=0.5).render(what, where), renderer.render(what, matte))
    assert not torch.equal(renderer.render(what, matte), free.render(what, where))


WRONG_MIRRORS = [
    (lambda: Mirror(ground=1.5), "mirror ground must lie between 0 and 1, got 1.5: 1 sends all light back"),
    (lambda: Mirror(sky=-0.1), "mirror sky must not be negative, and be finite, got -0.1: 0 is black"),
    (lambda: Mirror(highlight=math.inf), "mirror highlight must not be negative, and be finite, got inf: 0 is black"),
    (lambda: Mirror(sharpness=0.0), "mirror sharpness must be positive and finite, got 0.0: 16 is a lamp's, higher is"),
]


@pytest.mark.parametrize("make, said", WRONG_MIRRORS)
def test_mirrors_that_are_refused(make: Callable[[], Mirror], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make()


def test_tilt_leans_to_the_viewer_and_to_the_left() -> None:
    free = made(pitch=(-0.6, 0.6), roll=(-0.6, 0.6))
    place = torch.tensor([0.0, 0.0, 0.0])
    upright, towards, left = (
        free.project(torch.cat([place, torch.tensor(tilt)]))[0] for tilt in ([0.0, 0.0], [0.5, 0.0], [0.0, 0.5])
    )
    assert towards[1] > upright[1] + 0.02 and left[0] < upright[0] - 0.02
    layers = free.draw(torch.tensor([2, 2]), torch.tensor([[0, 0, 0, 0, 0.5], [0, 0, 0, 0, 0.0]]))
    columns = layers.depth.isfinite().float().sum(1)
    centers = (columns * torch.arange(48)).sum(1) / columns.sum(1)
    assert centers[0] < centers[1] - 1


@pytest.mark.parametrize("identity, parts", [("cube", 4), ("sphere", 12)])
def test_a_symmetry_of_yaw_holds_in_every_tilt(identity: str, parts: int) -> None:
    free = made(identities=(identity,), pitch=(-0.6, 0.6), roll=(-0.6, 0.6), image_size=(64, 64))
    pose = torch.tensor([0.2, -0.1, 0.3, 0.4, -0.5])
    turned = pose + torch.tensor([0.0, 0.0, 2 * math.pi / parts, 0.0, 0.0])
    images = free.render(torch.zeros(2, 1, dtype=torch.long), torch.stack([pose, turned]).unsqueeze(1))[:, 1]
    assert ((images[0] - images[1]).abs() > 0.05).any(0).float().mean() < 2e-3


LAMP = Light((0.6, 0.7, -0.4), ambient=0.1, ambient_color=(0.5, 1.0, 0.8), distance=6.0, linear=True)


@pytest.mark.parametrize("light", [LAMP, replace(LAMP, shadow=Shadow(samples=2), linear=False)])
def test_torch_alone_draws_the_same(light: Light) -> None:
    free = made(light=light, y=(0.0, 0.5), **FREE)
    random = torch.Generator().manual_seed(0)
    what = torch.randint(3, (3, 2), generator=random)
    where = free.where.constrain(torch.randn(3, 2, len(free.where), generator=random))
    gap = (free.traceable().render(what, where) - free.render(what, where)).abs()
    assert (gap > 1e-4).float().mean() < 2e-3


def test_gradients_in_color_are_exact() -> None:
    """An image is linear in an object's colour, so that central differences give the derivative."""
    free = made(color=(0.1, 1.0))
    what, where = torch.tensor([[0, 2]]), torch.tensor([[[-0.8, 0, 0.2, 0.5, 0.6, 0.7], [0.8, 0, 0.1, 0.3, 0.4, 0.5]]])
    incoming = torch.randn(1, 3, 3, 40, 48, generator=torch.Generator().manual_seed(1))
    found = free.contract(what, where, incoming)[..., 3:]
    without = where.clone()
    without[..., 3:] = 0
    for i in range(2):
        mask = free.layers(what, where).depth[0, i].isfinite()
        unit = (free.layers(what, where).color[0, i] * mask) / where[0, i, 3:, None, None]
        expected = (incoming[0, i + 1 :].sum(0) * unit).sum((1, 2))
        torch.testing.assert_close(found[0, i], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("number", [math.nan, math.inf, 1e7])
@pytest.mark.parametrize("coordinate", ["size", "roll", "blue", "metal"])
def test_what_is_not_finite_is_not_drawn(coordinate: str, number: float) -> None:
    free = made(**FREE)
    pose = torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.5]] * 2)
    pose[0, free.where.names.index(coordinate)] = number
    depth = free.draw(torch.tensor([0, 0]), pose).depth
    assert depth[0].isinf().all() and depth[1].isfinite().any()


def test_beyond_the_support_sizes_and_colors_stay_drawable() -> None:
    free = made(size=(0.05, 1.5), color=(0.0, 1.0), metal=(0.0, 1.0))
    pose = torch.tensor([[0.0, 0.0, 0.0, -0.5, -0.2, 0.5, 0.5, 1.2]])
    whole = free.full_pose(pose)
    assert whole.shape == (1, len(COLUMNS))
    assert whole[0, 4] == pytest.approx(0.01) and whole[0, 7] == 0
    as_metal = pose.index_fill(1, torch.tensor(7), 1.0)
    pose[0, 3], as_metal[0, 3] = 1.0, 1.0
    assert torch.equal(free.draw(torch.tensor([1]), pose).color, free.draw(torch.tensor([1]), as_metal).color)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no size": ({"size": (0.0, 1.0)}, "size must be at least 0.01 and finite, got (0.0, 1.0)"),
    "a size below 0": ({"size": -1.0}, "size must be at least 0.01 and finite, got -1.0"),
    "overturned": ({"pitch": (-2.0, 2.0)}, "pitch must lie within a quarter turn (1.5708), got (-2.0, 2.0)"),
    "too bright": ({"color": (0.1, 1.5)}, "color must be a range [low, high] within [0, 1], got (0.1, 1.5)"),
    "more than metal": ({"metal": (0.0, 1.5)}, "metal must lie within [0, 1], got (0.0, 1.5): 0 is matte, 1 mirrors"),
    "less than matte": ({"metal": -0.5}, "metal must lie within [0, 1], got -0.5"),
    "no range": ({"roll": (0.2, 0.2)}, "coordinate 'roll': low must be smaller than high, both finite, got low=0.2"),
    "no step": ({"color": (0.1, 1.0), "color_step": 0.0}, "coordinate 'red': the finite-difference step must be"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name: str) -> None:
    arguments, said = WRONG[name]
    with pytest.raises(ValueError, match=re.escape(said)):
        made(**arguments)


# ---- data


def test_scenes_have_sizes_and_colors_and_larger_objects_stand_further_apart() -> None:
    data = Scenes3D(made(size=(0.6, 1.4), color=(0.1, 0.9)), counts=(3,), apart=1.2)
    assert data.extent == pytest.approx(3.8)
    where = fetch(data, list(range(16)), "train").where
    place, size, color = where[..., :2], where[..., 3], where[..., 4:]
    assert size.min() >= 0.6 and size.max() <= 1.4 and size.std() > 0.15
    assert color.min() >= 0.1 and color.max() <= 0.9 and color.std() > 0.15
    gap = torch.cdist(place, place) / ((size.unsqueeze(2) + size.unsqueeze(1)) / 2) + 9 * torch.eye(3)
    assert gap.min() >= 1.2 - 1e-5


# ---- metrics


def brute_force(a: Tensor, b: Tensor, turns: Tensor) -> Tensor:
    """The least angle, by trying every turn about y: ``|R - 1|`` is ``2 sqrt(2) sin(angle / 2)``."""
    level = torch.zeros_like(turns)
    gaps = a.mT.unsqueeze(-3) @ b.unsqueeze(-3) @ rotation_matrix(turns, level, level)
    size = torch.linalg.matrix_norm(gaps - torch.eye(3, dtype=a.dtype)) / (2 * math.sqrt(2))
    return 2 * size.clamp(max=1).asin().amin(-1)


@pytest.mark.parametrize("copies", [1, 2, 4, 0])
def test_the_angle_between_rotations_is_the_least_over_copies(copies: int) -> None:
    angles = 6 * torch.rand(2, 3, 50, generator=torch.Generator().manual_seed(copies), dtype=torch.float64)
    a, b = (rotation_matrix(*part) for part in angles)
    turns = torch.arange(copies or 5000, dtype=torch.float64) * (2 * math.pi / (copies or 5000))
    period = torch.full((50,), 2 * math.pi / copies if copies else 0.0)
    torch.testing.assert_close(angle_between(a, b, period), brute_force(a, b, turns), rtol=0, atol=2e-3)


TILTED = {
    # identity, ours and theirs (yaw, pitch, roll in degrees), error in degrees
    "yaw alone": (ARROW, (10, 0, 0), (350, 0, 0), 20.0),
    "a quarter turn of a cube": (CUBE, (95, 0, 0), (0, 0, 0), 5.0),
    "pitch alone": (ARROW, (0, 12, 0), (0, -3, 0), 15.0),
    "a tilted cube's quarter turn": (CUBE, (90, 20, 10), (0, 20, 10), 0.0),
    "a sphere leans and its yaw is not seen": (SPHERE, (77, 0, 8), (0, 0, 0), 8.0),
    "upside down": (ARROW, (0, 90, 0), (0, -90, 0), 180.0),
}


@pytest.mark.parametrize("name", TILTED)
def test_rotations_of_tilted_objects(name: str) -> None:
    identity, ours, theirs, expected = TILTED[name]
    place = torch.tensor([1]), torch.tensor([[identity]]), torch.zeros(1, 1, 2)
    scenes = [Objects(*place, torch.deg2rad(torch.tensor([[angles]], dtype=torch.float))) for angles in (ours, theirs)]
    error = compare_objects(*scenes, torch.tensor(PERIODS)).rotation
    assert error is not None and error.item() == pytest.approx(expected, abs=1e-3)


def truth(poses: list[list[float]]) -> tuple[Tensor, Tensor, Tensor]:
    """Count, what and where of one scene of as many cubes."""
    return torch.tensor([len(poses)]), torch.zeros(1, len(poses), dtype=torch.long), torch.tensor([poses])


def test_sizes_colors_metal_and_tilts_are_measured() -> None:
    renderer = made(**FREE)
    evaluation = Evaluation(renderer, 2, Scenes3D(renderer, counts=(0, 1, 2)))
    count, what, true = truth(
        [[0, 0, 0.1, 1.0, 0.0, 0.0, 0.5, 0.5, 0.5, 1.0], [1, 1, 0, 0.8, 0.1, 0.0, 0.2, 0.4, 0.6, 0.2]]
    )
    found = true.clone()
    found[0, 0, 3:] = torch.tensor(
        [1.1, 0.2, 0.0, 0.6, 0.5, 0.3, 0.4]
    )  # 10 % larger, 0.2 rad tilted, colours off by 0.1
    found[0, 1, 3:] = torch.tensor([1.0, 0.1, 0.0, 0.2, 0.4, 0.3, 0.0])  # a quarter larger, blue off by 0.3
    found = found.flip(1)
    seen = InferredScenes(
        count, torch.tensor([[0.0, 0.0, 1.0]]).log(), what, found, torch.full((1, 2, 10), 0.1), torch.zeros(1, 2, 3)
    )
    evaluation.update(renderer, seen, Batch(torch.zeros(1, 3, 40, 48), count, what, true))
    figures = evaluation.compute(fit=True)
    assert float(figures["size_error"]) == pytest.approx((0.1 + 0.25) / 2, abs=1e-5)
    assert float(figures["color_error"]) == pytest.approx(0.1, abs=1e-5)
    assert float(figures["metal_error"]) == pytest.approx((0.6 + 0.2) / 2, abs=1e-5)
    assert float(figures["metal_accuracy"]) == 0.5
    assert float(figures["rotation_error"]) == pytest.approx(math.degrees(0.2) / 2, abs=1e-3)
    assert float(figures["position_error"]) == 0 and float(figures["scene_accuracy"]) == 1
    assert evaluation.fit is not None and {"size", "pitch", "red", "metal"} <= set(evaluation.fit.pose)


def test_colors_are_right_if_the_nearest_of_the_palette_is_the_true_one() -> None:
    palette = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.9, 0.9, 0.9))
    metric = AttributeErrors(False, True, palette)
    true, none = torch.tensor(palette), torch.zeros(3, 0)
    inferred = torch.tensor([[0.8, 0.2, 0.1], [0.75, 0.75, 0.75], [0.8, 0.8, 0.8]])
    metric.update({"size": none, "color": inferred}, {"size": none, "color": true})
    figures = metric.compute()
    assert float(figures["color_accuracy"]) == pytest.approx(2 / 3)
    assert float(figures["color_error"]) == pytest.approx(0.5 / 3)
    assert AttributeErrors(False, True).names == ("color_error",)


def test_without_attributes_nothing_is_said_of_them() -> None:
    renderer = made()
    assert not {"size_error", "color_error", "metal_error", "metal_accuracy"} & set(
        figure_names(renderer, Scenes3D(renderer))
    )


def test_predictions_tell_attributes_with_their_sd() -> None:
    renderer = made(size=(0.6, 1.4), color=(0.1, 0.9), metal=(0.0, 1.0))
    model = AIRModule(renderer, slots=2)
    (found,) = predictions(renderer, model.infer(torch.rand(1, 3, 40, 48)), [(48, 40)], all_slots=True)
    assert found.slots is not None
    for thing in found.slots:
        assert list(thing.pose) == list(thing.pose_sd) == ["x", "z", "yaw", "size", "red", "green", "blue", "metal"]
        assert all(0.6 <= thing.pose["size"] <= 1.4 and thing.pose_sd[name] > 0 for name in ("size", "red", "metal"))  # type: ignore[operator]


def test_a_wrong_color_is_found_by_the_loss() -> None:
    free = made(color=(0.1, 1.0), identities=("cube",))
    what, where = torch.tensor([[0]]), torch.tensor([[[0.0, 0.0, 0.2, 0.8, 0.3, 0.2]]])
    image = free.render(what, where)[:, -1]
    others = where.unsqueeze(2).repeat(1, 1, 4, 1)
    others[0, 0, :, 3] = torch.tensor([0.6, 0.7, 0.8, 0.9])
    losses = free.swap_losses(image, what, where, what.unsqueeze(2).expand(1, 1, 4), others, Normal(0.1))[0, 0, :, 1]
    assert losses.argmin() == 2 and losses[0] > losses[1]
