"""Commands whose output nobody reads any more: one line and the status of SIGPIPE, no trace."""

import os
import subprocess
import sys
from pathlib import Path

import toy

from air_lightning.cli.exit_status import UNREAD, end_unwritten

SAID = "stopped, for nobody reads what is printed any more; run the same command again"


def unread(*args: object, script: str = "-mair_lightning") -> tuple[int, str]:
    """Status and errors of a command whose reader has gone before it prints."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, *script.split(), *map(str, args)], stdout=writer, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr.strip()


def test_a_command_whose_reader_has_gone() -> None:
    assert unread("plugins") == (UNREAD, SAID)


def test_a_fit_whose_reader_has_gone_says_how_to_go_on(tmp_path: Path) -> None:
    run = tmp_path / "a run"
    toy.fit("--run_dir", run)
    more = ["--trainer.max_epochs=9", "--trainer.enable_progress_bar=true"]
    status, said = unread("fit", "--resume", "--run_dir", run, *more, script=toy.__file__)
    assert status == UNREAD and "Traceback" not in said
    assert f"continue with: fit --resume --run_dir '{run}'" in said.splitlines()[-1]


def test_other_broken_pipes_are_no_business_of_ours() -> None:
    end_unwritten(BrokenPipeError(), "not said")
