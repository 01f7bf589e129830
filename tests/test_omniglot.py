"""Omniglot: characters read from its archives, split by drawer, without a truth."""

import sys
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import Omniglot

NAMES = ("Greek/character01", "Greek/character02", "Latin/character01")
FILE = "images_background_small1.zip"
DRAWERS = {"train": set(range(1, 17)), "val": {17, 18}, "test": {19, 20}, "predict": {19, 20}}


def drawing(character: int, drawer: int) -> bytes:
    """Black on white: a block of 21 pixels that tells the character, rows that count the drawer."""
    paper = np.ones((105, 105), bool)
    paper[:21, 21 * character : 21 * (character + 1)] = False
    paper[42 : 42 + drawer] = False
    data = BytesIO()
    Image.fromarray(paper).save(data, "PNG")
    return data.getvalue()


def write(path: Path, drawers: int = 20, broken: bool = False) -> None:
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images_background_small1/", "")
        for number, name in enumerate(NAMES):
            for drawer in range(1, drawers + 1):
                content = drawing(number, drawer)
                member = f"images_background_small1/{name}/{number:04d}_{drawer:02d}.png"
                archive.writestr(member, content[:60] if broken else content)
        archive.writestr("__MACOSX/images_background_small1/Greek/character01/._0000_01.png", b"no image")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("AIR_DATA_ROOT", raising=False)
    write(tmp_path / "omniglot" / FILE)
    return str(tmp_path)


@pytest.mark.parametrize("split", DRAWERS)
def test_splits_are_disjoint_by_drawer(root: str, split: str) -> None:
    scenes = Omniglot(root=root, size=105).scenes(split)
    shown = scenes.__getitems__(list(range(len(scenes))))
    seen = (shown.images[:, 0, 42:, 0].sum(1)).round().int().tolist()
    expected = DRAWERS[split]
    assert set(seen) == expected and len(seen) == len(NAMES) * len(expected)


def test_white_on_black_averaged_over_areas(root: str) -> None:
    module = Omniglot(root=root, size=35)
    images = module.scenes("test").__getitems__(list(range(6))).images
    assert images.shape == (6, *module.image_shape) == (6, 1, 35, 35) and images.dtype == torch.float32
    assert (images[:, 0, 14 : 14 + 6] == 1).all()  # 18 full rows
    ink = images[:, 0, 20, 0].sort().values  # drawers 19 and 20: one and two rows of three
    torch.testing.assert_close(ink, torch.tensor([1.0] * 3 + [2.0] * 3) / 3, atol=1 / 255, rtol=0)
    assert (images[:, 0, 21:] == 0).all()


def test_there_is_no_truth_but_the_character(root: str) -> None:
    module = Omniglot(root=root, size=35)
    assert not module.has_truth and module.largest_count == 0 and module.names() == NAMES
    shown = module.scenes("train").__getitems__(list(range(48)))
    assert (shown.count == -1).all() and shown.where.shape == (48, 1, 3) and shown.boxes is None
    block = shown.images[:, 0, 3, 3::7][:, :3].argmax(1)  # each character's block is 7 pixels wide
    assert torch.equal(shown.what[:, 0], block) and set(block.tolist()) == {0, 1, 2}


def test_each_image_once_a_pass_in_another_order(root: str) -> None:
    module = Omniglot(root=root, size=35, train_scenes=48, batch_size=20)
    loader = module.train_dataloader()
    passes = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)  # type: ignore[union-attr]
        passes.append(torch.cat([part.images for part in loader]).flatten(1))
    assert not torch.equal(*passes)
    for shown in passes:
        assert len(shown) == 48 == len(shown.unique(dim=0))
    again = Omniglot(root=root, size=35).scenes("train")[50].images
    torch.testing.assert_close(again.flatten(1), passes[1][2:3])


def test_held_out_images_count_once(root: str) -> None:
    module = Omniglot(root=root, val_scenes=500, test_scenes=4)
    for split, expected in (("val", 6), ("test", 4), ("predict", 4)):
        assert sum(len(part.images) for part in module.loader(split)) == expected


def test_wrong_arguments_and_absent_files(root: str) -> None:
    with pytest.raises(ValueError, match="size must be at least 8 pixels, got 7"):
        Omniglot(root=root, size=7)
    with pytest.raises(ValueError, match="subset must be one of small1, small2, full, got 'medium'"):
        Omniglot(root=root, subset="medium")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no omniglot/images_background_small2.zip.*There are two ways"):
        Omniglot(root=root, subset="small2")


def test_damaged_archives(root: str, tmp_path: Path) -> None:
    path = tmp_path / "omniglot" / FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=f"{FILE} could not be read .*damaged or no zip file"):
        Omniglot(root=root)
    write(tmp_path / "broken/omniglot" / FILE, broken=True)
    with pytest.raises(ValueError, match=f"{FILE} could not be read"):
        Omniglot(root=str(tmp_path / "broken"))
    write(tmp_path / "few/omniglot" / FILE, drawers=18)
    with pytest.raises(ValueError, match="holds 54 drawings and none for the split 'test'; expected files named"):
        Omniglot(root=str(tmp_path / "few"))


def test_download_with_its_hash(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Server:
        def os_cache(self, project: str) -> Path:
            return tmp_path

        def retrieve(self, url: str, known_hash: str, fname: str, path: Path) -> str:
            asked.append((url, known_hash, fname))
            return str(path / fname)

    monkeypatch.setitem(sys.modules, "pooch", Server())  # type: ignore[arg-type]
    module = Omniglot(size=35)
    assert not asked
    module.prepare_data()
    assert len(module.scenes("train")) == 48
    address = f"https://raw.githubusercontent.com/brendenlake/omniglot/master/python/{FILE}"
    assert asked[0] == (address, "md5:e704a628b5459e08445c13499850abc4", FILE)
