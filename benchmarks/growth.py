"""How a training step grows with the number of slots: CPU time by part, peak memory, and exponents.

    python benchmarks/growth.py [--worlds scenes3d multi_sprites] [--sizes 64x64 128x96] [--slots 3 6 10 16]
                                [--scenes 16] [--steps 4] [--turns 3] [--threads 1] [--json FILE]

Every row is a `fit` of its own, as `benchmarks/training.py` runs them, of scenes of 0 to N objects that are small
enough for N of them to find room. Shown are CPU milliseconds of a step, those of its parts, and the whole fit's peak
memory. Under each world and size stand the exponents of N in time, and in the memory above that before the first step,
fitted to the rows from the smallest N to 10 by least squares of logarithms: 1 is a cost in proportion to N.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import linear_regression
from typing import Any

from training import HERE, Fit
from turns import PARTS

FITTED = 10
"""Exponents are of rows up to as many slots."""
Row = dict[str, Any]


def scenes3d(slots: int, height: int, width: int) -> list[str]:
    """Options of `fit` for N objects a third as wide as usual, so that 16 find room."""
    sizes = "{cube: 0.4, sphere: 0.4, cylinder: 0.4}"
    return [f"--model.renderer.image_size=[{height},{width}]", f"--model.renderer.sizes={sizes}", "--data.apart=0.4"]


def multi_sprites(slots: int, height: int, width: int) -> list[str]:
    """Options of `fit` for N small shapes on a square of the larger side."""
    side = max(height, width)
    glimpses = ["--model.renderer.scale=[0.1,0.3]", f"--model.renderer.image_shape=[3,{side},{side}]"]
    return [*glimpses, f"--data.canvas={side}", "--data.sizes=[6,10]"]


WORLDS: dict[str, Callable[[int, int, int], list[str]]] = {"scenes3d": scenes3d, "multi_sprites": multi_sprites}


def measured(world: str, size: str, slots: int, args: argparse.Namespace) -> Row:
    """What a step with so many slots costs."""
    width, height = map(int, size.split("x"))
    counts = f"--data.counts={list(range(slots + 1))}"
    scenes = [f"--data.batch_size={args.scenes}", f"--data.val_scenes={args.scenes}"]
    more = [f"--model.slots={slots}", counts, *scenes, *WORLDS[world](slots, height, width)]
    with tempfile.TemporaryDirectory() as folder:
        fit = Fit(HERE.parent, world, args.steps, args.turns, args.threads, Path(folder), more)
        for _ in range(args.turns):
            fit.turn()
        return {"world": world, "size": size, "slots": slots, **fit.result()}


def exponent(rows: Sequence[Row], name: str, less: float = 0.0) -> float:
    """The slope of log(``name`` - less) over log N, by least squares; NaN for fewer than two rows, or none above."""
    points = [(math.log(row["slots"]), row[name] - less) for row in rows if row["slots"] <= FITTED]
    if len(points) < 2 or min(value for _, value in points) <= 0:
        return math.nan
    return linear_regression([x for x, _ in points], [math.log(value) for _, value in points]).slope


def line(row: Row) -> str:
    parts = "".join(f" {1e3 * row[part]:.0f} |" for part in PARTS)
    name = f"`{row['world']}` {row['size']}"
    return f"| {name} | {row['slots']} | {1e3 * row['cpu']:.0f} |{parts} {row['peak']:.0f} |"


def last_line(rows: Sequence[Row]) -> str:
    """Exponents of the rows of one world and size."""
    times = "".join(f" {exponent(rows, name):.2f} |" for name in ("cpu", *PARTS))
    memory = exponent(rows, "peak", rows[0]["before"])
    return f"| exponent of N | to {FITTED} |{times} {memory:.2f} |"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--sizes", nargs="+", default=["64x64", "128x96"], help="width x height, pixels")
    parser.add_argument("--slots", nargs="+", type=int, default=[3, 6, 10, 16])
    parser.add_argument("--scenes", type=int, default=16, help="a batch's")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    print(f"| | slots | CPU ms a step |{''.join(f' {part} |' for part in PARTS)} peak MiB |")
    print(f"|{'---|' * (len(PARTS) + 4)}")
    found: list[Row] = []
    for world in args.worlds:
        for size in args.sizes:
            rows: list[Row] = []
            for slots in args.slots:
                rows.append(measured(world, size, slots, args))
                print(line(rows[-1]), flush=True)
            print(last_line(rows), flush=True)
            found += rows
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
