"""Says that kernels are being compiled: a minute, in a fresh environment, in which nothing else is seen."""

import sys
from typing import Any

OURS = ("air_lightning", "datamodules", "renderers")


def tell_of_compiling() -> None:
    """Write to stderr, once, when numba has to compile one of our kernels, because none is kept from before.

    Called when a command has been imported: one that draws has numba then, and for others it would take half a second.
    """
    if "numba" not in sys.modules:
        return
    from numba.core import event

    class Told(event.Listener):
        told = False

        def on_start(self, started: Any) -> None:
            if not self.told and started.data["dispatcher"].py_func.__module__.partition(".")[0] in OURS:
                self.told = True
                _tell()

        def on_end(self, ended: Any) -> None:
            pass

    event.register("numba:compile", Told())  # type: ignore[no-untyped-call]


def _tell() -> None:
    from renderers.first_process import is_first_process

    if is_first_process():
        print("compiling what draws, once for this installation: up to two minutes", file=sys.stderr, flush=True)
