"""Cameras, lights and exposures that differ from image to image: MeshRenderer's coordinates of the scene."""

import math
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from air_lightning.commands.export.program import trace
from air_lightning.commands.predict.records import predictions
from air_lightning.metrics.evaluation import Evaluation, InferredScenes, figure_names
from air_lightning.model import AIRModule
from air_lightning.testing import check_renderer
from datamodules import Batch, Scenes3D
from renderers import MeshRenderer
from renderers.mesh import Camera, Light, Shadow, Table
from renderers.mesh.views import Views
from renderers.pixel_loss import Normal

CAMERA = {"camera_azimuth": (-0.6, 0.6), "camera_elevation": (0.6, 0.9), "camera_distance": (6.0, 7.5)}
LIGHT = {
    "light_azimuth": (0.3, 1.5),
    "light_elevation": (0.6, 1.2),
    "light_ambient": (0.2, 0.5),
    "exposure": (0.6, 1.1),
}
TABLE = Table(checker=(0.3, 0.3, 0.35))


def made(**changes: Any) -> MeshRenderer:
    return MeshRenderer(**{"image_size": (32, 40), "table": TABLE, "x": (-1.0, 1.0), "z": (-1.0, 1.0), **changes})


def scenes(renderer: MeshRenderer, batch: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    what = torch.stack([torch.randperm(3, generator=random)[:2] for _ in range(batch)])
    where = renderer.where.constrain(torch.randn(batch, 2, len(renderer.where), generator=random))
    assert renderer.scene is not None
    return what, where, renderer.scene.constrain(torch.randn(batch, len(renderer.scene), generator=random))


def camera_at(azimuth: float, elevation: float, distance: float) -> Camera:
    x, y, z = Camera().target
    level = distance * math.cos(elevation)
    return Camera((x + level * math.sin(azimuth), y + distance * math.sin(elevation), z + level * math.cos(azimuth)))


def light_at(azimuth: float, elevation: float, ambient: float) -> Light:
    level = math.cos(elevation)
    direction = (level * math.sin(azimuth), math.sin(elevation), level * math.cos(azimuth))
    return Light(direction, ambient, Light().directed)


def alike(a: Tensor, b: Tensor) -> bool:
    """But for samples on an edge."""
    return bool(((a - b).abs() > 1e-4).float().mean() < 3e-3)


def test_each_image_has_its_own_camera() -> None:
    moving = made(scene=CAMERA)
    what, where, values = scenes(moving)
    placed = moving.at(values)
    images = placed.render(what, where)
    for b, view in enumerate(values.tolist()):
        still = made(camera=camera_at(*view))
        one = slice(b, b + 1)
        assert alike(images[one], still.render(what[one], where[one]))
        for ours, theirs in zip(placed.project(where), still.project(where[one]), strict=True):
            torch.testing.assert_close(ours[one], theirs, rtol=1e-4, atol=1e-4)
        image = still.project(where[one])[0]
        for name, value in still.unproject(image).items():
            found = placed.of(torch.tensor([b])).unproject(image)[name]
            torch.testing.assert_close(found, value, rtol=1e-4, atol=1e-4)
    layers = placed.layers(what, where)
    assert alike(placed.of(torch.tensor([1])).layers(what[1:2], where[1:2]).color, layers.color[1:2])


def test_each_image_has_its_own_light_and_exposure() -> None:
    moving = made(scene=LIGHT)
    what, where, values = scenes(moving)
    images = moving.at(values).render(what, where)
    for b, (azimuth, elevation, ambient, exposure) in enumerate(values.tolist()):
        still = made(light=light_at(azimuth, elevation, ambient)) if ambient + Light().directed <= 1 else None
        if still is not None:
            expected = exposure * still.render(what[b : b + 1], where[b : b + 1])
            assert alike(images[b : b + 1], expected.clamp(max=1))


@pytest.mark.parametrize("ranges", [CAMERA, {**CAMERA, **LIGHT}], ids=["camera", "camera and light"])
def test_each_image_has_its_own_shadows(ranges: dict[str, tuple[float, float]]) -> None:
    shadow, table = Shadow(0.7, 10.0, 3), Table(width=3.0, depth=2.6)
    moving = made(scene=ranges, light=Light(ambient=0.2, diffuse=0.5, shadow=shadow), table=table)
    what, where, values = scenes(moving)
    images = moving.at(values).render(what, where)
    for b, row in enumerate(values.tolist()):
        view = dict(zip(ranges, row))
        lit = light_at(*(view[name] for name in list(LIGHT)[:3])) if len(row) > 3 else Light(ambient=0.2)
        light = replace(lit, diffuse=0.5, shadow=shadow)
        still = made(camera=camera_at(*row[:3]), light=light, table=table).render(what[b : b + 1], where[b : b + 1])
        assert alike(images[b : b + 1], (view.get("exposure", 1.0) * still).clamp(max=1))
    bare = made(scene=ranges, light=Light(ambient=0.2, diffuse=0.5), table=table).at(values).render(what, where)
    assert float((bare - images > 0.05).float().mean()) > 0.004


@pytest.mark.parametrize("shadow", [None, Shadow(0.7, 10.0, 3)], ids=["no shadow", "shadow"])
def test_the_fused_scores_are_those_of_whole_images(shadow: Shadow | None) -> None:
    moving = made(scene=CAMERA, light=Light(shadow=shadow))
    what, where, values = scenes(moving)
    placed, random = moving.at(values), torch.Generator().manual_seed(3)
    others = moving.where.constrain(torch.randn(4, 2, 3, len(moving.where), generator=random))
    identities = what.unsqueeze(2).expand(4, 2, 3)
    images = torch.rand(4, 3, 32, 40, generator=random)
    found = placed.swap_losses(images, what, where, identities, others, Normal(0.2))
    expected = super(MeshRenderer, placed).swap_scores(
        what, where, identities, others, images.unsqueeze(1), Normal(0.2)
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-2)


def test_differences_in_the_scene_are_those_of_whole_images() -> None:
    moving = made(scene=CAMERA)
    what, where, values = scenes(moving)
    incoming = torch.randn(4, 3, 3, 32, 40, generator=torch.Generator().manual_seed(4))
    given, places = values.clone().requires_grad_(), where.clone().requires_grad_()
    (moving.at(given).canvases(what, places) * incoming).sum().backward()
    assert given.grad is not None and places.grad is not None and (places.grad != 0).any()
    for j, step in enumerate((0.03, 0.03, 0.1)):
        move = step * torch.eye(3)[j]
        change = moving.at(values + move).render(what, where) - moving.at(values - move).render(what, where)
        expected = (change * incoming).flatten(1).sum(1) / (2 * step)
        torch.testing.assert_close(given.grad[:, j], expected, rtol=1e-3, atol=1e-2)


def test_said_by_nobody_the_camera_is_the_middle_of_its_range() -> None:
    moving = made(scene=CAMERA)
    what, where, _ = scenes(moving)
    assert alike(moving.render(what, where), made(camera=camera_at(0.0, 0.75, 6.75)).render(what, where))
    usual = Views((), Camera(), Light(), TABLE).usual
    own = torch.tensor([[usual[name] for name in CAMERA]])
    assert alike(moving.at(own).render(what[:1], where[:1]), made().render(what[:1], where[:1]))


def test_finer_images_have_the_same_scene() -> None:
    moving = made(scene=CAMERA)
    what, where, values = scenes(moving)
    placed = moving.at(values)
    assert (placed.finer(2).render(what, where) - placed.render(what, where)).abs().mean() < 0.02


@pytest.mark.parametrize("law", ["scene", "render", "contract", "backgrounds", "unproject"])
def test_laws(law: str) -> None:
    assert check_renderer(made(scene=CAMERA), only=[law]).kept == (law,)


def test_data_has_scenes_and_predictions_tell_them() -> None:
    moving = made(scene=CAMERA, image_size=(32, 32))
    batch = Scenes3D(moving, counts=(1,)).scenes("train").__getitems__([0, 1, 2])
    assert batch.scene is not None and batch.scene.shape == (3, 3)
    for j, (low, high) in enumerate(CAMERA.values()):
        assert (batch.scene[:, j] >= low).all() and (batch.scene[:, j] <= high).all()
    expected = moving.at(batch.scene).render(batch.what, batch.where)[:, 1]
    assert torch.equal(batch.images, expected)
    module = AIRModule(moving, slots=1)
    told = predictions(moving, module.infer(batch.images), [(32, 32)] * 3)
    for record in (prediction.record() for prediction in told):
        assert list(record["scene"]) == list(record["scene_sd"]) == list(CAMERA)
        assert all(sd > 0 for sd in record["scene_sd"].values())
    with pytest.raises(ValueError, match="has coordinates of the scene, camera_azimuth, camera_elevation"):
        trace(module)


def test_cameras_are_measured() -> None:
    moving = made(scene=CAMERA)
    evaluation, data = Evaluation(moving, 1, Scenes3D(moving, counts=(0, 1))), Scenes3D(moving, counts=(0, 1))
    true = torch.tensor([[0.1, 0.8, 6.5], [-0.2, 0.7, 7.0], [0.0, 0.7, 6.0]])
    found = true + torch.tensor([[0.02, 0.0, 0.0], [-0.02, 0.01, 0.14], [0.1, 0.0, 0.3]])
    count, what, where = torch.zeros(3, dtype=torch.long), torch.zeros(3, 1, dtype=torch.long), torch.zeros(3, 1, 3)
    nothing = torch.tensor([[1.0, 0.0]]).log().expand(3, 2)
    seen = InferredScenes(count, nothing, what, where, torch.ones(3, 1, 3), torch.zeros(3, 1, 3), found)
    batch = Batch(torch.zeros(3, 3, 32, 40), count, what, where, scene=true)
    evaluation.update(moving.at(found), seen, batch)
    figures = evaluation.compute()
    assert float(figures["camera_azimuth_error"]) == pytest.approx(math.degrees(0.02), rel=1e-3)
    assert float(figures["camera_elevation_error"]) == pytest.approx(0.0, abs=1e-4)
    assert float(figures["camera_distance_error"]) == pytest.approx(0.02, rel=1e-3)
    assert {f"{name}_error" for name in CAMERA} <= set(figure_names(moving, data))
    assert not {f"{name}_error" for name in CAMERA} & set(figure_names(made(), Scenes3D(moving)))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown name": (
        {"scene": {"camera_roll": (0.0, 1.0)}},
        "scene names 'camera_roll', which is none of camera_az",
    ),
    "below the table": (
        {"scene": {"camera_elevation": (-0.1, 0.5)}},
        "scene camera_elevation must lie between 0.05 and 1.52 radians, got -0.1 to 0.5",
    ),
    "no distance": ({"scene": {"camera_distance": (0.0, 5.0)}}, "scene camera_distance must be at least 0.01, got 0.0"),
    "too near": ({"scene": {"camera_distance": (1.0, 2.0)}}, "the pose support reaches outside the camera's view"),
    "a low light that casts shadows": (
        {"scene": {"light_elevation": (0.1, 0.8)}, "light": Light(shadow=Shadow())},
        "a light that casts shadows must stand above the table, its whole disc by 3 degrees at least, got direction",
    ),
    "a light that is learnt": ({"scene": CAMERA, "shared": ("light",)}, "and a light that is not `shared`"),
    "another backend": ({"scene": CAMERA, "backend": "pytorch3d"}, "scene's coordinates go with backend 'embedded'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(name: str) -> None:
    arguments, said = WRONG[name]
    with pytest.raises(ValueError, match=re.escape(said)):
        made(**arguments)
