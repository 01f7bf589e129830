"""Sweeps that several processes share: each run made once, whichever process is killed, wherever it was."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from air_lightning.cli import main
from air_lightning.commands.sweep import keeper, leases, load
from air_lightning.commands.sweep.leases import EXPIRY, RENEWAL, Leases
from air_lightning.runs.curves import curve

TESTS = Path(__file__).parent
SWEEP = """
import sys, time
from pathlib import Path
from air_lightning.commands.sweep import local
from air_lightning.cli import main
local.POLL = 0.05
log, go = map(Path, sys.argv[3:])
sys.stdout = log.open("w")
while not go.exists():
    time.sleep(0.01)
main(["sweep", sys.argv[1], "--local", "--out", sys.argv[2]])
"""


def write(folder: Path, method: str = "grid", **parameters: Any) -> Path:
    """A sweep file of fake fits."""
    content = {
        "program": str(TESTS / "fake_fit.py"), "method": method, "parameters": parameters,
        "metric": {"name": "val/score", "goal": "maximize"},
        "command": ["${interpreter}", "${program}", "fit", "${args}"],
    }  # fmt: skip
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


# ---- three processes


@pytest.fixture
def optuna() -> None:
    pytest.importorskip("optuna", reason="sweeps on this machine need Optuna")


@pytest.mark.usefixtures("optuna")
def test_three_processes_share_a_sweep_and_one_is_killed(tmp_path: Path) -> None:
    xs = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    path = write(tmp_path, x={"values": xs}, points={"value": 20}, pause={"value": 0.05})
    out, logs = tmp_path / "out", [tmp_path / f"{n}.txt" for n in range(3)]
    command = [sys.executable, "-c", SWEEP, str(path), str(out)]
    processes = [subprocess.Popen([*command, str(log), str(tmp_path / "go")], cwd=TESTS.parent) for log in logs]
    wait_for(lambda: all(log.exists() for log in logs))
    (tmp_path / "go").touch()  # all at once
    wait_for(lambda: logs[0].read_text().endswith("\n"))
    killed = int(logs[0].read_text().split()[1])
    wait_for((out / f"{killed:03d}" / "checkpoints" / "last.ckpt").is_file)
    os.kill(processes[0].pid, signal.SIGKILL)
    assert processes[0].wait() == -signal.SIGKILL
    assert [process.wait(300) for process in processes[1:]] == [0, 0]
    said = [line for log in logs for line in log.read_text().splitlines()]
    for run, x in enumerate(xs, 1):
        assert said.count(f"run {run} finished, val/score {x}") == 1
        assert said.count(f"run {run} of 7: pause=0.05, points=20, x={x}") == (2 if run == killed else 1)
        steps = [point.step for point in curve(out / f"{run:03d}" / "metrics.csv", "val/score")]
        rows = (out / f"{run:03d}" / "metrics.csv").read_text().splitlines()
        assert steps == list(range(10, 210, 10)) and len(rows) == 21  # one fit at a time wrote, and went on
    runs = json.loads((out / "results.json").read_text())["runs"]
    assert [(r["run"], r["state"], r["value"]) for r in runs] == [
        (n, "finished", x) for n, x in reversed(list(enumerate(xs, 1)))
    ]
    assert not list(out.glob("*.lease"))


# ---- what they share


@pytest.mark.usefixtures("optuna")
@pytest.mark.parametrize("method", ["grid", "random", "bayes"])
def test_what_a_run_draws_does_not_depend_on_which_process_draws_it(method: str, tmp_path: Path) -> None:
    from air_lightning.commands.sweep.study import Study

    x = {"values": [1, 2, 3, 4]} if method == "grid" else {"min": 0.0, "max": 1.0}
    definition = load(write(tmp_path, method, x=x))
    drawn = []
    for folder, count in (("one", 1), ("three", 3)):
        (tmp_path / folder).mkdir()
        studies = [Study(definition, tmp_path / folder, 1, []) for _ in range(count)]
        begun = [studies[n % count].begin(4) for n in range(4)]
        drawn.append([(b[1], b[2]["x"]) for b in begun if b is not None])
        assert all(study.begin(4) is None for study in studies)
    assert drawn[0] == drawn[1]
    assert [number for number, _ in drawn[0]] == [1, 2, 3, 4] and len({x for _, x in drawn[0]}) == 4


@pytest.mark.usefixtures("optuna")
def test_a_run_is_put_in_line_once_however_often_the_sweep_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna import Study as OptunaStudy

    from air_lightning.commands.sweep.study import Study

    definition = load(write(tmp_path, x={"values": [1, 2, 3]}))
    Study(definition, tmp_path, 1, []).begin(3)
    with as_if_dead(monkeypatch):
        for method in ("enqueue_trial", "tell", "ask"):  # killed as it puts run 1 in line, after, and as it takes it
            with monkeypatch.context() as killed, pytest.raises(InterruptedError):
                killed.setattr(OptunaStudy, method, raises)
                Study(definition, tmp_path, 1, []).begin(3)
    again = Study(definition, tmp_path, 1, [])
    numbers = []
    while (begun := again.begin(3)) is not None:
        numbers.append((begun[1], begun[2]["x"]))
    assert numbers == [(1, 1), (2, 2), (3, 3)]
    assert [(r.run, r.state) for r in again.records()] == [(1, "running"), (2, "running"), (3, "running")]


def raises(*_: object, **__: object) -> None:
    raise InterruptedError


@contextmanager
def as_if_dead(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(leases, "_alive", lambda _: False)
        yield


@pytest.mark.usefixtures("optuna")
def test_a_process_that_stood_still_leaves_its_run_to_who_has_taken_it_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from air_lightning.commands.sweep.local import LocalSweep
    from air_lightning.commands.sweep.study import Study

    definition = load(write(tmp_path, x={"value": 1.0}, points={"value": 1000}, pause={"value": 0.1}))
    still, other = LocalSweep(definition, tmp_path, 1, 1, 1, []), Study(definition, tmp_path, 1, [])
    assert still._begin() and other.begin(1) is None
    (job,) = still._running
    with as_if_dead(monkeypatch):
        taken = other.begin(1)
    assert taken is not None and taken[1] == 1
    still._look()
    assert not still._running and job.fit.status() == -signal.SIGKILL
    assert f"run 1 is left to process {os.getpid()} on " in capsys.readouterr().out
    still._interrupt()
    assert other.leases.keep(1)


@pytest.mark.usefixtures("optuna")
def test_a_run_finished_by_who_lost_it_is_not_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from air_lightning.commands.sweep.study import Study

    definition = load(write(tmp_path, x={"value": 1.0}))
    late, other = Study(definition, tmp_path, 1, []), Study(definition, tmp_path, 1, [])
    lost = late.begin(1)
    with as_if_dead(monkeypatch):
        taken = other.begin(1)
    assert lost is not None and taken is not None
    assert not late.finish(lost[0], "finished", [(10, 0.5)], 1.0, "")
    assert [(r.state, r.value) for r in other.records()] == [("running", None)]
    assert other.finish(taken[0], "finished", [(10, 0.75)], 1.0, "")
    assert [(r.state, r.value) for r in late.records()] == [("finished", 0.75)]


@pytest.mark.usefixtures("optuna")
def test_no_wait_ends_while_other_processes_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from air_lightning.commands.sweep.study import Study

    path, out = write(tmp_path, x={"values": [0.5, 1.0]}), tmp_path / "out"
    out.mkdir()
    Study(load(path), out, 1, ["--points", "2"]).begin(2)
    main(["sweep", str(path), "--local", "--out", str(out), "--no_wait", "--", "--points", "2"])
    runs = json.loads((out / "results.json").read_text())["runs"]
    assert [(r["run"], r["state"]) for r in runs] == [(2, "finished"), (1, "running")]
    assert "waiting for" not in capsys.readouterr().out


# ---- leases


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    return now


def of_processes(folder: Path, processes: list[int], **changes: str) -> None:
    """Make the lease of run 1 one of other processes."""
    path = folder / "001.lease"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"processes": processes} | changes))


def test_a_lease_is_one_holders(tmp_path: Path) -> None:
    mine, other = Leases(tmp_path), Leases(tmp_path)
    assert mine.claim(1) and not other.claim(1) and not mine.claim(1)
    assert mine.keep(1) and not other.keep(1) and not mine.keep(2)
    assert not other.abandoned(1) and other.abandoned(2)
    assert mine.holder(1).startswith(f"process {os.getpid()} on ") and mine.holder(2) == "nobody known"
    mine.release(1)
    assert not mine.keep(1) and other.claim(1)


def test_a_lease_of_this_machine_is_abandoned_when_its_processes_have_ended(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    ended.wait()
    there, here = Leases(tmp_path), Leases(tmp_path)
    assert there.claim(1) and there.keep(1, ended.pid)
    assert not here.abandoned(1)
    of_processes(tmp_path, [ended.pid, os.getpid()])
    assert not here.abandoned(1)  # its fit, which this process plays, has not ended
    of_processes(tmp_path, [ended.pid])
    assert here.abandoned(1)


def test_a_lease_of_another_machine_is_abandoned_when_it_is_not_renewed(tmp_path: Path, clock: list[float]) -> None:
    there, here = Leases(tmp_path), Leases(tmp_path)
    assert there.claim(1)
    of_processes(tmp_path, [2**22 + 1], machine="elsewhere", host="node7")  # of that number there is none here
    assert not here.abandoned(1)  # however old it may be: it is seen for the first time
    clock[0] += EXPIRY
    assert not here.abandoned(1) and there.keep(1)  # renewed
    clock[0] += EXPIRY
    assert not here.abandoned(1)
    clock[0] += EXPIRY + 1
    assert here.abandoned(1)
    here.release(1)
    assert here.claim(1) and not there.keep(1)


def test_a_lease_is_renewed_when_it_is_time(tmp_path: Path, clock: list[float]) -> None:
    lease, file = Leases(tmp_path), tmp_path / "001.lease"
    assert lease.claim(1)
    before = file.read_bytes()
    assert lease.keep(1) and file.read_bytes() == before
    clock[0] += RENEWAL
    assert lease.keep(1, fit=17) and json.loads(file.read_text())["renewals"] == 1
    clock[0] += RENEWAL
    assert lease.keep(1) and json.loads(file.read_text())["processes"] == [os.getpid(), 17]


@pytest.mark.parametrize("content", ["", '{"token": "a", "host', "[1]"])
def test_a_lease_that_is_half_written_is_abandoned_when_it_stays_so(
    content: str, tmp_path: Path, clock: list[float]
) -> None:
    (tmp_path / "001.lease").write_text(content)
    lease = Leases(tmp_path)
    assert not lease.abandoned(1) and not lease.keep(1) and lease.holder(1) == "nobody known"
    clock[0] += EXPIRY + 1
    assert lease.abandoned(1)


def test_a_process_of_somebody_else_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert leases._alive(1)


# ---- a fit does not outlive its sweep


def keep(*command: str) -> list[str]:
    return [sys.executable, keeper.__file__, str(os.getpid()), *command]


@pytest.mark.parametrize(
    "code, status", [("import sys; sys.exit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 128 + 9), ("", 0)]
)
def test_a_keepers_status_is_its_commands(code: str, status: int) -> None:
    assert subprocess.run(keep(sys.executable, "-c", code)).returncode == status


@pytest.mark.parametrize("end", ["parent", "keeper"])
def test_a_kept_command_is_asked_to_end(end: str, tmp_path: Path) -> None:
    """Whether its sweep is killed, or asks: it saves its state either way."""
    run = tmp_path / "001"
    fit = [sys.executable, str(TESTS / "fake_fit.py"), "fit", "--run_dir", str(run), "--points=1000", "--pause=0.05"]
    if end == "keeper":
        process = subprocess.Popen(keep(*fit))
    else:
        start = (
            "import os, subprocess, sys; p = [str(os.getpid())]; subprocess.run([*sys.argv[1:3], *p, *sys.argv[3:]])"
        )
        process = subprocess.Popen([sys.executable, "-c", start, sys.executable, keeper.__file__, *fit])
    state = run / "checkpoints" / "last.ckpt"
    wait_for(lambda: state.is_file() and state.read_text() > "1")
    process.send_signal(signal.SIGTERM if end == "keeper" else signal.SIGKILL)
    assert process.wait(60) == (143 if end == "keeper" else -signal.SIGKILL)
    before = ""
    while (now := state.read_text()) != before:
        before = now
        time.sleep(0.4)
    assert 1 <= int(before) < 1000
