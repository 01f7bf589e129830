"""Short names of installed plug-ins, wherever jsonargparse takes a class name."""

from typing import Any

from jsonargparse import _typehints

from air_lightning.plugins.registry import find, kind_of


def enable_short_names() -> None:
    """Have jsonargparse resolve the names of installed plug-ins, each where its kind is asked for.

    Only the plug-in that is named gets imported. Configs are saved with its full class path, so that a run reloads
    whatever its plug-in is called later. Calling this again changes nothing.
    """
    if _typehints.resolve_class_path_by_name is not _resolve:
        _typehints.resolve_class_path_by_name = _resolve


# jsonargparse knows imported subclasses by their short names, but has no public way to add others: every place of its
# that takes a class name goes through this function.
_imported_subclasses = _typehints.resolve_class_path_by_name


def _resolve(cls: Any, name: str) -> str:
    for one in cls if isinstance(cls, tuple) else (cls,):
        kind = kind_of(one)
        plugin = find(kind, name) if kind is not None and "." not in name else None
        if plugin is not None:
            return plugin.path
    resolved: str = _imported_subclasses(cls, name)
    return resolved
