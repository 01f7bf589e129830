"""MultiMNIST: its scenes obey the contract, and its files are found, checked and downloaded."""

import gzip
import hashlib
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from datamodules import Batch, MultiMNIST, mnist_files
from datamodules.multi_mnist import inked, scaling

TRAIN, VAL, TEST = 1, 7, 9  # the label of every digit of that part


def idx(values: NDArray[np.uint8]) -> bytes:
    head = struct.pack(f">{1 + values.ndim}I", 2048 + values.ndim, *values.shape)
    return head + values.tobytes()


def pack(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def digits(n: int) -> NDArray[np.uint8]:
    """Bright boxes of different sizes, 20 pixels long as MNIST's digits are."""
    images = np.zeros((n, 28, 28), np.uint8)
    for i in range(n):
        images[i, 4:24, 10 : 14 + i % 8] = 255
    return images


def contents() -> dict[str, bytes]:
    labels = np.array([TRAIN] * 44 + [VAL] * 4, np.uint8)  # the last twelfth is held out
    arrays = digits(48), labels, digits(6), np.full(6, TEST, np.uint8)
    return {file: idx(array) for file, array in zip(mnist_files.SOURCE.files, arrays)}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("AIR_DATA_ROOT", raising=False)
    (tmp_path / "data/mnist").mkdir(parents=True)
    for file, content in contents().items():
        (tmp_path / "data/mnist" / file).write_bytes(pack(content))
    return str(tmp_path / "data")


def batch(module: MultiMNIST, split: str = "train", n: int = 64) -> Batch:
    return module.scenes(split).__getitems__(list(range(n)))


# ---- scenes


def test_a_scene_is_a_function_of_its_number(root: str) -> None:
    scenes = MultiMNIST(root=root, counts=[0, 1, 3]).scenes("train")
    together = scenes.__getitems__([5, 700, 2])
    again = MultiMNIST(root=root, counts=[0, 1, 3]).scenes("train")[700]
    for whole, alone in zip(together[:5], again[:5]):
        torch.testing.assert_close(whole[1:2], alone)
    assert together.masks is None


def test_seeds_and_splits_differ_and_predict_is_test(root: str) -> None:
    module = MultiMNIST(root=root, counts=[2])
    images = [batch(module, split).images for split in ("train", "val", "test")]
    images.append(batch(MultiMNIST(root=root, counts=[2], seed=1)).images)
    for i, one in enumerate(images):
        assert all(not torch.equal(one, other) for other in images[:i])
    assert torch.equal(batch(module, "predict").images, images[2])


def test_images_and_counts(root: str) -> None:
    module = MultiMNIST(root=root, counts=[0, 1, 3])
    shown = batch(module, n=300)
    assert shown.images.shape == (300, *module.image_shape) == (300, 1, 50, 50)
    assert shown.images.dtype == torch.float32 and shown.images.min() == 0 and 0.9 < shown.images.max() <= 1
    assert module.largest_count == 3 and module.has_truth and module.extent == 2
    share = torch.bincount(shown.count, minlength=4) / 300
    torch.testing.assert_close(share, torch.tensor([1, 1, 0, 1]) / 3, atol=0.1, rtol=0)


@pytest.mark.parametrize("counts", [[1, 2, 3], [4]])
def test_boxes_hold_all_ink_tightly_and_do_not_overlap(root: str, counts: list[int]) -> None:
    shown = batch(MultiMNIST(root=root, counts=counts))
    assert shown.boxes is not None
    for image, count, boxes in zip(shown.images[:, 0], shown.count, shown.boxes.int()):
        covered = torch.zeros(50, 50, dtype=torch.long)
        for x0, y0, x1, y1 in boxes[:count].tolist():
            assert 0 <= x0 < x1 <= 50 and 0 <= y0 < y1 <= 50
            covered[y0:y1, x0:x1] += 1
            cut = image[y0:y1, x0:x1]
            assert all(edge.max() > 0 for edge in (cut[0], cut[-1], cut[:, 0], cut[:, -1]))
        assert covered.max() <= 1
        assert (image[covered == 0] == 0).all()


@pytest.mark.parametrize("split", ["val", "test", "predict"])
def test_held_out_scenes_have_masks_of_each_digits_ink(root: str, split: str) -> None:
    shown = batch(MultiMNIST(root=root, counts=[0, 2]), split, 16)
    assert shown.masks is not None and shown.boxes is not None
    assert shown.masks.flatten(2).any(2).sum(1).tolist() == shown.count.tolist()
    assert torch.equal(shown.masks.any(1), shown.images[:, 0] >= 0.5)
    for masks, boxes, count in zip(shown.masks, shown.boxes.int(), shown.count):
        for mask, (x0, y0, x1, y1) in zip(masks[:count], boxes.tolist()):
            assert mask.sum() == mask[y0:y1, x0:x1].sum()


def test_where_is_the_box_in_image_coordinates(root: str) -> None:
    shown = batch(MultiMNIST(root=root, counts=[2]))
    assert shown.boxes is not None
    for (x0, y0, x1, y1), (scale, x, y) in zip(shown.boxes.flatten(0, 1).tolist(), shown.where.flatten(0, 1).tolist()):
        assert (x + 1) * 25 == pytest.approx((x0 + x1) / 2, abs=1e-4)
        assert (y + 1) * 25 == pytest.approx((y0 + y1) / 2, abs=1e-4)
        assert 50 * scale == pytest.approx(max(x1 - x0, y1 - y0), abs=1e-4)
        # 20 of a frame's 28 pixels are ink, and scaling blurs it by a pixel at either end
        assert 20 * 20 / 28 <= 50 * scale <= 20 + 2


@pytest.mark.parametrize("split, label", [("train", TRAIN), ("val", VAL), ("test", TEST), ("predict", TEST)])
def test_splits_use_digits_of_their_own(root: str, split: str, label: int) -> None:
    assert (batch(MultiMNIST(root=root, counts=[2]), split).what == label).all()


def test_training_goes_on_and_validation_stays(root: str) -> None:
    module = MultiMNIST(root=root, batch_size=4, train_scenes=8, val_scenes=6, counts=[2])
    for name, same in (("train", False), ("val", True)):
        loader = module.loader(name)
        epochs = []
        for epoch in (0, 1):
            if hasattr(loader.sampler, "set_epoch"):
                loader.sampler.set_epoch(epoch)
            epochs.append(torch.cat([part.images for part in loader]))
        assert len(epochs[0]) == {"train": 8, "val": 6}[name]
        assert torch.equal(*epochs) is same


def test_a_batch_moves_without_what_it_lacks(root: str) -> None:
    module = MultiMNIST(root=root)
    moved = module.transfer_batch_to_device(batch(module, n=2), torch.device("meta"), 0)
    assert moved.images.is_meta and moved.boxes.is_meta and moved.masks is None


def test_scaling_is_pillows() -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    for size in (20, 23, 28, 35):
        ours = scaling(size) @ image @ scaling(size).T
        theirs = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(ours, theirs, atol=1.01)


def test_a_digit_at_its_own_size_is_cut_to_its_ink() -> None:
    image = digits(1)[0]
    np.testing.assert_allclose(inked(image, 28), np.ones((20, 4)), atol=1e-6)


@pytest.mark.parametrize("size", [8, 20, 28, 35])
def test_a_digit_is_cut_to_the_box_of_what_is_not_black(size: int) -> None:
    random, image = np.random.default_rng(size), np.zeros((28, 28), np.uint8)
    image[5:22, 9:17] = random.integers(0, 256, (17, 8)) * (random.random((17, 8)) < 0.5)
    scaled = scaling(size) @ np.divide(image, 255, dtype=np.float32) @ scaling(size).T
    down, across = (np.flatnonzero((scaled >= 1 / 255).any(axis)) for axis in (1, 0))
    cut = scaled[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    np.testing.assert_allclose(inked(image, size), np.minimum(cut, 1), atol=1e-6)


def test_a_digit_that_vanishes_says_so() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[10, 10] = 1
    with pytest.raises(ValueError, match="whose brightest pixel is 1 of 255 is black when scaled to 8x8 pixels"):
        inked(image, 8)


# ---- wrong arguments


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"counts": []}, r"counts must be a list of numbers >= 0, got \[\]"),
        ({"counts": [1, -1]}, r"counts must be a list of numbers >= 0, got \[1, -1\]"),
        ({"sizes": (28, 20)}, r"sizes must be a pair 8 <= smallest <= largest, got \[28, 20\]"),
        ({"sizes": (4, 20)}, r"got \[4, 20\]"),
        ({"counts": [10]}, r"10 objects of at least 14 pixels cannot lie apart on a canvas of 50x50, at most 9 can"),
        ({"canvas": 18}, r"an object of 28 pixels does not fit a canvas of 18"),
        ({"batch_size": 0}, r"batch_size must be at least 1, got 0"),
    ],
)
def test_wrong_arguments(root: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiMNIST(root=root, **arguments)


def test_what_cannot_be_placed_says_so(root: str) -> None:
    module = MultiMNIST(root=root, counts=[1])
    module.counts = (60,)  # past the check before training
    with pytest.raises(ValueError, match="could not place 60 objects without overlap"):
        batch(module, n=1)


# ---- files


def test_root_of_the_environment(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIR_DATA_ROOT", root)
    assert torch.equal(batch(MultiMNIST()).images, batch(MultiMNIST(root=root)).images)


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "mnist/MNIST/raw", "."])
@pytest.mark.parametrize("name", ["{}.gz", "{}", "dots", "unpacked.gz"])
def test_layouts_of_other_programs(root: str, folder: str, name: str, tmp_path: Path) -> None:
    place = tmp_path / "other" / folder
    place.mkdir(parents=True)
    for packed in (Path(root) / "mnist").iterdir():
        content = packed.read_bytes() if name == "{}.gz" else gzip.decompress(packed.read_bytes())
        named = {"dots": packed.stem.replace("-idx", ".idx"), "unpacked.gz": packed.name}
        (place / named.get(name, name.format(packed.stem))).write_bytes(content)
    module = MultiMNIST(root=str(tmp_path / "other"))
    assert torch.equal(batch(module, n=4).images, batch(MultiMNIST(root=root), n=4).images)


def test_a_file_that_is_absent(root: str) -> None:
    (Path(root) / "mnist/t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ValueError, match="has no mnist/t10k-labels-idx1-ubyte.gz") as error:
        MultiMNIST(root=root)
    for part in (repr(root), "as `root`", "AIR_DATA_ROOT (now not set)", "pip install pooch"):
        assert part in str(error.value)


def wrong_files() -> list[Any]:
    images, labels = contents()["train-images-idx3-ubyte.gz"], contents()["train-labels-idx1-ubyte.gz"]
    small, dark = idx(digits(48)[:, :20, :20].copy()), idx(np.zeros((48, 28, 28), np.uint8))
    whole = 16 + 48 * 784
    return [
        ("images", pack(images)[:-20], "is truncated or not a gzip file"),
        ("images", b"something else", "is truncated or not a gzip file"),
        ("images", pack(images[:-1]), f"expected {whole} bytes for 48 entries, found {whole - 1}"),
        ("images", pack(images[:9]), "expected an IDX header of 16 bytes, found 9 bytes"),
        ("images", pack(labels), "expected the magic number 2051, found 2049"),
        ("images", pack(small), r"expected images of \(28, 28\), found \(20, 20\)"),
        ("images", pack(dark), "image 0 is black all over"),
        ("labels", pack(images), "expected the magic number 2049, found 2051"),
        ("labels", pack(idx(np.zeros(47, np.uint8))), "holds 47 labels, expected 48"),
        ("labels", pack(idx(np.full(48, 26, np.uint8))), "holds label 26, expected 0-9"),
    ]


@pytest.mark.parametrize("kind, content, message", wrong_files())
def test_a_file_that_is_wrong(root: str, kind: str, content: bytes, message: str) -> None:
    path = Path(root) / "mnist" / {"images": "train-images-idx3-ubyte.gz", "labels": "train-labels-idx1-ubyte.gz"}[kind]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        MultiMNIST(root=root)
    assert str(path) in str(error.value)


class Server:
    """Stands for `pooch`: files by address, kept in a cache."""

    def __init__(self, files: dict[str, bytes], cache: Path) -> None:
        self.files, self.cache, self.asked = files, cache, list[str]()

    def os_cache(self, project: str) -> Path:
        return self.cache / project

    def retrieve(self, url: str, known_hash: str | None, fname: str, path: Path) -> str:
        target = path / fname
        if not target.exists():
            self.asked.append(url)
            if url not in self.files:
                raise OSError("404 Not Found")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.files[url])
        return str(target)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    second = mnist_files.SOURCE.mirrors[1]
    made = Server({second + file: pack(content) for file, content in contents().items()}, tmp_path / "cache")
    hashes = tuple(hashlib.md5(content).hexdigest() for content in contents().values())
    monkeypatch.setattr(mnist_files, "CONTENT", hashes)
    monkeypatch.setitem(sys.modules, "pooch", made)  # type: ignore[arg-type]
    monkeypatch.delenv("AIR_DATA_ROOT", raising=False)
    return made


def test_downloads_from_the_first_mirror_that_answers(server: Server, root: str) -> None:
    module = MultiMNIST()
    assert not server.asked  # not before the run begins
    module.prepare_data()
    assert len(server.asked) == 8 and server.asked[0].startswith(mnist_files.SOURCE.mirrors[0])
    MultiMNIST().prepare_data()
    assert len(server.asked) == 8  # cached
    assert torch.equal(batch(module).images, batch(MultiMNIST(root=root)).images)


@pytest.mark.parametrize("content", [pack(idx(digits(47))), pack(idx(digits(48)))[:-9]], ids=["other", "truncated"])
def test_a_download_that_is_wrong_is_not_kept(server: Server, content: bytes) -> None:
    address = mnist_files.SOURCE.mirrors[1] + "train-images-idx3-ubyte.gz"
    right, server.files[address] = server.files[address], content
    with pytest.raises(ValueError, match="(MD5|truncated).*; it is removed, the next start downloads it again"):
        MultiMNIST().prepare_data()
    server.files[address] = right
    MultiMNIST().prepare_data()


def test_no_network_and_no_files(server: Server) -> None:
    server.files.clear()
    with pytest.raises(ValueError, match="could not download train-images-idx3-ubyte.gz .*404 Not Found") as error:
        MultiMNIST().prepare_data()
    assert all(mirror in str(error.value) for mirror in mnist_files.SOURCE.mirrors)
    assert "There are two ways" in str(error.value)


def test_no_pooch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)  # type: ignore[arg-type]
    monkeypatch.setenv("AIR_DATA_ROOT", str(tmp_path))
    with pytest.raises(ValueError, match="`pooch`, which downloads, is not installed") as error:
        MultiMNIST().prepare_data()
    assert f"AIR_DATA_ROOT (now {str(tmp_path)!r})" in str(error.value)


def test_the_published_hashes_are_of_mnist() -> None:
    assert dict(zip(mnist_files.SOURCE.files, mnist_files.CONTENT)) == {
        "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c629615203637",
    }
