"""Meshes from files: read, coloured, placed on the table, and their symmetry found.

Each format has a reader that gives ``part.Part``; ``building`` makes a ``Mesh`` of these. It is imported where a file
is drawn, and not before.
"""

from renderers.mesh.files.source import BareMesh, MeshFile, MeshPath, read_mesh

__all__ = ["BareMesh", "MeshFile", "MeshPath", "read_mesh"]
