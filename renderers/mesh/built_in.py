"""Every built-in shape by name, and its own colour."""

from renderers.mesh.crockery import CROCKERY, CROCKERY_COLORS
from renderers.mesh.shapes import SOLID_COLORS, SOLIDS

BUILT_IN = {**SOLIDS, **CROCKERY}
COLORS = {**SOLID_COLORS, **CROCKERY_COLORS}
