"""Where things lie in a run folder, and which of them is there."""

import re
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

CONFIG = "config.yaml"
METRICS = "metrics.csv"
CHECKPOINTS = "checkpoints"
FIGURES = "figures"
LOCK = ".lock"
NAMED_CHECKPOINTS = ("best", "last")


class RunError(ValueError):
    """A run folder is not what the command needs; the message names the folder and the remedy."""


def default_folder(name: str, root: Path = Path("runs"), now: datetime | None = None) -> Path:
    """`root/name/YYYY-mm-dd_HH-MM-SS`: where a run goes when the user names no folder.

    Args:
        name: the experiment, usually the stem of its config file.
        root: the folder of all experiments.
        now: local time of the start (default: the present).
    """
    return root / name / (now or datetime.now()).strftime("%Y-%m-%d_%H-%M-%S")


def evaluation_of(folder: Path, command: str) -> Path:
    """The file that `test` or `validate` writes."""
    return folder / f"{command}_metrics.json"


def holds_run(folder: Path) -> bool:
    """Whether `folder` already has the config, metrics or checkpoints of a run."""
    return any((folder / name).exists() for name in (CONFIG, METRICS, CHECKPOINTS))


def config_of(folder: Path) -> Path:
    """`folder/config.yaml` of an existing run.

    Raises:
        RunError: there is no such folder, or no config in it.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise RunError(f"run_dir {str(folder)!r} {what}: give the folder that `fit --run_dir DIR` wrote")
    if not (folder / CONFIG).is_file():
        raise RunError(
            f"run_dir {str(folder)!r} holds no run, for it has no {CONFIG}: "
            "give the folder that `fit --run_dir DIR` wrote"
        )
    return folder / CONFIG


def earlier_config(folder: Path, step: int) -> Path:
    """The name under which a config is kept that a run has had until an optimizer step."""
    return folder / f"config.until-step-{step:06d}.yaml"


def config_at(folder: Path, step: int) -> Path:
    """The config of the arguments that a run has had at an optimizer step: one that was kept, or the last."""
    kept = [(re.fullmatch(r"config\.until-step-(\d+)\.yaml", path.name), path) for path in folder.glob("config.*")]
    later = [(int(match[1]), path) for match, path in kept if match is not None and int(match[1]) >= step]
    return min(later)[1] if later else folder / CONFIG


def named_folder(name: str, option: str = "--run_dir") -> Path:
    """The folder of this name, which an option gives.

    Raises:
        RunError: the name is empty. A shell variable that is not set must not make the working directory a run.
    """
    if not name.strip():
        raise RunError(f"{option} must name a folder, got {name!r}: give one, or leave the option out")
    return Path(name)


def checkpoint_of(folder: Path, name: str) -> Path:
    """`folder/checkpoints/<name>.ckpt` of an existing run, `name` one of `best` and `last`.

    Raises:
        RunError: no such checkpoint; the message lists those there are.
    """
    path = folder / CHECKPOINTS / f"{name}.ckpt"
    if path.is_file():
        return path
    there = sorted(p.name for p in path.parent.glob("*.ckpt"))
    remedy = (
        f"give one of {there} as --ckpt_path" if there else "nothing was saved there: run `fit` again in a new folder"
    )
    if there and name == "best":
        remedy += " (best.ckpt is written by the first validation)"
    raise RunError(f"run_dir {str(folder)!r} has no {CHECKPOINTS}/{name}.ckpt: {remedy}")


def in_use(folder: Path) -> bool:
    """Whether a fit trains into a folder now; no where that cannot be told, the folder being somebody else's."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def figures_of(folder: Path) -> list[tuple[int, Path]]:
    """(step, file) of the images `step-000123.png` in a `figures/`, ascending; files of other names are not ours."""
    files = [(re.fullmatch(r"step-(\d+)\.png", path.name), path) for path in folder.glob("step-*.png")]
    return sorted((int(match[1]), path) for match, path in files if match is not None)
