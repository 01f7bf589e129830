"""A renderer for AIR-Lightning that draws with MuJoCo: boxes, spheres, cylinders and capsules on a table.

AIR's own 3D experiment draws its scenes with MuJoCo (Eslami et al. 2016, section 3.3; Todorov et al. 2012). It gives
images and no gradients, which is all that is asked of a renderer: poses learn by finite differences.
"""

import math
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from renderers import Categorical, Coordinate, Layer, Renderer
from renderers.mesh import Camera

os.environ.setdefault("MUJOCO_GL", "egl")  # off-screen; read when mujoco is imported

QUARTER = math.pi / 2
# The geom, standing on the table at the origin (MuJoCo's z is up), half its height, and the turn that changes nothing.
IDENTITIES: dict[str, tuple[str, float, float]] = {
    "box": ('type="box" size="0.4 0.4 0.4" pos="0 0 0.4" rgba="0.9 0.15 0.15 1"', 0.4, QUARTER),
    "sphere": ('type="sphere" size="0.4" pos="0 0 0.4" rgba="0.2 0.3 0.95 1"', 0.4, 0.0),
    "cylinder": ('type="cylinder" size="0.35 0.45" pos="0 0 0.45" rgba="0.95 0.8 0.2 1"', 0.45, 0.0),
    "capsule": ('type="capsule" size="0.3 0.25" pos="0 0 0.3" euler="0 90 0" rgba="0.25 0.8 0.35 1"', 0.3, math.pi),
}
TABLE_GROUP = 5  # of MuJoCo's six geom groups, each shown or not; the identities have one each
TILES = 8  # images along a side of the off-screen buffer, which is read once for all of them


class MujocoScene(Renderer):
    """Draws MuJoCo geoms, each alone, seen by a fixed camera; shadows and reflections are left out.

    World frame as of ``MeshRenderer``: x right, y up, z towards the viewer. ``what`` is the identity, ``where`` is x
    and z (world units; the object's foot on the table) and yaw (radians, about y).

    Args:
        identities: of box, sphere, cylinder (upright), capsule (lying); at most five.
        image_size: height and width in pixels.
        reach: x and z lie within [-reach, reach].
        camera: where from, where to, how wide.
        position_step, yaw_step: central finite-difference steps, world units and radians.
        supersample: samples a pixel in each direction; 1 leaves hard edges.
    Errors:
        ValueError for unknown identities, and where MuJoCo cannot draw off-screen here.
    """

    def __init__(
        self,
        identities: Sequence[str] = ("box", "sphere", "capsule"),
        image_size: tuple[int, int] = (48, 48),
        reach: float = 1.6,
        camera: Camera = Camera(),
        position_step: float = 0.08,
        yaw_step: float = 0.1,
        supersample: int = 1,
    ) -> None:
        unknown = [identity for identity in identities if identity not in IDENTITIES]
        if unknown or not 1 <= len(identities) <= TABLE_GROUP:
            raise ValueError(
                f"identities must be one to {TABLE_GROUP} of {', '.join(IDENTITIES)}, got {list(identities)}"
            )
        if supersample < 1:
            raise ValueError(f"supersample must be at least 1 (one sample a pixel, hard edges), got {supersample}")
        if camera.intrinsics is not None:
            raise ValueError("MuJoCo draws with a field_of_view, and camera has intrinsics: give the one for the other")
        place = [Coordinate(name, "world units", -reach, reach, position_step) for name in ("x", "z")]
        periods = tuple(IDENTITIES[identity][2] for identity in identities)
        yaw = Coordinate("yaw", "radians", -math.pi, math.pi, yaw_step, circular=True, periods=periods)
        super().__init__(Categorical(tuple(identities)), (*place, yaw), (3, *image_size))
        self.camera, self.lift = camera, sum(IDENTITIES[identity][1] for identity in identities) / len(identities)
        self.size = (image_size[0] * supersample, image_size[1] * supersample)
        self.xml = scene_xml(identities, camera, self.size)
        empty = _drawer(self.xml, self.size).draw(np.array([TABLE_GROUP]), np.zeros((1, 3)))[0]
        self.register_buffer("_background", torch.from_numpy(empty[0]), persistent=False)

    def background(self) -> Tensor:
        return self.get_buffer("_background")

    @torch.no_grad()
    def draw(self, what: Tensor, where: Tensor) -> Layer:
        color, depth = _drawer(self.xml, self.size).draw(what.cpu().numpy(), where.double().cpu().numpy())
        return Layer(torch.from_numpy(color).to(where), torch.from_numpy(depth).to(where))

    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        _, height, width = self.image_shape
        middle = torch.stack([where[..., 0], torch.full_like(where[..., 0], self.lift), where[..., 1]], -1)
        image, depth = self.camera.project(middle, width / height)
        return image, self.camera.focal() * 0.55 / depth

    def unproject(self, image: Tensor) -> dict[str, Tensor]:
        _, height, width = self.image_shape
        point = self.camera.unproject(image, self.lift, width / height)
        return {"x": point[..., 0], "z": point[..., 2]}


def scene_xml(identities: Sequence[str], camera: Camera, size: tuple[int, int]) -> str:
    """The MuJoCo model: a body for each identity, moved by hand, and geom groups to show one at a time."""
    right, up, _ = (_z_up(axis) for axis in camera.rotation())
    bodies = "".join(
        f'<body name="{identity}" mocap="true"><geom group="{k}" {IDENTITIES[identity][0]}/></body>'
        for k, identity in enumerate(identities)
    )
    return f"""<mujoco>
      <statistic extent="1"/>
      <visual>
        <global offheight="{TILES * size[0]}" offwidth="{TILES * size[1]}"/>
        <headlight ambient="0.4 0.4 0.4" diffuse="0 0 0" specular="0 0 0"/>
        <quality shadowsize="0" offsamples="0" numslices="16" numstacks="10" numquads="1"/>
        <map znear="0.1" zfar="50"/>
      </visual>
      <default><geom contype="0" conaffinity="0"/></default>
      <worldbody>
        <light directional="true" dir="-0.5 0.35 -0.8" diffuse="0.6 0.6 0.6" specular="0 0 0" castshadow="false"/>
        <camera name="eye" pos="{_text(_z_up(camera.eye))}" xyaxes="{_text([*right, *up])}"
          fovy="{camera.field_of_view}"/>
        <geom type="plane" size="2.3 2.3 1" rgba="0.55 0.55 0.5 1" group="{TABLE_GROUP}"/>
        {bodies}
      </worldbody>
    </mujoco>"""


def _z_up(point: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """x right, y up, z towards the viewer, to MuJoCo's x right, y away from the viewer, z up."""
    return np.array([point[0], -point[2], point[1]])


def _text(numbers: Sequence[float] | NDArray[np.float64]) -> str:
    return " ".join(f"{number:.9g}" for number in numbers)


_DRAWERS: dict[tuple[Any, ...], "_Drawer"] = {}


def _drawer(xml: str, size: tuple[int, int]) -> "_Drawer":
    """OpenGL contexts belong to one thread of one process each. Renderers of the same scene share theirs.

    They are kept to the end: MuJoCo frees a context's buffers by number, in whichever context is then in use.
    """
    key = xml, size, os.getpid(), threading.get_ident()
    if key not in _DRAWERS:
        _DRAWERS[key] = _Drawer(xml, size)
    return _DRAWERS[key]


class _Drawer:
    """MuJoCo's model, scene and OpenGL context, for the thread that made them.

    Most of a small image's cost is reading it back. So as many as fit are drawn side by side into one off-screen
    buffer, which is read once, colours and depths together.
    """

    def __init__(self, xml: str, size: tuple[int, int]) -> None:
        try:
            import mujoco
        except Exception as error:  # a library that does not load is no ImportError everywhere
            raise ValueError(
                f"MuJoCo cannot be imported: {' '.join(str(error).split())}. Where an upgrade to 4.0 has removed files "
                "of the new version with the old one, this brings them back: pip install --force-reinstall mujoco"
            ) from error
        self.mujoco, self.size = mujoco, size
        try:
            self.model = mujoco.MjModel.from_xml_string(xml)
            self.gl = mujoco.GLContext(TILES * size[1], TILES * size[0])
            self.gl.make_current()
            self.context = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_50)
        except Exception as error:  # mujoco, EGL, OSMesa and PyOpenGL all have their own
            raise ValueError(
                f"MuJoCo cannot draw off-screen with MUJOCO_GL={os.environ['MUJOCO_GL']}: {error}. Install EGL "
                "(Debian: apt install libegl1 libgl1-mesa-dri) or OSMesa (apt install libosmesa6, MUJOCO_GL=osmesa); "
                "where you import mujoco yourself, import air_mujoco or set MUJOCO_GL before"
            ) from error
        self.data, self.option = mujoco.MjData(self.model), mujoco.MjvOption()
        self.pert, self.scene = mujoco.MjvPerturb(), mujoco.MjvScene(self.model, maxgeom=16)
        self.camera = mujoco.MjvCamera()
        self.camera.type, self.camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        for flag in ("SHADOW", "REFLECTION", "SKYBOX", "HAZE", "FOG"):
            self.scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0
        self.context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self.context)
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def draw(
        self, identities: NDArray[np.int64], where: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Colours (M, 3, H, W) and depths (M, H, W) of M objects, each alone (identity TABLE_GROUP: the table)."""
        self.gl.make_current()  # other drawers of this thread have contexts of their own
        height, width = self.size
        color = np.empty((len(identities), height, width, 3), np.float32)
        depth = np.empty((len(identities), height, width), np.float32)
        for start in range(0, len(identities), TILES**2):
            part = slice(start, start + TILES**2)
            color[part], depth[part] = self._sheet(identities[part], where[part])
        return np.ascontiguousarray(color.transpose(0, 3, 1, 2)), depth

    def _sheet(
        self, identities: NDArray[np.int64], where: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        (height, width), rows = self.size, -(-len(identities) // TILES)
        position = np.stack([where[:, 0], -where[:, 1], np.zeros(len(where))], 1)
        turn = np.stack([np.cos(where[:, 2] / 2), *np.zeros((2, len(where))), np.sin(where[:, 2] / 2)], 1)
        for i, identity in enumerate(identities.tolist()):
            self._draw_one(identity, position[i], turn[i], (i % TILES) * width, (i // TILES) * height)
        color = np.empty((rows * height, TILES * width, 3), np.uint8)
        depth = np.empty((rows * height, TILES * width), np.float32)
        whole = self.mujoco.MjrRect(0, 0, TILES * width, rows * height)
        self.mujoco.mjr_readPixels(color, depth, whole, self.context)
        colors, depths = (_tiles(sheet, self.size)[: len(identities)] for sheet in (color, depth))
        return colors.astype(np.float32) / np.float32(255), self._distance(depths)

    def _draw_one(
        self, identity: int, position: NDArray[np.float64], turn: NDArray[np.float64], left: int, bottom: int
    ) -> None:
        self.option.geomgroup[:] = 0
        self.option.geomgroup[identity] = 1
        if identity < TABLE_GROUP:
            self.data.mocap_pos[identity], self.data.mocap_quat[identity] = position, turn
            self.mujoco.mj_kinematics(self.model, self.data)
        everything = self.mujoco.mjtCatBit.mjCAT_ALL
        self.mujoco.mjv_updateScene(self.model, self.data, self.option, self.pert, self.camera, everything, self.scene)
        tile = self.mujoco.MjrRect(left, bottom, self.size[1], self.size[0])
        self.mujoco.mjr_render(tile, self.scene, self.context)

    def _distance(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Reversed depth (1 at the near plane, 0 at the far one and beyond) to distance along the optical axis."""
        near, far = (plane * self.model.stat.extent for plane in (self.model.vis.map.znear, self.model.vis.map.zfar))
        distance = near * far / (depth.astype(np.float64) * (far - near) + near)
        return np.where(depth > 0, distance, np.inf).astype(np.float32)


def _tiles(sheet: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """A sheet read from OpenGL, rows from the bottom, to its images (rows TILES, H, W, ...), rows from the top."""
    height, width = size
    rows = sheet.reshape(-1, height, TILES, width, *sheet.shape[2:])[:, ::-1]
    return rows.swapaxes(1, 2).reshape(-1, height, width, *sheet.shape[2:])
