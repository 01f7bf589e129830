"""Names of earlier versions, of modules, classes and weights: run folders, configs and plug-ins hold these."""

from __future__ import annotations

import sys
from collections.abc import Container, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import ModuleType
from typing import Any

MOVED = {
    "air_lightning.callbacks": "air_lightning.training.callbacks",
    "air_lightning.core": "air_lightning.model.slots",
    "air_lightning.curves": "air_lightning.runs.curves",
    "air_lightning.downstream": "air_lightning.commands.downstream",
    "air_lightning.evaluation": "air_lightning.metrics.evaluation",
    "air_lightning.evidence": "air_lightning.model.evidence",
    "air_lightning.export": "air_lightning.commands.export",
    "air_lightning.loading": "air_lightning.runs.loading",
    "air_lightning.module": "air_lightning.model.module",
    "air_lightning.objective": "air_lightning.model.objective",
    "air_lightning.pictures": "air_lightning.figures.images",
    "air_lightning.predict": "air_lightning.commands.predict",
    "air_lightning.reconsideration": "air_lightning.model.reconsideration",
    "air_lightning.refinement": "air_lightning.model.refinement",
    "air_lightning.report": "air_lightning.commands.report",
    "air_lightning.sweep": "air_lightning.commands.sweep",
    "air_lightning.wandb_logging": "air_lightning.training.wandb",
}
"""Old module: new module, whose submodules have moved with it."""
CLASSES = {
    "air_lightning.module.AIRModule": "air_lightning.model.AIRModule",
    "air_lightning.reconsideration.Reconsideration": "air_lightning.model.Reconsideration",
    "air_lightning.refinement.Refinement": "air_lightning.model.Refinement",
}
"""Old class path: new one, where the class is exported above the module that it has moved to."""

ARGUMENTS = {
    path: {"kinds": "identities"}
    for path in ("MeshRenderer", "renderers.MeshRenderer", "renderers.mesh.renderer.MeshRenderer")
}
"""Class path, or short name: old names of the class's arguments, and the present ones."""

WEIGHTS = {"network.promise.": "network.saliency."}
"""Beginning of a weight's name in older checkpoints: at present."""


def new_name(name: str) -> str:
    """The present name of a module or a class; any other name as it is.

    >>> new_name("air_lightning.callbacks.Figures")
    'air_lightning.training.callbacks.Figures'
    """
    if name in CLASSES:
        return CLASSES[name]
    old = next((old for old in MOVED if name == old or name.startswith(f"{old}.")), None)
    return name if old is None else MOVED[old] + name[len(old) :]


def renamed(arguments: Any) -> Any:
    """Arguments as a config has them, with the present class paths and names of arguments."""
    if isinstance(arguments, dict):
        present = {
            key: new_name(value) if key == "class_path" and isinstance(value, str) else renamed(value)
            for key, value in arguments.items()
        }
        names, given = ARGUMENTS.get(str(present.get("class_path")), {}), present.get("init_args")
        if names and isinstance(given, dict):
            present["init_args"] = {names.get(name, name): value for name, value in given.items()}
        return present
    return [renamed(item) for item in arguments] if isinstance(arguments, list) else arguments


def renamed_weights(weights: Mapping[str, Any], known: Container[str]) -> dict[str, Any]:
    """Weights of a checkpoint by their present names, as far as the model knows these and not the old ones."""
    renamed = {}
    for name, value in weights.items():
        begin = next((old for old in WEIGHTS if name.startswith(old)), "")
        present = WEIGHTS.get(begin, "") + name[len(begin) :]
        renamed[present if name not in known and present in known else name] = value
    return renamed


class _Moved(Loader):
    """Gives a module that has run under its present name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self.name)
        self._spec = module.__spec__  # in whose place Python puts one of the old name
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class MovedModules(MetaPathFinder):
    """Finds modules by their old names. What is imported is the new module itself, so classes are the same."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = new_name(fullname)
        there = name != fullname and find_spec(name) is not None
        return spec_from_loader(fullname, _Moved(name)) if there else None


def import_by_old_names() -> None:
    """Have Python find moved modules; calling this again changes nothing."""
    if not any(isinstance(finder, MovedModules) for finder in sys.meta_path):
        # first of all, for below a moved package Python's own would load its modules a second time
        sys.meta_path.insert(0, MovedModules())
