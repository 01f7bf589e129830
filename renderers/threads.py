"""Kernels on several threads: as many as torch uses.

So a DataLoader's workers, which torch gives one thread each, start none, and a process may fork after drawing, which
it may not once numba's own OpenMP threads run.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """One pool for each ``process``: a fork has its parent's memory but not its threads."""
    return ThreadPoolExecutor(threads)


def deal(kernel: Callable[..., None], count: int, *arguments: Any) -> None:
    """``kernel(start, stop, *arguments)`` over ranges that cover ``range(count)``; the kernel releases the GIL."""
    threads = torch.get_num_threads()
    jobs = max(1, min(threads, count))
    bounds = [count * job // jobs for job in range(jobs + 1)]
    rest = [_pool(threads, os.getpid()).submit(kernel, *share, *arguments) for share in zip(bounds[1:], bounds[2:])]
    kernel(0, bounds[1], *arguments)  # this thread's own share
    for future in rest:
        future.result()
