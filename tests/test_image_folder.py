"""ImageFolder: the user's own images, of several kinds, and what is said where they cannot be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from air_lightning import runs
from air_lightning.commands.predict.formats import FORMATS, OVERLAYS
from datamodules import ImageFolder
from datamodules.image_files import PICTURED, PREDICTIONS, image_paths

Pixels = NDArray[np.uint8]


def flat(value: Any, size: tuple[int, int] = (6, 8)) -> Pixels:
    """An image of one grey value or colour, (H, W) or (H, W, C)."""
    return np.broadcast_to(np.array(value, np.uint8), size + np.shape(value)).copy()


def fill(folder: Path, n: int = 10) -> str:
    folder.mkdir(exist_ok=True)
    for i in range(n):
        Image.fromarray(flat(20 * i)).save(folder / f"{i}.png")
    return str(folder)


def values(module: ImageFolder, split: str) -> list[int]:
    """The grey values (upper left corner) of all images of a split, in order of their scenes."""
    scenes = module.scenes(split)
    return (scenes.__getitems__(list(range(len(scenes)))).images[:, 0, 0, 0] * 255).round().int().tolist()


def all_images(module: ImageFolder) -> torch.Tensor:
    """(N, C, H, W) in the order of the files' names."""
    pixels = torch.from_numpy(module._pixels)
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels


def test_splits_share_no_image_whatever_the_seed(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    module, other = ImageFolder(folder, val_share=0.2), ImageFolder(folder, val_share=0.2, seed=5)
    parts = [values(module, split) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [7, 2, 1]
    assert sorted(sum(parts, [])) == list(range(0, 200, 20))
    for split, part in zip(("train", "val", "test"), parts):
        assert set(values(other, split)) == set(part)
    assert values(other, "train") != parts[0]
    assert values(module, "predict") == parts[2]


def test_other_images_held_out_than_in_training_are_warned_of(tmp_path: Path) -> None:
    """Whoever adds files, or changes the shares, would test on images that have been trained on."""
    folder = fill(tmp_path / "a")
    then = ImageFolder(folder).state_dict()
    assert all(isinstance(value, str | int | float) for value in then.values())
    ImageFolder(folder, seed=3, resize=(4, 4)).load_state_dict(then)  # the same ones
    ImageFolder(fill(tmp_path / "b", 12)).load_state_dict(then)  # all of them others
    ImageFolder(folder, test_share=1).load_state_dict(then)  # asked for
    with pytest.warns(UserWarning, match=r"10 images, .*test_share 0.1 then; 10 images, .*test_share 0.5 now\)"):
        ImageFolder(folder, test_share=0.5).load_state_dict(then)
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / "new.png")
    with pytest.warns(UserWarning, match=r"test_share 0.1, and other names\): it has been trained on some of them"):
        ImageFolder(folder).load_state_dict(then)
    fill(tmp_path / "a", 11)
    with pytest.warns(UserWarning, match=r"other images of folder='.*a' are held out .* then; 12 images, "):
        ImageFolder(folder).load_state_dict(then)


def test_images_without_a_truth(tmp_path: Path) -> None:
    module = ImageFolder(fill(tmp_path), batch_size=4, val_scenes=100)
    shown = next(iter(module.train_dataloader()))
    assert shown.images.shape == (4, *module.image_shape) == (4, 1, 6, 8) and shown.images.dtype == torch.float32
    assert not module.has_truth and module.largest_count == 0 and module.extent == 2
    assert (shown.count == -1).all() and shown.what.shape == (4, 1) and shown.where.shape == (4, 1, 3)
    assert sum(len(part.images) for part in module.val_dataloader()) == 1
    moved = module.transfer_batch_to_device(shown, torch.device("meta"), 0)
    assert moved.images.is_meta and moved.boxes is None


@pytest.mark.parametrize(
    "name, image, grey, color",
    [
        ("a.png", Image.fromarray(flat(100)), 100, (100, 100, 100)),
        ("a.png", Image.fromarray(flat((200, 0, 0))), 60, (200, 0, 0)),
        ("a.PNG", Image.fromarray(flat((200, 0, 0))).quantize(), 60, (200, 0, 0)),
        ("a.png", Image.fromarray(flat((255, 255, 255, 51))), 51, (51, 51, 51)),
        ("a.png", Image.fromarray(flat((250, 51))), 50, (50, 50, 50)),
        ("a.png", Image.fromarray(flat(0).astype(np.uint16) + 25700), 100, (100, 100, 100)),
        ("a.png", Image.fromarray(flat(1).astype(bool)), 255, (255, 255, 255)),
        ("a.jpg", Image.fromarray(flat(100)), 100, (100, 100, 100)),
        ("a.jpeg", Image.fromarray(flat((0, 0, 200))), 23, (0, 0, 200)),
    ],
)
def test_kinds_of_images(tmp_path: Path, name: str, image: Image.Image, grey: int, color: tuple[int, ...]) -> None:
    fill(tmp_path, 2)
    image.save(tmp_path / name)
    shown = all_images(ImageFolder(str(tmp_path)))[-1]
    assert shown.shape == (1, 6, 8)
    torch.testing.assert_close(shown, torch.full((1, 6, 8), grey / 255), atol=2 / 255, rtol=0)
    shown = all_images(ImageFolder(str(tmp_path), color=True))[-1]
    expected = torch.tensor(color).view(3, 1, 1).expand(3, 6, 8) / 255
    torch.testing.assert_close(shown, expected, atol=2 / 255, rtol=0)


@pytest.mark.parametrize(
    "array, n",
    [
        (np.full((5, 6, 8), 100, np.uint8), 5),
        (np.full((6, 8), 100, np.uint8), 1),
        (np.full((5, 6, 8, 1), 100, np.uint8), 5),
        (np.full((6, 8, 3), 100, np.uint8), 1),
        (np.full((5, 6, 8, 3), 100 / 255, np.float32), 5),
        (np.full((2, 6, 8), 100 / 255), 2),
        (np.concatenate([np.full((2, 6, 8, 3), 200), np.full((2, 6, 8, 1), 127)], -1).astype(np.uint8), 2),
    ],
)
def test_arrays(tmp_path: Path, array: NDArray[Any], n: int) -> None:
    fill(tmp_path, 2)
    np.save(tmp_path / "array.npy", array)
    shown = all_images(ImageFolder(str(tmp_path)))[2:]
    torch.testing.assert_close(shown, torch.full((n, 1, 6, 8), 100 / 255), atol=1 / 255, rtol=0)


def test_a_bool_array_and_rows_from_the_top(tmp_path: Path) -> None:
    array = np.zeros((3, 6, 8), bool)
    array[:, 0, 5] = True
    np.save(tmp_path / "array.npy", array)
    assert torch.equal(all_images(ImageFolder(str(tmp_path))), torch.from_numpy(array[:, None]).float())


def test_folders_below_and_the_cameras_orientation(tmp_path: Path) -> None:
    fill(tmp_path / "below", 2)
    image = flat(0, (8, 6))
    image[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    Image.fromarray(image).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    shown = all_images(ImageFolder(str(tmp_path)))
    assert shown.shape == (3, 1, 6, 8)
    torch.testing.assert_close(shown[-1, 0, :, 4:].round(), torch.ones(6, 4))
    torch.testing.assert_close(shown[-1, 0, :, :4].round(), torch.zeros(6, 4))


def test_masks_beside_images_are_no_images(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    below = tmp_path / "below"
    below.mkdir()
    for folder, name in ((tmp_path, "alone"), (below, "7")):  # 7.png is not in that folder
        Image.fromarray(flat(50)).save(folder / f"{name}.mask.png")
    without = all_images(ImageFolder(str(tmp_path)))
    names = [path.stem for path in tmp_path.glob("*.png") if "mask" not in path.name]
    for name in names:
        Image.fromarray(flat(255)).save(tmp_path / f"{name}.mask.png")
    assert len(names) == 10 and len(without) == 12
    assert torch.equal(all_images(ImageFolder(str(tmp_path))), without)


def test_hidden_files_and_folders_of_masks_and_depth_are_no_images(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        for place in (f"rgb/{name}.png", f"depth/{name}.png", f"mask/{name}_000000.png", f"rgb/._{name}.png"):
            (tmp_path / place).parent.mkdir(exist_ok=True)
            Image.fromarray(flat(50 if place.startswith("rgb/") else 255)).save(tmp_path / place)
    (tmp_path / "rgb" / "._a.png").write_bytes(b"of macOS")
    assert all_images(ImageFolder(str(tmp_path))).shape[0] == 3
    assert all_images(ImageFolder(str(tmp_path), files="depth/*")).shape[0] == 3  # who asks for them has them


def test_pictures_of_predictions_and_runs_are_no_images(tmp_path: Path) -> None:
    """Somewhere below the images, or in the folder itself; but masks and figures of other programs are."""
    places = [
        "",
        "seen/overlays",
        "seen/masks",
        "figures",
        "runs/first/figures",
        "figures/kept",
        "mine/masks",
        "mine/figures",
    ]
    for place in places:
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        Image.fromarray(flat(50)).save(tmp_path / place / "a.png")
    (tmp_path / "seen" / "predictions.csv").touch()
    for run in (tmp_path, tmp_path / "runs" / "first"):
        (run / "checkpoints").mkdir()
    found = image_paths(tmp_path)
    assert [str(path.relative_to(tmp_path).parent) for path in found.images] == [".", "mine/figures", "mine/masks"]
    assert len(found.aside) == 5
    assert len(image_paths(tmp_path / "seen" / "overlays").images) == 1  # who asks for them has them


def test_pictures_are_where_predict_and_fit_put_them() -> None:
    assert {form.file for form in FORMATS.values()} == set(PREDICTIONS)
    assert PICTURED == {OVERLAYS: PREDICTIONS, "masks": PREDICTIONS, runs.FIGURES: (runs.CHECKPOINTS,)}


def test_resize_is_height_by_width_and_averages(tmp_path: Path) -> None:
    folder = fill(tmp_path, 2)
    stripes = flat(0, (30, 40))
    stripes[:, ::2] = 200
    Image.fromarray(stripes).save(tmp_path / "big.png")
    module = ImageFolder(folder, resize=(3, 4))
    assert module.image_shape == (1, 3, 4)
    torch.testing.assert_close(all_images(module)[-1], torch.full((1, 3, 4), 100 / 255), atol=0.05, rtol=0)


def test_sizes_that_differ(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    Image.fromarray(flat(0, (6, 9))).save(tmp_path / "odd.png")
    with pytest.raises(ValueError, match=r"0.png has 6x8, .*odd.png has 6x9 \(height x width\): give `resize`"):
        ImageFolder(folder)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.png", b"not an image", r"could not read .*a\.png: cannot identify image file"),
        ("a.jpg", b"", r"could not read .*a\.jpg"),
        ("a.npy", b"no array", r"could not read .*a\.npy"),
        ("a.npy", np.zeros((2, 3, 4, 5, 6)), r"a\.npy: expected an array \(N, H, W\).*found \(2, 3, 4, 5, 6\)"),
        ("a.npy", np.zeros((0, 6, 8)), r"an array of shape \(0, 6, 8\) holds no pixels"),
        ("a.npy", np.zeros((5, 6, 8, 2), np.uint8), r"found \(5, 6, 8, 2\)"),
        ("a.npy", np.full((5, 6, 8), 200.0), r"real values must lie in \[0, 1\], found 200 to 200"),
        ("a.npy", np.full((5, 6, 8), np.nan), "real values must be finite, found NaN or infinite ones"),
        (
            "a.npy",
            np.zeros((5, 6, 8), np.int64),
            "found int64 values from 0 to 0, of which none is known to be white: give `scale`",
        ),
        ("a.npy", np.zeros((5, 6, 8), complex), "expected whole or real numbers or bool, found complex128"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: Any, message: str) -> None:
    folder = fill(tmp_path)
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        np.save(tmp_path / name, content)
    with pytest.raises(ValueError, match=message):
        ImageFolder(folder)


def test_an_image_cut_short(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
    for name in ("cut.png", "cut.jpg"):
        path = tmp_path / name
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(ValueError, match=f"could not read .*{name}"):
            ImageFolder(folder, resize=(6, 8))
        path.unlink()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"resize": (0, 5)}, r"resize must be a height and a width of at least 1 pixel, got \[0, 5\]"),
        ({"val_share": 0.0}, "must be positive and leave something to train on, got 0.0 and 0.1: a test_share of 1"),
        ({"val_share": 0.6, "test_share": 0.4}, "got 0.6 and 0.4"),
        ({"train_scenes": 0}, "train_scenes must be at least 1, got 0"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageFolder(fill(tmp_path), **arguments)


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folder='.*nowhere' is not a folder: name the one"):
        ImageFolder(str(tmp_path / "nowhere"))
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(
        ValueError, match=r"holds no images: expected .png, .jpg, .jpeg, .tif, .tiff, .webp, .bmp, .npy, .fits,"
    ):
        ImageFolder(str(tmp_path))
    with pytest.raises(ValueError, match="holds 2 images, expected 3 at least"):
        ImageFolder(fill(tmp_path, 2))


def test_every_split_has_an_image(tmp_path: Path) -> None:
    module = ImageFolder(fill(tmp_path, 3), val_share=0.45, test_share=0.45)
    assert [len(module.scenes(split)) for split in ("train", "val", "test")] == [1, 1, 1]


def test_shares_that_leave_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"val_share=0.5 and test_share=0.4 take all of the 3 images in folder='"):
        ImageFolder(fill(tmp_path, 3), val_share=0.5, test_share=0.4)


def test_images_beyond_the_memory_are_read_when_they_are_wanted(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    noise = np.random.default_rng(0)
    np.save(tmp_path / "stack.npy", noise.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8))
    Image.fromarray(flat(0).astype(np.uint16) + 25700).save(tmp_path / "deep.png")
    pages = [Image.fromarray(flat(value)) for value in (3, 5)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    held, streamed = ImageFolder(folder), ImageFolder(folder, memory=0)
    assert isinstance(held._pixels, np.ndarray) and not isinstance(streamed._pixels, np.ndarray)
    assert held.image_shape == streamed.image_shape and held._pixels.shape == streamed._pixels.shape
    for split in ("train", "val", "test"):
        numbers = list(range(len(held.scenes(split))))
        ours, theirs = (module.scenes(split).__getitems__(numbers).images for module in (held, streamed))
        assert torch.equal(ours, theirs)
    (tmp_path / "stack.npy").unlink()
    with pytest.raises(ValueError, match="memory must be a number of GiB from 0 on, got -1"):
        ImageFolder(folder, memory=-1)


def test_damage_shows_before_a_run_whatever_the_memory(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    (tmp_path / "z.png").write_bytes((tmp_path / "1.png").read_bytes()[:50])
    with pytest.raises(ValueError, match=r"could not read .*z\.png"):
        ImageFolder(folder, memory=0)
    (tmp_path / "z.png").unlink()
    Image.fromarray(flat(0, (6, 9))).save(tmp_path / "z.png")
    with pytest.raises(ValueError, match=r"0\.png has 6x8, .*z\.png has 6x9"):
        ImageFolder(folder, memory=0)
    Image.fromarray(flat(0)).save(tmp_path / "z.png")
    module = ImageFolder(folder, memory=0, test_share=1.0)
    (tmp_path / "z.png").write_bytes(b"changed since")
    with pytest.raises(ValueError, match=r"could not read .*z\.png: cannot identify"):
        module.scenes("test").__getitems__(list(range(11)))


@pytest.mark.parametrize("lossless", [True, False])
def test_webp(tmp_path: Path, lossless: bool) -> None:
    fill(tmp_path, 2)
    Image.fromarray(flat((200, 0, 0, 255))).save(tmp_path / "a.webp", lossless=lossless, quality=100)
    shown = all_images(ImageFolder(str(tmp_path), color=True))[-1]
    torch.testing.assert_close(shown[:, 0, 0], torch.tensor([200, 0, 0]) / 255, atol=4 / 255, rtol=0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bmp(tmp_path: Path, mode: str) -> None:
    """Of one bit, grey, of a palette, in colours, and in those of 32 bits."""
    fill(tmp_path, 2)
    image = Image.fromarray(flat((255, 0, 255, 255))).convert(mode)
    image.save(tmp_path / "a.bmp")
    shown = all_images(ImageFolder(str(tmp_path), color=True))[-1]
    expected = torch.tensor(image.convert("RGB").getpixel((0, 0))) / 255
    torch.testing.assert_close(shown[:, 0, 0], expected, atol=1e-6, rtol=0)


def test_images_of_other_formats_are_told_of(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    (tmp_path / "others").mkdir()
    for name in ("a.gif", "b.HEIC"):
        (tmp_path / name).touch()
        (tmp_path / "others" / name).touch()
    with pytest.raises(
        ValueError, match=r"holds no images that are read: 2 images were left out, .*others.a\.gif first"
    ):
        ImageFolder(str(tmp_path / "others"))
    with pytest.warns(
        UserWarning, match=r"4 images were left out, .*a\.gif first, whose format is not read: save them"
    ):
        assert len(all_images(ImageFolder(str(tmp_path)))) == 3


@pytest.mark.parametrize("name", ["b.webp", "b.png"])
def test_an_animation_is_refused(tmp_path: Path, name: str) -> None:
    fill(tmp_path, 2)
    frames = [Image.fromarray(flat(value)) for value in (0, 255)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(
        ValueError, match=rf"could not read .*{name}: it is an animation of 2 images: save each as a file"
    ):
        ImageFolder(str(tmp_path))
