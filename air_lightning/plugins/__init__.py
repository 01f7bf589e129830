"""Plug-ins from other packages: found by entry point, named in short in configs, listed by `plugins`."""

from air_lightning.plugins.registry import KINDS, Kind, Plugin, available, find, kind_of
from air_lightning.plugins.short_names import enable_short_names

__all__ = ["KINDS", "Kind", "Plugin", "available", "enable_short_names", "find", "kind_of"]
