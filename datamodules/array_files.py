"""Arrays of HDF5 and NPZ files, of which only what is asked for is read into memory."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

SUFFIXES = (".h5", ".hdf5", ".hdf", ".npz")
CHUNKS = 2**25
"""Bytes of an HDF5 array's chunks that are kept: one of them may hold many images."""


class Rows(Protocol):
    """An array in a file; ``array[i]`` reads its i-th row."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, number: Any, /) -> Any: ...


class ArrayFile:
    """A file of named arrays.

    Args:
        path: of an HDF5 file, the extra `hdf5`, or of an NPZ archive.
    Errors:
        ValueError, with the path, for a file of another kind, one that cannot be read, and where `h5py` is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.name.lower().endswith(SUFFIXES):
            raise ValueError(f"file={str(path)!r} must be one of {', '.join(SUFFIXES)}")
        with self.reading():
            self._arrays: Any = Archive(path) if path.suffix.lower() == ".npz" else _hdf5(path)

    def __getitem__(self, name: str) -> Rows:
        """An array; ValueError, with the names there are, where there is none of that name."""
        with self.reading():
            found = self._arrays.get(name)
            if not hasattr(found, "shape"):
                raise ValueError(f"it has no array {name!r}, it has {', '.join(self.names()) or 'none'}")
        rows: Rows = found
        return rows

    def names(self) -> list[str]:
        """Of all arrays; those of HDF5 groups as GROUP/NAME."""
        if isinstance(self._arrays, Archive):
            return self._arrays.names()
        found: list[str] = []
        self._arrays.visititems(lambda name, item: found.append(name) if hasattr(item, "shape") else None)
        return found

    @contextmanager
    def reading(self, entry: str = "") -> Iterator[None]:
        """What reading raises of a damaged file becomes a ValueError that names it, and ``entry``, `image 3 of `."""
        try:
            yield
        except Exception as error:  # HDF5 raises many
            raise ValueError(f"could not read {entry}file={str(self.path)!r}: {error}") from error


class Archive:
    """The arrays of an NPZ file, mapped into memory.

    NumPy reads a member of an archive whole. Those that are stored as they are (``numpy.savez``) are mapped where they
    lie; compressed ones are unpacked once into a temporary file, which goes when the process ends.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._mapped = path, dict[str, NDArray[Any]]()
        with zipfile.ZipFile(path) as archive:
            self._members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

    def names(self) -> list[str]:
        return list(self._members)

    def get(self, name: str) -> NDArray[Any] | None:
        if name not in self._mapped and name in self._members:
            self._mapped[name] = self._map(self._members[name])
        return self._mapped.get(name)

    def _map(self, member: zipfile.ZipInfo) -> NDArray[Any]:
        if member.compress_type == zipfile.ZIP_STORED:
            with zipfile.ZipFile(self._path) as archive, archive.open(member):
                pass  # it checks the member's own header
            with self._path.open("rb") as file:
                return mapped(file, _start(file, member))
        with tempfile.TemporaryFile() as unpacked:
            with zipfile.ZipFile(self._path) as archive, archive.open(member) as source:
                shutil.copyfileobj(source, unpacked)
            return mapped(unpacked, 0)


def mapped(file: IO[bytes], start: int) -> NDArray[Any]:
    """The array of a `.npy` file that begins there, mapped."""
    file.seek(start)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects: save numbers or text")
    order: Any = "F" if is_fortran else "C"
    return np.memmap(file, dtype, "r", file.tell(), shape, order)


def _start(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: after its own header, a name and an extra field, whose lengths that tells."""
    file.seek(member.header_offset + 26)
    name, extra = np.frombuffer(file.read(4), "<u2").tolist()
    return int(member.header_offset + 30 + name + extra)


def _hdf5(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise ValueError("HDF5 files need h5py: pip install 'air-lightning[hdf5]'") from error
    return h5py.File(path, "r", rdcc_nbytes=CHUNKS)
