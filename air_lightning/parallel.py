"""The processes of one run: which of them this is, and what they tell one another.

Lightning starts the further ones itself, with the first one's command line, or finds them started: by torchrun, SLURM
and the like. Some of this is asked before there is a trainer.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

RUN_DIR_VARIABLE = "AIR_LIGHTNING_RUN_DIR"
"""Where the processes that Lightning starts find the folder of the first one."""
FIRST_VARIABLE = "AIR_LIGHTNING_FIRST_PROCESS"
"""Where the processes that Lightning starts find the number by which the system knows the one that started them."""
PARENT_DEATH_SIGNAL = 1
"""Linux's PR_SET_PDEATHSIG: what a process is sent when the one that has started it ends."""
PATIENCE = timedelta(minutes=10)
"""How long a process waits for the first one to have made the run folder."""

T = TypeVar("T")


def rank() -> int:
    """This process's number among those of the run, as far as known before the trainer is there."""
    from pytorch_lightning.utilities import rank_zero_only  # here, for who explains images has not imported it

    number = int(getattr(rank_zero_only, "rank", 0))
    return number or int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")))


def started_outside() -> bool:
    """Whether this is one of several processes that Lightning has not started."""
    return _several() and RUN_DIR_VARIABLE not in os.environ


def forget_launches(nodes: int) -> None:
    """Where this process is alone, drop what the environment says of others.

    That may be left there by a launch before; or by SLURM, in the shell of a job with room for several processes, which
    are started by `srun` alone. Lightning would take this process for one of them.

    Args:
        nodes: how many machines the trainer is to have.
    """
    if nodes > 1 or _several() or RUN_DIR_VARIABLE in os.environ or "TORCHELASTIC_RUN_ID" in os.environ:
        return
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK"):
        os.environ.pop(name, None)
    from pytorch_lightning.utilities import rank_zero_only

    setattr(rank_zero_only, "rank", 0)  # noqa: B010  # where Lightning keeps it
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        os.environ["SLURM_JOB_NAME"] = "bash"  # by which Lightning knows a shell


def end_with_first(wanted: bool = True) -> None:
    """Have this process end when the first one of this machine does, which has started it; or not any more.

    The first may be ended before the two have met, where this one would wait for it for half an hour. Called in the
    first, too, which lets the others know its number. For processes that Lightning starts, on Linux; of others their
    launcher takes care.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ or sys.platform != "linux":
        return
    if os.environ.get("LOCAL_RANK", "0") == "0":
        os.environ[FIRST_VARIABLE] = str(os.getpid())
        return
    first = os.environ.get(FIRST_VARIABLE)
    if first is None:
        return
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM if wanted else 0)
    if wanted and os.getppid() != int(first):  # it has ended before this was heard
        os.kill(os.getpid(), signal.SIGTERM)


def check_world(size: int) -> None:
    """ValueError where torchrun or srun has started several processes and the trainer is of another size.

    Above all of one: each would then train by itself, and all into one folder.
    """
    variable = "WORLD_SIZE" if "TORCHELASTIC_RUN_ID" in os.environ else "SLURM_STEP_NUM_TASKS"
    started = int(os.environ.get(variable, "1"))
    if started > 1 and started != size:
        raise ValueError(
            f"{started} processes were started and the trainer has {size}: give --trainer.devices the number of "
            "processes of one machine, and --trainer.num_nodes that of machines"
        )


def tell_folder(path: Path) -> None:
    """Let the other processes know the run folder."""
    os.environ[RUN_DIR_VARIABLE] = str(path)
    if _has_store():
        _store().set(_key(), str(path))


def forget_folder() -> None:
    """What `tell_folder` and `end_with_first` have left in this process, for the next run in it."""
    for name in (RUN_DIR_VARIABLE, FIRST_VARIABLE):
        os.environ.pop(name, None)


def told_folder() -> Path | None:
    """The run folder of the first process, waited for if need be; None where processes cannot tell one another."""
    if RUN_DIR_VARIABLE in os.environ:
        return Path(os.environ[RUN_DIR_VARIABLE])
    return Path(_store().get(_key()).decode()) if _has_store() else None


def can_tell_folder() -> bool:
    """Whether the other processes, if there are any, hear of a folder that this one makes."""
    return not started_outside() or _has_store()


def gather(value: T) -> list[T]:
    """The values of all processes, in the order of ranks; each of them must call it."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[T | None] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # filled by now


def average(values: torch.Tensor) -> torch.Tensor:
    """The mean of ``values`` over all processes, each of which must call it; without a gradient."""
    values = values.detach()
    if not (dist.is_available() and dist.is_initialized()):
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def _several() -> bool:
    """Whether a launcher says that it has started several processes."""
    return any(int(os.environ.get(name, "1")) > 1 for name in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS"))


def _has_store() -> bool:
    """torchrun keeps one for its processes, and is asked to in its own words."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _store() -> Any:
    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(*place, is_master=False, timeout=PATIENCE)  # type: ignore[attr-defined]


def _key() -> str:
    """Another one after torchrun has started its processes again."""
    return f"air_lightning/run_dir/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
