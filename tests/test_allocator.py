"""Freed memory is kept where that can be said, and nothing else is touched."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from air_lightning.cli import allocator

FAULTS = """
import resource, sys
import numpy as np
from air_lightning.cli.allocator import keep_freed_memory
if "keep" in sys.argv:
    assert keep_freed_memory()
def used():
    np.ones(int(sys.argv[1]), np.uint8).sum()
used()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    used()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(size, *args):
    env = {name: value for name, value in os.environ.items() if name not in allocator.SET_BY_USERS}
    run = subprocess.run(
        [sys.executable, "-c", FAULTS, str(size), *args], env=env, capture_output=True, text=True, check=True
    )
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own thresholds")
@pytest.mark.parametrize("size", [4_000_000, 80_000_000])
def test_memory_that_was_freed_is_used_again(size):
    assert faults(size, "keep") < faults(size) / 4


class Library:
    """A C library that counts what it is told; ``names``: those of it that there are."""

    def __init__(self, **names):
        self.told = []
        self.__dict__.update(names)

    def mallopt(self, parameter, value):
        self.told.append((parameter, value))
        return 1


@pytest.mark.parametrize(
    ("platform_name", "environment", "names", "told"),
    [
        ("linux", {}, {"gnu_get_libc_version": None}, 2),
        ("linux", {}, {}, 0),  # another C library
        ("linux", {"MALLOC_TRIM_THRESHOLD_": "100000"}, {"gnu_get_libc_version": None}, 0),  # the user knows better
        ("darwin", {}, {"gnu_get_libc_version": None}, 0),
        ("win32", {}, {"gnu_get_libc_version": None}, 0),
    ],
)
def test_only_glibc_is_told_and_only_where_the_user_has_not(monkeypatch, platform_name, environment, names, told):
    library = Library(**names)
    for name in allocator.SET_BY_USERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(allocator, "sys", SimpleNamespace(platform=platform_name))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: library)
    assert allocator.keep_freed_memory() == bool(told) and len(library.told) == told
