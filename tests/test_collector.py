"""What is made during imports is not looked at by the garbage collector, and collecting goes on afterwards."""

import gc
import sys
from types import ModuleType

import pytest

from air_lightning.cli import collector
from air_lightning.cli.collector import uncollected


def test_nothing_is_collected_meanwhile() -> None:
    before = gc.get_freeze_count()
    try:
        with pytest.raises(KeyboardInterrupt), uncollected():
            assert not gc.isenabled()
            raise KeyboardInterrupt
        assert gc.isenabled() and gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_who_has_turned_it_off_finds_it_so() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_triton_has_nothing_to_say_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, kept in ((False, True), (True, False)):
        monkeypatch.delitem(sys.modules, "triton", raising=False)
        if there:
            monkeypatch.setitem(sys.modules, "triton", ModuleType("triton"))
        gc.freeze()
        try:
            collector._quietly_ended()
            assert (gc.get_freeze_count() > 0) == kept
        finally:
            gc.unfreeze()
