"""What `benchmarks/peers.py` measures: renderers that draw the same objects, each object alone, colours and alpha.

A class for each, all made from the same ``Scene``. Those other than ``Ours`` need numpy and their own package and no
more, so that each can run in a python of its own: ``python drawers.py NAME SCENE`` draws what it is told to by lines
on standard input (``serve``).
"""

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MARK = "drawer: "
AMBIENT, DIFFUSE = 0.4, 0.6
TILES = 8
"""Images along a side of the buffer that MuJoCo draws into, and objects along a side of Mitsuba's field."""
APART = 50.0
"""World units between the objects of that field: none is seen, nor casts a shadow, where another is."""
Array = NDArray[Any]


class Scene(NamedTuple):
    """Meshes, poses, camera and light, y up, as the file ``SCENE`` has them.

    Attributes:
        folder: where the meshes lie as NAME.obj; ``names``: theirs, ``colors``: (K, 3), RGB.
        vertices, faces: of K meshes as they are drawn, (V, 3), and (F, 3), counter-clockwise seen from outside.
        meshes: (M,), the mesh of each object. rotations, positions: (T, M, 3, 3) and (T, M, 3), of T draws.
        eye: (3,). view: (3, 3), rows: the camera's right, up and forward axes. angle: vertical field of view, degrees.
        light: (3,), the unit vector towards it. size: of the square images, pixels.
    """

    folder: Path
    names: list[str]
    colors: Array
    vertices: list[Array]
    faces: list[Array]
    meshes: Array
    rotations: Array
    positions: Array
    eye: Array
    view: Array
    angle: float
    light: Array
    size: int

    @classmethod
    def read(cls, file: Path) -> "Scene":
        kept = dict(np.load(file))
        names = kept.pop("names").tolist()
        parts = {part: [kept.pop(f"{part} {name}") for name in names] for part in ("vertices", "faces")}
        numbers = {"angle": float(kept.pop("angle")), "size": int(kept.pop("size"))}
        return cls(folder=file.parent, names=names, **parts, **numbers, **kept)

    def write(self, file: Path) -> None:
        parts = {f"{part} {name}": array for part in ("vertices", "faces") for name, array in self._by_name(part)}
        kept = {k: v for k, v in self._asdict().items() if k not in ("folder", "vertices", "faces")}
        np.savez(file, **kept, **parts)

    def _by_name(self, part: str) -> list[tuple[str, Array]]:
        return list(zip(self.names, getattr(self, part)))


class Drawer(ABC):
    """Made for one scene; draws all its objects in one thread."""

    @abstractmethod
    def __init__(self, scene: Scene) -> None: ...

    @abstractmethod
    def draw(self, turn: int) -> Any:
        """The objects in the poses of that draw, in the form in which the package gives images. This is measured."""

    @abstractmethod
    def layers(self, drawn: Any) -> tuple[Array, Array]:
        """What ``draw`` returned as colours (M, H, W, 3) and alpha (M, H, W), 1 where the object is seen."""


def our_renderer(folder: Path, colors: dict[str, Any], size: int) -> Any:
    """The renderer of the meshes NAME.obj in a folder."""
    from renderers import MeshRenderer

    return MeshRenderer(
        meshes={name: str(folder / f"{name}.obj") for name in colors}, colors=colors, image_size=(size, size)
    )


class Ours(Drawer):
    """A call of ``MeshRenderer.draw`` for all objects, with its checks: colours and depths, float32."""

    def __init__(self, scene: Scene) -> None:
        import torch

        colors = {name: tuple(color.tolist()) for name, color in zip(scene.names, scene.colors)}
        self.renderer = our_renderer(scene.folder, colors, scene.size)
        yaw = np.arctan2(scene.rotations[..., 0, 2], scene.rotations[..., 0, 0])
        where = np.stack([scene.positions[..., 0], scene.positions[..., 2], yaw], -1)
        self.what, self.where = torch.from_numpy(scene.meshes), torch.from_numpy(where).float()

    def draw(self, turn: int) -> Any:
        return self.renderer.draw(self.what, self.where[turn])

    def layers(self, drawn: Any) -> tuple[Array, Array]:
        return drawn.color.movedim(1, -1).numpy(), drawn.depth.isfinite().float().numpy()


class PyTorch3D(Drawer):
    """Posing the vertices, and a call of its ``MeshRenderer`` for all: ``HardFlatShader``, RGBA, float32."""

    def __init__(self, scene: Scene) -> None:
        import pytorch3d.renderer as p3d
        import torch
        from pytorch3d.structures import Meshes

        tensors = partial(torch.tensor, dtype=torch.float32)
        vertices = [tensors(scene.vertices[mesh]) for mesh in scene.meshes]
        colors = [tensors(scene.colors[mesh]).expand(len(v), 3) for mesh, v in zip(scene.meshes, vertices)]
        faces = [torch.tensor(scene.faces[mesh]).long() for mesh in scene.meshes]
        self.meshes = Meshes(vertices, faces, p3d.TexturesVertex(colors))
        self.rotations, self.positions = tensors(scene.rotations), tensors(scene.positions).unsqueeze(-2)
        view = scene.view.T * [-1, 1, 1]  # its camera's x points to the left
        camera = {"R": tensors(view)[None], "T": tensors(-scene.eye @ view)[None]}
        cameras = p3d.FoVPerspectiveCameras(fov=scene.angle, **camera)
        settings = p3d.RasterizationSettings(image_size=scene.size, cull_backfaces=True)
        light = {f"{part}_color": [[share] * 3] for part, share in (("ambient", AMBIENT), ("diffuse", DIFFUSE))}
        lights = p3d.DirectionalLights(**light, specular_color=[[0.0] * 3], direction=[scene.light.tolist()])
        black = p3d.BlendParams(background_color=(0.0, 0.0, 0.0))
        shader = p3d.HardFlatShader(cameras=cameras, lights=lights, blend_params=black)
        self.renderer = p3d.MeshRenderer(p3d.MeshRasterizer(cameras, settings), shader)

    def draw(self, turn: int) -> Any:
        placed = self.meshes.verts_padded() @ self.rotations[turn].mT + self.positions[turn]
        return self.renderer(self.meshes.update_padded(placed))

    def layers(self, drawn: Any) -> tuple[Array, Array]:
        return drawn[..., :3].numpy(), drawn[..., 3].numpy()


class MuJoCo(Drawer):
    """An ``mjv_updateScene`` and an ``mjr_render`` for each object, the others hidden, into tiles of one buffer that is
    read once for 64: RGB, 8 bits, and depths, which are the alpha.
    """

    def __init__(self, scene: Scene, gl: str) -> None:
        os.environ["MUJOCO_GL"] = gl  # read when it is imported
        import mujoco

        self.mujoco, self.size, self.model = mujoco, scene.size, mujoco.MjModel.from_xml_string(_mjcf(scene))
        self.gl = mujoco.GLContext(TILES * scene.size, TILES * scene.size)
        self.gl.make_current()
        self.context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_50)
        self.data, self.option, self.camera = mujoco.MjData(self.model), mujoco.MjvOption(), mujoco.MjvCamera()
        self.perturbation, self.scene = mujoco.MjvPerturb(), mujoco.MjvScene(self.model, maxgeom=16)
        self.camera.type, self.camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        for flag in ("SHADOW", "REFLECTION", "SKYBOX", "HAZE", "FOG"):
            self.scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self.context)
        mujoco.mj_forward(self.model, self.data)
        self.meshes, self.positions = scene.meshes, _z_up(scene.positions)
        self.quaternions = np.zeros((*scene.positions.shape[:2], 4))
        for quaternion, matrix in zip(self.quaternions.reshape(-1, 4), scene.rotations.reshape(-1, 3, 3)):
            mujoco.mju_mat2Quat(quaternion, _z_up(_z_up(matrix).T).T.astype(np.float64).ravel())

    def draw(self, turn: int) -> Any:
        objects = np.arange(len(self.meshes))
        sheets = [self._sheet(turn, objects[first : first + TILES**2]) for first in range(0, len(objects), TILES**2)]
        colors, depths = zip(*sheets)
        return np.concatenate(colors), np.concatenate(depths)

    def _sheet(self, turn: int, objects: Array) -> tuple[Array, Array]:
        side = TILES * self.size
        for place, number in enumerate(objects):
            across, up = place % TILES * self.size, place // TILES * self.size
            self._draw_one(turn, number, self.mujoco.MjrRect(across, up, self.size, self.size))
        color, depth = np.empty((side, side, 3), np.uint8), np.empty((side, side), np.float32)
        self.mujoco.mjr_readPixels(color, depth, self.mujoco.MjrRect(0, 0, side, side), self.context)
        return self._cut(color)[: len(objects)], self._cut(depth)[: len(objects)]

    def _draw_one(self, turn: int, number: int, tile: Any) -> None:
        mesh = self.meshes[number]
        self.option.geomgroup[:] = 0
        self.option.geomgroup[mesh] = 1
        self.data.mocap_pos[mesh] = self.positions[turn, number]
        self.data.mocap_quat[mesh] = self.quaternions[turn, number]
        self.mujoco.mj_kinematics(self.model, self.data)
        shown = self.option, self.perturbation, self.camera, self.mujoco.mjtCatBit.mjCAT_ALL, self.scene
        self.mujoco.mjv_updateScene(self.model, self.data, *shown)
        self.mujoco.mjr_render(tile, self.scene, self.context)

    def _cut(self, sheet: Array) -> Array:
        """The images of a buffer, whose rows run upwards."""
        tiles = sheet.reshape(TILES, self.size, TILES, self.size, -1)[:, ::-1].swapaxes(1, 2)
        return tiles.reshape(TILES**2, self.size, self.size, -1)

    def layers(self, drawn: Any) -> tuple[Array, Array]:
        color, depth = drawn
        return color / np.float32(255), (depth[..., 0] < 1).astype(np.float32)


def _z_up(points: Array) -> Array:
    """x right, y up, z towards the viewer, to x right, y away from the viewer, z up; along the last axis."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def _mjcf(scene: Scene) -> str:
    """MuJoCo's model: a body for each mesh, moved by hand, each in a group that is shown or not."""
    right, up, _ = _z_up(scene.view)
    meshes = "".join(
        f'<mesh name="{name}" vertex="{_text(_z_up(vertices))}" face="{_text(faces)}"/>'
        for name, vertices, faces in zip(scene.names, scene.vertices, scene.faces)
    )
    bodies = "".join(
        f'<body mocap="true"><geom type="mesh" mesh="{name}" group="{k}" rgba="{_text(color)} 1"/></body>'
        for k, (name, color) in enumerate(zip(scene.names, scene.colors))
    )
    return f"""<mujoco>
      <statistic extent="1"/>
      <visual>
        <global offheight="{TILES * scene.size}" offwidth="{TILES * scene.size}"/>
        <headlight ambient="{_text([AMBIENT] * 3)}" diffuse="0 0 0" specular="0 0 0"/>
        <quality shadowsize="0" offsamples="0"/>
        <map znear="0.1" zfar="50"/>
      </visual>
      <default><geom contype="0" conaffinity="0"/></default>
      <asset>{meshes}</asset>
      <worldbody>
        <light directional="true" dir="{_text(-_z_up(scene.light))}" diffuse="{_text([DIFFUSE] * 3)}" specular="0 0 0"
          castshadow="false"/>
        <camera pos="{_text(_z_up(scene.eye))}" xyaxes="{_text([right, up])}" fovy="{scene.angle}"/>
        {bodies}
      </worldbody>
    </mujoco>"""


def _text(numbers: Any) -> str:
    return " ".join(f"{number:.9g}" for number in np.ravel(numbers))


class Mitsuba(Drawer):
    """Giving all meshes their new vertices (posed beforehand), which rebuilds what finds rays, and a render of all
    objects, far from one another, each before its own camera of a ``batch`` sensor: RGBA, one ray through each pixel's
    middle, direct light with its shadow rays, no ambient light.
    """

    def __init__(self, scene: Scene, variant: str) -> None:
        import drjit
        import mitsuba

        mitsuba.set_variant(variant)
        drjit.set_thread_count(1)
        self.mitsuba, self.size, count = mitsuba, scene.size, len(scene.meshes)
        places = np.arange(count)
        field = APART * np.stack([places % TILES, 0 * places, -(places // TILES)], 1)
        self.vertices = [
            [scene.vertices[mesh] @ rotation.T + shift for mesh, rotation, shift in zip(scene.meshes, *pose)]
            for pose in zip(scene.rotations, scene.positions + field)
        ]
        paints = [self._paint(color) for color in scene.colors]
        meshes = {f"mesh{k}": self._mesh(scene.faces[mesh], paints[mesh], k) for k, mesh in enumerate(scene.meshes)}
        light = {"type": "directional", "direction": (-scene.light).tolist(), "irradiance": np.pi * DIFFUSE}
        integrator = {"type": "direct", "emitter_samples": 1, "bsdf_samples": 0}
        sensor = self._sensor(scene, field)
        whole = {"type": "scene", "integrator": integrator, "sensor": sensor, "light": light}
        self.scene = mitsuba.load_dict(whole | meshes)
        self.parameters = mitsuba.traverse(self.scene)
        self.names = [f"mesh{k}.vertex_positions" for k in range(count)]

    def _paint(self, color: Array) -> Any:
        return self.mitsuba.load_dict({"type": "diffuse", "reflectance": {"type": "rgb", "value": color.tolist()}})

    def _mesh(self, faces: Array, paint: Any, number: int) -> Any:
        """The object's mesh, flat by face, in its pose of the first draw."""
        properties, vertices = self.mitsuba.Properties(), self.vertices[0][number]
        properties["bsdf"] = paint
        made = self.mitsuba.Mesh(f"mesh{number}", len(vertices), len(faces), props=properties)
        parameters = self.mitsuba.traverse(made)
        parameters["vertex_positions"], parameters["faces"] = np.ravel(vertices), np.ravel(faces).astype(np.uint32)
        parameters.update()
        return made

    def _sensor(self, scene: Scene, field: Array) -> dict[str, Any]:
        film = {"type": "hdrfilm", "height": scene.size, "rfilter": {"type": "box"}, "pixel_format": "rgba"}
        middle = {"type": "stratified", "sample_count": 1, "jitter": False}
        look = self.mitsuba.ScalarTransform4f().look_at
        cameras = {
            f"camera{k}": {
                "type": "perspective",
                "fov": scene.angle,
                "fov_axis": "y",
                "to_world": look((scene.eye + at).tolist(), (scene.eye + at + scene.view[2]).tolist(), [0, 1, 0]),
                "film": film | {"width": scene.size},
            }
            for k, at in enumerate(field)
        }
        return {"type": "batch", "film": film | {"width": len(field) * scene.size}, "sampler": middle} | cameras

    def draw(self, turn: int) -> Any:
        for name, vertices in zip(self.names, self.vertices[turn]):
            self.parameters[name] = np.ravel(vertices)
        self.parameters.update()
        return np.array(self.mitsuba.render(self.scene, spp=1))

    def layers(self, drawn: Any) -> tuple[Array, Array]:
        images = drawn.reshape(self.size, -1, self.size, 4).swapaxes(0, 1)
        return images[..., :3], images[..., 3]


class Peer(NamedTuple):
    """How one is made, and which package it is. ``install``: how to get that."""

    make: Callable[[Scene], Drawer]
    package: str
    install: str


PEERS = {
    "ours": Peer(Ours, "air-lightning", "pip install -e ."),
    "pytorch3d": Peer(PyTorch3D, "pytorch3d", "INSTALL.md of https://github.com/facebookresearch/pytorch3d"),
    "mujoco-egl": Peer(partial(MuJoCo, gl="egl"), "mujoco", "pip install mujoco; apt install libegl1 libgl1-mesa-dri"),
    "mujoco-osmesa": Peer(partial(MuJoCo, gl="osmesa"), "mujoco", "pip install mujoco; apt install libosmesa6"),
    "mitsuba-scalar": Peer(partial(Mitsuba, variant="scalar_rgb"), "mitsuba", "pip install mitsuba"),
    "mitsuba-llvm": Peer(
        partial(Mitsuba, variant="llvm_ad_rgb"), "mitsuba", "pip install mitsuba; apt install libllvm19"
    ),
}


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # built where it is, and not installed
        return str(import_module(package.replace("-", "_")).__version__)


def rate(drawer: Drawer, objects: int, turns: int, seconds: float) -> float:
    """Objects drawn in a second of CPU time, over as many draws as take ``seconds``."""
    start, drawn = time.process_time(), 0
    while (spent := time.process_time() - start) < seconds:
        drawer.draw(drawn % turns)
        drawn += 1
    return drawn * objects / spent


def say(**fields: Any) -> None:
    print(MARK + json.dumps(fields), flush=True)


def serve(name: str, file: Path) -> None:
    """Makes the drawer of a scene and says so; then answers each line on standard input with a line.

    ``rate SECONDS`` with the objects drawn a second, ``layers FILE`` with those of the first draw in FILE.
    """
    peer, scene = PEERS[name], Scene.read(file)
    drawer = peer.make(scene)
    for turn in range(2):  # compiles, some of it where poses change
        drawer.draw(turn)
    say(version=version_of(peer.package))
    for line in sys.stdin:
        task, more = line.rstrip("\n").split(" ", 1)
        if task == "rate":
            say(rate=rate(drawer, len(scene.meshes), len(scene.positions), float(more)))
        else:
            color, alpha = drawer.layers(drawer.draw(0))
            np.savez(more, color=color, alpha=alpha)
            say(written=more)


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
