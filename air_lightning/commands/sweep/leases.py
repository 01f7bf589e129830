"""Who makes which run of a sweep: a lease for each run in progress, a file renewed while its holder lives.

Processes on several machines share a folder of leases. A lease is made by an exclusive creation, which a file system
lets one of them do. It is abandoned once its processes are seen to have ended, which only a process of the same machine
can see, or once it has not changed for ``EXPIRY`` seconds while another process looked on: no two machines' clocks are
compared. A holder that stood still for so long notices as soon as it goes on.
"""

import json
import os
import socket
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

RENEWAL = 10.0
"""Seconds between two renewals of a lease."""
EXPIRY = 120.0
"""Seconds without a renewal after which a lease is abandoned: a file system may well be away for some."""
BOOT, NAMESPACE = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


class Leases:
    """The leases of a sweep's runs, ``folder/001.lease`` for run 1, as one process holds and sees them."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._token = folder, uuid.uuid4().hex
        self._renewed: dict[int, float] = {}
        self._seen: dict[int, tuple[bytes, float]] = {}

    def claim(self, run: int) -> bool:
        """Take the lease of a run that nobody holds; whether it is ours now."""
        try:
            with self._path(run).open("xb") as file:
                file.write(self._content(0, []))
        except FileExistsError:
            return False
        self._renewed[run] = time.monotonic()
        return True

    def keep(self, run: int, fit: int | None = None) -> bool:
        """Whether the lease is still ours; it is renewed where it is time, or a ``fit`` begins (its process number).

        It is written to where it was found to be ours, so that another's, made in between, stays as it is.
        """
        due = fit is not None or time.monotonic() - self._renewed.get(run, 0.0) >= RENEWAL
        try:
            with self._path(run).open("r+b") as file:
                held = _read(file.read())
                if held.get("token") != self._token:
                    return False
                if due:
                    file.seek(0)
                    file.write(self._content(held["renewals"] + 1, held["processes"][1:] if fit is None else [fit]))
        except OSError:  # gone, for us or for all
            return False
        if due:
            self._renewed[run] = time.monotonic()
        return True

    def release(self, run: int) -> None:
        """Give the lease of a run up, whoever has held it."""
        self._seen.pop(run, None)
        self._path(run).unlink(missing_ok=True)

    def abandoned(self, run: int) -> bool:
        """Whether nobody makes a run any more that is said to be in progress."""
        try:
            content = self._path(run).read_bytes()
        except FileNotFoundError:
            return True
        held = _read(content)
        if held.get("token") == self._token:
            return False
        if held.get("machine") == machine() and not any(map(_alive, held["processes"])):
            return True
        known, since = self._seen.get(run, (None, 0.0))
        if known != content:
            self._seen[run] = content, time.monotonic()
        return known == content and time.monotonic() - since > EXPIRY

    def holder(self, run: int) -> str:
        """Who holds the lease of a run, for people."""
        try:
            held = _read(self._path(run).read_bytes())
        except OSError:
            held = {}
        return f"process {held['processes'][0]} on {held['host']}" if held else "nobody known"

    def _path(self, run: int) -> Path:
        return self._folder / f"{run:03d}.lease"

    def _content(self, renewals: int, fits: list[int]) -> bytes:
        """Never shorter than an earlier one, which it is written over."""
        held = {"token": self._token, "host": socket.gethostname(), "machine": machine(), "renewals": renewals}
        return json.dumps(held | {"processes": [os.getpid(), *fits]}).encode()


@cache
def machine() -> str:
    """What tells where process numbers mean the same: containers share names of hosts, and hosts start again."""
    parts = [socket.gethostname()]
    with suppress(OSError):  # Linux alone has them
        parts += [BOOT.read_text().strip(), os.readlink(NAMESPACE)]
    return " ".join(parts)


def _read(content: bytes) -> dict[str, Any]:
    """What a lease says; nothing while it is being written."""
    try:
        held = json.loads(content)
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True
