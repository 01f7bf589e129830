"""What draws the meshes: one backend for one kind of machine or library, all with the same images.

A backend is made from a ``Scenery`` and draws identities at poses on the device where they lie. ``MeshRenderer`` names
it by ``backend``; nothing here is chosen silently.
"""

from renderers.mesh.backends.base import Backend, make_backend

__all__ = ["Backend", "make_backend"]
