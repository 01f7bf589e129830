"""Names of earlier versions: class paths in run folders and configs, and imports."""

import importlib
from importlib import import_module
from pathlib import Path
from pydoc import locate

import pytest
import torch
import yaml
from runs_for_tests import MESHES, REFINED, write_run

import air_lightning
from air_lightning import model
from air_lightning.cli import main
from air_lightning.moved import MOVED, new_name, renamed, renamed_weights
from air_lightning.runs import check_weights
from renderers import MeshRenderer

CLASS_PATHS = [
    "air_lightning.callbacks.Figures",
    "air_lightning.callbacks.checkpoints.Checkpoints",
    "air_lightning.module.AIRModule",
    "air_lightning.predict.Model",
    "air_lightning.reconsideration.Reconsideration",
    "air_lightning.refinement.Refinement",
    "air_lightning.schedules.Geometric",
    "air_lightning.wandb_logging.RunLogger",
]


@pytest.mark.parametrize("path", CLASS_PATHS)
def test_a_class_path_of_an_earlier_version_names_the_same_class(path):
    module, _, name = new_name(path).rpartition(".")
    assert locate(path) is getattr(import_module(module), name)


@pytest.mark.parametrize("old", sorted(MOVED))
def test_a_module_is_imported_by_its_old_name_once_and_keeps_its_own(old):
    module, new = import_module(old), import_module(MOVED[old])
    assert module is new and new.__spec__.name == new.__name__ == MOVED[old]


def test_a_module_that_never_was_is_still_missing():
    with pytest.raises(ModuleNotFoundError, match=r"air_lightning\.callback'"):
        importlib.import_module("air_lightning.callback")


def test_arguments_get_the_present_class_paths_and_keep_all_else():
    old = {"refinement": {"class_path": "air_lightning.refinement.Refinement", "init_args": {"scan": 8}}}
    other = {"callbacks": [{"class_path": "air_lightning.callbacks.Figures"}], "note": "air_lightning.core", "lr": 0.1}
    assert renamed(old | other) == {
        "refinement": {"class_path": "air_lightning.model.Refinement", "init_args": {"scan": 8}},
        "callbacks": [{"class_path": "air_lightning.training.callbacks.Figures"}],
        "note": "air_lightning.core",
        "lr": 0.1,
    }


OLD = {"class_path": "renderers.MeshRenderer", "init_args": {"kinds": ["cube", "cone"], "yaw": 0.0}}
NEW = {"class_path": "renderers.MeshRenderer", "init_args": {"identities": ["cube", "cone"], "yaw": 0.0}}
OTHER = {"class_path": "mine.Renderer", "init_args": {"kinds": [1]}}


def test_arguments_get_their_present_names_and_those_of_other_classes_stay():
    assert renamed({"a": OLD, "b": [OLD, OTHER]}) == {"a": NEW, "b": [NEW, OTHER]} and renamed(NEW) == NEW


def test_the_command_line_takes_old_names_of_arguments_and_saves_the_present_ones(tmp_path, capsys):
    config = tmp_path / "old.yaml"
    config.write_text(yaml.safe_dump({"model": {"renderer": OLD}, "data": {"class_path": "datamodules.Scenes3D"}}))
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(config), "--print_config"])
    assert not stop.value.code
    given = yaml.safe_load(capsys.readouterr().out)["model"]["renderer"]["init_args"]
    assert given["identities"] == ["cube", "cone"] and "kinds" not in given


def test_python_takes_the_old_name_of_an_argument_and_not_both():
    old = MeshRenderer(kinds=("cube", "cone"), image_size=(8, 8))  # type: ignore[call-arg]
    assert old.what.names == ("cube", "cone") and old.kinds == old.identity_count == 2
    assert model.AIRModule(old).network.kinds == 2
    with pytest.raises(TypeError, match="got `kinds` and `identities`, which are the same: give `identities`"):
        MeshRenderer(kinds=("cube",), identities=("cube",))  # type: ignore[call-arg]


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """A run folder as an earlier version wrote it: class paths and names of weights."""
    folder = write_run(tmp_path / "old", MESHES, refinement=REFINED)
    config, best = folder / "config.yaml", folder / "checkpoints" / "best.ckpt"
    config.write_text(config.read_text().replace(REFINED["class_path"], "air_lightning.refinement.Refinement"))
    saved = torch.load(best, weights_only=True)
    saved["state_dict"] = {
        name.replace(".saliency.", ".promise."): value for name, value in saved["state_dict"].items()
    }
    torch.save(saved, best)
    return folder


def test_a_run_of_an_earlier_version_loads_as_if_it_were_of_this_one(old_run, tmp_path):
    images = torch.rand(2, 3, 32, 40)
    present = air_lightning.load(write_run(tmp_path / "new", MESHES, refinement=REFINED))
    old = air_lightning.load(old_run)
    assert isinstance(old.module.refinement, model.Refinement)
    assert old.infer(images) == present.infer(images)


def test_the_command_line_takes_old_class_paths_and_saves_the_present_ones(old_run, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", str(old_run / "config.yaml"), "--data", "Scenes3D", "--print_config"])
    assert not stop.value.code
    refinement = yaml.safe_load(capsys.readouterr().out)["model"]["refinement"]
    assert refinement["class_path"] == "air_lightning.model.Refinement"


def test_weights_of_an_earlier_version_get_the_present_names():
    module = model.AIRModule(MeshRenderer(image_size=(32, 32)))
    weights = module.state_dict()
    old = {name.replace(".saliency.", ".promise."): value for name, value in weights.items()}
    assert set(old) - set(weights) == {"network.promise.weight", "network.promise.bias"}
    check_weights(old, weights)
    checkpoint = {"state_dict": dict(old)}
    module.on_load_checkpoint(checkpoint)
    assert checkpoint["state_dict"].keys() == weights.keys()
    assert all(checkpoint["state_dict"][name] is weights[name] for name in weights)


def test_weights_of_a_plug_in_that_has_such_names_keep_them():
    own = {"network.promise.weight": 1, "network.saliency.weight": 2, "network.other": 3}
    assert renamed_weights(own, own) == own
    assert renamed_weights(own, {"network.promise.weight"}) == own
