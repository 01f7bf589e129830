"""Meshes from files: read through trimesh, coloured, placed on the table, and their symmetry found.

``building`` does it; it is imported where a file is drawn, and not before.
"""

from renderers.mesh.files.source import BareMesh, MeshFile, MeshPath

__all__ = ["BareMesh", "MeshFile", "MeshPath"]
