"""Meshes from files: read through trimesh, coloured, placed on the table, and their symmetry found."""

from renderers.mesh.files.source import MeshFile, MeshPath, read_mesh

__all__ = ["MeshFile", "MeshPath", "read_mesh"]
