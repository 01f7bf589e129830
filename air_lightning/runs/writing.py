"""What is written: whole files and folders, or none; and what to say where they cannot be."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from air_lightning.runs.reading import read_checkpoint

WRITING = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "allow larger files (ulimit -f)",
    errno.EROFS: "make it writable",
}
"""Reasons for which the system refuses to write, and what to do."""
DENIED = (errno.EACCES, errno.EPERM)


def unwritten(error: OSError) -> str | None:
    """What an error says could not be written, why, and what to do first; None of errors that are not of writing."""
    if not _is_of_writing(error):
        return None
    file = error.filename2 or error.filename
    named = "a file" if file is None else repr(os.fspath(file))
    number = error.errno or 0
    remedy = WRITING.get(number, "make it writable")
    return f"{named} cannot be written, {os.strerror(number).lower()}: {remedy}"


def _is_of_writing(error: OSError) -> bool:
    if error.errno in DENIED and error.filename is not None:
        return _may_be_read(Path(os.fsdecode(error.filename)))  # so that was not what was denied
    return error.errno in WRITING


def _may_be_read(path: Path) -> bool:
    there = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    return os.access(there, os.R_OK | os.X_OK if there.is_dir() else os.R_OK)


@contextmanager
def naming(path: Path, draft: Path | None = None) -> Iterator[None]:
    """An error of writing in here names ``path`` where it names no file, and for a ``draft`` what that is to become."""
    try:
        yield
    except OSError as error:
        if _is_of_writing(error):
            named = os.fsdecode(error.filename2 or error.filename or path)
            error.filename = named if draft is None else named.replace(str(draft), str(path))
            error.filename2 = None
        raise


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Where to write a file or folder that is to take the place of ``path``; it does so at the end, or not at all.

    A reader sees the old file or the new one, never half of one. Errors of writing name ``path``.
    """
    draft = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with naming(path, draft):
            yield draft
            os.replace(draft, path)
    finally:
        remove(draft)


def remove(draft: Path) -> None:
    """Remove a file or folder, where it is there and that can be done."""
    with suppress(OSError):
        shutil.rmtree(draft) if draft.is_dir() else draft.unlink()


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never half of one."""
    with drafted(path) as draft:
        draft.write_text(text, newline="")


def save_tensors(path: Path, content: Any) -> None:
    """As ``torch.save``, whose own writer has another error for a full disk, or ends the process."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(buffer.getbuffer())


def amend_checkpoint(path: Path, entries: Mapping[str, Any]) -> None:
    """Put entries into a checkpoint beside all else that it holds, the old file staying until the new one is whole.

    Raises:
        RunError: it cannot be read.
    """
    content = read_checkpoint(path) | dict(entries)
    with drafted(path) as draft:
        save_tensors(draft, content)


def cut_half_line(path: Path) -> None:
    """Cut off what comes after the last whole line: a process that was killed had not written it to its end."""
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write `record` as JSON for people: two spaces of indent, in the order given.

    JSON knows no NaN or infinity: such a figure becomes `null`.
    """
    write_atomically(path, json.dumps(_finite(record), indent=2, default=str) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
