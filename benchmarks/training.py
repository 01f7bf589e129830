"""CPU time, page faults and peak memory of training, by experiment, beside those of another checkout.

    python benchmarks/training.py [--configs scenes3d multi_mnist ...] [--steps 10] [--turns 5] [--threads 1]
                                  [--against DIR] [--json FILE]

Every experiment is a `fit` of its own, of `10 + steps * turns` steps without figures (a fit draws 25, however short it
is), and a short validation. With `--against` there is one from each checkout, and they take turns: one stands still
while the other trains, so that both meet the same machine. Shown are medians over the turns, CPU milliseconds a step,
and the ratio of this checkout to the other; peak memory is the whole fit's. CPU time, and not what a clock shows,
because it does not count what other programs do. Not for Windows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from turns import MARK, PARTS, WARM, peak

HERE = Path(__file__).parent
CONFIGS = ("scenes3d", "scenes3d_meshes", "multi_mnist", "multi_sprites", "omniglot")


def process(checkout: Path, config: str, threads: int, options: Mapping[str, object]) -> dict[str, Any]:
    """Arguments of `subprocess` for a fit of a checkout, which finds the callbacks of this folder."""
    command = [sys.executable, "-P", "-m", "air_lightning", "fit", "--config", f"configs/{config}.yaml"]
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    paths = os.pathsep.join([str(checkout), str(HERE)])
    return {
        "args": [*command, *(f"--{name}={value}" for name, value in options.items())],
        "cwd": checkout, "env": os.environ | count | {"PYTHONPATH": paths}, "text": True,
    }  # fmt: skip


class Fit:
    """A fit of one checkout that trains when it is told to, a turn at a time. ``more``: further options of `fit`."""

    def __init__(
        self,
        checkout: Path,
        config: str,
        steps: int,
        turns: int,
        threads: int,
        folder: Path,
        more: Sequence[str] = (),
    ) -> None:
        self.turns: list[dict[str, float]] = []
        self._log = (folder / "log").open("w")
        options = {
            "max_steps": WARM + steps * turns, "val_check_interval": "null", "limit_val_batches": 4,
            "accelerator": "cpu", "enable_progress_bar": "false", "callbacks+": "turns.Turns", "callbacks.steps": steps,
        }  # fmt: skip
        given = {"run_dir": folder / "run", "figures.every_minutes": 0}
        given |= {f"trainer.{name}": value for name, value in options.items()}
        started = process(checkout, config, threads, given)
        self._process = subprocess.Popen(
            [*started.pop("args"), *more],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, **started,
        )  # fmt: skip
        self._wait()  # for the first steps, which compile

    def turn(self) -> None:
        """Train ``steps`` steps."""
        self._go_on()
        self.turns.append(self._wait())

    def result(self) -> dict[str, float]:
        """Medians over the turns, and the whole fit's peak memory, MiB."""
        self._go_on()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdout.read()
        _, status, used = os.wait4(self._process.pid, 0)
        self._process.returncode = status
        for file in (self._process.stdin, self._process.stdout, self._log):
            file.close()
        if status:
            self._fail()
        middle = {name: median(turn[name] for turn in self.turns) for name in self.turns[0]}
        return middle | {
            "cpu": median(t["user"] + t["system"] for t in self.turns),
            "peak": peak(used),
        }

    def _go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def _wait(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        return self._fail()

    def _fail(self) -> Any:
        self._process.kill()
        raise SystemExit(f"a fit ended early:\n{Path(self._log.name).read_text()[-2000:]}")


def compared(config: str, checkouts: list[Path], steps: int, turns: int, threads: int) -> list[dict[str, float]]:
    """What a step of one experiment costs in each checkout, the checkouts in turn."""
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(number) for number in range(len(checkouts))]
        for place in places:
            place.mkdir()
        fits = [Fit(checkout, config, steps, turns, threads, place) for checkout, place in zip(checkouts, places)]
        for _ in range(turns):
            for fit in fits:
                fit.turn()
        return [fit.result() for fit in fits]


def row(name: str, result: dict[str, float]) -> str:
    shares = "  ".join(f"{part} {result[part] / sum(result[p] for p in PARTS):4.0%}" for part in PARTS)
    times = "".join(f"{1e3 * result[part]:9.1f}" for part in ("cpu", "user", "system"))
    return f"{name:28}{times}{result['faults']:10.0f}{result['peak']:10.0f}   {shares}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", default=CONFIGS)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    checkouts = [HERE.parent, *([args.against.absolute()] if args.against else [])]
    results = {}
    print(f"{'':28}{'CPU ms':>9}{'user':>9}{'system':>9}{'faults':>10}{'peak MiB':>10}   shares of the CPU time")
    for config in args.configs:
        found = compared(config, checkouts, args.steps, args.turns, args.threads)
        for name, result in zip([config, "  against"], found):
            print(row(name, result), flush=True)
        if args.against:
            ours, theirs = found
            print(f"{'  ratio':28}{theirs['cpu'] / ours['cpu']:8.2f}x less; peak {ours['peak'] / theirs['peak']:.0%}")
        results[config] = found
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
