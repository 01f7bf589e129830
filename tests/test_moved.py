"""Names of earlier versions: class paths in run folders and configs, and imports."""

import importlib
from importlib import import_module
from pydoc import locate

import pytest

from air_lightning import model
from air_lightning.moved import MOVED, new_name, renamed
from air_lightning.runs.loading import build_module

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


def test_a_model_is_built_from_arguments_with_old_class_paths():
    module = build_module(
        {
            "renderer": {"class_path": "renderers.MeshRenderer", "init_args": {"kinds": ["cube"]}},
            "refinement": {"class_path": "air_lightning.refinement.Refinement", "init_args": {"iterations": 3}},
        }
    )
    assert isinstance(module.refinement, model.Refinement) and module.refinement.iterations == 3
