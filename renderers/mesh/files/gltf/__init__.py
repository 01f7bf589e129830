"""glTF 2.0 and GLB: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html"""

from renderers.mesh.files.gltf.reading import read

__all__ = ["read"]
