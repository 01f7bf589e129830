"""Truth in arrays beside the images, as the object-centric benchmarks have it (Kabra et al. 2019)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.array_files import ArrayFile, Rows
from datamodules.truth.arrays import POSITION, MaskRows, TruthArrays, own_coordinates, scaled, without_renderer
from datamodules.truth.masks import of_labels
from datamodules.truth.plausible import bounds, foreign
from renderers.base import Renderer
from renderers.spaces import Categorical, Coordinate


class Names(NamedTuple):
    """The arrays' names; None: there is none of the kind. background: how many of the first masks are no objects."""

    mask: str | None
    visibility: str | None
    identity: str | None
    background: int
    box: str | None = None
    pose: tuple[str, ...] = ()


class LabelledTruth:
    """What a file's arrays tell of its N images.

    Masks are (N, K, H, W) or (N, K, H, W, 1), not 0 where entity k is what one sees, or (N, H, W), (N, H, W, 1), k
    there. The first ``background`` entities are no objects. ``visibility`` (N, K) is not 0 for those that are there;
    without it all are of which a pixel shows. ``identity`` (N, K) holds whole numbers or text; its attribute `names`,
    in HDF5, the numbers' names. ``box`` (N, K, 4) holds x0, y0, x1, y1 in pixels, ends excluded; without it boxes are
    those of the masks. ``pose`` are arrays (N, K), each named as the renderer's coordinate that it holds.

    Errors:
        ValueError, with the file and the array, for other shapes.
    """

    def __init__(self, file: ArrayFile, names: Names, images: int, size: tuple[int, int]) -> None:
        self.periods: Mapping[str, float] = {}
        self.palette: Mapping[str, tuple[float, ...]] = {}
        self.file, self.names_of, self.n, self.size = file, names, images, size
        self.mask = None if names.mask is None else self._numeric(names.mask)
        self._is_stack = self.mask is not None and self._stacked(self.mask)
        self.present = self._present()
        self.most = int(self.present.sum(1).max(initial=0))
        self.has_masks = self.mask is not None
        self._boxes = None if names.box is None else self._corners(names.box)
        self._poses = {name: self._pose(name) for name in names.pose}
        self.has_boxes = self.has_masks or self._boxes is not None
        self._identities = None if names.identity is None else self._identified(names.identity)
        self.has_identities = self._identities is not None

    def known_coordinates(self, renderer: Renderer | None) -> tuple[str, ...]:
        """Those that ``pose`` names. ValueError for what is not the renderer's: a coordinate, its unit, an identity."""
        if renderer is None:
            return without_renderer(f"file={str(self.file.path)!r}", bool(self.names_of.pose))
        if isinstance(renderer.what, Categorical) and self._identities is not None:
            unknown = sorted(set(np.unique(self._identities[self.present]).tolist()) - set(renderer.what.names))
            if unknown:
                raise ValueError(
                    f"{self._title(self.names_of.identity)} holds the identity {unknown[0]!r}, "
                    f"{type(renderer).__name__} draws {', '.join(renderer.what.names)}: leave identities out of "
                    "account (`data.identity: null`), or choose a renderer that draws them"
                )
        own = own_coordinates(f"file={str(self.file.path)!r}", self.names_of.pose, renderer)
        for coordinate in renderer.where.coordinates:
            if coordinate.name in own:
                self._check_unit(coordinate, renderer)
        return own

    def arrays(self, renderer: Renderer | None, shape: tuple[int, int]) -> TruthArrays:
        most = max(1, self.most)
        what = np.full((self.n, most), -1)
        rows, entities = self.present.nonzero()
        slots = (self.present.cumsum(1) - 1)[rows, entities]
        if self._identities is not None:
            order = self.names(renderer)
            names, numbers = np.unique(self._identities[rows, entities], return_inverse=True)
            what[:] = 0
            what[rows, slots] = np.array([order.index(name) for name in names.tolist()], np.int64)[numbers]
        masks = MaskRows(self.masks, np.arange(self.n), shape, most) if self.mask is not None else None
        coordinates = self.names_of.pose if renderer is None else self.known_coordinates(renderer)
        where = np.zeros((self.n, most, len(coordinates)), np.float32)
        for place, coordinate in enumerate(coordinates):
            where[rows, slots, place] = self._poses[coordinate][rows, entities]
        boxes = None
        if self._boxes is not None:
            boxes = np.zeros((self.n, most, 4), np.float32)
            boxes[rows, slots] = scaled(self._boxes[rows, entities], self.size[::-1], shape)
        return TruthArrays(self.present.sum(1), what, where, boxes, masks)

    def names(self, renderer: Renderer | None) -> tuple[str, ...]:
        """Of the identities, in the order by which ``what`` counts them."""
        if renderer is not None and isinstance(renderer.what, Categorical):
            return renderer.what.names
        assert self._identities is not None
        return tuple(np.unique(self._identities[self.present]).tolist())

    def masks(self, row: int) -> NDArray[np.bool_]:
        """(objects, H, W) of an image."""
        entities = np.flatnonzero(self.present[row])
        if self._is_stack:
            return self._stack(row)[entities]
        labels = self._labels(row)
        if labels.max() >= self.present.shape[1]:
            raise ValueError(
                f"{self._title(self.names_of.mask)} holds {labels.max()} in image {row}, "
                f"{self._title(self.names_of.visibility)} tells of {self.present.shape[1]} entities, from 0 on"
            )
        return of_labels(labels, entities.tolist())

    def _stack(self, row: int) -> NDArray[np.bool_]:
        """(K, H, W) of an image."""
        masks: NDArray[np.bool_] = self._mask_row(row).reshape(-1, *self.size) > 0
        return masks

    def _labels(self, row: int) -> NDArray[np.int64]:
        """(H, W) of an image; ValueError for what are no numbers of entities."""
        found = self._mask_row(row).reshape(self.size)
        is_number = (found >= 0) & (found == np.floor(found))
        if not is_number.all():
            raise ValueError(
                f"{self._title(self.names_of.mask)} holds {found[~is_number][0]} in image {row}: expected k where "
                "entity k shows, a whole number from 0 on"
            )
        return found.astype(np.int64)

    def _mask_row(self, row: int) -> NDArray[Any]:
        assert self.mask is not None
        with self.file.reading(f"{self.names_of.mask!r} of image {row} of "):
            return np.asarray(self.mask[row])

    def _numeric(self, name: str) -> Rows:
        """An array; ValueError for one of something else than numbers."""
        array = self.file[name]
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{self._title(name)} must hold numbers, found {array.dtype}")
        return array

    def _corners(self, name: str) -> NDArray[np.float32]:
        """Boxes (N, K, 4); ValueError for what are none, of entities that are there."""
        boxes = self._floats(name, 4)
        is_box = np.asarray(np.isfinite(boxes).all(-1) & (boxes[..., :2] <= boxes[..., 2:]).all(-1))
        self._check_all(name, boxes, is_box, "x0, y0, x1, y1, the upper left corner first")
        boxes = np.where(is_box[..., None], boxes, 0)
        (x0, y0, x1, y1), (height, width) = np.moveaxis(boxes, -1, 0), self.size
        hidden, area = ~boxes.any(-1), (x1 - x0) * (y1 - y0)
        self._check_all(name, boxes, hidden | (area > 0), "an area, or zeros where nothing of it shows")
        self._check_all(name, boxes, hidden | (area >= 1) | (np.maximum(x1, y1) > 1), "pixels, not shares of the image")
        inside = (x0 < width) & (y0 < height) & (x1 > 0) & (y1 > 0)
        self._check_all(name, boxes, hidden | inside, f"a part of it in the image of {width}x{height} (width x height)")
        return boxes

    def _pose(self, name: str) -> NDArray[np.float32]:
        """A coordinate (N, K); NaN where nobody knows it, which goes for rotations and the like."""
        values = self._floats(name)
        is_known: NDArray[np.bool_] = np.isfinite(values) | (np.isnan(values) & (name not in POSITION))
        self._check_all(name, values, is_known, "a finite number")
        return values

    def _check_unit(self, coordinate: Coordinate, renderer: Renderer) -> None:
        """ValueError for a pose that is plainly in another unit than the renderer's."""
        values, (low, high) = self._poses[coordinate.name], bounds(coordinate)
        wrong = np.argwhere(self.present & ((values < low) | (values > high)))
        if len(wrong):
            row, entity = wrong[0].tolist()
            raise ValueError(
                f"{self._title(coordinate.name)} has for entity {entity} of image {row} "
                f"{foreign(coordinate, float(values[row, entity]), renderer)}: give poses in the renderer's units"
            )

    def _check_all(self, name: str, values: NDArray[Any], fine: NDArray[np.bool_], expected: str) -> None:
        """ValueError, with the first, for values of entities that are there and not ``fine``."""
        wrong = np.argwhere(self.present & ~fine)
        if len(wrong):
            row, entity = wrong[0].tolist()
            raise ValueError(
                f"{self._title(name)} holds {values[row, entity].tolist()} for entity {entity} of image {row}: "
                f"expected {expected}"
            )

    def _floats(self, name: str, *inner: int) -> NDArray[np.float32]:
        """An array (N, K, ...) of numbers; ValueError for another shape."""
        array = self._numeric(name)
        if array.dtype.kind == "b":
            raise ValueError(f"{self._title(name)} must hold numbers, found {array.dtype}")
        expected = (*self.present.shape, *inner)
        if tuple(array.shape) != expected:
            raise ValueError(f"{self._title(name)} must be {expected}, found {tuple(array.shape)}")
        return self._all(array).astype(np.float32)

    def _all(self, array: Rows) -> NDArray[Any]:
        with self.file.reading():
            return np.asarray(array[:])

    def _present(self) -> NDArray[np.bool_]:
        """(N, K): which entities are objects that are there."""
        names = self.names_of
        if names.visibility is not None:
            seen = self._all(self._numeric(names.visibility))
            seen = seen[..., 0] if seen.ndim == 3 and seen.shape[2] == 1 else seen
            self._check(names.visibility, seen, "(images, entities)", 2)
            if np.isnan(seen).any():
                raise ValueError(f"{self._title(names.visibility)} holds NaN: expected 0 where an entity is not there")
            there = seen > 0
        elif self.mask is not None:
            there = self._visible()
        else:
            raise ValueError(f"file={str(self.file.path)!r}: name an array by `mask` or by `visibility`: one must tell")
        if self._is_stack and self.mask is not None and there.shape[1] != self.mask.shape[1]:
            raise ValueError(
                f"{self._title(names.visibility)} has {there.shape[1]} entities, {self._title(names.mask)} "
                f"{self.mask.shape[1]}"
            )
        there[:, : names.background] = False
        return there

    def _visible(self) -> NDArray[np.bool_]:
        """(N, K): of which entities a pixel shows; all masks are gone through once."""
        if self._is_stack:
            return np.stack([self._stack(row).any((1, 2)) for row in range(self.n)])
        found = [np.unique(self._labels(row)) for row in range(self.n)]
        there = np.zeros((self.n, 1 + max(int(labels[-1]) for labels in found)), np.bool_)
        for row, labels in enumerate(found):
            there[row, labels] = True
        return there

    def _stacked(self, mask: Rows) -> bool:
        """Whether masks lie one behind the other, and not as labels; ValueError for what is neither."""
        shape, (height, width) = mask.shape, self.size
        inner = shape[1:-1] if len(shape) > 3 and shape[-1] == 1 and shape[-3:-1] == self.size else shape[1:]
        if shape[:1] == (self.n,) and inner[-2:] == (height, width) and len(inner) in (2, 3):
            return len(inner) == 3
        raise ValueError(
            f"{self._title(self.names_of.mask)} must be (images, entities, height, width), (images, height, width), or "
            f"either with a 1 behind, of {self.n} images of {height}x{width} (height x width), found {shape}"
        )

    def _identified(self, name: str) -> NDArray[np.str_]:
        """(N, K) names."""
        array = self.file[name]
        self._check(name, array, "(images, entities)", 2)
        if array.shape != self.present.shape:
            raise ValueError(f"{self._title(name)} is {array.shape}, and there are {self.present.shape[1]} entities")
        values = self._all(array)
        if values.dtype.kind in "SO":
            return np.array([[_text(value) for value in row] for row in values.tolist()]).reshape(values.shape)
        names: Sequence[Any] = getattr(array, "attrs", {}).get("names", ())
        if values.dtype.kind in "iu" and len(names):
            unnamed = values[(values < 0) | (values >= len(names))]
            if len(unnamed):
                raise ValueError(f"{self._title(name)} holds {unnamed[0]}, and has {len(names)} names")
            return np.array([_text(value) for value in names])[values]
        return values.astype(np.str_)

    def _check(self, name: str, array: Any, expected: str, axes: int) -> None:
        if len(array.shape) != axes or array.shape[0] != self.n:
            raise ValueError(f"{self._title(name)} must be {expected}, of {self.n} images, found {tuple(array.shape)}")

    def _title(self, name: str | None) -> str:
        return f"the array {name!r} of file={str(self.file.path)!r}"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
