"""Meshes on a table: ``MeshRenderer`` and its parts."""

from renderers.mesh.camera import Camera
from renderers.mesh.files import MeshFile, read_mesh
from renderers.mesh.pinhole import Extrinsics, Intrinsics
from renderers.mesh.renderer import MeshRenderer
from renderers.mesh.scenery import Lamp, Light, Mirror, Shadow
from renderers.mesh.shapes import Mesh
from renderers.mesh.table import Table

__all__ = [
    "Camera",
    "Extrinsics",
    "Intrinsics",
    "Lamp",
    "Light",
    "Mesh",
    "MeshFile",
    "MeshRenderer",
    "Mirror",
    "Shadow",
    "Table",
    "read_mesh",
]
