"""Processes that Lightning has started end with the first one for as long as they have not met it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from air_lightning.parallel import FIRST_VARIABLE

SECOND = """
import sys, time
from air_lightning import parallel
for wanted in {calls}:
    parallel.end_with_first(wanted)
print("ready", flush=True)
time.sleep(120)
"""
FIRST = """
import os, subprocess, sys, time
if "LAUNCHED" in os.environ:
    os.environ["{variable}"] = str(os.getpid() + int(os.environ["LAUNCHED"]))
second = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
second.stdout.readline()
print(second.pid, flush=True)
time.sleep(120)
"""


def runs(process: int) -> bool:
    """Whether it does; not one that has ended and nobody has asked how."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def started_and_left(calls: list[bool], launched: str | None) -> int:
    """The number of a second process whose first one has been killed."""
    told = {"LOCAL_RANK": "1"} if launched is None else {"LOCAL_RANK": "1", "LAUNCHED": launched}
    given = [sys.executable, "-c", FIRST.replace("{variable}", FIRST_VARIABLE), SECOND.format(calls=calls)]
    environment = {name: value for name, value in os.environ.items() if name != FIRST_VARIABLE} | told
    with subprocess.Popen(given, env=environment, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        second = int(first.stdout.readline())
        first.kill()
    return second


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process of its parent's end")
@pytest.mark.parametrize(
    ("calls", "launched", "ends"),
    [([True], "0", True), ([True, False], "0", False), ([True], None, False)],
    ids=["before they meet", "after they have met", "of another launcher"],
)
def test_the_second_process_ends_with_the_first(calls: list[bool], launched: str | None, ends: bool) -> None:
    second = started_and_left(calls, launched)
    try:
        patience = time.monotonic() + (30 if ends else 1)
        while runs(second) and time.monotonic() < patience:
            time.sleep(0.05)
        assert runs(second) != ends
    finally:
        if runs(second):
            os.kill(second, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process of its parent's end")
def test_under_torchrun_nobody_ends_with_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the number of a first process is in the environment, as in what a fit starts."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    second = started_and_left([True], "1")
    assert runs(second)
    os.kill(second, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process of its parent's end")
def test_the_second_process_ends_if_the_first_has_ended_already() -> None:
    """Which it knows by its number: here it is another's than that of who has started it."""
    assert not runs(started_and_left([True], "1"))
