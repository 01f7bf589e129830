"""The Triton kernels draw what the numba kernels draw: on a GPU where there is one, else in Triton's interpreter."""

import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from test_swaps import IDENTITIES, losses, scenes

from renderers import MeshRenderer
from renderers.mesh import Camera, Intrinsics, Lamp, Light, Shadow
from renderers.mesh.backends.embedded import CPU
from renderers.pixel_loss import Normal

pytest.importorskip("triton", reason="the CUDA rasteriser needs Triton")

import triton
import triton.language as tl

from renderers.mesh import triton_kernels as kernels
from renderers.mesh.backends.base import Scoring
from renderers.mesh.backends.cuda import Triton

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LAMPS = (Lamp((-0.5, 0.8, 0.3), Shadow(0.2, samples=1)),)
CASES: dict[str, dict[str, Any]] = {
    "wide": dict(image_size=(12, 19), x=(-1.2, 1.2)),
    "2 samples": dict(image_size=(11, 8), supersample=2, x=(-1.2, 1.2)),
    "3 samples": dict(image_size=(5, 6), supersample=3, x=(-1.2, 1.2)),
    "shadows": dict(
        image_size=(8, 9),
        x=(-1.2, 1.2),
        light=Light((0.6, 0.7, -0.4), color=(1.0, 0.8, 0.6), shadow=Shadow(samples=2), lamps=LAMPS),
    ),
    "attributes": dict(
        image_size=(9, 8),
        x=(-1.2, 1.2),
        size=(0.6, 1.4),
        pitch=(-0.5, 0.5),
        roll=(-0.4, 0.6),
        color=(0.2, 1.0),
        metal=(0.1, 1.0),
        light=Light((0.6, 0.7, -0.4), shadow=Shadow(samples=2), distance=5.0, linear=True),
    ),  # fmt: skip
    "close, calibrated": dict(
        image_size=(12, 12),
        camera=Camera((0.0, 2.2, 2.2), (0.0, 0.3, 0.0), intrinsics=Intrinsics(18.5, 15.0, 6.5, 4.5, (12, 12))),
        x=(-0.6, 0.6),
        z=(-0.6, 0.6),
    ),
}


@pytest.fixture(params=list(CASES), scope="module")
def drawn(request: pytest.FixtureRequest) -> tuple[CPU, Triton, dict[str, Any]]:
    """Both rasterisers, and scenes of heaps and of objects that leave the image, on the CPU."""
    renderer = MeshRenderer(identities=IDENTITIES, **CASES[request.param])
    s = scenes(renderer, batch=2, slots=2, others=2)
    slots, others = renderer._objects(s.what, s.where), renderer._objects(s.other_what, s.other_where)
    scenery = renderer._backend.scenery
    given = {"slots": slots, "others": others, "images": s.images.unsqueeze(1), "incoming": s.incoming}
    given["renderer"] = renderer
    return CPU(scenery), Triton(scenery), given


def test_layers_agree(drawn: tuple[CPU, Triton, dict[str, Any]]) -> None:
    cpu, gpu, given = drawn
    identities, poses = (part.flatten(0, 1) for part in given["slots"])
    expected, found = cpu.layers(identities, poses), gpu.layers(identities.to(DEVICE), poses.to(DEVICE)).cpu()
    here, there = expected[:, 3].isfinite(), found[:, 3].isfinite()
    assert here.any() and (here != there).sum() <= 0.005 * here.sum()  # centres that lie on an edge, to rounding
    both = (here & there).unsqueeze(1).expand_as(expected)
    assert torch.allclose(found[both], expected[both], rtol=1e-5, atol=1e-5)
    assert (found[:, :3][~there.unsqueeze(1).expand(-1, 3, -1, -1)] == 0).all()


def test_canvases_agree(drawn: tuple[CPU, Triton, dict[str, Any]]) -> None:
    cpu, gpu, given = drawn
    found = gpu.canvases(*(part.to(DEVICE) for part in given["slots"])).cpu()
    assert ((found - cpu.canvases(*given["slots"])).abs() > 1e-5).float().mean() < 0.002


def test_given_backgrounds_agree(drawn: tuple[CPU, Triton, dict[str, Any]], request: pytest.FixtureRequest) -> None:
    cpu, gpu, given = drawn
    scenery, slots, others = cpu.scenery, given["slots"], given["others"]
    behind = torch.rand(2, 3, scenery.height, scenery.width, generator=torch.Generator().manual_seed(0))
    for background in (behind, behind[:1]):
        found = gpu.canvases(*(part.to(DEVICE) for part in slots), background.to(DEVICE)).cpu()
        assert ((found - cpu.canvases(*slots, background)).abs() > 1e-5).float().mean() < 0.002
    if "2 samples" in request.node.name:  # the interpreter is slow
        tensors = (*slots, *others, given["incoming"])
        found = gpu.scores(*(tensor.to(DEVICE) for tensor in tensors), None, behind.to(DEVICE)).cpu()
        expected = cpu.scores(*tensors, None, behind)
        assert torch.allclose(found, expected, rtol=1e-4, atol=2e-4 * float(expected.abs().max()))


def test_scores_agree(drawn: tuple[CPU, Triton, dict[str, Any]], request: pytest.FixtureRequest) -> None:
    cpu, gpu, given = drawn
    maps = [losses(given["renderer"])[-1]] if "2 samples" in request.node.name else []  # the interpreter is slow
    for loss in (None, Normal(0.1), *maps):
        tensors = (*given["slots"], *given["others"], given["incoming" if loss is None else "images"])
        if loss is not None and isinstance(loss.scale, torch.Tensor):
            loss = replace(loss, scale=loss.scale.to(DEVICE))
        found, expected = gpu.scores(*(tensor.to(DEVICE) for tensor in tensors), loss).cpu(), cpu.scores(*tensors, loss)
        assert torch.allclose(found, expected, rtol=1e-4, atol=2e-4 * float(expected.abs().max())), loss


@triton.jit
def _changes(old: Any, by: Any, wanted: Any, scale: Any, out: Any, parameter: Any, CODE: tl.constexpr) -> None:
    i = tl.arange(0, 32)
    inside = i < 30
    change = kernels._change(
        tl.load(old + i, inside), tl.load(by + i, inside), wanted + i, scale + i, parameter, inside, CODE
    )
    tl.store(out + i, change, inside)


def test_losses_of_pixels_agree() -> None:
    random = torch.Generator().manual_seed(0)
    image, canvas, other = (torch.rand(3, 2, 5, generator=random).to(DEVICE) for _ in range(3))
    renderer = MeshRenderer(identities=("cube",), image_size=(2, 5), x=(-0.5, 0.5), z=(-0.5, 0.5))
    for loss in losses(renderer):
        if isinstance(loss.scale, torch.Tensor):
            loss = replace(loss, scale=loss.scale.to(DEVICE))
        scoring, found = Scoring.of(loss, image), torch.empty_like(image)
        given = canvas, other - canvas, image, scoring.scale, found, scoring.parameter
        _changes[(1,)](*given, CODE=scoring.code)
        expected = loss(other, image) - loss(canvas, image)
        assert torch.allclose(found * scoring.factor, expected, rtol=1e-4, atol=1e-4), loss


def test_poses_that_are_not_finite_are_not_drawn() -> None:
    gpu = Triton(MeshRenderer(identities=("cube",), image_size=(8, 8))._backend.scenery)
    poses = torch.tensor([[float("nan"), 0.0, 0.0, 0.0], [float("inf"), 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    layers = gpu.layers(torch.zeros(3, dtype=torch.int64, device=DEVICE), poses.to(DEVICE))
    assert layers[:, 3].isfinite().flatten(1).any(1).tolist() == [False, False, True]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device's own assertion leaves nothing that draws after it")
def test_identities_that_are_none_are_refused() -> None:
    """The kernels do not look where they read."""
    gpu = Triton(MeshRenderer(identities=("cube", "cone"), image_size=(8, 8))._backend.scenery)
    good, message = torch.zeros(1, 1, dtype=torch.int64), "`what` must hold indices of the 2 identities, 0 to 1"
    poses, target = torch.zeros(1, 1, 4), torch.zeros(1, 1, 3, 8, 8)
    for bad in (good - 1, good + 2):
        with pytest.raises(RuntimeError, match=message):
            gpu.layers(bad[0], poses[0])
        with pytest.raises(RuntimeError, match=message):
            gpu.canvases(bad, poses)
        for identities, others in ((bad, good), (good, bad)):
            with pytest.raises(RuntimeError, match=message):
                gpu.scores(identities, poses, others.unsqueeze(-1), poses.unsqueeze(2), target, Normal(0.1))


def test_no_objects_and_no_scenes() -> None:
    gpu = Triton(MeshRenderer(identities=("cube",), image_size=(8, 8))._backend.scenery)
    none = torch.zeros(0, dtype=torch.int64, device=DEVICE)
    assert gpu.layers(none, torch.zeros(0, 4, device=DEVICE)).shape == (0, 4, 8, 8)
    assert gpu.canvases(none.view(0, 2), torch.zeros(0, 2, 4, device=DEVICE)).shape == (0, 3, 3, 8, 8)


def test_pickles_without_what_lies_on_the_device() -> None:
    gpu = Triton(MeshRenderer(identities=("cube",), image_size=(8, 8))._backend.scenery)
    identities, poses = torch.zeros(1, dtype=torch.int64, device=DEVICE), torch.zeros(1, 4, device=DEVICE)
    before = gpu.layers(identities, poses)
    again = pickle.loads(pickle.dumps(gpu))
    assert not again._held._made and torch.equal(again.layers(identities, poses), before)
