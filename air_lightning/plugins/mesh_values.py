"""Mesh files as values of arguments: jsonargparse takes any path for that of a file which holds the value."""

from pathlib import Path
from typing import Any

from jsonargparse import _typehints

HINTS: Any = _typehints
"""Private, and so without types that are promised."""
ENDINGS = (".obj", ".ply", ".stl", ".glb", ".gltf")


def keep_mesh_files() -> None:
    """Have jsonargparse not read a mesh in the place of a config of meshes, where its path stands in that place.

    It would take long, and what is said of the value were the file's content. Calling this again changes nothing.
    """
    if HINTS.parse_value_or_config is not _value:
        HINTS.parse_value_or_config = _value


# Every value goes through this function; there is no public way to say which files are configs.
_theirs = HINTS.parse_value_or_config


def _value(value: Any, enable_path: bool = True, simple_types: bool = False) -> Any:
    text = value.val if isinstance(value, HINTS.NestedArg) else value
    is_mesh = isinstance(text, str) and Path(text).suffix.lower() in ENDINGS
    return _theirs(value, enable_path=enable_path and not is_mesh, simple_types=simple_types)
