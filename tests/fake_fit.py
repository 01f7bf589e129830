"""A stand-in for `fit`, for tests of sweeps: a run folder with a curve that its arguments give, and no training.

    python fake_fit.py fit --run_dir DIR [--resume] --x=0.5 [--points=3] [--pause=0.0]
        [--fail=true] [--metric=val/score] [--spoil=nan]

The curve rises to x; from its second point on it is what ``spoil`` says. The state that it goes on from is the number
of points, in `last.ckpt`.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("command")
parser.add_argument("--run_dir", type=Path, required=True)
parser.add_argument("--resume", action="store_true")
parser.add_argument("--x", type=float, default=0.0)
parser.add_argument("--points", type=int, default=3)
parser.add_argument("--pause", type=float, default=0.0)
parser.add_argument("--fail", default="False")
parser.add_argument("--spoil", default="")
parser.add_argument("--metric", default="val/score")
parser.add_argument("--no_wandb", action="store_true")
parser.add_argument("--trainer.logger")
parser.add_argument("--trainer.enable_progress_bar")


def main() -> None:
    given = parser.parse_args()
    if given.fail == "True":
        sys.exit("error: it was told to fail")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    state, metrics = given.run_dir / "checkpoints" / "last.ckpt", given.run_dir / "metrics.csv"
    if metrics.exists() != given.resume:
        sys.exit("error: it holds a run, or none, and was not called for that")
    state.parent.mkdir(parents=True, exist_ok=True)
    (given.run_dir / "config.yaml").write_text("")
    done = int(state.read_text()) if given.resume else 0
    if not given.resume:
        metrics.write_text(f"epoch,step,{given.metric}\n")
    for point in range(done + 1, given.points + 1):
        time.sleep(given.pause)
        with metrics.open("a") as file:
            value = given.spoil if given.spoil and point > 1 else given.x * point / given.points
            file.write(f"0,{10 * point},{value}\n")
        new = state.with_suffix(".new")
        new.write_text(str(point))
        new.replace(state)  # whole or not at all, wherever it is interrupted


if __name__ == "__main__":
    main()
