"""HDF5, as the object-centric benchmarks have their images and masks."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from air_lightning.commands.formats.pictures import in_8_bits
from air_lightning.commands.scenes.formats.base import Format, Row
from air_lightning.commands.scenes.scene import Scene

AT_ONCE = 64
"""Scenes that are written together."""
CHUNK = 2**20
"""Bytes of a dataset that are compressed together, about."""


class HDF5(Format):
    """`scenes.hdf5`: N scenes, each of K entities: the ground, then as many objects as a scene holds at most.

    `image` (N, H, W, C), float32 as drawn, or uint8; `count` (N,); `visibility` (N, K), 1 for the ground and objects
    that are there. Where they are known: `mask` (N, K, H, W, 1), 1 where one sees the entity; `identity` (N, K), whose
    attribute `names` has the names; `box` (N, K, 4), x0, y0, x1, y1 in pixels, ends excluded; each coordinate of the
    poses (N, K), by its name; `depth` (N, H, W, 1), infinite where no object is. 0 for entities of which it means
    nothing.
    """

    name = "hdf5"
    usual_bits = 32

    def check(self) -> None:
        try:
            import h5py  # noqa: F401  # an extra
        except ImportError:
            raise ValueError(
                "--format hdf5 needs h5py, which is not installed: pip install 'air-lightning[hdf5]'"
            ) from None

    def add(self, scene: Scene) -> Row:
        file = f"{scene.number:06d}.npz"
        with (self.scratch / file).open("wb") as part:
            np.savez_compressed(part, **self._arrays(scene))
        return {"file": file}

    def finish(self, rows: Iterable[Row]) -> None:
        import h5py

        with h5py.File(self.folder / "scenes.hdf5", "w") as file:
            remaining, start = iter(rows), 0
            while block := [_read(self.scratch / row["file"]) for row in islice(remaining, AT_ONCE)]:
                for name in block[0]:
                    values = np.stack([part[name] for part in block])
                    _dataset(file, name, self.facts.count, values)[start : start + len(block)] = values
                start += len(block)
            if self.facts.identities is not None:
                file["identity"].attrs["names"] = list(self.facts.identities)
            file.attrs["coordinates"] = list(self.facts.coordinates)
            file.attrs["data"], file.attrs["split"] = self.facts.data, self.facts.split

    def _arrays(self, scene: Scene) -> dict[str, Any]:
        """What the file has of a scene, by the name of the dataset."""
        facts, things = self.facts, scene.things
        image, objects = scene.image.transpose(1, 2, 0), slice(1, len(things) + 1)

        def entities(values: Any, *shape: int, kind: Any = np.float32) -> NDArray[Any]:
            array = np.zeros((facts.most + 1, *shape), kind)
            array[objects] = np.reshape(values, (len(things), *shape))
            return array

        arrays: dict[str, Any] = {
            "image": image if self.bits == 32 else in_8_bits(image),
            "count": np.int64(len(things)),
            "visibility": entities([1] * len(things)),
        }
        arrays["visibility"][0] = 1
        if facts.masks:
            arrays["mask"] = entities(scene.masks, *scene.image.shape[1:], 1, kind=np.uint8)
            arrays["mask"][0, ..., 0] = ~scene.masks.any(0)
        if facts.identities is not None:
            arrays["identity"] = entities([thing.identity for thing in things], kind=np.int64)
        if facts.boxes:
            arrays["box"] = entities([thing.box for thing in things], 4)
        if scene.depth is not None:
            arrays["depth"] = scene.depth[..., None]
        for name in facts.coordinates:
            told = [thing.pose[name] for thing in things]
            arrays[name] = entities([np.nan if value is None else value for value in told])
        return arrays


def _read(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as part:
        return dict(part)


def _dataset(file: Any, name: str, count: int, values: Any) -> Any:
    """The dataset of that name, made with its first rows."""
    if name not in file:
        rows = min(count, max(1, CHUNK // values[0].nbytes))
        file.create_dataset(
            name, (count, *values.shape[1:]), values.dtype, chunks=(rows, *values.shape[1:]), compression="gzip",
            compression_opts=1,
        )  # fmt: skip
    return file[name]
