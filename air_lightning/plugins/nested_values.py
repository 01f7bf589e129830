"""Values of arguments within arguments, which jsonargparse hands from class to class as text."""

from typing import Any

import yaml
from jsonargparse import Namespace, _typehints

HINTS: Any = _typehints
"""Private, and so without types that are promised."""


def keep_nested_values() -> None:
    """Have jsonargparse keep null, alone or within lists and mappings, where it hands a value on.

    Of ``--model.renderer.light.shadow null`` it reads the value, and gives ``--light.shadow=VALUE`` to the renderer's
    own parser, with the value as Python shows it: null became the text ``None``. Calling this again changes nothing.
    """
    if HINTS.subclass_spec_as_namespace is not _as_namespace:
        HINTS.subclass_spec_as_namespace = _as_namespace


# Every value for a class goes through this function before it is handed on; there is no public way to have it as text.
_theirs = HINTS.subclass_spec_as_namespace


def _as_namespace(val: Any, prev_val: Any = None) -> Any:
    found = _theirs(val, prev_val)
    nested = found.get("init_args") if isinstance(found, Namespace) else None
    if isinstance(nested, HINTS.NestedArg) and not isinstance(nested.val, str):
        found["init_args"] = nested._replace(val=_text(nested.val))
    return found


def _text(value: Any) -> str:
    """A value as it is written in a config, in one line."""
    written: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), sort_keys=False)
    return written.removesuffix("\n").removesuffix("\n...")
