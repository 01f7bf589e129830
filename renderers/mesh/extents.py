"""How far meshes reach from their origin, whether they were made to fit or keep the scale and origin of their files."""

from collections.abc import Mapping, Sequence

from renderers.mesh.files import MeshFile
from renderers.mesh.shapes import Mesh


class Extents:
    """Lengths of the meshes of a renderer, world units.

    Args:
        meshes: as they are drawn. kept: whether some keep the scale of their files; then windows are as wide as
            the largest of them, and else as high as they are on average.
    Attributes:
        low, high: by identity, of its lowest and highest vertex above its origin. cores: ``Mesh.core``.
        reach: ``Mesh.reach``. middle: mean height of their middles. half: half the size of a window.
    """

    def __init__(self, meshes: Sequence[Mesh], kept: bool) -> None:
        self.high = tuple(float(mesh.vertices[:, 1].max()) for mesh in meshes)
        self.low = tuple(float(mesh.vertices[:, 1].min()) if kept else 0.0 for mesh in meshes)
        self.cores = tuple(mesh.core for mesh in meshes)
        self.reach = tuple(mesh.reach for mesh in meshes)
        self.middle = sum(low + high for low, high in zip(self.low, self.high)) / len(meshes) / 2
        wide = (max(high - low, mesh.radius * 2**0.5) / 2 for low, high, mesh in zip(self.low, self.high, meshes))
        self.half = max(wide) if kept else self.middle

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
        """Lowest, highest, and core."""
        return self.low, self.high, self.cores


def check_scales(
    sources: Mapping[str, MeshFile | str], sizes: Mapping[str, float], size: object, units: str | None
) -> dict[str, str]:
    """The identities whose meshes keep the scale of their files, and what the lengths in these are taken for.

    Args:
        sources: by identity. sizes: factors by identity. size: of all of them. units: the scene's.
    Errors:
        ValueError where such a mesh is to have another size too, and where nobody says what the scene's unit is.
    """
    files = {identity: source for identity, source in sources.items() if isinstance(source, MeshFile)}
    kept: dict[str, str] = {identity: file.units or "m" for identity, file in files.items() if file.scale == "keep"}
    for identity in kept:
        factor = sizes.get(identity, size if isinstance(size, (int, float)) else 1.0)
        if factor != 1:
            name = f"sizes[{identity!r}]" if identity in sizes else "size"
            raise ValueError(
                f"meshes[{identity!r}] keeps its scale, and {name} is {factor:g}: give one of the two (with scale: fit "
                "its size is 1 world unit)"
            )
        if units is None:
            raise ValueError(
                f"meshes[{identity!r}] keeps its scale, and nobody says what the scene's unit is: give the renderer's "
                "units, m, cm or mm"
            )
    return kept
