"""Angles as a moving camera sees them: what faces the viewer, heads that count from there, refinement that keeps it."""

import math

import pytest
import torch
from slots_for_tests import observed
from torch import Tensor

from air_lightning.inference import ResidualAttention
from air_lightning.inference.heads import PoseHead
from air_lightning.model.scene import _carried
from air_lightning.model.slots import infer
from renderers import MeshRenderer
from renderers.mesh import Camera, Light, Table

AZIMUTHS = torch.tensor([[-0.7], [0.0], [0.4]])


def moving(**changes: object) -> MeshRenderer:
    """Without a table, in light from everywhere: only the angle between camera and object shows."""
    setting: dict[str, object] = {
        "identities": ("cup", "pan"),
        "sizes": {"pan": 2.0},
        "image_size": (48, 48),
        "table": Table(0.0),
        "light": Light(ambient=1.0),
    }
    setting["camera"] = Camera((0.0, 4.4, 4.8), (0.0, 0.2, 0.0))
    return MeshRenderer(**{**setting, "x": (-1.0, 1.0), "z": (-1.0, 1.0), **changes})  # type: ignore[arg-type]


def test_what_faces_the_camera_looks_the_same_from_all_sides() -> None:
    renderer = moving(scene={"camera_azimuth": (-0.8, 0.8)}).at(AZIMUTHS)
    middle = torch.zeros(3, 1, 3)
    image = renderer.project(middle)[0]
    yaw = renderer.facing(image)["yaw"].view(3)
    torch.testing.assert_close(yaw, AZIMUTHS[:, 0], rtol=0, atol=1e-4)
    middle[:, 0, 2] = yaw + 1.0
    seen = renderer.render(torch.ones(3, 1, dtype=torch.long), middle)[:, 1]
    assert (seen - seen[:1]).abs().amax(1).gt(0.02).float().mean() < 0.003
    middle[:, 0, 2] = 1.0
    other = renderer.render(torch.ones(3, 1, dtype=torch.long), middle)[:, 1]
    assert (other - other[:1])[2].abs().amax(0).gt(0.02).float().mean() > 0.02


def test_nothing_is_said_where_cameras_stay() -> None:
    image = torch.zeros(1, 1, 2)
    assert moving().facing(image) == {}
    assert moving(scene={"exposure": (0.8, 1.2)}).facing(image) == {}
    assert moving(scene={"camera_azimuth": (-0.8, 0.8)}, yaw=0.0).facing(image) == {}


def test_a_head_counts_angles_from_the_anchor_within_their_period() -> None:
    torch.manual_seed(0)
    renderer = MeshRenderer(identities=("cube", "sphere", "cup"), image_size=(24, 24))
    head, features = PoseHead(renderer.where, 3, 8), torch.randn(5, 8)
    anchor = torch.zeros(5, 3)
    plain, sd = head(features, anchor)
    torch.testing.assert_close(plain, head(features)[0], rtol=0, atol=0)
    anchor[:, 2] = torch.tensor([0.1, -0.4, 3.0, 1.5, -2.0])
    turned, same = head(features, anchor)
    assert torch.equal(same, sd) and torch.equal(turned[..., :2], plain[..., :2])
    assert (turned[:, 1, 2] == 0).all()  # a sphere
    for identity, period in ((0, math.pi / 2), (2, 2 * math.pi)):
        moved = turned[:, identity, 2] - plain[:, identity, 2] - anchor[:, 2]
        torch.testing.assert_close(moved / period, (moved / period).round(), rtol=0, atol=1e-5)
        assert turned[:, identity, 2].abs().max() <= period / 2 + 1e-5


def test_refinement_turns_objects_with_the_camera() -> None:
    renderer = moving(scene={"camera_azimuth": (-0.8, 0.8)})
    before, after = renderer.at(AZIMUTHS), renderer.at(AZIMUTHS + 0.2)
    torch.manual_seed(0)
    slots = infer(before, ResidualAttention(renderer), observed(torch.rand(3, 3, 48, 48)), 2)
    where = torch.zeros(3, 2, 3) + torch.tensor([0.0, 0.0, 0.3])
    carried = _carried(before, after, slots._replace(where=where))

    def shown(placed: MeshRenderer, at: Tensor) -> Tensor:
        return placed.render(torch.ones(3, 2, dtype=torch.long), at)[:, -1]

    torch.testing.assert_close(carried.where[..., 2] - where[..., 2], torch.full((3, 2), 0.2), rtol=0, atol=1e-3)
    assert (shown(after, carried.where) - shown(before, where)).abs().amax(1).gt(0.02).float().mean() < 0.01


@pytest.mark.parametrize("free", [{"x": 0.3}, {"z": -0.2}, {"x": 0.3, "z": -0.2}])
def test_fixed_places_are_known(free: dict[str, float]) -> None:
    renderer = moving(scene={"camera_azimuth": (-0.8, 0.8)}, **free).at(torch.tensor([[0.3]]))
    where = torch.zeros(1, 1, len(renderer.where))
    x, z = free.get("x", 0.0), free.get("z", 0.0)
    eye = renderer._views.frame(renderer.scene_values)[1][0]  # type: ignore[union-attr]
    found = renderer.facing(renderer.project(where)[0])["yaw"]
    assert float(found) == pytest.approx(math.atan2(float(eye[0]) - x, float(eye[2]) - z), abs=1e-4)


def test_objects_of_any_size_stay_where_they_are_while_the_camera_does() -> None:
    """And are seen where they were when it moves: ``unproject`` takes them for objects of the usual size."""
    renderer = moving(scene={"camera_elevation": (0.5, 0.9)}, size=(0.5, 1.5))
    before, after = (renderer.at(torch.full((3, 1), angle)) for angle in (0.55, 0.85))
    torch.manual_seed(0)
    slots = infer(before, ResidualAttention(renderer), observed(torch.rand(3, 3, 48, 48)), 2)
    assert torch.equal(_carried(before, before, slots).where, slots.where)
    small = slots._replace(where=torch.zeros(3, 2, 4) + torch.tensor([0.8, -0.8, 0.0, 0.5]))
    seen, moved = before.project(small.where)[0], _carried(before, after, small)
    left = (after.project(small.where)[0] - seen).norm(dim=-1).max()
    assert (after.project(moved.where)[0] - seen).norm(dim=-1).max() < 0.4 * left
