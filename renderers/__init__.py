"""Renderers: AIR's decoders as plug-ins. ``Renderer`` is the contract, each other module one plug-in."""

from renderers.base import Renderer
from renderers.compositing import Layer
from renderers.glimpse import GlimpseRenderer
from renderers.mesh import MeshRenderer
from renderers.spaces import Categorical, Coordinate, Gaussian, Where

__all__ = ["Categorical", "Coordinate", "Gaussian", "GlimpseRenderer", "Layer", "MeshRenderer", "Renderer", "Where"]
