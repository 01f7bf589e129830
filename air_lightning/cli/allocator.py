"""How the C library keeps memory that torch gives back."""

import ctypes
import os
import sys

# Of mallopt, <malloc.h>
TRIM_THRESHOLD, MMAP_MAX = -1, -4
NEVER = 2**31 - 1  # the largest int: the heap's end is not given back below 2 GiB
SET_BY_USERS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let the process keep freed memory for what it asks for next; whether that could be said.

    glibc's malloc gives every large block back to the system at once, and torch frees all tensors of a step to ask for
    the same again in the next: thousands of pages that the kernel clears again and again, a quarter of a step's time.
    Elsewhere than in Linux with glibc, and where the environment has settings of the user's own, nothing is changed.
    """
    if sys.platform != "linux" or any(name in os.environ for name in SET_BY_USERS):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):  # musl, for example, has no thresholds
        return False
    mallopt = library.mallopt
    # no block is mapped by itself: a threshold for that would be 32 MiB at most, and many objects' canvases are larger
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, NEVER))
