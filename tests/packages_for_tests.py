"""Packages of this repository, built and installed by pip without a network."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def install(source: Path, folder: Path) -> Path:
    """Install a package's folder into ``folder / "site"``, which is returned: put it on the path."""
    pytest.importorskip("pip", reason="packages are installed with pip, which this environment lacks")
    copy = folder / "source"  # pip writes there
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    quiet = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *quiet, "--target", str(folder / "site"), str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"
