"""Exported models: read back, they say what the original says; and what is said where they cannot be."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs_for_tests import ATTENTION, DAIR, DISCS, GLIMPSES, LSTM, MESHES, RECONSIDERED, REFINED, TURNED, write_run
from torch import Tensor

import air_lightning
from air_lightning.cli import main
from air_lightning.commands.export.formats import lesser, quantile
from air_lightning.commands.export.program import largest_gaps
from air_lightning.runs.loading import load_module
from renderers import Layer, MeshRenderer, Renderer
from renderers.mesh import Lamp, Light, Shadow
from renderers.mesh.dense import DenseMeshes


def export(*args: object) -> None:
    main(["export", *(str(arg) for arg in args)])


def drawn(renderer: Renderer, n: int, seed: int = 0) -> Tensor:
    """Images of two objects each."""
    torch.manual_seed(seed)
    where = renderer.where.constrain(torch.randn(n, 2, len(renderer.where)))
    what = torch.randint(renderer.identity_count, (n, 2)) if renderer.identity_count > 1 else torch.randn(n, 2, 3)
    return renderer.render(what, where)[:, -1].detach().clamp(0, 1)


MODELS = {
    "discs and difference": (DISCS, DAIR),
    "glimpses": (GLIMPSES, ATTENTION),
    "turned glimpses": (TURNED, ATTENTION),
    "glimpses and LSTM": (GLIMPSES, LSTM),
    "meshes": (MESHES, ATTENTION),
}
AGAIN = {
    "glimpses": {"reconsideration": RECONSIDERED},
    "glimpses and LSTM": {
        "background": {"class_path": "air_lightning.backgrounds.CodedBackground", "init_args": {"median": False}}
    },
    "meshes": {"slots": 3},  # more than two, for a z-buffer lays the third over the nearer of two
}
"""Further arguments of the model, by case."""


@pytest.mark.parametrize("case", [case for case in MODELS if case != "meshes"])  # whose turn comes below
def test_a_program_says_what_the_model_says(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    renderer, inference = MODELS[case]
    run = write_run(tmp_path / "run", renderer, inference, **AGAIN.get(case, {}))
    export("--run_dir", run, "--output", tmp_path / "new" / "model.pt2")
    assert f"wrote {tmp_path}/new/model.pt2: largest difference from the original" in capsys.readouterr().out
    # and the model itself goes on as before: nothing of the trace is left behind
    program, module = torch.export.load(tmp_path / "new" / "model.pt2").module(), load_module(run)
    images = drawn(module.renderer, 6)
    seen = module.infer(images)
    for count, what, where in (program(images), [torch.cat(p) for p in zip(*(program(x[None]) for x in images))]):
        torch.testing.assert_close(count, seen.posterior, atol=1e-4, rtol=0)
        torch.testing.assert_close(where, seen.slots.where, atol=1e-3, rtol=0)
        named = module.renderer.identity_count > 1
        expected = seen.slots.what_parameters.softmax(-1) if named else seen.slots.what
        torch.testing.assert_close(what, expected, atol=1e-3, rtol=0)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.pt2"]


def test_a_program_needs_nothing_of_ours_and_says_what_it_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", MESHES, refinement=REFINED)
    export("--run_dir", run, "--output", tmp_path / "model.pt2")
    code = """
import sys, json, torch
extra = {"metadata.json": ""}
program = torch.export.load("model.pt2", extra_files=extra).module()
shapes = [list(part.shape) for part in program(torch.rand(3, 3, 32, 40))]
ours = [name for name in sys.modules if name.split(".")[0] in ("air_lightning", "renderers", "datamodules")]
print(json.dumps([shapes, ours, json.loads(extra["metadata.json"])]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    shapes, ours, facts = json.loads(done.stdout)
    assert shapes == [[3, 3], [3, 2, 3], [3, 2, 3]] and ours == []
    known = {name: json.loads(text) for name, text in facts.items() if name != "description"}
    assert known["image_shape"] == [3, 32, 40] and known["slots"] == 2 and known["refined"] is False
    assert known["kinds"] == ["cube", "sphere", "cylinder"]
    assert [c["name"] for c in known["where"]] == ["x", "z", "yaw"] and known["where"][0]["unit"] == "world units"
    assert known["where"][2]["periods"][1] == 0 and "not refined" in facts["description"]


@pytest.mark.parametrize("case", ["glimpses", "turned glimpses", "meshes"])
def test_onnx(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra `export`")
    renderer, inference = MODELS[case]
    run = write_run(tmp_path / "run", renderer, inference, **AGAIN.get(case, {}))
    export("--run_dir", run, "--output", tmp_path / "model.onnx", "--format", "onnx")
    assert "images differ by more than 0.001" in capsys.readouterr().out
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    module = load_module(run)
    images = drawn(module.renderer, 4)
    count, _, where = session.run(["count_probabilities", "object_what", "object_where"], {"images": images.numpy()})
    seen = module.infer(images)
    assert count == pytest.approx(seen.posterior.numpy(), abs=1e-4)
    assert where == pytest.approx(seen.slots.where.numpy(), abs=1e-3)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["slots"]) == module.slots and json.loads(facts["image_shape"]) == list(
        module.renderer.image_shape
    )


def test_the_lesser_in_operations_of_onnx() -> None:
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    some = np.array([1.0, 2.0, np.inf, np.nan, 3.0, np.nan], np.float32)
    others = np.array([2.0, 1.0, 4.0, 5.0, np.nan, np.nan], np.float32)
    assert np.asarray(lesser(some, others).value) == pytest.approx(np.fmin(some, others), nan_ok=True)


def test_the_quantile_in_operations_of_onnx() -> None:
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    p = np.linspace(0.0005, 0.9995, 2001, dtype=np.float32)
    found = np.asarray(quantile(p).value)
    assert found == pytest.approx(torch.special.ndtri(torch.from_numpy(p).double()).numpy(), abs=1e-6)


# ---- the mesh renderer in torch operations

LAMPS = (Lamp((-0.5, 0.8, 0.3), Shadow(0.2, samples=1)),)
SLANT = Light((0.6, 0.7, -0.4), color=(1.0, 0.8, 0.6), shadow=Shadow(samples=2), lamps=LAMPS)


@pytest.mark.parametrize("supersample, light", [(1, SLANT), (2, Light())], ids=["shadows", "2 samples"])
def test_dense_meshes_are_the_renderers(supersample: int, light: Light) -> None:
    identities = ["cube", "sphere", "cylinder", "cone"]
    renderer = MeshRenderer(
        identities=identities, image_size=(24, 32), supersample=supersample, y=(0.0, 0.3), light=light
    )
    dense = renderer.traceable()
    assert isinstance(dense, DenseMeshes)
    torch.manual_seed(0)
    what, where = torch.arange(40) % 4, renderer.where.constrain(torch.randn(40, 4))
    where[0, 2], where[1, 0], where[2, 0] = 4.7, float("nan"), 1e7  # at the camera; no pose at all; beyond reason
    mine, theirs = dense.draw(what, where), renderer.draw(what, where)
    shown = theirs.depth.isfinite()
    assert torch.equal(mine.depth.isfinite(), shown) and shown.any(2).any(1).sum() >= 37
    torch.testing.assert_close(mine.depth[shown], theirs.depth[shown], atol=0, rtol=1e-3)
    torch.testing.assert_close(mine.color, theirs.color, atol=1 / 255, rtol=0)
    if theirs.shade is not None:
        assert mine.shade is not None and (theirs.shade < 1).any()
        assert ((mine.shade - theirs.shade).abs() > 1e-5).float().mean() < 1e-3
    slots = what[4:].view(18, 2), where[4:].view(18, 2, 4)
    different = (dense.render(*slots) - renderer.render(*slots)).abs().amax(2) > 1e-3
    assert different.float().mean() < 1e-4  # where two objects cut one another


# ---- what cannot be exported


class Shifted(MeshRenderer):
    """One whose traceable form draws everything too bright: what is exported is not the model."""

    def traceable(self) -> Renderer:
        return Brighter(self.what, self.where.coordinates, self.image_shape, self.full_pose, self._backend.scenery)  # type: ignore[arg-type]


class Brighter(DenseMeshes):
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        layer = super().draw(what, where)
        return layer._replace(color=(layer.color * 3).clamp(0, 1))


class Numpy(MeshRenderer):
    """One that draws outside torch and says nothing of it."""

    def traceable(self) -> Renderer:
        return self


def test_of_noise_slots_that_are_no_objects_count_where_they_are_no_numbers() -> None:
    count = torch.tensor([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    what, where = torch.zeros(2, 2, 3), torch.zeros(2, 2, 4)
    for change, of_objects in ((0.5, [0.0, 0.5]), (torch.nan, [torch.inf, torch.inf])):
        other = where.clone()
        other[:, 1, 2] = change
        for objects_alone, gaps in ((True, of_objects), (False, [of_objects[1]] * 2)):
            assert largest_gaps((count, what, other), (count, what, where), objects_alone).tolist() == gaps


def test_what_differs_from_the_original_is_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", {"class_path": "test_export.Shifted", "init_args": MESHES["init_args"]})
    with pytest.raises(SystemExit) as stop:
        export("--run_dir", run, "--output", tmp_path / "model.pt2")
    assert stop.value.code == 1
    assert "error: the exported program is not the model: largest difference" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_renderer_that_torch_cannot_follow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", {"class_path": "test_export.Numpy", "init_args": MESHES["init_args"]})
    with pytest.raises(SystemExit) as stop:
        export("--run_dir", run, "--output", tmp_path / "model.pt2")
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "error: torch.export cannot follow ResidualAttention with Numpy" in error and "`traceable`" in error
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--output", "there.pt2"], "--output 'there.pt2' exists: add --overwrite, or name another file"),
        (["--output", "folder"], "--output 'folder' exists: name another"),
        (["--output", "folder", "--format", "checkpoint", "--overwrite"], "--output 'folder' exists: name another"),
        (["--output", "new.pt2", "--ckpt_path", "last"], "has no checkpoints/last.ckpt"),
        (["--output", "new", "--format", "checkpoint", "--ckpt_path", "last"], "has no checkpoints/last.ckpt"),
        (["--output", "new.onnx"], "--output 'new.onnx' must end in .pt2 with --format torch"),
        (["--output", "there.pt2/new.pt2"], "'there.pt2' cannot be made, for 'there.pt2' is no folder: name another"),
    ],
)
def test_wrong_arguments_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[Any],
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "run", DISCS)
    Path("there.pt2").write_text("mine")
    Path("folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        export("--run_dir", run, *arguments)
    assert stop.value.code == 2 and message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before and Path("there.pt2").read_text() == "mine"


def test_onnx_without_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SystemExit) as stop:
        export("--run_dir", write_run(tmp_path / "run", DISCS), "--output", tmp_path / "m.onnx", "--format", "onnx")
    assert stop.value.code == 2
    assert "needs onnx, which is not installed: pip install 'air-lightning[export]'" in capsys.readouterr().err


# ---- weights alone


def test_weights_alone_predict_the_same_and_can_be_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, light = tmp_path / "run", tmp_path / "light"
    few = ["--data.batch_size", "4", "--data.train_scenes", "8", "--data.val_scenes", "4", "--data.test_scenes", "4"]
    quiet = ["--trainer.max_steps", "2", "--trainer.enable_progress_bar", "false"]
    model = ["--model.renderer", "disc_plugin.Discs", "--model.slots", "2"]
    main(["fit", "--run_dir", str(run), *model, "--data", "Scenes3D", "--data.counts", "[1,2]", *few, *quiet])
    export("--run_dir", run, "--output", light, "--format", "checkpoint")
    assert "config.yaml, checkpoints/best.ckpt (" in capsys.readouterr().out
    assert (light / "config.yaml").read_text() == (run / "config.yaml").read_text()
    whole, kept = (torch.load(f / "checkpoints" / "best.ckpt", weights_only=True) for f in (run, light))
    assert "optimizer_states" in whole and "optimizer_states" not in kept
    assert kept["global_step"] == whole["global_step"] == 2
    images = np.random.default_rng(0).random((3, 32, 32, 3))
    assert air_lightning.load(light).infer(images) == air_lightning.load(run).infer(images)
    main(["test", "--run_dir", str(light), "--trainer.enable_progress_bar", "false"])
    assert json.loads((light / "test_metrics.json").read_text())["scenes"] == 4
