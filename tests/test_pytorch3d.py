"""The PyTorch3D backend: against rays and against the embedded backend; without PyTorch3D, what it says instead.

The laws of drawing one slot again are in test_swaps.py, for this backend too.
"""

import copy
import importlib.util
import math
import pickle
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from slow_rasterizer import Array, look
from test_rasterizer import CAMERAS, LIGHTS, agree, crumpled, only_the_second_is_drawn, random_poses
from test_swaps import IDENTITIES, Scenes, losses, scenes
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from air_lightning.cli import main
from renderers import MeshRenderer
from renderers.mesh import Camera, Intrinsics, Lamp, Light, Mesh, Shadow
from renderers.mesh.backends import make_backend
from renderers.mesh.scenery import pack
from renderers.mesh.shapes import SOLID_COLORS, SOLIDS
from renderers.pixel_loss import Normal, PixelLoss, StudentT

INSTALLED = importlib.util.find_spec("pytorch3d") is not None
needs_it = pytest.mark.skipif(not INSTALLED, reason="PyTorch3D is not installed")
MODULE = "pytorch3d.renderer.mesh.rasterize_meshes"
CONFIG = Path(__file__).parent.parent / "configs" / "scenes3d_pytorch3d.yaml"


# ---- without it


def test_not_installed_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULE, None)
    said = "mesh backend 'pytorch3d' needs PyTorch3D, and importing that failed (import of pytorch3d.renderer"
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        MeshRenderer(backend="pytorch3d")
    assert "INSTALL.md of https://github.com/facebookresearch/pytorch3d" in str(error.value)
    assert "or choose backend 'embedded', which needs no installation" in str(error.value)
    MeshRenderer()  # which does not ask for it


@pytest.mark.skipif(INSTALLED, reason="PyTorch3D is installed")
def test_truly_not_installed() -> None:
    with pytest.raises(ValueError, match=re.escape("importing that failed (No module named 'pytorch3d')")):
        MeshRenderer(backend="pytorch3d")


def test_not_installed_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, MODULE, None)
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", str(CONFIG), "--run_dir", str(tmp_path / "run")])
    assert stopped.value.code == 2
    assert "INSTALL.md of https://github.com/facebookresearch/pytorch3d" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_unknown_backends_are_named() -> None:
    with pytest.raises(ValueError, match="unknown mesh backend 'opengl': choose one of embedded, pytorch3d"):
        MeshRenderer(backend="opengl")


# ---- against rays


def draw(
    meshes: list[Mesh], identities: list[int], poses: Array, camera: Camera, light: Light, height: int, width: int
) -> tuple[Array, Array]:
    """Colour (M, H, W, 3) and depth (M, H, W), of any meshes."""
    scenery = pack(meshes, camera, light, np.zeros((3, height, width), np.float32), 1)
    layers = make_backend("pytorch3d", scenery).layers(torch.tensor(identities), torch.from_numpy(poses).float())
    images = layers.numpy().astype(np.float64)
    return images[:, :3].transpose(0, 2, 3, 1), images[:, 3]


@needs_it
@pytest.mark.parametrize("size", [(40, 40), (32, 56), (56, 32)], ids=["square", "wide", "tall"])
@pytest.mark.parametrize("camera", CAMERAS, ids=["default", "low", "above"])
def test_mixed_identities_by_rays(camera: Camera, size: tuple[int, int]) -> None:
    """All identities in one call, those of few triangles first, last and between, off-centre and half out of the
    image.
    """
    meshes, light = (
        [SOLIDS[identity](SOLID_COLORS[identity]).scaled(1.3) for identity in IDENTITIES],
        LIGHTS[size[0] % 3 // 2],
    )
    identities, poses = [3, 1, 0, 2, 1, 0, 3, 2], random_poses(size[1], 8)
    color, depth = draw(meshes, identities, poses, camera, light, *size)
    for m, pose in enumerate(poses):
        agree(color[m], depth[m], look(meshes[identities[m]], pose, camera, light, *size))


@needs_it
@pytest.mark.parametrize("closed", [False, True], ids=["both sides", "front sides"])
@pytest.mark.parametrize("seed", range(3))
def test_corner_colors_and_back_faces_by_rays(seed: int, closed: bool) -> None:
    mesh, camera, light = crumpled(seed, closed), Camera((0.5, 2.0, 2.5), (0.0, 0.7, 0.0), 50.0), LIGHTS[seed % 2]
    poses = random_poses(seed, 4) / 3
    color, depth = draw([crumpled(9), mesh], [1] * 4, poses, camera, light, 48, 40)
    for m, pose in enumerate(poses):
        agree(color[m], depth[m], look(mesh, pose, camera, light, 48, 40))


@needs_it
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e7, 3e38])
@pytest.mark.parametrize("coordinate", range(4), ids=["x", "y", "z", "yaw"])
def test_poses_beyond_reason_are_not_drawn(coordinate: int, number: float) -> None:
    only_the_second_is_drawn(draw, coordinate, number)


@needs_it
def test_faces_that_reach_the_camera_or_have_no_area_are_left_out() -> None:
    corners = np.array([[-1, 0, 0], [1, 0, 0], [0, 6, 9], [0, 0, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 1, 3], [1, 1, 0]], np.int32)
    mesh = Mesh(corners, faces, np.ones((3, 3, 3), np.float32), 0.0, closed=False)
    _, depth = draw([mesh], [0], np.zeros((1, 4)), Camera(), Light(), 33, 33)
    assert np.isinf(depth).all()


# ---- against the embedded backend

CASES: dict[str, dict[str, Any]] = {
    "square": dict(),
    "wide": dict(image_size=(30, 47)),
    "tall": dict(image_size=(47, 30), x=(-1.2, 1.2)),
    "two samples": dict(image_size=(20, 33), supersample=2),
    "cut": dict(camera=Camera((0.0, 2.2, 2.2), (0.0, 0.3, 0.0), 40.0), x=(-0.6, 0.6), z=(-0.6, 0.6)),
    "calibrated": dict(
        image_size=(30, 47),
        camera=Camera((0.0, 3.0, 3.5), (0.0, 0.2, 0.0), intrinsics=Intrinsics(500.0, 560.0, 270.0, 260.0, (480, 640))),
        x=(-0.8, 0.8),
        z=(-0.6, 0.6),
    ),
    "shadows": dict(
        light=Light(
            (0.6, 0.7, -0.4),
            ambient=0.3,
            color=(1.0, 0.8, 0.6),
            shadow=Shadow(0.5, samples=2),
            linear=True,
            lamps=(Lamp((-0.5, 0.8, 0.3), Shadow(0.2, samples=1)),),
        )
    ),
    "near light": dict(light=Light((0.6, 0.7, -0.4), shadow=Shadow(samples=2), distance=5.0)),
    "metal, sizes, colours": dict(
        image_size=(40, 48),
        size=(0.6, 1.3),
        color=(0.0, 1.0),
        metal=(0.0, 1.0),
        light=Light((0.6, 0.7, -0.4), linear=True),
    ),
    "askew, y free": dict(
        camera=Camera((2.5, 3.0, 3.5), (0.3, 0.2, -0.2), 60.0), x=(-1.2, 1.2), z=(-1.2, 1.2), y=(0.0, 0.6)
    ),
}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def both(request: pytest.FixtureRequest) -> tuple[MeshRenderer, MeshRenderer]:
    settings = {"identities": IDENTITIES, "image_size": (48, 48), **request.param}
    return MeshRenderer(**settings, backend="embedded"), MeshRenderer(**settings, backend="pytorch3d")


def edges(image: Tensor) -> Tensor:
    """Pixels (M, H, W) of images (M, C, H, W) beside which, within a pixel, any number differs by over 1/255."""
    spread = F.max_pool2d(image, 3, 1, 1) + F.max_pool2d(-image, 3, 1, 1)
    return (spread > 1 / 255).any(1)


def differ(found: Tensor, expected: Tensor) -> Tensor:
    return ((found - expected).abs() > 1 / 255).any(1)


def test_cases_cut_and_hide_objects() -> None:
    """The scenes do what they are for: objects leave the image, and two cover one sample."""
    made = MeshRenderer(**{"identities": IDENTITIES, "image_size": (48, 48), **CASES["cut"]})
    s = scenes(made, batch=12)
    seen = made.draw(s.what.flatten(), s.where.flatten(0, 1)).depth.isfinite()
    inside = F.pad(seen[:, 1:-1, 1:-1], (1, 1, 1, 1))
    assert (seen & ~inside).flatten(1).any(1).sum() > 5
    assert (seen.view(12, 3, 48, 48).sum(1) > 1).flatten(1).any(1).sum() > 5


@needs_it
def test_layers_agree(both: tuple[MeshRenderer, MeshRenderer]) -> None:
    s = scenes(both[0], batch=12)
    expected, found = (renderer.draw(s.what.flatten(), s.where.flatten(0, 1)) for renderer in both)
    covered = expected.depth.isfinite()
    apart = differ(found.color, expected.color) | (found.depth.isfinite() != covered)
    assert (apart <= edges(torch.cat([expected.color, covered.float().unsqueeze(1)], 1))).all()
    assert apart.sum() <= 2e-3 * covered.sum()
    shared = covered & found.depth.isfinite() & ~apart
    assert torch.allclose(found.depth[shared], expected.depth[shared], rtol=1e-4, atol=0)


@needs_it
def test_canvases_agree(both: tuple[MeshRenderer, MeshRenderer]) -> None:
    s = scenes(both[0], batch=12)
    expected, found = (renderer.render(s.what, s.where).flatten(0, 1) for renderer in both)
    apart = differ(found, expected)
    assert (apart <= edges(expected)).all() and apart.float().mean() < 2e-4
    assert ((expected - both[0].image_background()).abs() > 0.01).any(1).sum() > 0.02 * apart.numel()


def close(found: Tensor, expected: Tensor) -> None:
    """A pixel on an edge may go either way, and then a number is off by what it is worth; the others are equal."""
    error = (found - expected).abs() / expected.abs().mean()
    assert error.median() < 1e-5 and error.mean() < 5e-3 and (error > 1e-4).float().mean() < 0.05


@needs_it
def test_gradients_agree(both: tuple[MeshRenderer, MeshRenderer]) -> None:
    s = scenes(both[0], batch=12)
    expected, found = (renderer.contract(s.what, s.where, s.incoming) for renderer in both)
    close(found, expected)


@needs_it
def test_swap_losses_agree(both: tuple[MeshRenderer, MeshRenderer]) -> None:
    s = scenes(both[0], batch=12)
    for loss in losses(both[0]):
        expected, found = (renderer.swap_losses(s.images, *s[:4], loss) for renderer in both)
        close(found, expected)


@needs_it
@pytest.mark.parametrize("loss", [None, Normal(0.3), StudentT(0.3)], ids=["linear", "normal", "t"])
def test_scores_of_lopsided_objects_agree(loss: PixelLoss | None) -> None:
    """Meshes of loose triangles, of one side and of two, and few faces among many; off-centre, in heaps, cut."""
    meshes = [
        crumpled(0),
        SOLIDS["sphere"](SOLID_COLORS["sphere"]),
        crumpled(1, True),
        SOLIDS["cube"](SOLID_COLORS["cube"]),
    ]
    random, (height, width) = torch.Generator().manual_seed(0), (36, 50)
    scenery = pack(meshes, CAMERAS[1], LIGHTS[1], np.full((3, height, width), 0.3, np.float32), 2)
    identities = torch.tensor([0, 1, 2]).expand(8, 3)  # no identity in two slots, for their planes would coincide
    poses = torch.randn(8, 3, 4, generator=random) * torch.tensor([0.7, 0.1, 0.7, 3.0])
    other_poses = poses.unsqueeze(2) + 0.1 * torch.randn(8, 3, 5, 4, generator=random)
    target = torch.rand(8, 4 if loss is None else 1, 3, height // 2, width // 2, generator=random)
    given = identities, poses, torch.tensor([0, 3, 2])[:, None].expand(8, 3, 5), other_poses, target, loss
    embedded, found = (make_backend(name, scenery).scores(*given) for name in ("embedded", "pytorch3d"))
    assert (embedded != 0).float().mean() > 0.4
    close(found, embedded)


@needs_it
def test_samples_on_the_edge_between_faces_are_drawn() -> None:
    """Centres of pixels lie exactly on the diagonals of a cube seen straight from the front, and on its ridges."""
    settings = dict(identities=("cube",), camera=Camera((0.0, 0.4, 3.0), (0.0, 0.4, 0.0)), image_size=(33, 33), yaw=0.0)
    renderers = [MeshRenderer(**settings, x=0.0, z=(-0.5, 0.5), backend=name) for name in ("embedded", "pytorch3d")]
    for z in (-0.5, -0.21, 0.0, 0.4):
        expected, found = (r.draw(torch.tensor([0]), torch.tensor([[z]])).depth.isfinite() for r in renderers)
        assert torch.equal(found, expected) and found.sum() == round(math.sqrt(found.sum())) ** 2


# ---- how it works


def renderer(**changes: Any) -> MeshRenderer:
    return MeshRenderer(**{"identities": IDENTITIES, "image_size": (24, 24), "backend": "pytorch3d", **changes})


def everything(made: MeshRenderer, s: Scenes) -> list[Tensor]:
    errors, gradient = (
        made.swap_losses(s.images, *s[:4], Normal(math.sqrt(0.5))),
        made.contract(s.what, s.where, s.incoming),
    )
    return [made.draw(s.what[0], s.where[0]).color, made.render(s.what, s.where), errors, gradient]


@needs_it
@pytest.mark.parametrize("at_once", [1, 2000, 10_000])
def test_rounds_do_not_change_the_numbers(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    s = scenes(renderer())
    expected = everything(renderer(), s)
    monkeypatch.setattr("renderers.mesh.backends.pytorch3d.AT_ONCE", at_once)
    for found, wanted in zip(everything(renderer(), s), expected):
        assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-4)


@needs_it
def test_the_host_waits_for_nothing() -> None:
    """No operation whose result, or whose result's size, must be known before the next can be asked for."""
    waiting = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique", "index.Tensor[bool]"}

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            seen.append(function.overloadpacket.__name__)
            if seen[-1] == "index" and any(i is not None and i.dtype == torch.bool for i in args[1]):
                seen.append("index.Tensor[bool]")
            return function(*args, **(kwargs or {}))

    made, seen = renderer(), list[str]()
    s = scenes(made)
    everything(made, s)  # the scenery goes to the device once
    identities, poses = made._objects(s.what, s.where)
    others = made._objects(s.other_what, s.other_where)
    with Watch():
        made._backend.canvases(identities, poses)
        made._backend.scores(identities, poses, *others, s.images.unsqueeze(1), Normal(0.3))
        made._backend.scores(identities, poses, *others, s.incoming, None)
    assert len(seen) > 50 and not waiting & {*seen}


@needs_it
def test_copies_draw_the_same() -> None:
    made, s = renderer(), scenes(renderer())
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert torch.equal(twin.render(s.what, s.where), made.render(s.what, s.where))


@needs_it
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_draws_the_same() -> None:
    s, made = scenes(renderer(), batch=12), renderer()
    expected = everything(made, s)
    made.to("cuda")
    for found, wanted in zip(everything(made, Scenes(*(part.cuda() for part in s))), expected):
        close(found.cpu(), wanted)
