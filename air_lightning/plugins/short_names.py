"""Short names of installed plug-ins, wherever jsonargparse takes a class name."""

from dataclasses import fields, is_dataclass
from typing import Any

from jsonargparse import _typehints

from air_lightning.moved import new_name
from air_lightning.plugins.names import unknown_name
from air_lightning.plugins.registry import available, family_of, find


class UnknownName(ValueError):
    """A class was named in short, and there is none of that name."""


def enable_short_names() -> None:
    """Have jsonargparse resolve the names of installed plug-ins, each where its family is asked for.

    Only the plug-in that is named gets imported. Configs are saved with its full class path, so that a run reloads
    whatever its plug-in is called later. Calling this again changes nothing.
    """
    if _typehints.resolve_class_path_by_name is not _resolve:
        _typehints.resolve_class_path_by_name = _resolve


# jsonargparse knows imported subclasses by their short names, but has no public way to add others: every place of its
# that takes a class name goes through this function.
_imported_subclasses = _typehints.resolve_class_path_by_name


def _resolve(cls: Any, name: str) -> str:
    if "." in name:
        return new_name(name)
    classes = cls if isinstance(cls, tuple) else (cls,)
    for one in classes:
        family = family_of(one)
        plugin = find(family, name) if family is not None else None
        resolved: str = plugin.path if plugin is not None else _imported_subclasses(one, name)
        if "." in resolved:
            return resolved
    raise UnknownName(_unknown_class(classes, name))


def _unknown_class(classes: tuple[Any, ...], name: str) -> str:
    wanted = " or ".join(one.__name__ for one in classes)
    if len(classes) == 1 and is_dataclass(classes[0]):
        names = ", ".join(field.name for field in fields(classes[0]) if field.init)
        return f"{wanted} is given by its arguments, any of {names}; where it may be null, `null` is none. Got {name!r}"
    known = sorted({other for one in classes for other in _names(one)})
    return f"{unknown_name(wanted, name, known)}; a class_path (package.module.Class) works too"


def _names(cls: Any) -> list[str]:
    """The short names by which a class that can be built may be asked for."""
    family = family_of(cls)
    if family is not None:
        return [plugin.name for plugin in available(family) if issubclass(plugin.cls, cls)]
    return [path.rpartition(".")[2] for path in _typehints.get_all_subclass_paths(cls)]
