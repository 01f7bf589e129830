"""Configs of before, whose arguments may have other names."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from air_lightning.moved import renamed


def take_old_arguments() -> None:
    """Have jsonargparse read configs with old names of arguments. Calling this again changes nothing."""
    load = get_loader("yaml")
    if not hasattr(load, "__wrapped__"):
        set_loader("yaml", _by_present_names(load), (yaml.YAMLError,))


def _by_present_names(load: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(load)
    def present(*args: Any, **given: Any) -> Any:
        return renamed(load(*args, **given))

    return present
