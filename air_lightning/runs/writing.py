"""What is written into a run folder: whole files, or none."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from air_lightning.runs.reading import read_checkpoint


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, never half of one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, newline="")
    os.replace(draft, path)


def amend_checkpoint(path: Path, entries: Mapping[str, Any]) -> None:
    """Put entries into a checkpoint beside all else that it holds, the old file staying until the new one is whole.

    Raises:
        RunError: it cannot be read.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(read_checkpoint(path) | dict(entries), draft)
    os.replace(draft, path)


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
