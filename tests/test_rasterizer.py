"""The kernels against rays in float64, on random objects, cameras and meshes the built-in shapes do not cover."""

import importlib
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from slow_rasterizer import Array, Sight, look

from renderers.mesh import Camera, Light, Mesh, projection, rasterizer
from renderers.mesh.scenery import pack
from renderers.mesh.shapes import SOLID_COLORS, SOLIDS
from renderers.threads import deal

LIGHTS = [Light(), Light((-1.0, 0.2, -3.0), 0.1, 0.9)]
CAMERAS = [Camera(), Camera((2.0, 1.0, 3.0), (0.0, 0.5, -0.5), 60.0), Camera((0.1, 9.0, 1.0), (0.0, 0.0, 0.0), 30.0)]


def draw(
    meshes: list[Mesh], identities: list[int], poses: Array, camera: Camera, light: Light, height: int, width: int
) -> tuple[Array, Array]:
    """Colour (M, H, W, 3) and depth (M, H, W) by the kernels, of any meshes."""
    scenery = pack(meshes, camera, light, np.zeros((3, height, width), np.float32), 1)
    layers = np.full((len(identities), 4, height * width), np.nan, np.float32)
    deal(rasterizer.draw_layers, len(identities), scenery, np.array(identities), poses.astype(np.float32), layers)
    images = layers.reshape(-1, 4, height, width).astype(np.float64)
    return images[:, :3].transpose(0, 2, 3, 1), images[:, 3]


def only_the_second_is_drawn(draw: Callable[..., tuple[Array, Array]], coordinate: int, number: float) -> None:
    """Of two cubes that ``draw`` draws, the first one with this number in its pose."""
    poses = np.zeros((2, 4))
    poses[0, coordinate] = number
    color, depth = draw([SOLIDS["cube"](SOLID_COLORS["cube"])], [0, 0], poses, Camera(), Light(), 24, 24)
    assert np.isinf(depth[0]).all() and (color[0] == 0).all()
    assert np.isfinite(depth[1]).any()


def random_poses(seed: int, count: int) -> Array:
    poses = np.random.default_rng(seed).uniform(-1.8, 1.8, (count, 4))
    poses[:, 1] = np.abs(poses[:, 1]) / 2
    poses[:, 3] *= 10
    return poses.astype(np.float32).astype(np.float64)


def agree(color: Array, depth: Array, sight: Sight) -> None:
    """Equal but where an edge passes within a fraction of the sample, and there are few of these."""
    clear = ~sight.edge
    seen = np.isfinite(sight.depth)
    assert (np.isfinite(depth) == seen)[clear].all()
    assert (seen & clear).sum() > 0.8 * seen.sum()
    assert np.allclose(depth[clear & seen], sight.depth[clear & seen], rtol=1e-4)
    assert np.abs(color - sight.color)[clear].max() < 1 / 255
    assert (color[~np.isfinite(depth)] == 0).all()


@pytest.mark.parametrize("camera", CAMERAS, ids=["default", "low", "above"])
@pytest.mark.parametrize("identity", SOLIDS)
def test_built_in_shapes(identity: str, camera: Camera) -> None:
    mesh, light = SOLIDS[identity](SOLID_COLORS[identity]).scaled(1.3), LIGHTS[len(identity) % 2]
    poses = random_poses(len(identity), 6)
    color, depth = draw([mesh], [0] * 6, poses, camera, light, 40, 56)
    for m, pose in enumerate(poses):
        agree(color[m], depth[m], look(mesh, pose, camera, light, 40, 56))


def crumpled(seed: int, closed: bool = False) -> Mesh:
    """Twenty random triangles, each corner of another colour, seen from both sides."""
    random = np.random.default_rng(seed)
    vertices = random.uniform(-0.8, 0.8, (30, 3)) + np.array([0, 0.8, 0])
    faces = np.stack([random.choice(30, 3, replace=False) for _ in range(20)])
    colors = random.random((20, 3, 3))
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), colors.astype(np.float32), 0.0, closed)


@pytest.mark.parametrize("closed", [False, True], ids=["both sides", "front sides"])
@pytest.mark.parametrize("seed", range(3))
def test_corner_colors_blend_with_perspective(seed: int, closed: bool) -> None:
    mesh, camera, light = crumpled(seed, closed), Camera((0.5, 2.0, 2.5), (0.0, 0.7, 0.0), 50.0), LIGHTS[seed % 2]
    poses = random_poses(seed, 4) / 3
    color, depth = draw([mesh], [0] * 4, poses, camera, light, 48, 40)
    for m, pose in enumerate(poses):
        agree(color[m], depth[m], look(mesh, pose, camera, light, 48, 40))


def test_identities_do_not_mix() -> None:
    """Several meshes of different sizes in one scenery: each object is drawn as its own identity alone would be."""
    meshes = [crumpled(0), *(SOLIDS[identity](SOLID_COLORS[identity]) for identity in SOLIDS), crumpled(1, True)]
    identities, poses, setting = [5, 0, 3, 1, 4, 2], random_poses(9, 6) / 2, (Camera(), Light(), 32, 32)
    color, depth = draw(meshes, identities, poses, *setting)
    for m, identity in enumerate(identities):
        alone_color, alone_depth = draw([meshes[identity]], [0], poses[m : m + 1], *setting)
        assert np.array_equal(color[m], alone_color[0]) and np.array_equal(depth[m], alone_depth[0])


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 5], indirect=True)
def test_threads_do_not_change_the_image(threads: int) -> None:
    mesh, poses = SOLIDS["cube"](SOLID_COLORS["cube"]), random_poses(1, 7)
    color, depth = draw([mesh], [0] * 7, poses, Camera(), Light(), 24, 24)
    for m in range(7):
        alone_color, alone_depth = draw([mesh], [0], poses[m : m + 1], Camera(), Light(), 24, 24)
        assert np.array_equal(color[m], alone_color[0]) and np.array_equal(depth[m], alone_depth[0])


@pytest.mark.parametrize("threads, shares", [(1, {(0, 7)}), (3, {(0, 2), (2, 4), (4, 7)})], indirect=["threads"])
def test_shares_cover_the_work_and_their_errors_come_out(threads: int, shares: set[tuple[int, int]]) -> None:
    done = set()

    def kernel(start: int, stop: int, last: int) -> None:
        done.add((start, stop))
        if stop == last:
            raise RuntimeError(f"{start} to {stop}")

    with pytest.raises(RuntimeError, match="to 7"):
        deal(kernel, 7, 7)
    assert done == shares


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_a_fork_draws_too(threads: int) -> None:
    """As a DataLoader's worker does, after its parent has drawn with threads that the worker has not."""
    mesh, poses = SOLIDS["cube"](SOLID_COLORS["cube"]), random_poses(1, 4)
    expected, _ = draw([mesh], [0] * 4, poses, Camera(), Light(), 24, 24)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on forks of processes with threads
        child = context.Process(target=lambda: queue.put(draw([mesh], [0] * 4, poses, Camera(), Light(), 24, 24)[0]))
        child.start()
    assert np.array_equal(queue.get(timeout=60), expected)
    child.join()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e7, 3e38])
@pytest.mark.parametrize("coordinate", range(4), ids=["x", "y", "z", "yaw"])
def test_poses_beyond_reason_are_not_drawn(coordinate: int, number: float) -> None:
    only_the_second_is_drawn(draw, coordinate, number)


@pytest.mark.parametrize("seed", range(4))
def test_wild_poses_stay_inside_memory(seed: int) -> None:
    """Objects around, in and behind the camera: the guard band before and after the output is left alone."""
    random = np.random.default_rng(seed)
    poses = random.normal(size=(200, 4)) * 10 ** random.uniform(-3, 6, (200, 1))
    poses[:100] = random.uniform(-0.6, 0.6, (100, 4)) + np.array([0, 4.4, 4.8, 0])  # the eye itself
    scenery = pack([crumpled(seed), *(SOLIDS[k](SOLID_COLORS[k]) for k in SOLIDS)], Camera(), Light(), SMALL, 1)
    guarded = np.full((202, 4, 5 * 7), 7, np.float32)
    rasterizer.draw_layers(0, 200, scenery, random.integers(5, size=200), poses.astype(np.float32), guarded[1:-1])
    assert (guarded[[0, -1]] == 7).all()
    assert (guarded[1:-1, 3] > 0).all() and ((guarded[1:-1, :3] >= 0) & (guarded[1:-1, :3] <= 1 + 1e-3)).all()


SMALL = np.zeros((3, 5, 7), np.float32)


def test_faces_that_reach_the_camera_are_left_out() -> None:
    """A triangle with one corner behind the eye is not drawn, rather than drawn inside out."""
    corners = np.array([[-1, 0, 0], [1, 0, 0], [0, 6, 9]], np.float32)
    mesh = Mesh(corners, np.array([[0, 1, 2]], np.int32), np.ones((1, 3, 3), np.float32), 0.0, closed=False)
    _, depth = draw([mesh], [0], np.zeros((1, 4)), Camera(), Light(), 16, 16)
    assert np.isinf(depth).all()


def test_degenerate_faces_are_not_drawn() -> None:
    line = np.array([[-1, 0.5, 0], [1, 0.5, 0], [0, 0.5, 0]], np.float32)
    mesh = Mesh(line, np.array([[0, 1, 2], [1, 1, 2]], np.int32), np.ones((2, 3, 3), np.float32), 0.0, closed=False)
    _, depth = draw([mesh], [0], np.zeros((1, 4)), Camera(), Light(), 33, 33)
    assert np.isinf(depth).all()


def test_a_kernels_cache_goes_when_a_file_it_calls_is_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = "from numba import njit\n\n@njit(cache=True)\ndef double(x):\n    return 2 * x\n"
    (tmp_path / "doubling.py").write_text(kernel)
    monkeypatch.syspath_prepend(tmp_path)
    double = importlib.import_module("doubling").double
    assert double(3) == 6
    folder = Path(double.stats.cache_path)
    kept = {path.name for path in folder.glob("doubling.double*")}
    source = tmp_path / "called.py"
    source.touch()
    os.utime(source, (0, 0))
    projection.renew_cache(double, str(source))
    assert kept and kept == {path.name for path in folder.glob("doubling.double*")}
    os.utime(source, (2**31, 2**31))
    gone = folder / "doubling.gone.nbc"
    gone.symlink_to(folder / "nowhere")  # as a file is that another process removes meanwhile
    projection.renew_cache(double, str(source))
    assert not list(folder.glob("doubling.double*")) and double(4) == 8
