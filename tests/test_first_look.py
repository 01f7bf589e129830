"""A renderer plug-in that draws no images is told of in one line before training; what it raises keeps its trace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from broken_renderers import CoarseBackground, DepthUndefined, Doubles, FlatDepth, NoAlpha, NoLayer
from disc_plugin import Discs
from renderers_for_tests import Bumps, BumpScenes
from test_module import pytestmark as pytestmark
from test_module import trainer
from torch import Tensor

from air_lightning.cli import main
from air_lightning.inference import ResidualAttention
from air_lightning.model import AIRModule
from air_lightning.testing.first_look import WrongDrawing, look_at
from renderers import GlimpseRenderer, Layer, MeshRenderer, Renderer


class Spoilt(Discs):
    """Discs of which ``spoil`` makes something else."""

    def __init__(self, spoil: Callable[[Layer], Any] = lambda layer: layer) -> None:
        super().__init__(12)
        self.spoil = spoil

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        layer: Layer = self.spoil(super().draw(what, where))
        return layer


class Misdrawn(Discs):
    def render(self, what: Tensor, where: Tensor, background: Tensor | None = None) -> Tensor:
        return super().render(what, where, background)[:, 1:]


class Halved(Discs):
    def render(self, what: Tensor, where: Tensor, background: Tensor | None = None) -> Tensor:
        return super().render(what, where, background).half()


class NoBackdrop(Discs):
    def background(self) -> Tensor:
        return None  # type: ignore[return-value]


class Unpainted(Discs):
    """Nothing at all where there is no object: 0 / 0."""

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth, _, _ = super().draw(what, where)
        return Layer(color / color.sum(1, keepdim=True), depth)


class Raising(Discs):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        raise ValueError("no colours left")


def array(layer: Layer) -> Any:
    return Layer(layer.color.numpy(), layer.depth)  # type: ignore[arg-type]


NAN = "canvases are NaN or infinite in 100% of 32 scenes of objects from the prior, not in [0, 1]: look for a division"
WRONG: list[tuple[Any, str]] = [
    (NoLayer, "draw gave a tuple: return renderers.Layer(color, depth)"),
    (lambda: Spoilt(array), "draw gave color as ndarray, not as torch.Tensor: return Layer(color, depth)"),
    (FlatDepth, "draw of 1 objects gave depth (1, 1024), not (1, 32, 32): image_shape (3, 32, 32) asks for it"),
    (NoAlpha, "compositing is `over` and draw gave no alpha: return Layer(color, depth, alpha)"),
    (CoarseBackground, "background gave (3, 16, 16), not (3, 32, 32): paint it with the channels"),
    (NoBackdrop, "background gave a NoneType, not a torch.Tensor: return what an empty scene shows"),
    (Doubles, "color is torch.float64 on cpu, where is torch.float32 on cpu: make it with .to(where)"),
    (Unpainted, NAN),
    (Misdrawn, "canvases of 32 scenes with 3 objects gave (32, 3, 3, 32, 32), not (32, 4, 3, 32, 32): give the empty"),
    (Halved, "canvases are torch.float16, where is torch.float32: draw with .to(where)"),
]


@pytest.mark.parametrize("make, said", WRONG)
def test_what_is_no_image(make: Any, said: str) -> None:
    renderer = make()
    with pytest.raises(WrongDrawing) as error:
        look_at(renderer)
    name = type(renderer).__name__
    assert str(error.value).startswith(f"renderer {name}: {said}")
    path = f"{type(renderer).__module__}.{name}"
    assert str(error.value).endswith(f"; `python -m air_lightning check --renderer {path}` tests it whole")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "renderer",
    [
        Discs(),
        Spoilt(),
        DepthUndefined(),
        Bumps(),
        MeshRenderer(image_size=(16, 16)),
        GlimpseRenderer((1, 16, 16), 2, 4, 8),
    ],
    ids=lambda renderer: type(renderer).__name__,
)
def test_images_are_images(renderer: Renderer) -> None:
    """Other laws may be broken, and `check` says so; no random numbers are used up."""
    before = torch.get_rng_state()
    look_at(renderer)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_a_trainer_looks_first(stage: str) -> None:
    with pytest.raises(WrongDrawing, match="renderer NoLayer: draw gave a tuple"):
        getattr(trainer(), stage)(AIRModule(NoLayer(), slots=2), datamodule=BumpScenes(Bumps()))


class Stateless(ResidualAttention):
    """A network that forgets to hand its state on."""

    def propose(self, *args: Any) -> Any:
        return super().propose(*args)[0]


class Unmade(ResidualAttention):
    """A network whose constructor forgets its base class's."""

    def __init__(self, renderer: Renderer) -> None:
        self.told = True


def test_parts_that_are_not_made_are_named() -> None:
    said = r"__init__ does not call super\(\).__init__\(...\): let it do so before all else$"
    with pytest.raises(ValueError, match=f"^Unmade.{said}"):
        AIRModule(Discs(), Unmade)
    with pytest.raises(ValueError, match=f"^Discs.{said}"):
        AIRModule(Discs.__new__(Discs))


def config(tmp_path: Path, renderer: str, network: str = "air_lightning.inference.ResidualAttention") -> list[str]:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "max_steps": 2}
    data = {"class_path": "datamodules.Scenes3D", "init_args": {"counts": [0, 1], "batch_size": 2, "val_scenes": 2}}
    parts = {"renderer": {"class_path": f"test_first_look.{renderer}"}, "inference": {"class_path": network}}
    model = {**parts, "slots": 1}
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump({"trainer": quiet, "model": model, "data": data, "figures": {"every_minutes": 0}}))
    return ["fit", "--config", str(file), "--run_dir", str(tmp_path / "run")]


def test_fit_ends_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(config(tmp_path, "Unpainted"))
    assert stop.value.code == 2 and not (tmp_path / "run").exists()
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: renderer Unpainted: {NAN}")
    assert error.endswith("check --renderer test_first_look.Unpainted` tests it whole")


def test_a_networks_wrong_answer_ends_fit_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(config(tmp_path, "Discs", "test_first_look.Stateless"))
    assert stop.value.code == 2 and not (tmp_path / "run").exists()
    said = "error: Stateless.propose must give a pair, (Proposal, state), got a Proposal"
    assert capsys.readouterr().err.splitlines()[-1] == said


def test_what_a_renderer_raises_keeps_its_trace(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^no colours left$") as error:
        main(config(tmp_path, "Raising"))
    assert error.traceback[-1].name == "draw" and not (tmp_path / "run").exists()
