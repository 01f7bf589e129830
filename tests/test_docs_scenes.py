"""The script that draws the image of every scene option does so, and every option shows."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

DOCS = Path(__file__).parent.parent / "docs"


def test_every_option_shows(tmp_path: Path) -> None:
    script = DOCS / "examples" / "scene_options.py"
    subprocess.run([sys.executable, str(script), str(tmp_path / "made.png")], cwd=DOCS.parent, check=True)
    files = tmp_path / "made.png", DOCS / "scene_options.png"
    made, kept = (np.asarray(Image.open(path).convert("RGB"), float) for path in files)
    assert made.shape == kept.shape and np.abs(made - kept).mean() < 2
    size, label = made.shape[1] // 4, 18
    rows = made.shape[0] // (size + label)
    cells = [made[r * (size + label) + label :][:size, c * size :][:, :size] for r in range(rows) for c in range(4)]
    for cell in cells[1:]:
        assert (np.abs(cell - cells[0]) > 20).any(2).mean() > 0.01
