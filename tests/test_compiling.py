"""That kernels are being compiled is said once, and of ours alone."""

import pytest
from numba import njit
from numba.core import event

from air_lightning.cli.compiling import tell_of_compiling

SAID = "compiling what draws, once for this installation: up to two minutes\n"


def kernel(module: str):
    """One that is not compiled yet, of a function of that module."""
    names = {"__name__": module}
    exec("def double(x):\n    return 2 * x", names)
    return njit(names["double"])


@pytest.fixture(autouse=True)
def listening(monkeypatch):
    monkeypatch.setitem(event._registered, "numba:compile", [])
    tell_of_compiling()


def test_compiling_is_said_once(capsys):
    assert kernel("plugin.renderers")(2) == 4
    assert capsys.readouterr().err == ""  # of a plug-in, which may compile every time
    double = kernel("renderers.mesh.swaps")
    assert double(2) == 4 and double(2.0) == 4.0 and kernel("datamodules.canvas")(3) == 6
    assert capsys.readouterr().err == SAID


def test_it_is_said_by_one_process_of_many(capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert kernel("renderers.placing")(2) == 4
    assert capsys.readouterr().err == ""
