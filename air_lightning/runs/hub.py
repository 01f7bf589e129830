"""Models that others share on the Hugging Face Hub: `hf://owner/name`, or `hf://owner/name@revision`.

What is loaded are a config and weights: both are compared with their checksums, the config may name no class that its
user has not installed on purpose (``plugins.strangers``), and of a checkpoint only tensors and plain values are read.
"""

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from air_lightning.plugins.strangers import check_class_paths
from air_lightning.runs.checksums import SUMS, check_sums
from air_lightning.runs.layout import CHECKPOINTS, CONFIG, METRICS, RunError
from air_lightning.runs.reading import read_config

SCHEME = "hf://"
FILES = (Path(CONFIG), Path(CHECKPOINTS, "best.ckpt"))
"""Of a shared model's files, those that are read; its curves too where it has them."""
PATIENCE = 10.0
"""Seconds to wait for the Hub before a cached copy is used."""
PART = r"[A-Za-z0-9][\w.-]*"


class Shared(NamedTuple):
    """The name of a shared model; ``revision`` is a branch, a tag or a commit, None for the main branch."""

    repository: str
    revision: str | None

    def __str__(self) -> str:
        return SCHEME + self.repository + (f"@{self.revision}" if self.revision else "")


def is_shared(name: str) -> bool:
    """Whether a model's name means one on the Hub."""
    return name.startswith(SCHEME)


def parse(name: str) -> Shared:
    """The model that a name means.

    Raises:
        RunError: it is not of that form.
    """
    match = re.fullmatch(rf"{SCHEME}({PART}/{PART})(?:@({PART}(?:/{PART})*))?", name)
    if match is None:
        raise RunError(f"model {name!r} must be hf://owner/name or hf://owner/name@revision")
    return Shared(match[1], match[2])


def library() -> Any:
    """`huggingface_hub`.

    Raises:
        RunError: it is not installed.
    """
    try:
        return import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        raise RunError(
            "hf:// needs huggingface_hub, which is not installed: pip install 'air-lightning[hub]'"
        ) from error


def shared_run(name: str) -> Path:
    """The run folder of a shared model, a copy in the library's cache; used as it is where the Hub cannot be reached.

    Raises:
        RunError: the name is wrong; there is no such model, or it cannot be reached and there is no copy; or its files
            are damaged, or not of a model that was shared by ``export``; or its config names code that is not allowed.
    """
    wanted, hub = parse(name), library()
    unreachable = _why_unreachable(wanted, hub)
    folder = _copy(wanted, hub, unreachable)
    if unreachable:
        copy = f"the copy of commit {folder.name[:12]}, got earlier, is used"
        print(f"note: {wanted} cannot be reached ({unreachable}): {copy}", file=sys.stderr)
    check_sums(
        folder, [file for file in (*FILES, Path(METRICS)) if file in FILES or (folder / file).is_file()], str(wanted)
    )
    try:
        check_class_paths(read_config(folder)[1], str(wanted))
    except ValueError as error:
        raise RunError(str(error)) from error
    return folder


def _why_unreachable(wanted: Shared, hub: Any) -> str:
    """Why the Hub cannot be asked, "" where it can.

    Raises:
        RunError: it has no such model.
    """
    errors = import_module("huggingface_hub.errors")
    try:
        hub.HfApi().model_info(wanted.repository, revision=wanted.revision, timeout=PATIENCE)
    except errors.RevisionNotFoundError as error:
        raise RunError(
            f"{wanted}: the model has no revision {wanted.revision!r}: give a branch, tag or commit"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise RunError(
            f"{wanted}: there is no such model, or it is not for everybody: look at its name, or log in (hf auth login)"
        ) from error
    except Exception as error:  # the library's HTTP client has its own, and another one in other versions
        return _first_line(error)
    return ""


def _copy(wanted: Shared, hub: Any, unreachable: str) -> Path:
    """The folder of one commit's files, got if they are not there already.

    Raises:
        RunError: they cannot be had.
    """
    folder = Path()
    for file in (Path(SUMS), *FILES, Path(METRICS)):
        if file == Path(METRICS) and METRICS not in (folder / SUMS).read_text():
            break
        try:
            path = hub.hf_hub_download(
                wanted.repository, file.as_posix(), revision=wanted.revision, local_files_only=bool(unreachable)
            )
        except Exception as error:  # as above
            if unreachable:
                raise RunError(
                    f"{wanted} cannot be reached ({unreachable}), and there is no copy of it here"
                ) from error
            raise RunError(
                f"{wanted}: {file} cannot be had ({_first_line(error)}): a shared model has {SUMS}, {CONFIG} and "
                f"{FILES[1]}, as `export --format checkpoint` writes them"
            ) from error
        folder = Path(str(path).removesuffix(file.as_posix()))
    return folder


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
