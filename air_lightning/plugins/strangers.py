"""The classes that a stranger's config may name: a class path imports a module, and importing runs its code."""

import os
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from air_lightning.moved import new_name
from air_lightning.plugins.registry import FAMILIES

OURS = ("air_lightning", "renderers", "datamodules")
TRUST = "AIR_TRUST"
"""The environment variable that allows packages, separated by commas."""
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def check_class_paths(config: Any, source: str) -> None:
    """Refuse a config that names code which its user has not chosen to have; nothing is imported but our own.

    Allowed are this project's classes, those of installed packages that announce plug-ins, and of packages that the
    environment variable ``AIR_TRUST`` names. Names without a dot are those of classes that are there already.

    Args:
        config: nested mappings and lists of a config file. source: whose it is, for the error.

    Raises:
        ValueError: it names another class, wherever in it.
    """
    for where, path in _class_paths(config, ""):
        if not _allowed(path):
            package = path.partition(".")[0]
            raise ValueError(
                f"{source}: its config names {path!r} ({where}), which is no class of this project nor of an installed "
                f"package with plug-ins, and would run as code. If you know and trust it, set {TRUST}={package} in the "
                "environment"
            )


def _class_paths(node: Any, where: str) -> Iterator[tuple[str, str]]:
    """(place, text) of all that may be taken for a class path: under that key, or a text of an importable module's."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "class_path" and isinstance(value, str) and "." in value:
                yield f"{where}.{key}".lstrip("."), value
            else:
                yield from _class_paths(value, f"{where}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _class_paths(value, f"{where}[{index}]")
    elif isinstance(node, str) and DOTTED.fullmatch(node) and find_spec(node.partition(".")[0]) is not None:
        yield where.lstrip("."), node


def _allowed(path: str) -> bool:
    package = path.partition(".")[0]
    return _is_ours(new_name(path)) if package in OURS else package in (*_plugin_packages(), *_trusted())


def _is_ours(path: str) -> bool:
    """Whether it is defined by one of our modules: what they import from elsewhere is not theirs to give."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return False
    return isinstance(found, type) and found.__module__.partition(".")[0] in OURS


def _plugin_packages() -> set[str]:
    return {entry.module.partition(".")[0] for family in FAMILIES for entry in entry_points(group=family.group)}


def _trusted() -> list[str]:
    return [name.strip() for name in os.environ.get(TRUST, "").split(",")]
