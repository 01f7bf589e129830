"""Plug-ins from other packages: found by entry point, named in short in configs, listed by `plugins`."""

from air_lightning.plugins.registry import FAMILIES, Family, Plugin, available, family_of, find
from air_lightning.plugins.short_names import enable_short_names

__all__ = ["FAMILIES", "Family", "Plugin", "available", "enable_short_names", "find", "family_of"]
