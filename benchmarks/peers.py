"""How many object layers a second our rasteriser draws, beside PyTorch3D, MuJoCo and Mitsuba.

    python benchmarks/peers.py [--peers pytorch3d ...] [--python PACKAGE=PATH ...] [--scenes cube ...]
                               [--objects 64] [--turns 5] [--seconds 0.5] [--json FILE]

A layer is one object alone, colours and alpha, of 64x64 pixels with one sample each: cube, sphere and cylinder of one
colour each, the same triangles for all, in the same poses, before the same camera and under the same light. What each
draws is said by `drawers.py`. For each scene all are started, each in a process of its own with one thread, and then
take turns; shown are medians over the turns of layers a second of CPU time, and how many times more ours are. What they
draw is compared with ours: the least intersection over union of silhouettes is shown, and less than 0.9 is an error;
the largest mean difference of colours, which are in [0, 1], is shown.

A peer that is not installed is left out, with a line that says so. `--python mujoco=venv/bin/python` runs one in a
python of its own, which needs numpy and that package.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from drawers import AMBIENT, DIFFUSE, MARK, PEERS, Scene, our_renderer

from renderers import MeshRenderer
from renderers.mesh.camera import Camera
from renderers.mesh.shapes import SOLID_COLORS, SOLIDS
from renderers.rotations import rotation_matrix

HERE = Path(__file__).parent
SHAPES = ("cube", "sphere", "cylinder")
SCENES = {"all three": SHAPES, **{shape: (shape,) for shape in SHAPES}}
SIZE, DRAWS = 64, 4
LEAST_OVERLAP = 0.9
Row = dict[str, Any]


def write_meshes(folder: Path) -> None:
    """The built-in shapes as OBJ files, without colours."""
    for name in SHAPES:
        mesh = SOLIDS[name](SOLID_COLORS[name])
        corners = "".join(f"v {x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in mesh.vertices.tolist())
        faces = "".join(f"f {a} {b} {c}\n" for a, b, c in (mesh.faces + 1).tolist())
        (folder / f"{name}.obj").write_text(corners + faces)


def scenes(folder: Path, objects: int, names: Sequence[str] = tuple(SCENES)) -> dict[str, Path]:
    """The scenes' files by name."""
    write_meshes(folder)
    renderer = our_renderer(folder, {shape: SOLID_COLORS[shape] for shape in SHAPES}, SIZE)
    files = {name: folder / f"{name}.npz" for name in names}
    for name, file in files.items():
        meshes = np.resize([SHAPES.index(shape) for shape in SCENES[name]], objects)
        scene(renderer, folder, meshes).write(file)
    return files


def scene(renderer: MeshRenderer, folder: Path, meshes: Any) -> Scene:
    """Objects of these meshes in random poses, before our camera."""
    random = torch.Generator().manual_seed(0)
    x, z, yaw = renderer.where.constrain(torch.randn(DRAWS, len(meshes), 3, generator=random)).unbind(-1)
    camera, drawn, zero = Camera(), renderer.drawn_meshes, torch.zeros_like(x)
    light = np.asarray(renderer.light.direction)
    assert (renderer.light.ambient, renderer.light.directed) == (AMBIENT, DIFFUSE)
    return Scene(
        folder=folder,
        names=list(SHAPES),
        colors=np.array([SOLID_COLORS[name] for name in SHAPES]),
        vertices=[mesh.vertices for mesh in drawn],
        faces=[mesh.faces for mesh in drawn],
        meshes=meshes,
        rotations=rotation_matrix(yaw, zero, zero).numpy(),
        positions=torch.stack([x, zero, z], -1).numpy(),
        eye=np.array(camera.position),
        view=camera.rotation(),
        angle=camera.field_of_view,
        light=light / np.linalg.norm(light),
        size=SIZE,
    )


class Peer:
    """A renderer in a process of its own, which draws when it is told to."""

    def __init__(self, name: str, python: str, file: Path) -> None:
        one = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1") | {"LP_NUM_THREADS": "0"}  # llvmpipe's: none
        paths = os.pathsep.join(path for path in (str(HERE.parent), os.environ.get("PYTHONPATH")) if path)
        self.name, self._log = name, (file.parent / f"{name}.log").open("w+")
        self._process = subprocess.Popen(
            [python, str(HERE / "drawers.py"), name, str(file)],
            env=os.environ | one | {"PYTHONPATH": paths}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
        self.start = self._answer()

    def ask(self, *words: object) -> Row:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "failed" in answer:
            raise SystemExit(f"{self.name} ended early:\n{answer['failed']}")
        return answer

    def end(self) -> None:
        self._process.communicate()
        self._log.close()

    def _answer(self) -> Row:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):
                return dict(json.loads(line.removeprefix(MARK)))
        self._process.wait()
        self._log.seek(0)
        return {"failed": self._log.read().strip()[-2000:]}


def started(names: Sequence[str], pythons: dict[str, str], file: Path) -> list[Peer]:
    """Those of the peers that are installed, each with this scene."""
    found = []
    for name in names:
        peer = Peer(name, pythons.get(PEERS[name].package, sys.executable), file)
        if "version" in peer.start:
            found.append(peer)
            continue
        peer.end()
        if name == "ours":
            raise SystemExit(f"ours does not draw:\n{peer.start['failed']}")
        print(f"{name} is left out ({peer.start['failed'].splitlines()[-1]}); to have it: {PEERS[name].install}")
    return found


def agreement(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """Intersection over union of all silhouettes, and the mean difference of colours where both see the object."""
    mine, other = (layers["alpha"] > 0.5 for layers in (ours, theirs))
    both = mine & other
    difference = np.abs(ours["color"] - theirs["color"])[both]
    overlap = both.sum() / max(1, (mine | other).sum())
    return {"overlap": float(overlap), "color": float(difference.mean()) if both.any() else math.nan}


def compared(peer: Peer, ours: Peer, folder: Path) -> dict[str, float]:
    """How well a peer's layers agree with ours."""
    drawn = [np.load(each.ask("layers", folder / f"{each.name}.npz")["written"]) for each in (ours, peer)]
    found = agreement(*drawn)
    if found["overlap"] < LEAST_OVERLAP:
        raise SystemExit(
            f"{peer.name} does not draw what ours does: silhouettes overlap by {found['overlap']:.3f}, and "
            f"{LEAST_OVERLAP} is the least"
        )
    return found


def measured(peers: Sequence[Peer], turns: int, seconds: float, folder: Path) -> dict[str, Row]:
    """By peer: version, agreement with ours, which are the first, and the median of layers a second."""
    rates: dict[str, list[float]] = {peer.name: [] for peer in peers}
    found = {peer.name: {**peer.start, **compared(peer, peers[0], folder)} for peer in peers}
    for _ in range(turns):
        for peer in peers:
            rates[peer.name].append(peer.ask("rate", seconds)["rate"])
    return {name: row | {"rate": median(rates[name])} for name, row in found.items()}


def table(found: dict[str, dict[str, Row]]) -> str:
    """Markdown, of what was measured by scene: a line for each peer; in brackets how many times more are ours."""
    first = next(iter(found.values()))
    lines = [["", "version", *found, "silhouettes", "colours"]]
    lines.append(["---"] * len(lines[0]))
    for name, row in first.items():
        of_all = [rows[name] for rows in found.values()]
        rates = [
            f"{r['rate']:,.0f} ({rows['ours']['rate'] / r['rate']:.2f})" for r, rows in zip(of_all, found.values())
        ]
        worst = min(r["overlap"] for r in of_all), max(r["color"] for r in of_all)
        lines.append([name, row["version"], *rates, *(f"{number:.3f}" for number in worst)])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    others = [name for name in PEERS if name != "ours"]
    parser.add_argument("--peers", nargs="*", choices=others, default=others, help="besides ours")
    parser.add_argument("--python", nargs="+", default=[], metavar="PACKAGE=PATH")
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--objects", type=int, default=64, help="in a draw")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="CPU time of a turn")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    pythons = dict(pair.split("=", 1) for pair in args.python)
    names, found = ["ours", *args.peers], {}
    with tempfile.TemporaryDirectory() as folder:
        for name, file in scenes(Path(folder), args.objects, args.scenes).items():
            peers = started(names, pythons, file)
            found[name] = measured(peers, args.turns, args.seconds, Path(folder))
            names = [peer.name for peer in peers]
            for peer in peers:
                peer.end()
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
