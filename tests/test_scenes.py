"""`scenes`: files that other programs read, and that read back as what was drawn, however often writing was stopped."""

import hashlib
import json
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import pytorch_lightning as pl
import tiny_digits
import torch
import trimesh
import yaml
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from air_lightning.cli import main
from air_lightning.commands.scenes import command
from air_lightning.commands.scenes.formats import FORMATS
from air_lightning.model import AIRModule
from datamodules import Batch, ImageArrays, ImageFolder, MultiMNIST, MultiSprites, SceneDataModule, Scenes, Scenes3D
from renderers import GlimpseRenderer, MeshRenderer

COUNT = 10
SPRITES = ("--data", "MultiSprites", "--data.canvas", 48, "--data.occlusion", 0.3, "--data.counts", "[0, 3]")
TABLE = ("--config", "table.yaml")
CONFIG = {
    "trainer": {"max_steps": 3},
    "model": {"slots": 3, "renderer": {"class_path": "renderers.MeshRenderer", "init_args": {"image_size": [40, 56]}}},
    "data": {"class_path": "datamodules.Scenes3D", "init_args": {"counts": [0, 1, 3], "seed": 3}},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test works."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "AT_ONCE", 4)
    (tmp_path / "table.yaml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


def scenes(*args: object, out: str = "out", count: int = COUNT) -> Path:
    main(["scenes", "--count", str(count), "--output", out, *(str(arg) for arg in args)])
    return Path(out)


def refused(capsys: pytest.CaptureFixture[str], *args: object, **more: Any) -> str:
    with pytest.raises(SystemExit) as stop:
        scenes(*args, **more)
    assert stop.value.code == 2
    return capsys.readouterr().err.rpartition("error: ")[2].strip()


def test_identities_keep_the_order_of_their_meshes(folder: Path) -> None:
    """A config's meshes are numbered as it has them, and not by the alphabet."""
    own = {"identities": None, "meshes": {"ring": "drum", "box": "cube", "ball": "sphere"}, "image_size": [40, 56]}
    model = {"renderer": {"class_path": "renderers.MeshRenderer", "init_args": own}}
    (folder / "meshes.yaml").write_text(yaml.safe_dump({**CONFIG, "model": model}, sort_keys=False))
    told = json.loads((scenes("--config", "meshes.yaml", "--format", "coco") / "annotations.json").read_text())
    assert [c["name"] for c in told["categories"]] == ["ring", "box", "ball"]


def test_meshes_of_a_config_are_sought_from_its_folder(folder: Path) -> None:
    (folder / "mine" / "shapes").mkdir(parents=True)
    trimesh.creation.box([1, 1, 2]).export(folder / "mine" / "shapes" / "box.stl")
    meshes = {"box": {"path": "shapes/box.stl", "up": "z"}, "again": "shapes/box.stl", "ball": "sphere"}
    own = {"identities": None, "meshes": meshes, "image_size": [40, 56]}
    model = {"renderer": {"class_path": "renderers.MeshRenderer", "init_args": own}}
    (folder / "mine" / "meshes.yaml").write_text(yaml.safe_dump({**CONFIG, "model": model}, sort_keys=False))
    told = json.loads((scenes("--config", "mine/meshes.yaml") / "scenes.json").read_text())
    assert len(told["images"]) == COUNT


def table(**more: Any) -> Scenes3D:
    return Scenes3D(MeshRenderer(image_size=(40, 56)), counts=[0, 1, 3], seed=3, **more)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def pixels_of(path: Path) -> NDArray[Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def all_of(data: SceneDataModule) -> Batch:
    return data.detailed("test").__getitems__(list(range(COUNT)))


# ---- what is known of scenes


@pytest.mark.parametrize("supersample", [1, 2])
def test_boxes_masks_and_depth_are_those_of_what_one_sees(supersample: int) -> None:
    renderer = MeshRenderer(supersample=supersample)
    data = Scenes3D(renderer, counts=[3], apart=0.7)
    plain, batch = data.scenes("test").__getitems__([*range(8)]), data.detailed("test").__getitems__([*range(8)])
    assert plain.masks is None and torch.equal(plain.images, batch.images)
    depth = data.detailed("test").depth([*range(8)])
    assert batch.masks is not None and batch.boxes is not None and depth is not None
    assert int(batch.masks.sum(1).max()) == 1 and bool(batch.masks.flatten(2).any(2).all())
    empty = batch.images == renderer.image_background()
    if supersample == 1:
        assert torch.equal(batch.masks.any(1), ~empty.all(1))
        assert torch.equal(batch.masks.any(1), depth.isfinite())
    for row, slot in np.ndindex(8, 3):
        rows, columns = batch.masks[row, slot].nonzero().T
        x0, y0, x1, y1 = batch.boxes[row, slot].tolist()
        around = 0 if supersample == 1 else 0.5
        assert x0 - around <= columns.min() and columns.max() < x1 + around
        assert y0 - around <= rows.min() and rows.max() < y1 + around
        foot = data.detailed("test").renderer.full_pose(batch.where[row, slot])[:3]  # type: ignore[attr-defined]
        _, distance = renderer.camera.project(foot)
        seen = depth[row][batch.masks[row, slot]]
        assert float((seen - distance).abs().max()) < 1.0


def test_digits_have_masks_where_they_are_asked_for(tmp_path: Path) -> None:
    data = MultiMNIST(root=str(tiny_digits.write(tmp_path)), counts=[2])
    plain, batch = data.scenes("train").__getitems__([0, 1]), data.detailed("train").__getitems__([0, 1])
    assert plain.masks is None and batch.masks is not None and torch.equal(plain.images, batch.images)
    assert torch.equal(batch.masks.any(1), batch.images[:, 0] >= 0.5)


# ---- other programs read the files


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_coco_is_read_by_pycocotools(capsys: pytest.CaptureFixture[str]) -> None:
    out, batch = scenes(*SPRITES, "--format", "coco"), all_of(MultiSprites(canvas=48, occlusion=0.3, counts=[0, 3]))
    assert sorted(path.name for path in out.iterdir()) == ["annotations.json", "images", "source.json"]
    coco = COCO(str(out / "annotations.json"))
    assert coco.dataset["info"]["description"] == f"{COUNT} scenes of MultiSprites, test split"
    names = [category["name"] for category in coco.loadCats(coco.getCatIds())]
    assert names == ["square", "triangle", "disc"] and 0 not in coco.anns
    assert batch.boxes is not None and batch.masks is not None
    for number in range(COUNT):
        (image,) = coco.loadImgs([number])
        pixels = pixels_of(out / "images" / image["file_name"])
        assert pixels.shape == (image["height"], image["width"], 3) == (48, 48, 3)
        assert np.abs(pixels / 255 - batch.images[number].permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6
        marks = coco.loadAnns(coco.getAnnIds([number]))
        assert len(marks) == batch.count[number]
        for slot, mark in enumerate(marks):
            x, y, width, height = mark["bbox"]
            assert [x, y, x + width, y + height] == batch.boxes[number, slot].tolist()
            assert mark["category_id"] == batch.what[number, slot] + 1
            mask = batch.masks[number, slot].numpy()
            assert (coco.annToMask(mark) == mask).all() and mark["area"] == mask.sum()


def test_hdf5_is_read_by_h5py() -> None:
    out, batch = scenes(*TABLE, "--format", "hdf5"), all_of(table())
    depth = table().detailed("test").depth([*range(COUNT)])
    assert batch.masks is not None and batch.boxes is not None and depth is not None
    with h5py.File(out / "scenes.hdf5") as file:
        assert file["image"].dtype == np.float32
        assert (file["image"][:] == batch.images.permute(0, 2, 3, 1).numpy()).all()
        assert file["mask"].shape == (COUNT, 4, 40, 56, 1) and (file["mask"][:].sum(1) == 1).all()
        assert (file["mask"][:, 1:, ..., 0] == batch.masks.numpy()).all()
        assert (file["visibility"][:].sum(1) == 1 + batch.count.numpy()).all()
        assert (file["count"][:] == batch.count.numpy()).all()
        assert list(file["identity"].attrs["names"]) == ["cube", "sphere", "cylinder"]
        assert (file["identity"][:, 1:] == batch.what.numpy()).all()
        assert (file["depth"][..., 0] == depth.numpy()).all()
        assert (file["box"][:, 1:] == batch.boxes.numpy()).all()
        assert list(file.attrs["coordinates"]) == ["x", "z", "yaw"]
        for column, name in enumerate(("x", "z", "yaw")):
            assert (file[name][:, 1:] == batch.where[..., column].numpy()).all()
    with h5py.File(scenes(*TABLE, "--format", "hdf5", "--bits", 8, out="small") / "scenes.hdf5") as file:
        assert file["image"].dtype == np.uint8


def test_bop_says_where_models_are_seen() -> None:
    """Its models, poses and intrinsics put every model's points where the masks and the depth have them."""
    out = scenes(*TABLE, "--format", "bop")
    scene, info = out / "test" / "000000", json.loads((out / "models" / "models_info.json").read_text())
    marks, infos, cameras = (json.loads((scene / f"scene_{n}.json").read_text()) for n in ("gt", "gt_info", "camera"))
    assert marks.keys() == infos.keys() == cameras.keys() == set(map(str, range(COUNT)))
    models = {n: np.asarray(trimesh.load(out / "models" / f"obj_{n:06d}.ply").vertices) for n in (1, 2, 3)}
    for number, points in models.items():
        told = info[str(number)]
        assert points.min(0) == pytest.approx([told["min_x"], told["min_y"], told["min_z"]], abs=0.01)
        assert np.ptp(points, 0) == pytest.approx([told["size_x"], told["size_y"], told["size_z"]], abs=0.01)
        widest = np.linalg.norm(points[:, None] - points, axis=-1).max()
        assert told["diameter"] == pytest.approx(widest, abs=0.01)
    assert [len(info[n].get("symmetries_discrete", [])) for n in "123"] == [3, 0, 0]
    assert info["2"]["symmetries_continuous"] == [{"axis": [0, 0, 1], "offset": [0, 0, 0]}]
    for number in marks:
        depth = pixels_of(scene / "depth" / f"{int(number):06d}.png").astype(float)
        k = np.reshape(cameras[number]["cam_K"], (3, 3))
        for place, (mark, seen) in enumerate(zip(marks[number], infos[number], strict=True)):
            points = models[mark["obj_id"]] @ np.reshape(mark["cam_R_m2c"], (3, 3)).T + mark["cam_t_m2c"]
            across, down, _ = (points / points[:, 2:] @ k.T).T
            stem = f"{int(number):06d}_{place:06d}.png"
            whole, visible = (pixels_of(scene / part / stem) > 0 for part in ("mask", "mask_visib"))
            assert (visible <= whole).all()
            rows, columns = whole.nonzero()
            for found, drawn in ((across, columns), (down, rows)):
                assert 0 <= drawn.min() - found.min() < 2 and 0 <= found.max() - drawn.max() < 2
            assert [seen["px_count_all"], seen["px_count_visib"]] == [whole.sum(), visible.sum()]
            measured = depth[visible] * cameras[number]["depth_scale"]
            assert points[:, 2].min() - 1 <= measured.min() and measured.max() <= points[:, 2].max() + 1
    targets = json.loads((out / "test_targets_bop19.json").read_text())
    assert sum(target["inst_count"] for target in targets) == sum(map(len, marks.values()))


def test_bop_scenes_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("air_lightning.commands.scenes.formats.bop.AT_MOST", 4)
    out = scenes(*TABLE, "--format", "bop")
    split = out / "test"
    assert sorted(path.name for path in split.iterdir()) == ["000000", "000001", "000002"]
    assert list(json.loads((split / "000002" / "scene_gt.json").read_text())) == ["0", "1"]


def test_clevr_says_which_objects_lie_on_which_side() -> None:
    out, batch = scenes(*TABLE, "--format", "clevr"), all_of(table())
    content = json.loads((out / "scenes" / "CLEVR_test_scenes.json").read_text())
    for number, scene in enumerate(content["scenes"]):
        assert scene["image_index"] == number and (out / "images" / scene["image_filename"]).is_file()
        assert (out / "images" / scene["mask_filename"]).is_file()
        places = [thing["3d_coords"] for thing in scene["objects"]]
        assert [place[:2] for place in places] == [[x, -z] for x, z, _ in batch.where[number, : len(places)].tolist()]
        for i, mine in enumerate(places):
            right = [j for j, other in enumerate(places) if other[0] - mine[0] > 0.2]
            behind = [j for j, other in enumerate(places) if other[1] - mine[1] > 0.2]
            assert [scene["relationships"][side][i] for side in ("right", "behind")] == [right, behind]
            assert all(i in scene["relationships"]["left"][j] for j in right)
    objects = list(chain.from_iterable(scene["objects"] for scene in content["scenes"]))
    looks = {thing["shape"]: (thing["size"], thing["color"], thing["material"]) for thing in objects}
    assert looks["cube"] == ("small", "red", "rubber") and looks["sphere"] == ("small", "blue", "rubber")


# ---- read back


def evaluated(model: AIRModule, data: SceneDataModule) -> dict[str, float]:
    pl.seed_everything(1, verbose=False)
    trainer = pl.Trainer(
        logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        accelerator="cpu",
    )  # fmt: skip
    trainer.test(model, datamodule=data, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def same(back: dict[str, float], drawn: dict[str, float], *others: str) -> None:
    """Assert that what both measure is the same to the digit, but for ``others``."""
    common = [name for name in drawn if name in back and name.partition("/")[2] not in others]
    assert "test/count_accuracy" in common and "test/position_error" in drawn
    assert {n: back[n] for n in common} == pytest.approx({n: drawn[n] for n in common}, rel=0, abs=0, nan_ok=True)


READ_BACK = {
    "png": ("images", "scenes.json", {}),
    "coco": ("images", "annotations.json", {}),
    "clevr": ("images", "scenes/CLEVR_test_scenes.json", {"unit": 1.0}),
    "bop": ("test", "test", {"unit": 0.001}),
}
IN_THE_IMAGE = (
    "position_error", "position_error_mean", "position_error_share", "scene_accuracy", "precision", "recall",
    "calibration_error", "identity_calibration_error", "identity_accuracy",
)  # fmt: skip
"""What is measured otherwise where no poses are told, by the centres of boxes."""


def folder_of(out: Path, form: str, **more: Any) -> ImageFolder:
    images, truth, options = READ_BACK[form]
    return ImageFolder(str(out / images), truth=str(out / truth), test_share=1.0, color=True, **options, **more)


@pytest.mark.parametrize("form", [*READ_BACK, "hdf5"])
def test_scenes_in_3d_read_back_to_the_same_figures(form: str) -> None:
    torch.manual_seed(0)
    model = AIRModule(MeshRenderer(image_size=(40, 56)), slots=3)
    drawn = evaluated(model, table(test_scenes=COUNT))
    out = scenes(*TABLE, "--format", form, "--bits", 32)
    if form == "hdf5":
        pose = ["x", "z", "yaw"]
        options: dict[str, Any] = {"identity": "identity", "box": "box", "pose": pose}
        back: SceneDataModule = ImageArrays(str(out / "scenes.hdf5"), test_share=1.0, color=True, **options)
    else:
        back = folder_of(out, form)
    same(evaluated(model, back), drawn, *(IN_THE_IMAGE if form == "coco" else ()))


@pytest.mark.parametrize("form", ["png", "coco", "hdf5"])
def test_flat_scenes_read_back_to_the_same_figures(form: str) -> None:
    torch.manual_seed(0)
    model = AIRModule(GlimpseRenderer((3, 48, 48), what=4, glimpse=8, hidden=8), slots=3)
    drawn = evaluated(model, MultiSprites(canvas=48, occlusion=0.3, counts=[0, 3], test_scenes=COUNT))
    out = scenes(*SPRITES, "--format", form, "--bits", 32)
    if form == "hdf5":
        back: SceneDataModule = ImageArrays(str(out / "scenes.hdf5"), box="box", test_share=1.0, color=True)
    else:
        back = folder_of(out, form)
    figures = evaluated(model, back)
    assert {"test/box_ap", "test/foreground_ari"} <= figures.keys() & drawn.keys()
    same(figures, drawn)
    assert back.extent == 2.0  # half images, whatever the renderer's reach


# ---- stopped, and gone on with


@pytest.mark.parametrize("form", FORMATS)
def test_stopped_anywhere_it_goes_on_to_the_same_bytes(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = scenes(*TABLE, "--format", form, "--seed", 5)
    assert not whole.with_name("out.partial").exists()
    kind = FORMATS[form]
    add, finish, stops = kind.add, kind.finish, iter([2, 3, 4, None])

    def stopping(self: Any, scene: Any) -> Any:
        if scene.number in (1, 5, 9) and scene.number not in seen:
            seen.add(scene.number)
            raise KeyboardInterrupt(143)
        return add(self, scene)

    def stopped_at_the_end(self: Any, rows: Any) -> None:
        finish(self, rows)
        if "end" not in seen:
            seen.add("end")
            raise KeyboardInterrupt(143)

    seen: set[Any] = set()
    monkeypatch.setattr(kind, "add", stopping)
    monkeypatch.setattr(kind, "finish", stopped_at_the_end)
    for _ in range(4):
        with pytest.raises(SystemExit) as stop:
            scenes(*TABLE, "--format", form, "--seed", 5, out="again")
        assert stop.value.code == 143 and not Path("again").exists() and Path("again.partial").is_dir()
    assert "stopped: the same command goes on" in capsys.readouterr().err
    again = scenes(*TABLE, "--format", form, "--seed", 5, out="again")
    assert digests(again) == digests(whole) and not Path("again.partial").exists() and next(stops) == 2
    scenes(*TABLE, "--format", form, "--seed", 5, out="again")
    assert "again/ holds these 10 scenes already" in capsys.readouterr().out


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(
            FORMATS["png"], "finish", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        with pytest.raises(SystemExit) as stop:
            scenes(*SPRITES)
    place = f"{Path.cwd()}/out.partial"
    message = (
        f"error: {place!r} cannot be written, no space left on device: free some space, and the same command goes on"
    )
    assert stop.value.code == 1 and message in capsys.readouterr().err and not Path("out").exists()
    assert len(list((scenes(*SPRITES) / "images").iterdir())) == COUNT


def test_another_seed_and_another_split_have_other_scenes() -> None:
    images = [
        (scenes(*SPRITES, *more, out=f"out{number}", count=1) / "images" / "000000.png").read_bytes()
        for number, more in enumerate([(), ("--seed", 1), ("--split", "train")])
    ]
    assert len(set(images)) == 3


@pytest.mark.parametrize("more", [[], ["--seed", 3]])
def test_data_must_be_named(more: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, *more) == "scenes needs data: give --data CLASS, or --config FILE that names it"


def test_a_folder_is_not_filled_with_two_things(capsys: pytest.CaptureFixture[str]) -> None:
    out = scenes(*SPRITES)
    assert refused(capsys, *SPRITES, "--split", "train") == (
        f"--output {str(out.absolute())!r} holds other scenes (split 'test', not 'train'): name another folder"
    )
    assert "holds other scenes (count 10, not 4): name another folder" in refused(capsys, *SPRITES, count=4)
    assert "holds other scenes (another data): name another" in refused(capsys, *SPRITES, "--data.canvas", 64)
    other = Path("other")
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    assert refused(capsys, *SPRITES, out="other").endswith("holds other things: name another folder")
    begun = Path("new.partial")
    begun.mkdir()
    (begun / "source.json").write_text((out / "source.json").read_text().replace('"png"', '"coco"'))
    assert refused(capsys, *SPRITES, out="new") == (
        f"{str(begun.absolute())!r} holds the beginning of other scenes (format 'coco', not 'png'): give what was "
        "given then, or remove it"
    )
    assert not Path("new").exists() and [path.name for path in other.iterdir()] == ["mine.txt"]


# ---- what cannot be written


class Dots(SceneDataModule):
    """Scenes of a third-party package: one bright pixel, of which a box may be told, and no more."""

    largest_count = 1
    extent = 2.0

    def __init__(self, boxes: bool = True, truth: bool = True, channels: int = 1, seed: int = 0) -> None:
        super().__init__(8, 8, 8, 8, seed)
        self.boxes, self.truth, self.channels = boxes, truth, channels

    @property
    def has_truth(self) -> bool:
        return self.truth

    @property
    def has_identities(self) -> bool:
        return False

    def coordinates(self, renderer: Any) -> tuple[str, ...]:
        return ()

    def scenes(self, split: str) -> Scenes:
        return DotScenes(self.boxes, self.channels)


class Posed(Dots):
    """Its poses are in the coordinates of the model's renderer."""

    coordinates = SceneDataModule.coordinates


class DotScenes(Scenes):
    def __init__(self, boxes: bool, channels: int) -> None:
        self.boxes, self.channels = boxes, channels

    def __len__(self) -> int:
        return 20

    def __getitems__(self, indices: list[int]) -> Batch:
        n = len(indices)
        images = torch.zeros(n, self.channels, 8, 8)
        for row, index in enumerate(indices):
            images[row, :, index % 8, 3] = 1
        boxes = torch.tensor([[[3.0, i % 8, 4.0, i % 8 + 1.0]] for i in indices]) if self.boxes else None
        ones = torch.ones(n, dtype=torch.long)
        return Batch(images, ones, torch.full((n, 1), -1), torch.zeros(n, 1, 0), boxes)


DOTS = f"{__name__}.Dots"


def test_scenes_of_a_package_of_which_boxes_alone_are_told() -> None:
    out = scenes("--data", DOTS, "--format", "coco")
    coco = COCO(str(out / "annotations.json"))
    marks = coco.loadAnns(coco.getAnnIds())
    assert [mark["bbox"] for mark in marks] == [[3.0, float(n % 8), 1.0, 1.0] for n in range(COUNT)]
    assert coco.cats == {1: {"id": 1, "name": "object"}} and "segmentation" not in marks[0]
    assert sorted(path.name for path in out.iterdir()) == ["annotations.json", "images", "source.json"]
    assert pixels_of(out / "images" / "000000.png").shape == (8, 8)
    back = ImageFolder(str(out / "images"), truth=str(out / "annotations.json"), test_share=1.0)
    assert torch.equal(back.scenes("test").__getitems__([0, 9]).images, DotScenes(True, 1).__getitems__([0, 9]).images)


@pytest.mark.parametrize("form", ["coco", "hdf5"])
def test_scenes_of_images_are_written_without_poses_where_the_truth_has_none(form: str) -> None:
    first = scenes(*SPRITES, "--format", form, "--bits", 32)
    again = ("--data.test_share", 1.0, "--data.color", "true", "--format", form, "--bits", 32)
    if form == "coco":
        data = ("--data", "ImageFolder", "--data.folder", first / "images", "--data.truth", first / "annotations.json")
    else:
        data = ("--data", "ImageArrays", "--data.file", first / "scenes.hdf5", "--data.identity", "identity")
    second = scenes(*data, *again, out="again")
    if form == "coco":
        told, retold = (json.loads((out / "annotations.json").read_text()) for out in (first, second))
        assert identities(told) == identities(retold) and "pose" in told["annotations"][0]
        assert not any("pose" in mark for mark in retold["annotations"])
        assert [mark["bbox"] for mark in retold["annotations"]] == [mark["bbox"] for mark in told["annotations"]]
    else:
        with h5py.File(first / "scenes.hdf5") as told, h5py.File(second / "scenes.hdf5") as retold:
            assert all(np.array_equal(told[name][:], retold[name][:]) for name in ("image", "mask"))
            assert {"x", "y"} <= told.keys() and not {"x", "y"} & retold.keys()


def identities(content: dict[str, Any]) -> list[str]:
    names = {category["id"]: category["name"] for category in content["categories"]}
    return [names[mark["category_id"]] for mark in content["annotations"]]


def test_poses_of_images_need_a_renderer(capsys: pytest.CaptureFixture[str]) -> None:
    png, hdf5 = scenes(*SPRITES), scenes(*SPRITES, "--format", "hdf5", out="hdf5")
    said = "gives poses in the coordinates of the model's renderer, and there is none: give a --config with a model, or"
    folder = ("--data", "ImageFolder", "--data.folder", png / "images", "--data.truth", png / "scenes.json")
    arrays = ("--data", "ImageArrays", "--data.file", hdf5 / "scenes.hdf5", "--data.pose", "[x, y]")
    for data in (folder, arrays):
        assert said in refused(capsys, *data, "--data.test_share", 1.0, "--data.color", "true", out="again")
    assert not Path("again").exists()


def test_scenes_of_which_the_count_alone_is_told() -> None:
    told = json.loads((scenes("--data", DOTS, "--data.boxes", "false") / "scenes.json").read_text())
    assert told["images"][3] == {"file": "000003.png", "count": 1}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            (*SPRITES, "--format", "bop"),
            "--format bop needs poses in three dimensions, in a camera's frame, and there is no renderer: MeshRenderer "
            "has, other formats do without",
        ),
        (
            (*SPRITES, "--format", "clevr", "--model.renderer", "GlimpseRenderer"),
            "--format clevr needs poses in three dimensions, in a camera's frame, and GlimpseRenderer has none",
        ),
        (
            (*SPRITES, "--format", "bop", "--model.renderer", "MeshRenderer"),
            "--format bop needs identities, poses, masks and depth, which MultiSprites does not tell: choose png",
        ),
        (
            ("--data", DOTS, "--data.boxes", "false", "--format", "coco"),
            "--format coco needs boxes or masks, which Dots does not tell: --format png or hdf5 take poses alone",
        ),
        (("--data", DOTS, "--data.truth", "false"), "Dots knows no truth of its images, and scenes are written with"),
        (("--data", DOTS, "--data.channels", 2), "images are written grey (1 channel) or RGB (3), Dots's have 2"),
        (("--data", f"{__name__}.Posed"), "Posed gives poses in the coordinates of the model's renderer, and there is"),
        (("--data", "Scenes3D"), "Scenes3D has no renderer and no model to borrow one from"),
        (("--data", "MultiSprites", "--data.canvas", 4), "data: an object of 20 pixels does not fit a canvas of 4"),
        ((*TABLE, "--data.apart", 9), "could not place 3 objects 9.0 apart"),
        (("--config", "none.yaml"), "--config 'none.yaml' cannot be read: No such file or directory"),
        ((*SPRITES, "--format", "jpeg"), "jpeg"),
    ],
)
def test_what_cannot_be_written(args: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(capsys, *args)
    assert not Path("out").exists() and not Path("out.partial").exists()


def test_more_scenes_than_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, "--data", DOTS, count=21)
    assert told == "--count 21 is more than the 20 scenes of Dots's test split: lower it"
