"""Shadows on the table and the light's colour, against rays and by hand; test_swaps.py has shadows in its cases."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from slow_rasterizer import hit, rays, stand
from torch import Tensor

from renderers import MeshRenderer
from renderers.compositing import Compositing, Layer, compose
from renderers.mesh import Camera, Lamp, Light, Shadow, Table
from renderers.mesh.backends.embedded import CPU
from renderers.mesh.built_in import BUILT_IN
from renderers.mesh.scenery import edges_of
from renderers.mesh.shapes import SOLID_COLORS, SOLIDS

IDENTITIES = ("cube", "sphere", "cone")
SLANT = Light((0.6, 0.7, -0.4), shadow=Shadow(0.6, samples=1))


def made(light: Light, **changes: Any) -> MeshRenderer:
    return MeshRenderer(
        **{"identities": IDENTITIES, "image_size": (40, 48), "y": (0.0, 0.5), "light": light, **changes}
    )


def dark_by_rays(identity: str, pose: list[float], sun: Tensor, renderer: MeshRenderer) -> tuple[Tensor, Tensor]:
    """Which pixels (H, W) see ground from which the object hides the sun, and which are sure: no edge is near."""
    _, height, width = renderer.image_shape
    sight, eye = rays(renderer.camera, height, width), np.asarray(renderer.camera.position)
    ground = eye - sight * (eye[1] / sight[..., 1:2])
    mesh = SOLIDS[identity](SOLID_COLORS[identity]).scaled(2.0)
    hidden, sure = np.zeros((height, width), bool), np.ones((height, width), bool)
    for face in mesh.faces:
        for y, x in np.ndindex(height, width):
            distance, weights = hit(stand(mesh, np.array(pose))[face], ground[y, x], sun.numpy().astype(float))
            hidden[y, x] |= weights.min() >= 0 and distance > 0
            sure[y, x] &= abs(weights.min()) > 1e-2
    inside = np.abs(ground[..., [0, 2]]).max(-1) <= renderer.table.width / 2
    return torch.from_numpy(hidden & inside), torch.from_numpy(sure)


@pytest.mark.parametrize("identity, pose", [("cube", [0.5, 0.0, -0.3, 0.4]), ("cone", [-0.5, 0.4, 0.6, 0.0])])
def test_hard_shadows_by_rays(identity: str, pose: list[float]) -> None:
    """Of objects on the table and above it, cut off by its edge too."""
    renderer = made(SLANT, identities=(identity,), image_size=(20, 24), table=Table(3.0), sizes={identity: 2.0})
    (sun,) = torch.from_numpy(SLANT.directions())
    shade = renderer.draw(torch.tensor([0]), torch.tensor([pose])).shade
    assert shade is not None
    hidden, sure = dark_by_rays(identity, pose, sun, renderer)
    assert hidden.sum() > 12 and sure.float().mean() > 0.9
    assert torch.allclose(shade[0][sure], (1 - 0.6 * hidden.float())[sure])


@pytest.mark.parametrize("identity", sorted(BUILT_IN))
def test_a_shadow_by_its_outline_is_that_of_all_faces(identity: str) -> None:
    """Of solids, and of crockery, which is closed parts within one another; near the eye, cut off, out of sight."""
    renderer = made(SLANT, identities=(identity,), sizes={identity: 2.0}, pitch=(-1.0, 1.0), roll=(-1.0, 1.0))
    random = torch.Generator().manual_seed(0)
    poses = renderer.where.constrain(torch.randn(60, len(renderer.where), generator=random))
    poses[:30, :3] *= 1.5
    poses[:3, :3] = torch.tensor(renderer.camera.position)
    objects = torch.zeros(60, dtype=torch.long), poses
    by_outline = renderer.draw(*objects).shade
    scenery = renderer._backend.scenery
    assert scenery.edges.shape[1] == 1.5 * scenery.faces.shape[1]
    faces = CPU(scenery._replace(edge_start=np.zeros(2, np.int32)))
    by_faces = faces.layers(*renderer._objects(*objects))[:, 4]
    assert by_outline is not None and 0.01 < (by_faces < 1).float().mean() < 0.5
    assert (by_outline != by_faces).float().mean() < 1e-4  # samples on an edge


def test_edges_of_meshes_that_are_open_or_split() -> None:
    """Corners at one place are one vertex; a mesh with a hole has no edges, and its shadow all of its faces'."""
    cube = SOLIDS["cube"](SOLID_COLORS["cube"])
    split = replace(
        cube, vertices=cube.vertices[cube.faces].reshape(-1, 3), faces=np.arange(36, dtype=np.int32).reshape(12, 3)
    )
    assert edges_of(cube).shape == edges_of(split).shape == (18, 4)
    a, b, one, other = edges_of(cube).T
    assert all({a[e], b[e]} <= {*cube.faces[one[e]]} & {*cube.faces[other[e]]} for e in range(18))
    assert edges_of(replace(cube, faces=cube.faces[1:])).shape == (0, 4)
    assert edges_of(replace(cube, closed=False)).shape == (0, 4)


def test_a_soft_shadow_is_the_mean_of_the_discs() -> None:
    soft = replace(SLANT, shadow=Shadow(0.6, softness=12.0, samples=5))
    what, where = (
        torch.tensor([0, 1, 2]),
        torch.tensor([[0.0, 0.1, 0.2, 0.5], [1.0, 0.0, 0.0, 0.0], [-1.0, 0.4, 0.5, 1.0]]),
    )
    found = made(soft).draw(what, where).shade
    parts = [made(replace(SLANT, direction=tuple(ray))).draw(what, where).shade for ray in soft.directions().tolist()]
    assert found is not None and torch.allclose(found, torch.stack(parts).mean(0), atol=1e-5)  # type: ignore[arg-type]
    angles = torch.from_numpy(soft.directions() @ SLANT.directions()[0]).acos().rad2deg()
    assert len(angles) == 5 and angles.max() < 12.0 and angles.max() > 10.0
    assert ((found > 0.41) & (found < 0.99)).any() and found.min() == pytest.approx(0.4)


def test_lamps_shadows_add_up() -> None:
    """Each takes its own share of the table's light, in each image's scene too."""
    what, where = torch.tensor([0, 1]), torch.tensor([[0.0, 0.1, 0.2, 0.5], [1.0, 0.0, 0.0, 0.0]])
    lamps = (Lamp((-0.5, 0.8, 0.3), Shadow(0.2, samples=2)), Lamp((0.1, 0.9, 0.7), Shadow(0.1, samples=1)))
    for scene in ({}, {"camera_azimuth": (0.4, 0.8)}):
        together = made(replace(SLANT, lamps=lamps), scene=scene)
        alone = [made(replace(SLANT, direction=each.direction, shadow=each.shadow), scene=scene) for each in lamps]
        shades = []
        for renderer in (together, made(SLANT, scene=scene), *alone):
            values = torch.tensor([[0.5]]).expand(2, -1) if scene else None
            shade = renderer.at(values).draw(what, where).shade
            assert shade is not None
            shades.append(1 - shade)
        found, *parts = shades
        assert torch.allclose(found, torch.stack(parts).sum(0), atol=1e-5)
        assert all((part > 0.05).any() for part in parts)


def test_a_learnt_shadow_leaves_the_lamps_their_share() -> None:
    """At the end of its range it would take more than all light together with them."""
    lamps = (Lamp((-0.5, 0.8, 0.3), Shadow(0.2, samples=1)),)
    renderer = made(replace(SLANT, lamps=lamps), shared=["shadow"])
    renderer.share(torch.tensor([1.0, 6.0]))
    shade = renderer.draw(torch.tensor([0]), torch.tensor([[0.0, 0.0, 0.0, 0.0]])).shade
    assert shade is not None and float(shade.min()) == pytest.approx(0.0, abs=1e-6)
    assert bool(torch.isclose(shade, torch.tensor(0.2), atol=1e-5).any())


def test_a_shadow_of_no_strength_changes_nothing() -> None:
    what, where = torch.tensor([[0, 1]]), torch.tensor([[[0.0, 0.0, 0.0, 0.0], [0.5, 0.0, -0.8, 0.0]]])
    plain, none = (made(replace(SLANT, shadow=s)).render(what, where) for s in (None, Shadow(strength=0.0)))
    assert torch.equal(plain, none)


def test_boxes_are_of_objects_without_their_shadows() -> None:
    what, where = torch.tensor([[0, 1]]), torch.tensor([[[0.0, 0.0, 0.0, 0.0], [0.5, 0.0, -0.8, 0.0]]])
    with_it, without = made(SLANT), made(replace(SLANT, shadow=None))
    assert torch.equal(with_it.boxes(what, where), without.boxes(what, where))
    assert not torch.equal(with_it.render(what, where), without.render(what, where))


@pytest.mark.parametrize("rule", ["zbuffer", "additive", "over"])
def test_shades_multiply_and_darken_the_background_alone(rule: Compositing) -> None:
    random = torch.Generator().manual_seed(0)
    color, alpha, shade = (torch.rand(3, *shape, generator=random) for shape in ((1, 4, 5), (4, 5), (4, 5)))
    depth = torch.rand(3, 4, 5, generator=random)
    depth = torch.where(depth < 0.5, torch.inf, depth)
    color = color * (depth.isfinite() if rule == "zbuffer" else alpha).unsqueeze(1)
    background = torch.rand(1, 4, 5, generator=random)
    found = compose(Layer(color, depth, alpha, shade), background, rule)
    for n in range(4):
        ground = background * shade[:n].prod(0)
        expected = compose(Layer(color[:n], depth[:n], alpha[:n]), ground, rule)[n]
        assert torch.allclose(found[n], expected, atol=1e-6)


def test_the_lights_colors() -> None:
    """Directed light is tinted by one colour, ambient light by the other."""
    what, where = torch.tensor([0, 1, 2]), torch.zeros(3, 4)
    settings = {"colors": dict.fromkeys(IDENTITIES, (0.9, 0.9, 0.9))}
    for tint, name in (((1.0, 0.5, 0.0), "color"), ((0.2, 1.0, 0.6), "ambient_color")):
        ambient = 0.0 if name == "color" else 1.0
        white = made(Light(ambient=ambient), **settings).draw(what, where).color
        found = made(Light(ambient=ambient, **{name: tint}), **settings).draw(what, where).color  # type: ignore[arg-type]
        assert torch.allclose(found, white * torch.tensor(tint)[:, None, None], atol=1e-6)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: Shadow(1.5), "shadow strength must lie between 0 and 1, got 1.5: 1 leaves no light"),
        (lambda: Shadow(softness=50), "shadow softness must lie between 0 and 45 degrees, got 50: 6 is a lamp's"),
        (lambda: Shadow(samples=0), "shadow samples must be at least 1 (hard edges), got 0"),
        (
            lambda: Light(color=(1.0, 2.0, 0.0)),
            "light color must be red, green and blue between 0 and 1, got (1.0, 2.0",
        ),
        (
            lambda: Light(ambient_color=(-1.0, 0.0, 0.0)),
            "light ambient_color must be red, green and blue between 0 and 1",
        ),
        (
            lambda: Light((1.0, 0.1, 0.0), shadow=Shadow(softness=10)),
            "a light that casts shadows must stand above the table, its whole disc by 3 degrees at least, got "
            "direction (1.0, 0.1, 0.0), ",
        ),
        (
            lambda: Lamp((1.0, 0.0, 0.0)),
            "a lamp that casts shadows must stand above the table, its whole disc by 3 degrees at least, got direction "
            "(1.0, 0.0, 0.0), 0 degrees high, and softness 6: raise its y",
        ),
        (lambda: Lamp((0.0, 0.0, 0.0)), "lamp direction must have a length, got (0.0, 0.0, 0.0): (0, 1, 0) shines"),
        (
            lambda: Light(lamps=(Lamp((0.0, 1.0, 0.0)),)),
            "light lamps cast shadows, and light shadow is null beside 1: give one",
        ),
        (
            lambda: replace(SLANT, lamps=(Lamp((0.0, 1.0, 0.0)),), distance=4.0),
            "light lamps are distant, got 1 beside light distance 4",
        ),
        (
            lambda: replace(SLANT, lamps=(Lamp((0.0, 1.0, 0.0), Shadow(0.5)),)),
            "shadow strengths of light and lamps must add up to at most 1, got 1.1",
        ),
        (
            lambda: made(replace(SLANT, lamps=(Lamp((0.0, 1.0, 0.0)),)), shared=["all"]),
            "shared has light_nearness, and light has 1 lamps, which are distant: name those that are to be learnt",
        ),
        (
            lambda: MeshRenderer(light=SLANT, table=Table(0.0), camera=Camera()),
            "light.shadow falls on the table, and table width is 0: draw a table, or leave the shadow out",
        ),
    ],
)
def test_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        make()
