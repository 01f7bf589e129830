"""One run of a sweep: a `fit` in a process of its own, and what its `metrics.csv` says while it goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from air_lightning import runs
from air_lightning.commands.sweep import keeper
from air_lightning.runs import curves

Curve = list[tuple[int, float]]
KEEPER = (sys.executable, "-I", "-S", str(Path(keeper.__file__)))
LAST_LINES = 5


class Fit:
    """A `fit` in progress, which does not outlive this process. What it prints is in ``folder.log``.

    Args:
        command: up to the run folder. environment: of the process.
        folder: of the run; where it holds a checkpoint to go on from, the run is resumed.
    """

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.folder, self.log = folder, folder.with_name(f"{folder.name}.log")
        resumes = (folder / runs.CHECKPOINTS / "last.ckpt").is_file()
        if not resumes and runs.holds_run(folder):
            shutil.rmtree(folder)  # interrupted before there was anything to go on from
        place = ["--run_dir", str(folder), *(["--resume"] if resumes else [])]
        self._start = time.monotonic()
        with self.log.open("a") as log:
            # a group of its own: Ctrl-C is for the sweep, which ends its fits in order
            self._process = subprocess.Popen(
                [*KEEPER, str(os.getpid()), *command, *place], env=dict(environment), stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, process_group=0,
            )  # fmt: skip

    @property
    def process(self) -> int:
        """The number of the process that ends with it."""
        return self._process.pid

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._start

    def status(self) -> int | None:
        """The exit status, None while it goes on."""
        return self._process.poll()

    def curve(self, name: str) -> Curve:
        """(step, value) of a metric, NaN included, in the order it was logged."""
        return [(point.step, point.value) for point in curves.curve(self.folder / runs.METRICS, name, nan=True)]

    def terminate(self) -> None:
        """Ask it to end; it saves its state."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = keeper.PATIENCE + 10) -> None:
        """Until it has ended, which is seen to after so many seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, and all that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def last_words(self) -> str:
        """The end of what it printed, in one line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        return errors[-1] if errors else " / ".join(lines[-LAST_LINES:])


def environment(jobs: int) -> dict[str, str]:
    """Of fits that run side by side: threads share the processors, unless the user has said how many."""
    shared = dict(os.environ)
    if jobs > 1:
        shared.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    return shared
