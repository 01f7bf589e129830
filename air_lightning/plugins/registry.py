"""The plug-ins there are: ours, and those that installed packages announce by entry point.

A package announces a class in its pyproject.toml, under one of the groups of ``FAMILIES``:

    [project.entry-points."air_lightning.renderers"]
    discs = "my_package:Discs"

Nothing of it is imported before somebody asks for the plug-in by name, or for all plug-ins.
"""

import inspect
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from air_lightning.version import __version__


class Family(NamedTuple):
    """One family of plug-ins.

    Attributes:
        name: of the entry-point group, after ``air_lightning.``.
        home: the module that exports the built-in ones and the abstract classes.
        bases: the abstract classes there; a plug-in is a subclass of one of them.
    """

    name: str
    home: str
    bases: tuple[str, ...]

    @property
    def group(self) -> str:
        return f"air_lightning.{self.name}"

    def classes(self) -> tuple[type, ...]:
        """The abstract classes."""
        return tuple(getattr(import_module(self.home), base) for base in self.bases)

    def holds(self, cls: type) -> bool:
        """Whether a class is one of the abstract classes or a subclass, found out without importing them."""
        above = ((base.__name__, f"{base.__module__}.") for base in cls.__mro__)
        return any(name in self.bases and module.startswith(f"{self.home}.") for name, module in above)


FAMILIES = (
    Family("renderers", "renderers", ("Renderer",)),
    Family("inference", "air_lightning.inference", ("InferenceNetwork",)),
    Family("estimators", "air_lightning.estimators", ("CountEstimator", "IdentityEstimator")),
    Family("likelihoods", "air_lightning.likelihoods", ("Likelihood",)),
    Family("backgrounds", "air_lightning.backgrounds", ("Background",)),
    Family("datamodules", "datamodules", ("SceneDataModule",)),
)


class Plugin(NamedTuple):
    """A class that can be named in a config.

    Attributes:
        name: its short name. path: its ``class_path``. cls: the class.
        origin: the package that brings it, and its version.
    """

    name: str
    path: str
    cls: type
    origin: str


def family_of(cls: object) -> Family | None:
    """The family that a class belongs to, abstract or not; None for anything else."""
    if not inspect.isclass(cls):
        return None
    return next((family for family in FAMILIES if family.holds(cls)), None)


def find(family: Family, name: str) -> Plugin | None:
    """The installed plug-in of this name, or None where no package announces one.

    Raises:
        ValueError: two are called so, or it cannot be loaded.
    """
    named = [entry for entry in _entries(family) if entry.name == name]
    if not named:
        return None
    _check_unique(family, named)
    plugin, error = _load(family, named[0])
    if plugin is None:
        raise ValueError(error)
    return plugin


def available(family: Family) -> list[Plugin]:
    """All plug-ins of a family, built-in ones first. One that cannot be loaded is left out, with a warning.

    Raises:
        ValueError: two are called the same.
    """
    entries = _entries(family)
    _check_unique(family, entries)
    plugins = list(_built_in(family))
    for entry in entries:
        plugin, error = _load(family, entry)
        if plugin is not None:
            plugins.append(plugin)
        else:
            warnings.warn(f"{error}; it is left out", stacklevel=2)
    return plugins


def _entries(family: Family) -> list[EntryPoint]:
    return sorted(entry_points(group=family.group), key=lambda entry: (entry.name, entry.value))


def _built_in(family: Family) -> Iterator[Plugin]:
    home, bases = import_module(family.home), family.classes()
    for name in home.__all__:
        cls = getattr(home, name)
        if inspect.isclass(cls) and issubclass(cls, bases) and not inspect.isabstract(cls):
            yield Plugin(name, f"{family.home}.{name}", cls, f"air-lightning {__version__}")


def _check_unique(family: Family, entries: list[EntryPoint]) -> None:
    owners = [(entry.name, f"{_origin(entry)} ({entry.value})") for entry in entries]
    owners += [(plugin.name, f"{plugin.origin} ({plugin.path})") for plugin in _built_in(family)]
    for name, number in Counter(name for name, _ in owners).items():
        if number > 1 and name in {entry.name for entry in entries}:
            both = " and ".join(owner for other, owner in owners if other == name)
            raise ValueError(
                f"two {family.name} are called {name!r}: {both}. Uninstall one of the packages, or have its author "
                "choose another name"
            )


@cache
def _load(family: Family, entry: EntryPoint) -> tuple[Plugin | None, str]:
    """The plug-in, or None and what is wrong with it."""
    where = f"{family.name} plug-in {entry.name!r} of {_origin(entry)} ({entry.value})"
    try:
        cls = entry.load()
    except Exception as error:  # whatever a module may raise when it is imported
        return None, f"{where} cannot be imported: {type(error).__name__}: {error}"
    if not (inspect.isclass(cls) and issubclass(cls, family.classes())) or inspect.isabstract(cls):
        wanted = " or ".join(f"{family.home}.{base}" for base in family.bases)
        return None, f"{where} must be a class that can be built and a subclass of {wanted}, got {_described(cls)}"
    if "." in entry.name:
        return None, f"{where} has a dot in its name, which class paths have: choose a name without"
    return Plugin(entry.name, f"{entry.module}.{entry.attr}", cls, _origin(entry)), ""


def _described(found: object) -> str:
    if not inspect.isclass(found):
        return repr(found)
    missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
    return f"class {found.__qualname__}" + (f", which lacks {missing}" if missing else "")


def _origin(entry: EntryPoint) -> str:
    assert entry.dist is not None  # it was found in a package's metadata
    return f"{entry.dist.name} {entry.dist.version}"
