"""BOP's folders (Hodan et al. 2018).

A scene's folder has `rgb/` or `gray/`, `scene_gt.json`, `scene_gt_info.json`, `scene_camera.json` and `mask_visib/`, of
which the last three may be missing; a split's folder holds scenes, `000001/` and so on.

An object's identity is the `name` of its model in `models_info.json`, an entry of `scenes --format bop`, or else
`obj_000005`, as the model's file is called. Objects of which no pixel shows are left out.
Positions are those of the models' origins in the world of `scene_camera.json` and in the camera's frame, in mm;
symmetries are read from `models_info.json`, in `models/`, `models_eval/` or the like, up to three folders above the
scenes, those about a model's z axis, or about the axis that is its `up`, an entry of `scenes --format bop`.
"""

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.truth.entries import box_of_sides, entry, numbers
from datamodules.truth.masks import MaskFiles
from datamodules.truth.record import Box, Placed, SeenFrom, TrueObject, TrueScene, Truth, TruthError
from datamodules.truth.source import Source, parsed
from renderers.mesh.axes import UPRIGHT as AXES
from renderers.mesh.pinhole import Intrinsics

Models = Mapping[int, tuple[str, Any]]
"""The name of each model and what `models_info.json` says of it, by its number."""
IMAGES = ("rgb", "gray")
UPRIGHT = math.cos(math.radians(5))
"""A turn is told of an object whose upward axis leans no further than that; of others it means nothing."""


def holds(source: Source) -> bool:
    """Whether a folder is of this format: one scene, or a split's."""
    return source.path.is_dir() and bool(_scene_folders(source.path))


def truth(source: Source) -> Truth:
    """What the files of a scene's folder, or of a split's, say."""
    models = _models(source.path)
    scenes = [scene for folder in _scene_folders(source.path) for scene in _scenes(folder, models)]
    periods = {name: _period(info) for name, info in models.values()}
    return Truth(source.path, tuple(scenes), lambda path: path.parent.name not in IMAGES, periods)


def _scene_folders(path: Path) -> list[Path]:
    return sorted(file.parent for file in [*path.glob("scene_gt.json"), *path.glob("*/scene_gt.json")])


def _scenes(folder: Path, models: Models) -> Iterator[TrueScene]:
    marks, infos, cameras = (_read(folder / f"scene_{name}.json") for name in ("gt", "gt_info", "camera"))
    images = {int(path.stem): path for kind in IMAGES for path in folder.glob(f"{kind}/*") if path.stem.isdigit()}
    masked = (folder / "mask_visib").is_dir()
    with entry(f"{folder.name}/scene_gt.json"):
        numbers_there = sorted(marks, key=int)
    for number in numbers_there:
        title = f"image {number} of {folder.name}/scene_gt.json"
        if int(number) not in images:
            raise TruthError(f"{title} has no file in {' or '.join(f'{folder.name}/{kind}/' for kind in IMAGES)}")
        with entry(title):
            shown = _visible(title, marks[number], infos.get(number))
        matrix, to_world = _camera(f"image {number} of {folder.name}/scene_camera.json", cameras.get(number, {}))
        objects = tuple(_object(f"object {k} of {title}", mark, info, to_world, models) for k, mark, info in shown)
        masks = MaskFiles(tuple(folder / "mask_visib" / f"{int(number):06}_{k:06}.png" for k, _, _ in shown))
        file = str(images[int(number)].resolve())
        yield TrueScene(file, 0, len(objects), objects, masks if masked and shown else None, matrix)


def _visible(title: str, marks: list[Any], infos: list[Any] | None) -> list[tuple[int, Any, Any]]:
    """Number, entry in scene_gt and in scene_gt_info of the objects that show."""
    if infos is not None and len(infos) != len(marks):
        raise TruthError(f"{title} has {len(marks)} objects, and {len(infos)} in scene_gt_info.json")
    rows = enumerate(zip(marks, infos or [{}] * len(marks)))
    return [(k, mark, info) for k, (mark, info) in rows if info.get("px_count_visib", 1) > 0]


def _object(title: str, mark: Any, info: Any, to_world: NDArray[np.float64] | None, models: Models) -> TrueObject:
    with entry(title):
        identity, model = models.get(int(mark["obj_id"]), (name_of(mark["obj_id"]), {}))
        rotation, place = _numbers(title, mark, "cam_R_m2c", 9).reshape(3, 3), _numbers(title, mark, "cam_t_m2c", 3)
        placed = None
        if to_world is not None:
            x, y, z = (float(value) for value in to_world @ [*place, 1.0])
            turn = _turn(to_world[:, :3] @ rotation @ _standing(model).T) if _period(model) != 0 else None
            placed = Placed((x, y, z), turn)
        return TrueObject(identity, {}, _box(title, info), {}, placed, SeenFrom(rotation, place), title)


def intrinsics_of(image: Path, size: tuple[int, int]) -> Intrinsics | None:
    """Of the camera of an image (width, height) in BOP's folders, 000001/rgb/000005.png; None: not told.

    Errors:
        TruthError for a damaged scene_camera.json, ValueError for a matrix that is none.
    """
    path = image.absolute()
    if path.parent.name not in IMAGES or not path.stem.isdigit():
        return None
    camera = _cameras(path.parent.parent / "scene_camera.json").get(str(int(path.stem)), {})
    matrix, _ = _camera(str(image), camera)
    return None if matrix is None else Intrinsics.of(matrix, size[::-1])


@lru_cache(maxsize=4)
def _cameras(path: Path) -> dict[str, Any]:
    return _read(path)


def name_of(number: Any) -> str:
    """The identity of an object's number."""
    return f"obj_{int(number):06}"


def _box(title: str, info: Any) -> Box | None:
    return box_of_sides(title, "bbox_visib", info["bbox_visib"]) if "bbox_visib" in info else None


def _camera(title: str, camera: Any) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """The intrinsic matrix (3, 3), and (3, 4) from the camera to the world, where the file tells them."""
    with entry(title):
        matrix = _numbers(title, camera, "cam_K", 9).reshape(3, 3) if "cam_K" in camera else None
        if "cam_R_w2c" not in camera or "cam_t_w2c" not in camera:
            return matrix, None
        back = _numbers(title, camera, "cam_R_w2c", 9).reshape(3, 3).T
        return matrix, np.column_stack([back, -back @ _numbers(title, camera, "cam_t_w2c", 3)])


def _turn(rotation: NDArray[np.float64]) -> float | None:
    return float(math.atan2(rotation[1, 0], rotation[0, 0])) if rotation[2, 2] > UPRIGHT else None


def _models(path: Path) -> Models:
    """All models of which something is told."""
    for above in (path, *path.resolve().parents[:3]):
        if found := sorted(above.glob("models*/models_info.json")):
            return dict(_model(found[0].name, number, info) for number, info in _read(found[0]).items())
    return {}


def _model(file: str, number: str, info: Any) -> tuple[int, tuple[str, Any]]:
    with entry(f"model {number} of {file}"):
        _period(info)  # what is wrong with its symmetries or its axis shows here
        return int(number), (str(info.get("name", name_of(number))), info)


def _standing(info: Any) -> NDArray[np.float64]:
    """(3, 3) from a model's axes to those with z up."""
    if info.get("up", "z") not in list(AXES):
        raise ValueError(f"up is {info['up']!r}, expected one of {', '.join(AXES)}")
    return np.array(AXES["z"]).T @ np.array(AXES[info.get("up", "z")], np.float64)


def _period(info: Any) -> float:
    """The symmetry of a model about its upright axis."""
    upright = _standing(info)[2]
    axes = [np.array(symmetry["axis"]) for symmetry in info.get("symmetries_continuous", [])]
    if any(abs(axis @ upright) > UPRIGHT * np.linalg.norm(axis) for axis in axes):
        return 0.0
    turns = [np.reshape(matrix, (4, 4))[:3, :3] for matrix in info.get("symmetries_discrete", [])]
    return math.tau / (1 + sum(bool(upright @ turn @ upright > UPRIGHT) for turn in turns))


def _numbers(title: str, mark: Any, name: str, count: int) -> NDArray[np.float64]:
    return numbers(title, name, mark[name], count)


def _read(path: Path) -> dict[str, Any]:
    """A JSON file's content; empty where it is not there, which all but scene_gt.json may be."""
    if not path.is_file():
        return {}
    try:
        content = parsed(path)
    except ValueError as error:
        raise TruthError(f"could not read {path}: {error}") from error
    if not isinstance(content, dict):
        raise TruthError(f"could not read {path}: expected an entry for each number")
    return content
