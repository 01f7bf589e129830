"""Geometry of glTF that is compressed by Draco, through the package DracoPy."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from renderers.mesh.files.gltf.document import Document, Item
from renderers.mesh.files.texts import BROKEN

DRACO = "KHR_draco_mesh_compression"


class Packed(NamedTuple):
    """Faces (F, 3), and the tables (V, n) of attributes by name."""

    faces: NDArray[np.int64]
    attributes: dict[str, NDArray[Any]]


def decompressed(document: Document, primitive: Item) -> Packed | None:
    """What a primitive has compressed; None where it has all of it uncompressed too, or no such thing.

    Errors:
        ValueError where the package that does it is not installed, or what is compressed cannot be undone.
    """
    extension = primitive.get("extensions", {}).get(DRACO)
    if extension is None or "bufferView" in document.item("accessors", primitive["attributes"]["POSITION"]):
        return None
    try:
        import DracoPy  # optional, and wanted only here
    except ImportError:
        raise ValueError(
            f"its faces are compressed by {DRACO}, which needs the package DracoPy: pip install DracoPy, or undo it "
            "with `npx @gltf-transform/cli copy in.glb out.glb`"
        ) from None
    data = bytes(document.view(extension["bufferView"]))
    try:
        mesh = DracoPy.decode(data)
        tables = {name: mesh.get_attribute_by_unique_id(key)["data"] for name, key in extension["attributes"].items()}
        return Packed(np.asarray(mesh.faces, np.int64), {name: np.atleast_2d(table) for name, table in tables.items()})
    except Exception as error:  # DracoPy's own kinds, and where there are points for faces
        raise ValueError(f"its faces could not be decompressed ({type(error).__name__}: {error}): {BROKEN}") from error
