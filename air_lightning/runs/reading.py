"""What a run folder's files say: its arguments and its checkpoints."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
import yaml
from torch import Tensor

from air_lightning.moved import renamed, renamed_weights
from air_lightning.runs.layout import CONFIG, RunError, config_at, config_of

ARGUMENTS = "arguments"
"""Where a checkpoint has those of model and data with which it was saved, as YAML."""


def read_arguments(path: Path, name: str) -> tuple[str, dict[str, Any]]:
    """The text of a YAML file, and the arguments that it holds; ``name`` says in errors what gave its path.

    Raises:
        RunError: it cannot be read, or holds something else.
    """
    try:
        text = path.read_text()
        content = yaml.safe_load(text)
    except OSError as error:
        raise RunError(f"{name} {str(path)!r} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise RunError(f"{name} {str(path)!r} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        found = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise RunError(f"{name} {str(path)!r} {found}: expected arguments by name, as the files in configs/ have them")
    return text, renamed(content)


def read_config(folder: Path) -> tuple[str, dict[str, Any]]:
    """The text of a run's `config.yaml`, and the arguments that it holds.

    Raises:
        RunError: there is no such run, or its config cannot be read, or holds something else.
    """
    return read_arguments(config_of(folder), "the run's config")


def read_checkpoint(path: Path, mmap: bool = False) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU; with ``mmap`` its tensors are read when they are used, and not checked.

    Raises:
        RunError: the file cannot be read, is damaged, or no checkpoint.
    """
    try:
        if not mmap and (part := ZipFile(path).testzip()) is not None:  # torch does not look at the checksums
            raise BadZipFile(part)
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except UnpicklingError as error:  # what torch advises is not safe
        raise RunError(f"checkpoint {str(path)!r} {_code_in(path)}: name another as --ckpt_path") from error
    except Exception as error:  # archives, pickles and torch have their own; what torch advises is not safe
        reason = (isinstance(error, OSError) and error.strerror) or "it is damaged, or no checkpoint"
        raise RunError(f"checkpoint {str(path)!r} cannot be read, {reason}: name another as --ckpt_path") from error
    if not isinstance(saved, dict) or "state_dict" not in saved:
        raise RunError(
            f"checkpoint {str(path)!r} holds no weights, it is not one of `fit`: name another as --ckpt_path"
        )
    return saved


def check_resumable(checkpoint: Path) -> None:
    """RunError unless a fit can go on with a checkpoint: one that is for others has the weights alone."""
    if not is_resumable(checkpoint):
        raise RunError(
            f"checkpoint {str(checkpoint)!r} holds weights only and cannot be resumed: "
            f"`fit --start_from {shlex.quote(str(checkpoint))}` begins a new run with them"
        )


def is_resumable(checkpoint: Path) -> bool:
    """Whether a checkpoint holds the state of the training.

    Raises:
        RunError: it cannot be read.
    """
    return "optimizer_states" in read_checkpoint(checkpoint, mmap=True)


def _code_in(path: Path) -> str:
    """What to say of a checkpoint that holds more than tensors and plain values; nothing of it is run."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # pickles and archives have their own
        names = []
    if not names:
        return "cannot be read, it is damaged, or no checkpoint"
    return f"holds code ({', '.join(sorted(names))}), which is never run; one that `fit` wrote has none"


class OtherWeights(ValueError):
    """Weights of another model than the one that they are for; ``fact`` says so, without a remedy."""

    def __init__(self, fact: str) -> None:
        super().__init__(
            f"{fact}: the checkpoint must be the run's, its config as `fit` wrote it, and this version that which "
            "trained it"
        )
        self.fact = fact


def check_weights(weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raise OtherWeights unless the weights of a checkpoint are of a model with this state."""
    mine, theirs = (
        {name: value.shape for name, value in tensors.items()} for tensors in (state, renamed_weights(weights, state))
    )
    other = sorted(name for name in mine | theirs if mine.get(name) != theirs.get(name))
    if other:
        number = "one of them differs" if len(other) == 1 else f"{len(other)} of them differ"
        raise OtherWeights(f"its weights are of another model than the config's, {number} ({other[0]} first)")


def trained_with(checkpoint: Path) -> dict[str, Any]:
    """The model's arguments as the config beside a checkpoint had them at its step, or else the checkpoint itself."""
    folder = checkpoint.absolute().parent.parent
    if (folder / CONFIG).is_file():
        config = config_at(folder, step_of(checkpoint) or 0)
        return dict(read_arguments(config, "the config beside the checkpoint")[1]["model"])
    return dict(read_checkpoint(checkpoint, mmap=True).get("hyper_parameters", {}))


def saved_with(checkpoint: Path) -> dict[str, Any]:
    """The arguments in force when a run's checkpoint was saved, those of model and data at least.

    It says them itself; of one of an older version the config says them that the run has had at its step.

    Raises:
        RunError: the checkpoint or the config cannot be read.
    """
    text = read_checkpoint(checkpoint, mmap=True).get(ARGUMENTS)
    if text is not None:
        return renamed(yaml.safe_load(text))
    config = config_at(checkpoint.absolute().parent.parent, step_of(checkpoint) or 0)
    return read_arguments(config, "the config beside the checkpoint")[1]


def step_of(checkpoint: str | Path | None) -> int | None:
    """The optimizer step at which a checkpoint of this machine was saved.

    Raises:
        RunError: it cannot be read.
    """
    if checkpoint is None or not Path(checkpoint).is_file():
        return None
    return int(read_checkpoint(Path(checkpoint), mmap=True)["global_step"])


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `new` that `old` has otherwise or lacks, nested keys joined by dots.

    >>> differences({"data": {"noise": 0.0, "seed": 1}}, {"data": {"noise": 0.1, "seed": 1}})
    {'data.noise': 0.1}
    """
    before = dict(_flat(old))
    return {key: value for key, value in _flat(new) if key not in before or before[key] != value}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
