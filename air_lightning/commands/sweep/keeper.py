"""Runs a command for as long as the process that signals for it lives: `python keeper.py PROCESS COMMAND ...`.

A sweep that is killed can end nothing any more. Its keepers can: they ask their fits to end, which save their state
then, and so nobody trains into a run folder that another process is about to take. SIGTERM is passed on. It is a script
that needs nothing but Python's own modules, and starts at once.

Exit status: the command's; 128 and the signal's number where a signal has ended it, as shells have it.
"""

import os
import signal
import subprocess
import sys
import time

POLL = 0.1
"""Seconds between two looks at the two processes."""
PATIENCE = 60.0
"""Seconds that a command has to save its state."""


def main(parent: int, command: list[str]) -> int:
    """Run the command to its end, or the parent's, or until SIGTERM."""
    signals: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    child = subprocess.Popen(command)
    while child.poll() is None and not signals and os.getppid() == parent:
        time.sleep(POLL)
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
