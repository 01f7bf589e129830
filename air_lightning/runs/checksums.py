"""`SHA256SUMS`: what the files of a shared run folder hash to, as `sha256sum -c` reads it."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from air_lightning.runs.layout import RunError

SUMS = "SHA256SUMS"


def write_sums(folder: Path, files: Iterable[Path]) -> None:
    """Write those of files, given by their place in the folder."""
    (folder / SUMS).write_text("".join(f"{_digest(folder / file)}  {file.as_posix()}\n" for file in files))


def check_sums(folder: Path, files: Iterable[Path], source: str) -> None:
    """Compare files with what they are to be; ``source`` says whose they are.

    Raises:
        RunError: one has another content, or is not listed.
    """
    listed = dict(_entries((folder / SUMS).read_text(errors="replace")))
    for file in files:
        if file.as_posix() not in listed:
            raise RunError(f"{source}: {SUMS} does not list {file}: it must be made by `export --format checkpoint`")
        if listed[file.as_posix()] != _digest(folder / file):
            raise RunError(
                f"{source}: {file} is not what {SUMS} says ({(folder / file).stat().st_size} bytes are there): it is "
                f"damaged, or was changed. Delete the copy {str(folder)!r} and try again, or ask its owner"
            )


def _entries(text: str) -> Iterable[tuple[str, str]]:
    return ((name, digest) for digest, name in re.findall(r"^([0-9a-f]{64})  (.+)$", text, re.MULTILINE))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
