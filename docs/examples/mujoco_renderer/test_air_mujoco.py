"""That the renderer keeps the contract, and draws what the mesh renderer draws of the same scene."""

import re
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from air_mujoco import TILES, MujocoScene

from air_lightning.testing import check_renderer
from renderers import MeshRenderer
from renderers.mesh import Camera, Intrinsics, Table

if find_spec("mujoco") is None:
    pytest.skip("MuJoCo is not installed: pip install mujoco", allow_module_level=True)
try:
    MujocoScene()
except ValueError as error:  # no OpenGL on this machine
    pytest.skip(str(error), allow_module_level=True)

ALL = ("box", "sphere", "cylinder", "capsule")


@pytest.mark.parametrize("arguments", [{}, {"identities": ALL, "image_size": (24, 36), "supersample": 2}], ids=str)
def test_it_keeps_the_contract(arguments: dict[str, Any]) -> None:
    report = check_renderer(MujocoScene, **arguments)
    assert {"contract", "periods", "project", "pickling", "spec"} <= set(report.kept)


def test_it_draws_what_the_mesh_renderer_draws() -> None:
    """The same frame, camera, light, colours and depths: cubes to the pixel, spheres but for how round they are."""
    mujoco = MujocoScene(identities=("box", "sphere"))
    shaded = tuple(mujoco.image_background()[:, 24, 24].tolist())
    table = Table(color=shaded, beyond=(0.0, 0.0, 0.0))
    mesh = MeshRenderer(identities=("cube", "sphere"), image_size=(48, 48), x=(-1.6, 1.6), z=(-1.6, 1.6), table=table)
    what = torch.tensor([[0, 1]]).expand(32, 2)
    where = mujoco.where.constrain(torch.randn(32, 2, 3, generator=torch.Generator().manual_seed(0)))
    gap = (mujoco.render(what, where) - mesh.render(what, where)).abs().amax(2) > 0.02
    assert gap[:, :2].double().mean() < 1e-3 and gap[:, 2].double().mean() < 0.03
    layers, others = mujoco.layers(what, where), mesh.layers(what, where)
    both = layers.depth.isfinite() & others.depth.isfinite()
    assert both.any() and (layers.depth - others.depth)[both].abs().max() < 0.15


def test_more_objects_than_fit_into_one_buffer() -> None:
    renderer = MujocoScene(image_size=(16, 20))
    number = TILES**2 + 3
    what, where = torch.arange(number) % 3, renderer.where.constrain(torch.randn(number, 3))
    whole = renderer.draw(what, where)
    last = renderer.draw(what[-1:], where[-1:])
    assert whole.color.shape == (number, 3, 16, 20)
    assert (whole.color[-1:] - last.color).abs().mean() < 1e-3


@pytest.mark.parametrize(
    "arguments, said",
    [
        (
            {"identities": ("box", "duck")},
            "identities must be one to 5 of box, sphere, cylinder, capsule, got ['box', 'duck']",
        ),
        ({"identities": ()}, "identities must be one to 5 of box, sphere, cylinder, capsule, got []"),
        ({"supersample": 0}, "supersample must be at least 1 (one sample a pixel, hard edges), got 0"),
        (
            {"camera": Camera(intrinsics=Intrinsics(40.0, 40.0, 9.0, 7.0, (16, 20)))},
            "MuJoCo draws with a field_of_view, and camera has intrinsics: give the one for the other",
        ),
    ],
)
def test_it_refuses(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        MujocoScene(**arguments)
