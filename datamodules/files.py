"""Where the files of a public data set lie: in the user's own folder, or downloaded to the user's cache."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT_VARIABLE = "AIR_DATA_ROOT"


class Source(NamedTuple):
    """A data set's files.

    Attributes:
        name: for people. folder: the files' folder under a data root.
        files: their names there.
        mirrors: addresses to which a file's name is appended, tried in order.
        hashes: of each file as it is downloaded, ``md5:...``; None where they differ between mirrors.
        other_folders: where else under a data root all files may lie. other_names: of each file.
    """

    name: str
    folder: str
    files: tuple[str, ...]
    mirrors: tuple[str, ...]
    hashes: tuple[str | None, ...]
    other_folders: tuple[str, ...] = ()
    other_names: tuple[tuple[str, ...], ...] = ()


def find(source: Source, root: str | None) -> list[Path] | None:
    """The files under ``root``, else under $AIR_DATA_ROOT; None where they are not and ``root`` is not given.

    Errors:
        ValueError where ``root`` is given and lacks one of them.
    """
    if root is not None:
        paths = _under(root, source)
        absent = _absent(paths)
        if absent:
            raise ValueError(_remedy(source, f"root={str(root)!r} has no {', '.join(absent)}"))
        return paths
    given = os.environ.get(ROOT_VARIABLE)
    paths = _under(given, source) if given else []
    return paths if paths and not _absent(paths) else None


def obtain(source: Source, root: str | None) -> list[Path]:
    """The files, downloaded if they are neither under a root nor in the cache yet.

    Errors:
        ValueError where they cannot be had, with both ways to get them.
    """
    paths = find(source, root)
    if paths is not None:
        return paths
    try:
        # optional, and wanted only here
        import pooch  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise ValueError(_remedy(source, "the package `pooch`, which downloads, is not installed")) from None
    return [_download(pooch, source, *row) for row in zip(source.files, source.hashes)]


def discard(path: Path, source: Source, reason: str) -> ValueError:
    """The error for a downloaded file that is not what it should be; the file is removed from the cache."""
    path.unlink()
    return ValueError(_remedy(source, f"{reason}; it is removed, the next start downloads it again"))


def _download(pooch: Any, source: Source, file: str, known: str | None) -> Path:
    cache = Path(pooch.os_cache("air-lightning")) / source.folder
    reasons = []
    for mirror in source.mirrors:
        try:
            return Path(pooch.retrieve(url=mirror + file, known_hash=known, fname=file, path=cache))
        except (OSError, ValueError) as error:  # no network, no such file, another hash
            reasons.append(f"{mirror + file}: {error}")
    raise ValueError(_remedy(source, f"could not download {file} ({'; '.join(reasons)})"))


def _under(root: str, source: Source) -> list[Path]:
    """The files in the first folder that has all of them, or else most."""
    folders = (Path(root).expanduser() / folder for folder in (source.folder, *source.other_folders))
    return min((_within(folder, source) for folder in folders), key=lambda paths: len(_absent(paths)))


def _within(folder: Path, source: Source) -> list[Path]:
    names = source.other_names or ((),) * len(source.files)
    return [_first(folder, (file, *others)) for file, others in zip(source.files, names)]


def _first(folder: Path, names: Sequence[str]) -> Path:
    """The first of these files that is there; where none is, the first."""
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def _absent(paths: Sequence[Path]) -> list[str]:
    return [f"{path.parent.name}/{path.name}" for path in paths if not path.is_file()]


def _remedy(source: Source, problem: str) -> str:
    given = os.environ.get(ROOT_VARIABLE)
    return (
        f"{source.name}: {problem}. There are two ways: put {', '.join(source.files)} into a folder "
        f"{source.folder}/ and name the folder that holds it, as `root` or in the environment variable "
        f"{ROOT_VARIABLE} (now {repr(given) if given else 'not set'}); or give no `root`, `pip install pooch`, and "
        "have them downloaded"
    )
