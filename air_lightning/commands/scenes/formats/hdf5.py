"""HDF5, as the object-centric benchmarks have their images and masks."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from air_lightning.commands.formats.pictures import in_8_bits
from air_lightning.commands.scenes.formats.base import Format, Row
from air_lightning.commands.scenes.scene import Scene

AT_ONCE = 64
"""Scenes that are written together."""
CHUNK = 2**20
"""Bytes of a dataset that are compressed together, about."""


class HDF5(Format):
    """`scenes.hdf5`: N scenes of at most T objects, as datasets of N rows.

    `image` (N, H, W, C), float32 as drawn, or uint8; `count` (N,); `visibility` (N, T), 1 where there is an object;
    where they are known `mask` (N, T, H, W, 1), `identity` (N, T), -1 without object, `box` (N, T, 4), `depth`
    (N, H, W, 1), and each coordinate of the poses (N, T) by its name. Attributes: `identities`, `coordinates`, `data`,
    `split`.
    """

    name = "hdf5"
    usual_bits = 32

    def check(self) -> None:
        try:
            import h5py  # noqa: F401  # an extra
        except ImportError:
            raise ValueError(
                "--format hdf5 needs h5py, which is not installed: pip install 'air-lightning[formats]'"
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
            while block := [np.load(self.scratch / row["file"]) for row in islice(remaining, AT_ONCE)]:
                for name in block[0].files:
                    values = np.stack([part[name] for part in block])
                    _dataset(file, name, self.facts.count, values)[start : start + len(block)] = values
                start += len(block)
            file.attrs["identities"] = list(self.facts.identities or ())
            file.attrs["coordinates"] = list(self.facts.coordinates)
            file.attrs["data"], file.attrs["split"] = self.facts.data, self.facts.split

    def _arrays(self, scene: Scene) -> dict[str, Any]:
        """What the file has of a scene, by the name of the dataset."""
        most, things = self.facts.most, scene.things
        image = scene.image.transpose(1, 2, 0)
        arrays: dict[str, Any] = {
            "image": image if self.bits == 32 else in_8_bits(image),
            "count": np.int64(len(things)),
            "visibility": _filled([1.0] * len(things), most, 0),
        }
        if self.facts.masks:
            arrays["mask"] = np.zeros((most, *scene.image.shape[1:], 1), np.uint8)
            arrays["mask"][: len(things), ..., 0] = scene.masks
        if self.facts.identities is not None:
            arrays["identity"] = _filled([thing.identity for thing in things], most, -1).astype(np.int64)
        if self.facts.boxes:
            arrays["box"] = np.zeros((most, 4), np.float32)
            arrays["box"][: len(things)] = np.array([thing.box for thing in things], np.float32).reshape(-1, 4)
        if scene.depth is not None:
            arrays["depth"] = scene.depth[..., None]
        for name in self.facts.coordinates:
            told = [thing.pose[name] for thing in things]
            arrays[name] = _filled([np.nan if value is None else value for value in told], most, 0)
        return arrays


def _filled(values: list[Any], most: int, rest: float) -> Any:
    """As many as the most objects of a scene, float32."""
    return np.array([*values, *[rest] * (most - len(values))], np.float32)


def _dataset(file: Any, name: str, count: int, values: Any) -> Any:
    """The dataset of that name, made with its first rows."""
    if name not in file:
        rows = min(count, max(1, CHUNK // values[0].nbytes))
        file.create_dataset(
            name, (count, *values.shape[1:]), values.dtype, chunks=(rows, *values.shape[1:]), compression="gzip",
            compression_opts=1,
        )  # fmt: skip
    return file[name]
