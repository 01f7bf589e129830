"""ImageArrays: HDF5 files of h5py and NPZ archives of NumPy, as the object-centric benchmarks come."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from disc_plugin import Discs
from numpy.typing import NDArray

from datamodules import ImageArrays
from datamodules.array_files import ArrayFile

N, K, HEIGHT, WIDTH = 5, 4, 6, 8
Arrays = dict[str, NDArray[Any]]


def benchmark(kind: str = "stack") -> Arrays:
    """Image i is of the grey 10 i and holds i % 3 objects, in the entities 1 and 3; entity 0 is the ground."""
    mask = np.zeros((N, K, HEIGHT, WIDTH, 1), np.uint8)
    visibility = np.zeros((N, K), np.float32)
    visibility[:, 0] = 1
    for i in range(N):
        for k in (1, 3)[: i % 3]:
            mask[i, k, k : k + 2, 1 : 2 + k] = 255
            visibility[i, k] = 1
    mask[:, 0] = 255 - mask[:, 1:].max(1)
    shape = np.tile([0, 2, 0, 1], (N, 1)).astype(np.uint8)
    image = np.broadcast_to(10 * np.arange(N, dtype=np.uint8)[:, None, None, None], (N, HEIGHT, WIDTH, 3))
    if kind == "labels":
        mask = mask[..., 0].argmax(1)[..., None].astype(np.uint8)
    return {"image": image, "mask": mask, "visibility": visibility, "shape": shape}


def hdf5(path: Path, arrays: Arrays, **more: Any) -> str:
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **more)
    return str(path.with_suffix(".h5"))


def npz(path: Path, arrays: Arrays) -> str:
    np.savez(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
    return str(path.with_suffix(".npz"))


def packed_npz(path: Path, arrays: Arrays) -> str:
    np.savez_compressed(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
    return str(path.with_suffix(".npz"))


def packed_hdf5(path: Path, arrays: Arrays) -> str:
    return hdf5(path, arrays, compression="gzip", chunks=True)


WRITERS: tuple[Callable[[Path, Arrays], str], ...] = (hdf5, packed_hdf5, npz, packed_npz)


def rows(module: ImageArrays) -> dict[int, list[Any]]:
    """What the test batch says of each image, by its number."""
    batch = module.scenes("test").__getitems__(list(range(len(module.scenes("test")))))
    numbers = (batch.images[:, 0, 0, 0] * 25.5).round().int().tolist()
    return {n: [None if part is None else part[row] for part in batch] for row, n in enumerate(numbers)}


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("kind", ["stack", "labels"])
@pytest.mark.parametrize("visibility", ["visibility", None])
def test_images_and_their_truth(tmp_path: Path, write: Any, kind: str, visibility: str | None) -> None:
    file = write(tmp_path / "a", benchmark(kind))
    module = ImageArrays(file, visibility=visibility, identity="shape", color=True, test_share=1.0)
    assert module.image_shape == (3, HEIGHT, WIDTH) and module.extras == ("boxes", "masks")
    assert module.largest_count == 2 and module.has_identities and module.has_truth
    told = rows(module)
    assert sorted(told) == list(range(N))
    for n, (image, count, what, _, boxes, masks, *_) in told.items():
        assert (image * 255).round().unique().tolist() == [10 * n] and int(count) == n % 3
        for slot, k in enumerate((1, 3)[: n % 3]):
            assert boxes[slot].tolist() == [1, k, 2 + k, min(k + 2, HEIGHT)]
            assert torch.equal(masks[slot].nonzero()[[0, -1]], torch.tensor([[k, 1], [min(k + 1, 5), 1 + k]]))
        assert what[: n % 3].tolist() == [1, 0][: n % 3]  # by their numbers, 2 and 1


def test_images_and_masks_are_scaled_together(tmp_path: Path) -> None:
    module = ImageArrays(npz(tmp_path / "a", benchmark()), resize=(3, 16), test_share=1.0)
    _, _, _, _, boxes, masks, *_ = rows(module)[1]
    assert boxes[0].tolist() == [2, 0.5, 6, 1.5] and masks.shape == (2, 3, 16) and masks[0].any()


def test_other_names_groups_and_named_identities(tmp_path: Path) -> None:
    given = benchmark()
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        group = file.create_group("train")
        for name, old in (("imgs", "image"), ("masks", "mask")):
            group[name] = given[old]
        file["kind"] = given["shape"]
        file["kind"].attrs["names"] = ["none", "blue", "red"]
        file["text"] = np.array([[b"-", b"red", b"-", b"blue"]] * N)
    names = {"image": "train/imgs", "mask": "train/masks", "visibility": None, "test_share": 1.0}
    for identity in ("kind", "text"):
        module = ImageArrays(str(tmp_path / "a.hdf5"), identity=identity, **names)
        module.trainer = None
        assert module.coordinates(Discs()) == () and rows(module)[2][2].tolist() == [1, 0]  # blue comes first
    assert ImageArrays(str(tmp_path / "a.hdf5"), truth=False, **names).has_truth is False


def test_an_object_that_nobody_sees_is_one(tmp_path: Path) -> None:
    given = benchmark()
    given["visibility"][0, 2] = 1
    _, count, _, _, boxes, masks, *_ = rows(ImageArrays(npz(tmp_path / "a", given), test_share=1.0))[0]
    assert int(count) == 1 and not masks.any() and not boxes.any()


def test_values_and_splits_are_those_of_image_folder(tmp_path: Path) -> None:
    image = (1000 * np.arange(N * HEIGHT * WIDTH).reshape(N, HEIGHT, WIDTH) // (N * HEIGHT * WIDTH)).astype(np.uint16)
    module = ImageArrays(npz(tmp_path / "a", {"image": image}), truth=False, scale=1000, color=True)
    assert [len(module.scenes(split)) for split in ("train", "val", "test")] == [3, 1, 1]
    given = torch.cat([module.scenes(split)[0].images for split in ("val", "test")])
    known = torch.from_numpy(image.astype(np.float32) / 1000)
    assert all(any(torch.allclose(part[0], other) for other in known) for part in given) and given.shape[1] == 3
    assert module.scenes("train")[0].count.tolist() == [-1]
    with pytest.raises(ValueError, match=r"file='.*a\.npz' holds 2 images, expected 3 at least"):
        ImageArrays(npz(tmp_path / "a", {"image": image[:2]}), truth=False)


def test_what_archives_hold_is_mapped(tmp_path: Path) -> None:
    big = np.arange(6, dtype=">i4").reshape(2, 3)
    for write in (npz, packed_npz):
        arrays = ArrayFile(Path(write(tmp_path / "a", {"x": np.asfortranarray(big)})))
        assert isinstance(arrays["x"], np.memmap) and np.array_equal(arrays["x"], big)


@pytest.mark.parametrize("write", [hdf5, npz])
@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda a: a.pop("image"), "it has no array 'image', it has mask, shape, visibility"),
        (lambda a: a.pop("mask"), "it has no array 'mask', it has image, shape, visibility"),
        (
            lambda a: a.update(image=a["image"][..., :2]),
            r"array 'image' of file='.*' must be \(N, H, W\) or \(N, H, W, C\), C = 1, 3 or 4, found \(5, 6, 8, 2\)",
        ),
        (lambda a: a.update(image=a["image"][0, 0]), r"array 'image' .* found \(8, 3\)"),
        (
            lambda a: a.update(image=a["image"].astype(complex)),
            "must hold whole or real numbers or bool, found complex",
        ),
        (
            lambda a: a.update(image=a["image"].astype(np.int64)),
            "found int64 values from 0 to 0, of which none is known",
        ),
        (
            lambda a: a.update(mask=a["mask"][:, :, :-1]),
            r"array 'mask' .* must be \(images, entities, height, width\), .* of 5 images of 6x8 .*, found \(5, 4, 5",
        ),
        (lambda a: a.update(mask=a["mask"][:-1]), r"array 'mask' .* found \(4, 4, 6, 8, 1\)"),
        (lambda a: a.update(mask=a["mask"][0, 0, 0]), r"array 'mask' .* found \(8, 1\)"),
        (
            lambda a: a.update(visibility=a["visibility"][:, 0]),
            r"array 'visibility' .* must be \(images, entities\), of 5 images, found \(5,\)",
        ),
        (
            lambda a: a.update(visibility=a["visibility"][:, :2]),
            "'visibility' .* has 2 entities, the array 'mask' .* 4",
        ),
        (
            lambda a: a.update(visibility=np.full((5, 4), b"yes")),
            r"the array 'visibility' of file='.*' must hold numbers, found \|S3",
        ),
        (
            lambda a: a.update(visibility=np.full((5, 4), np.nan)),
            "array 'visibility' .* holds NaN: expected 0 where an entity is not there",
        ),
        (
            lambda a: a.update(mask=np.full(a["mask"].shape, b"yes")),
            r"the array 'mask' of file='.*' must hold numbers, found \|S3",
        ),
        (lambda a: a.update(shape=a["shape"][:, :2]), r"array 'shape' .* is \(5, 2\), and there are 4 entities"),
    ],
)
def test_arrays_that_cannot_be(tmp_path: Path, write: Any, edit: Any, message: str) -> None:
    arrays = benchmark()
    edit(arrays)
    file = write(tmp_path / "a", dict(sorted(arrays.items())))
    with pytest.raises(ValueError, match=message):
        ImageArrays(file, identity="shape")


@pytest.mark.parametrize("write", [hdf5, npz])
@pytest.mark.parametrize(
    "edit, arguments, message",
    [
        (
            lambda a: a["mask"].__setitem__((2, 0, 0), -1),
            {},
            "array 'mask' of .* holds -1 in image 2: expected k where entity k shows, a whole number from 0 on",
        ),
        (
            lambda a: a["mask"].__setitem__((2, 0, 0), -1),
            {"visibility": None},
            "array 'mask' of .* holds -1 in image 2",
        ),
        (
            lambda a: a.update(mask=a["mask"] + np.float32(0.5)),
            {},
            "array 'mask' of .* holds 0.5 in image 0: expected k where entity k shows",
        ),
        (
            lambda a: a["mask"].__setitem__((2, 0, 0), 4),
            {},
            "array 'mask' of .* holds 4 in image 2, the array 'visibility' of .* tells of 4 entities, from 0 on",
        ),
        (
            lambda a: a["box"].__setitem__((1, 1), [3, 0, 1, 2]),
            {"box": "box"},
            r"'box' of .* holds \[3.0, 0.0, 1.0, 2.0\] for entity 1 of image 1: expected x0, y0, x1, y1, the",
        ),
        (
            lambda a: a["x"].__setitem__((1, 1), np.nan),
            {"pose": ["x", "z", "yaw"]},
            "'x' of .* holds nan for entity 1 of image 1: expected a finite number",
        ),
        (
            lambda a: a["yaw"].__setitem__((1, 1), np.inf),
            {"pose": ["x", "z", "yaw"]},
            "'yaw' of .* holds inf for entity 1 of image 1: expected a finite number",
        ),
        (
            lambda a: a["image"].__setitem__((3, 0, 0, 0), 7),
            {},
            r"could not read image 3 of file='.*': real values must lie in \[0, 1\], found 0.11.* to 7",
        ),
    ],
)
def test_values_that_cannot_be(tmp_path: Path, write: Any, edit: Any, arguments: Any, message: str) -> None:
    arrays = benchmark("labels")
    arrays["mask"] = arrays["mask"].astype(np.int16)
    arrays["image"] = arrays["image"].astype(np.float32) / 255
    arrays |= {"box": np.zeros((5, 4, 4)), "x": np.zeros((5, 4)), "z": np.zeros((5, 4)), "yaw": np.zeros((5, 4))}
    arrays["visibility"][1, 1] = 1
    edit(arrays)
    file = write(tmp_path / "a", arrays)
    with pytest.raises(ValueError, match=message):
        ImageArrays(file, test_share=1.0, color=True, **arguments).scenes("test").__getitems__([0, 1, 2, 3, 4])


def test_files_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in (("a.h5", b"no HDF5"), ("a.npz", b"no archive")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"could not read file='.*{name}': "):
            ImageArrays(str(tmp_path / name))
    with pytest.raises(ValueError, match=r"file='.*a\.txt' must be one of \.h5, \.hdf5, \.hdf, \.npz"):
        ImageArrays(str(tmp_path / "a.txt"))
    file = npz(tmp_path / "b", benchmark())
    for arguments, message in (
        ({"mask": None, "visibility": None}, "name an array by `mask` or by `visibility`: one must tell"),
        ({"background": -1}, "background must be a number of entities from 0 on, got -1"),
        ({"resize": (0, 3)}, "resize must be a height and a width"),
    ):
        with pytest.raises(ValueError, match=message):
            ImageArrays(file, **arguments)  # type: ignore[arg-type]
    objects = npz(tmp_path / "c", {"image": np.array([{}, {}], object)})
    with pytest.raises(ValueError, match=r"could not read file='.*c\.npz': it holds Python objects"):
        ImageArrays(objects)
    with h5py.File(tmp_path / "d.h5", "w") as named:
        named["image"], named["visibility"] = benchmark()["image"], benchmark()["visibility"]
        named["kind"] = benchmark()["shape"]
        named["kind"].attrs["names"] = ["none", "blue"]
    with pytest.raises(ValueError, match="array 'kind' .* holds 2, and has 2 names"):
        ImageArrays(str(tmp_path / "d.h5"), mask=None, identity="kind")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ValueError, match=r"HDF5 files need h5py: pip install 'air-lightning\[hdf5\]'"):
        ImageArrays(str(tmp_path / "a.h5"))


def test_identities_of_another_world(tmp_path: Path) -> None:
    module = ImageArrays(npz(tmp_path / "a", benchmark()), identity="shape")
    with pytest.raises(ValueError, match="array 'shape' .* holds the identity '1', Discs draws .*: leave identities"):
        module.coordinates(Discs())
