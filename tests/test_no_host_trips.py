"""A training step on a GPU keeps it and the host apart: nothing is copied between them, and nothing is waited for.

No GPU is needed to see that. Here the model lies on torch's meta device, where tensors have shapes and no values:
whatever has the host look at a value fails by itself, and copies are watched for. The kernels, Triton's, are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from air_lightning.distributions import draw
from air_lightning.estimators import (
    ExactIdentity,
    NVILCount,
    NVILIdentity,
    ReweightedWakeSleepCount,
    RLOOCount,
    RLOOIdentity,
    VIMCOCount,
)
from air_lightning.inference import RecurrentAIR
from air_lightning.model.module import AIRModule
from air_lightning.model.sleep import Sleep
from datamodules import Scenes3D
from datamodules.base import Batch
from renderers import GlimpseRenderer, MeshRenderer, constants

pytest.importorskip("triton", reason="the mesh renderer draws on CUDA with Triton")

from renderers.mesh.backends.cuda import Triton
from renderers.mesh.backends.embedded import Embedded

GPU = torch.device("meta")
MADE_OF_NUMBERS = (torch.tensor, torch.as_tensor, torch.scalar_tensor, Tensor.new_tensor)


class Border(TorchDispatchMode):
    """Notes every operation on tensors of both sides, and every copy from one to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.crossed: list[str] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        copies = "copy" in str(operation)
        # the host's scalars are arguments of a kernel
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor) and (copies or x.dim())]
        made = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        if len({x.device for x in given + (made if given else [])}) > 1:
            self.crossed.append(str(operation))
        return result


class Watch(TorchFunctionMode):
    """The border, and besides what is made of the host's numbers, which the meta device takes without a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.border = Border()

    @property
    def crossed(self) -> list[str]:
        return self.border.crossed

    def __enter__(self) -> Watch:
        super().__enter__()
        self.border.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.border.__exit__(*error)
        super().__exit__(*error)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function in MADE_OF_NUMBERS and result.device == GPU:
            self.crossed.append(function.__name__)
        return result


@pytest.fixture
def no_launches(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Triton's kernels stay idle; that all they would be given lies on the device is seen to. How many there were."""
    launches: list[int] = []

    def launch(self: Triton, kernel: Any, programs: int, tensors: Any, scene: Any, *rest: Any, **given: Any) -> None:
        assert all(x.device == GPU for x in (*tensors, *scene) if isinstance(x, Tensor))
        launches.append(programs)

    monkeypatch.setattr(Triton, "_launch", launch)
    monkeypatch.setattr(Embedded, "_on", lambda self, device: self._gpu)
    constants._cached_tensor.cache_clear()
    yield launches
    constants._cached_tensor.cache_clear()


def on_gpu(module: AIRModule) -> AIRModule:
    backend = getattr(module.renderer, "_backend", None)
    if isinstance(backend, Embedded):
        backend._gpu = Triton(backend.scenery)  # type: ignore[attr-defined]
    return module.to(GPU)


def crossings(module: AIRModule, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What crosses between host and GPU in the second training step; the first may put constants there."""
    logged: dict[str, Any] = {}
    monkeypatch.setattr(module, "log_dict", logged.update)
    monkeypatch.setattr(module, "optimizers", lambda: SimpleNamespace(param_groups=[{"lr": 1e-3}, {"lr": 1e-3}]))
    module.trainer = SimpleNamespace(should_stop=True, log_every_n_steps=1, global_step=0)  # type: ignore[assignment]
    images = torch.empty(4, *module.renderer.image_shape, device=GPU)
    unused = torch.empty(4, 1, device=GPU)
    batch = Batch(images, unused, unused, unused)
    module.training_step(batch, 0)["loss"].backward()
    with Watch() as watch:
        outputs = module.training_step(batch, 0)
        loss = outputs["loss"]
        loss.backward()
        module.on_train_batch_end(outputs, batch, 0)
    assert loss.device == GPU and {"train/loss", "lr/model"} <= logged.keys()
    # of a bare number Lightning makes a tensor on the GPU
    assert all(isinstance(value, Tensor) for value in logged.values())
    return watch.crossed


def mesh() -> MeshRenderer:
    return MeshRenderer(image_size=(32, 32))


def glimpse() -> GlimpseRenderer:
    return GlimpseRenderer((3, 32, 32), what=8, glimpse=8, hidden=16)


MODELS: dict[str, Callable[[], AIRModule]] = {
    "scenes3d": lambda: AIRModule(mesh(), identity=ExactIdentity(spread=2.0)),
    "more identities than summed": lambda: AIRModule(mesh(), identity=ExactIdentity(top=1)),
    "3D, sampled": lambda: AIRModule(mesh(), RecurrentAIR, count=RLOOCount(spread=1.0), identity=RLOOIdentity()),
    "3D, baselines": lambda: AIRModule(mesh(), count=NVILCount(), identity=NVILIdentity()),
    "3D, sleep": lambda: AIRModule(mesh(), sleep=Sleep(1.0)),
    "2D": lambda: AIRModule(glimpse()),
    "2D, sleep": lambda: AIRModule(glimpse(), sleep=Sleep(1.0, noise=True)),
    "2D, turned": lambda: AIRModule(GlimpseRenderer((1, 32, 32), what=8, glimpse=8, turn=0.5, compositing="over")),
    "2D, samples": lambda: AIRModule(glimpse(), RecurrentAIR, count=VIMCOCount()),
    "2D, wake-sleep": lambda: AIRModule(glimpse(), count=ReweightedWakeSleepCount()),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_a_training_step_leaves_the_host_alone(
    name: str, no_launches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = on_gpu(MODELS[name]())
    assert crossings(module, monkeypatch) == []
    assert bool(no_launches) == isinstance(module.renderer, MeshRenderer)


def test_scenes_are_drawn_and_stay_on_the_gpu(no_launches: list[int]) -> None:
    """Their poses go there, and nothing comes back."""
    renderer = on_gpu(AIRModule(mesh())).renderer
    scenes = Scenes3D(renderer, noise=0.1).scenes("train")
    scenes.__getitems__([0, 1])
    with Watch() as watch:
        batch = scenes.__getitems__([2, 3])
    assert all(part is None or part.device == GPU for part in batch) and no_launches
    assert watch.crossed == ["aten._to_copy.default"] * 4  # count, what, where and the noise


def test_what_crosses_would_be_seen() -> None:
    values = torch.empty(3, device=GPU)
    with Watch() as watch:
        torch.tensor([1.0, 2.0], device=GPU)
        torch.tensor(1.0, device=GPU)
        values.new_tensor(1.0)
    assert len(watch.crossed) == 3
    looks = [lambda: values.cpu(), lambda: bool(values.any()), lambda: values[values > 0], lambda: values[0].item()]
    for look in looks:
        with pytest.raises((NotImplementedError, RuntimeError)):
            look()


def test_one_sample_is_drawn_as_torch_draws_it() -> None:
    """`torch.multinomial` has the host look at the probabilities, so it is not called; the numbers are the same."""
    probabilities = torch.rand(50, 4)
    torch.manual_seed(3)
    expected = torch.multinomial(probabilities, 1, replacement=True)
    torch.manual_seed(3)
    assert torch.equal(draw(probabilities, 1), expected)


def test_several_samples_leave_the_host_alone() -> None:
    probabilities = torch.empty(2, 3, 4, device=GPU)
    with Watch() as watch:
        assert draw(probabilities, 5).shape == (2, 3, 5)
    assert watch.crossed == []


def test_several_samples_are_of_the_distribution_and_independent() -> None:
    torch.manual_seed(0)
    probabilities = torch.tensor([0.1, 0.0, 0.3, 0.6])
    drawn = draw(probabilities.expand(20_000, 2, 4), 2)
    assert drawn.shape == (20_000, 2, 2)
    pairs = torch.bincount((4 * drawn[..., 0] + drawn[..., 1]).flatten(), minlength=16).view(4, 4) / 40_000
    # six standard deviations of a share
    assert (pairs - torch.outer(probabilities, probabilities)).abs().max() < 6 * (0.36 * 0.64 / 40_000) ** 0.5
    assert pairs[1].sum() == pairs[:, 1].sum() == 0
