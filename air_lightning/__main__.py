"""`python -m air_lightning fit|test|predict|...`."""

import os

from air_lightning.cli.allocator import keep_freed_memory
from air_lightning.cli.exit_status import exit_with, interrupt_status

# Torch's threads spin while they wait for each other. Without end, that costs many times the step on a busy
# machine; not at all, it costs half as much again on an idle one. So briefly. Read when torch loads.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

if __name__ == "__main__":
    keep_freed_memory()
    try:
        from air_lightning.cli import main  # seconds, in which Ctrl-C may come

        main()
    except KeyboardInterrupt as error:
        exit_with(interrupt_status(error), "interrupted")
