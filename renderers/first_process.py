"""What one of the processes of a parallel run does for all: warn, and print."""

import os
import warnings

import torch.distributed as dist

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""Where launchers say which process this is, before processes know one another."""


def is_first_process() -> bool:
    """Whether this is the first process of a run, as any process is that is alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return next((int(os.environ[name]) == 0 for name in RANKS if name in os.environ), True)


def warn(message: str) -> None:
    """Warn of something that all processes see, once: in the first of them, of the code that calls this."""
    if is_first_process():
        warnings.warn(message, stacklevel=2)
