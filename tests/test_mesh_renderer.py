"""The mesh renderer: laws over all built-in shapes, and every word it says about what it refuses."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from renderers import MeshRenderer
from renderers.mesh import Camera, Light, Table
from renderers.mesh.scenery import Shadow
from renderers.mesh.shapes import SOLID_COLORS, SOLIDS, Mesh
from renderers.pixel_loss import Normal

IDENTITIES = tuple(SOLIDS)
HALF_TURN_SHOWS = {"cylinder", "cone"}


def built(identity: str) -> Mesh:
    return SOLIDS[identity](SOLID_COLORS[identity])


def image(identity: str, yaw: float, size: int = 64) -> Tensor:
    """One object alone in the middle, without a table."""
    renderer = MeshRenderer(identities=IDENTITIES, image_size=(size, size), table=Table(0.0), x=0.0, z=0.0)
    what, where = torch.tensor([[IDENTITIES.index(identity)]]), torch.tensor([[[yaw]]])
    return renderer.render(what, where)[0, 1]


def share_changed(a: Tensor, b: Tensor) -> float:
    """Share of an object's pixels that differ visibly."""
    shown = ((a - a[:, :1, :1]).abs() > 0.01).any(0).sum()
    return float(((a - b).abs() > 0.05).any(0).sum() / shown)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("yaw", [0.0, 0.3, 2.0])
def test_the_stated_symmetry_maps_the_image_to_itself(identity: str, yaw: float) -> None:
    turn = built(identity).symmetry or 1.0  # 0: any turn
    changed = share_changed(image(identity, yaw), image(identity, yaw + turn))
    assert changed < (0.2 if identity == "sphere" else 0.01)  # its segments are flat: their shading turns a little


def test_the_sphere_turns_by_its_twelve_segments() -> None:
    assert share_changed(image("sphere", 0.3), image("sphere", 0.3 + 2 * math.pi / 12)) == 0


@pytest.mark.parametrize("identity", IDENTITIES)
def test_no_smaller_turn_is_a_symmetry(identity: str) -> None:
    period = built(identity).symmetry
    if period == 0:
        return
    for parts in (2, 3, 4):
        assert share_changed(image(identity, 0.3), image(identity, 0.3 + period / parts)) > 0.2


@pytest.mark.parametrize("identity", IDENTITIES)
def test_half_turns_show_where_half_is_darker(identity: str) -> None:
    changed = share_changed(image(identity, 0.3), image(identity, 0.3 + math.pi))
    assert (changed > 0.3) == (identity in HALF_TURN_SHOWS)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_surface_is_closed(identity: str) -> None:
    """Every edge is run along once in each direction."""
    edges = Counter((int(f[i]), int(f[(i + 1) % 3])) for f in built(identity).faces for i in range(3))
    assert built(identity).closed and set(edges.values()) == {1}
    assert all(edges[b, a] == 1 for a, b in edges)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_faces_wind_outward(identity: str) -> None:
    mesh = built(identity)
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    middle = mesh.vertices.mean(0)  # all identities are convex
    assert (np.sum(np.cross(b - a, c - a) * ((a + b + c) / 3 - middle), 1) > 1e-4).all()


@pytest.mark.parametrize("identity", IDENTITIES)
def test_stands_on_the_table_about_its_axis(identity: str) -> None:
    vertices = built(identity).vertices
    assert vertices[:, 1].min() == pytest.approx(0, abs=1e-6)
    assert np.allclose((vertices.min(0) + vertices.max(0))[[0, 2]], 0, atol=1e-6)
    assert 0.6 <= np.ptp(vertices[:, 0]) <= 1 and 0.8 <= vertices[:, 1].max() <= 0.9


@pytest.mark.parametrize("identity, faces", [("cube", 12), ("sphere", 192), ("cylinder", 64), ("cone", 32)])
def test_triangles_and_types(identity: str, faces: int) -> None:
    mesh = built(identity)
    assert mesh.faces.shape == (faces, 3) and mesh.colors.shape == (faces, 3, 3)
    assert [str(a.dtype) for a in (mesh.vertices, mesh.faces, mesh.colors)] == ["float32", "int32", "float32"]
    assert np.allclose(mesh.colors.max((0, 1)), SOLID_COLORS[identity])


@pytest.mark.parametrize("identity", IDENTITIES)
def test_scaled(identity: str) -> None:
    mesh, twice = built(identity), built(identity).scaled(2.0)
    assert np.allclose(twice.vertices, 2 * mesh.vertices) and twice.radius == pytest.approx(2 * mesh.radius)
    assert mesh.radius == pytest.approx(np.linalg.norm(mesh.vertices[:, [0, 2]], axis=1).max())


@pytest.mark.parametrize("identity", IDENTITIES)
def test_project_finds_the_object(identity: str) -> None:
    """Its pixels' middle and half their height, from the pose alone."""
    renderer = MeshRenderer(identities=(identity,), image_size=(96, 144), camera=Camera(field_of_view=60))
    where = renderer.where.constrain(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)))
    seen = renderer.draw(torch.zeros(20, dtype=torch.long), where).depth.isfinite()
    middle, half = renderer.project(where)
    for mask, (x, y), size in zip(seen, middle.tolist(), half.tolist()):
        rows, columns = mask.nonzero().unbind(1)
        assert x == pytest.approx((columns.min() + columns.max() + 1).item() / 144 - 1, abs=0.05)
        assert y == pytest.approx((rows.min() + rows.max() + 1).item() / 96 - 1, abs=0.1)
        assert size == pytest.approx((rows.max() - rows.min() + 1).item() / 96, rel=0.5)


@pytest.mark.parametrize("fixed", [{}, {"y": 0.3}, {"y": (0.0, 0.5)}, {"x": 0.2}, {"z": 0.1, "yaw": 0.0}])
def test_unproject_undoes_project(fixed: dict[str, Any]) -> None:
    renderer = MeshRenderer(identities=IDENTITIES, image_size=(40, 60), **{"x": (-1.0, 1.0), "z": (-1.0, 1.0), **fixed})
    where = renderer.where.constrain(torch.randn(5, 2, len(renderer.where), dtype=torch.float64))
    if "y" in renderer.where.names:
        where[..., renderer.where.names.index("y")] = 0  # an object at its usual height
    found = renderer.unproject(renderer.project(where)[0])
    assert set(found) == {"x", "z"} & set(renderer.where.names)
    for name, value in found.items():
        assert torch.allclose(value, where[..., renderer.where.names.index(name)])


def test_where_lists_what_is_free() -> None:
    renderer = MeshRenderer(identities=IDENTITIES, y=(0.0, 0.5), z=0.25, position_step=0.03, yaw_step=0.07)
    assert renderer.where.names == ("x", "y", "yaw")
    assert [c.step for c in renderer.where.coordinates] == [0.03, 0.03, 0.07]
    assert renderer.where.coordinates[2].periods == (math.pi / 2, 0.0, 2 * math.pi, 2 * math.pi, 0.0)
    assert renderer.full_pose(torch.tensor([1.0, 0.1, 2.0])).tolist() == pytest.approx([1.0, 0.1, 0.25, 2.0])


def test_colors_and_sizes_by_identity() -> None:
    def shown(**changes: Any) -> Tensor:
        renderer = MeshRenderer(identities=("cube",), x=0.0, z=0.0, table=Table(0.0, beyond=(0, 0, 0)), **changes)
        return renderer.render(torch.tensor([[0]]), torch.zeros(1, 1, 1))[0, 1]

    blue, large = shown(colors={"cube": (0.0, 0.0, 1.0)}), shown(sizes={"cube": 1.5})
    assert blue[2].max() > 0.8 and blue[:2].max() == 0
    assert 1.8 < (large.sum(0) > 0).sum() / (shown().sum(0) > 0).sum() < 3.2


def test_light_shines_from_its_side() -> None:
    """The ball is bright at the left under light from the left, whatever the direction's length."""
    left, again, right = (
        MeshRenderer(identities=("sphere",), x=0.0, z=0.0, light=Light((x, 0.0, 0.0), 0.2, 0.8)).render(
            torch.tensor([[0]]), torch.zeros(1, 1, 1)
        )
        for x in (-1.0, -9.0, 1.0)
    )
    assert torch.allclose(left, again, atol=1e-6)
    assert left[0, 1, 2, :, :32].max() > 1.5 * left[0, 1, 2, :, 32:].max()
    assert torch.allclose(left, right.flip(-1), atol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_type_follows_where(dtype: torch.dtype) -> None:
    renderer = MeshRenderer(image_size=(16, 16))
    what, where = torch.tensor([[0, 1]]), torch.zeros(1, 2, 3, dtype=dtype, requires_grad=True)
    canvases = renderer.canvases(what, where)
    (gradient,) = torch.autograd.grad(canvases.sum(), where)
    assert canvases.dtype == gradient.dtype == dtype
    layer = renderer.draw(what[0], where[0])
    assert layer.color.dtype == layer.depth.dtype == dtype


@pytest.mark.parametrize("supersample", [1, 2])
def test_a_pose_that_is_no_number_is_not_drawn(supersample: int) -> None:
    renderer = MeshRenderer(image_size=(16, 16), supersample=supersample)
    what, where = torch.tensor([[0, 1, 2]]), torch.zeros(1, 3, 3)
    where[0, 1, 2] = math.nan
    canvases = renderer.render(what, where)
    assert canvases.isfinite().all() and torch.equal(canvases[0, 2], canvases[0, 1])
    gradient = renderer.contract(what, where, torch.randn(1, 4, 3, 16, 16))
    assert gradient.isfinite().all() and (gradient[0, 1] == 0).all() and (gradient[0, 0] != 0).any()
    others = where.unsqueeze(2)
    errors = renderer.swap_losses(
        torch.rand(1, 3, 16, 16), what, where, what.unsqueeze(2), others, Normal(math.sqrt(0.5))
    )
    assert errors.isfinite().all() and (errors[0, 1] == 0).all()


@pytest.mark.parametrize("supersample", [1, 2])
def test_a_gradient_that_is_no_number_is_passed_on(supersample: int) -> None:
    """So that whoever watches for it sees it."""
    renderer = MeshRenderer(image_size=(16, 16), supersample=supersample)
    incoming = torch.full((1, 2, 3, 16, 16), math.nan)
    assert renderer.contract(torch.tensor([[0]]), torch.zeros(1, 1, 3), incoming).isnan().all()


def test_it_has_no_state() -> None:
    assert MeshRenderer(image_size=(16, 16)).state_dict() == {}


@pytest.mark.parametrize("shadow", [None, Shadow()])
def test_alternatives_count_alike_whether_they_are_repeated_or_the_slot_itself(shadow: Shadow | None) -> None:
    renderer = MeshRenderer(light=Light(shadow=shadow))
    what, where = torch.tensor([[0, 1]]), torch.tensor([[[0.1, 0.2, 0.3], [0.6, -0.4, 1.0]]])
    moves = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0, 0, 0.5], [0.1, 0, 0], [0, 0, 0], [0, 0.1, 0]])
    others = where.unsqueeze(2) + moves
    kinds = what.unsqueeze(2).expand(others.shape[:3])
    images = renderer.render(torch.tensor([[2, 1]]), where + 0.1)[:, -1]
    together = renderer.swap_losses(images, what, where, kinds, others, Normal(0.1))
    for m in range(len(moves)):
        alone = renderer.swap_losses(images, what, where, kinds[:, :, m : m + 1], others[:, :, m : m + 1], Normal(0.1))
        torch.testing.assert_close(together[:, :, m], alone[:, :, 0], rtol=1e-4, atol=1e-2)
    assert torch.equal(together[:, :, 1], together[:, :, 3])
