"""Files of images of every format: the numbers that they hold, none lost, and what is made of them."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_files_for_tests import GREY, GREY_ALPHA, RGB, RGBA, write_png, write_tiff
from numpy.typing import NDArray
from PIL import Image

from datamodules import ImageFolder
from datamodules.image_files import raw_images, store
from datamodules.image_files.finishing import displayed, shaped_image, stretched
from datamodules.image_files.levels import Levels, Peaks
from datamodules.image_files.raster import from_pillow
from datamodules.image_files.record import RawImage

RANDOM = np.random.default_rng(0)


def numbers(*shape: int, below: int = 65536) -> NDArray[np.uint16]:
    return RANDOM.integers(0, below, shape).astype(np.uint16)


def only(path: Path, levels: Levels = Levels()) -> NDArray[Any]:
    """What a model sees of the one image of a file."""
    (raw,) = raw_images(path)
    return levels(raw)


# ---- transparent values


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("clear", [0, 1])
def test_a_transparent_grey_is_black(tmp_path: Path, bits: int, clear: int) -> None:
    white = 2**bits - 1
    values = np.array([[0, 1, white, white - 1], [white, 0, 1, 0]])
    write_png(tmp_path / "a.png", values, bits, GREY, (clear * white,))
    expected = np.where(values == clear * white, 0, values / white)
    (raw,) = raw_images(tmp_path / "a.png")
    seen = Levels()(raw)
    np.testing.assert_allclose(seen / (255 if seen.dtype == np.uint8 else 1), expected, atol=1e-6)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(Levels()(from_pillow(image)), seen)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_transparent_colour_is_black(tmp_path: Path, bits: int) -> None:
    values = numbers(3, 4, 3, below=2**bits)
    values[1, 2], values[0, 0] = (7, 8, 9), (7, 8, 10)
    write_png(tmp_path / "a.png", values, bits, RGB, (7, 8, 9))
    seen = only(tmp_path / "a.png") / (255 if bits == 8 else 1)
    assert (seen[1, 2] == 0).all()
    values[1, 2] = 0
    np.testing.assert_allclose(seen, values / (2**bits - 1), atol=1e-6)


@pytest.mark.parametrize("channels, color", [(2, GREY_ALPHA), (4, RGBA)])
@pytest.mark.parametrize("bits", [8, 16])
def test_alpha_multiplies(tmp_path: Path, channels: int, color: int, bits: int) -> None:
    white = 2**bits - 1
    values = numbers(3, 4, channels, below=2**bits)
    write_png(tmp_path / "a.png", values, bits, color)
    expected = values[..., :-1] / white * (values[..., -1:] / white)
    seen = only(tmp_path / "a.png") / (255 if bits == 8 else 1)
    np.testing.assert_allclose(seen, np.broadcast_to(expected, (*expected.shape[:2], max(3, channels - 1)))
                               if seen.ndim == 3 else expected[..., 0], atol=0.003 if bits == 8 else 1e-6)  # fmt: skip


def test_a_transparent_entry_of_a_palette_is_black(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2))
    image.putdata([0, 1, 1, 0])
    image.putpalette([200, 10, 10, 20, 220, 20])
    image.save(tmp_path / "a.png", transparency=0)
    assert only(tmp_path / "a.png").tolist() == [[[0, 0, 0], [20, 220, 20]], [[20, 220, 20], [0, 0, 0]]]


def test_alpha_takes_away_what_is_brighter_than_black() -> None:
    raw = RawImage(np.full((1, 2), 300, np.uint16), np.array([[0, 1]], np.float32))
    assert Levels(scale=400, offset=100)(raw).tolist() == [[0.0, 0.5]]


# ---- nothing is lost


@pytest.mark.parametrize("color, channels", [(GREY, 0), (GREY_ALPHA, 2), (RGB, 3), (RGBA, 4)])
def test_png_keeps_16_bits(tmp_path: Path, color: int, channels: int) -> None:
    values = numbers(5, 6, *([channels] if channels else []))
    write_png(tmp_path / "a.png", values, 16, color)
    (raw,) = raw_images(tmp_path / "a.png")
    colors = values[..., :-1].squeeze(-1) if channels == 2 else values[..., :3] if channels else values
    assert raw.values.dtype == np.uint16 and np.array_equal(raw.values, colors)
    if channels in (2, 4):
        assert raw.alpha is not None
        np.testing.assert_allclose(raw.alpha, values[..., -1] / 65535, atol=1e-7)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "values",
    [
        numbers(5, 6), numbers(5, 6, 3), numbers(5, 6).astype(np.uint8), numbers(5, 6).astype(np.int16),
        RANDOM.normal(0, 1e5, (5, 6)).astype(np.float32), numbers(5, 6).astype(np.int32) - 40_000,
    ],
    ids=lambda values: f"{values.dtype}-{values.ndim}",
)  # fmt: skip
def test_tiff_keeps_its_numbers(tmp_path: Path, values: NDArray[Any], order: str) -> None:
    write_tiff(tmp_path / "a.tif", values, order)
    (raw,) = raw_images(tmp_path / "a.tif")
    assert np.array_equal(raw.values, values)


def test_whole_numbers_of_32_bits_without_sign(tmp_path: Path) -> None:
    values = np.array([[0, 4_000_000_000]], np.uint32)
    write_tiff(tmp_path / "a.tif", values)
    assert only(tmp_path / "a.tif", Levels(4e9)).tolist() == [[0, 1]]


def test_the_pages_of_a_tiff_are_images(tmp_path: Path) -> None:
    pages = [Image.fromarray(numbers(3, 4)) for _ in range(3)]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    for raw, page in zip(raw_images(tmp_path / "a.tiff"), pages, strict=True):
        assert np.array_equal(raw.values, np.asarray(page))


@pytest.mark.parametrize(
    "values, order, tags, message",
    [
        (numbers(3, 4), "<", {"t262": 0}, r"its greys run from white to black \(WhiteIsZero\) in more than 8 bits"),
        (numbers(3, 4, 3), "<", {"t284": 2}, r"its colours lie in planes of more than 8 bits"),
        (np.zeros((3, 4, 3), np.float32), "<", {}, "cannot identify image file"),
    ],
)
def test_tiffs_that_pillow_reads_wrongly(
    tmp_path: Path, values: NDArray[Any], order: str, tags: dict[str, int], message: str
) -> None:
    write_tiff(tmp_path / "a.tif", values, order, **tags)
    with pytest.raises(ValueError, match=rf"could not read .*a\.tif: {message}"):
        list(raw_images(tmp_path / "a.tif"))


def test_the_cameras_orientation_of_deep_colours(tmp_path: Path) -> None:
    values = numbers(3, 4, 3)
    write_tiff(tmp_path / "a.tif", values, t274=6)
    (raw,) = raw_images(tmp_path / "a.tif")
    assert np.array_equal(raw.values, np.rot90(values, -1))


# ---- FITS


def test_fits_keeps_its_numbers(tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    sky = RANDOM.normal(1000, 30, (5, 6)).astype(np.float32)
    table = fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.zeros(2))])
    fits.HDUList([fits.PrimaryHDU(), table, fits.ImageHDU(sky)]).writeto(tmp_path / "a.fits")
    (raw,) = raw_images(tmp_path / "a.fits")
    assert np.array_equal(raw.values, sky)  # row 0 first
    np.testing.assert_allclose(Levels(60.0, 1000.0)(raw), (sky - 1000) / 60, rtol=1e-4, atol=1e-5)
    counts = numbers(3, 5, 6)
    fits.PrimaryHDU(counts).writeto(tmp_path / "b.fits.gz")
    for raw, expected in zip(raw_images(tmp_path / "b.fits.gz"), counts, strict=True):
        assert raw.values.dtype == np.uint16 and np.array_equal(raw.values, expected)


def test_fits_without_an_image_and_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    fits.PrimaryHDU().writeto(tmp_path / "a.fits")
    with pytest.raises(ValueError, match=r"a\.fits: it holds no image \(its units: PrimaryHDU\)"):
        raw_images(tmp_path / "a.fits")
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    with pytest.raises(ValueError, match=r"FITS files need astropy: pip install 'air-lightning\[fits\]'"):
        raw_images(tmp_path / "a.fits")


# ---- levels


@pytest.mark.parametrize(
    "values, levels, expected",
    [
        (np.array([[0, 255]], np.uint8), Levels(), [[0, 255]]),
        (np.array([[0, 51]], np.uint8), Levels(scale=102), [[0, 0.5]]),
        (np.array([[False, True]]), Levels(), [[0, 255]]),
        (np.array([[0, 65535]], np.uint16), Levels(), [[0, 1]]),
        (np.array([[0, 65535]], ">u2"), Levels(), [[0, 1]]),
        (np.array([[0.25, 0.5]], ">f4"), Levels(), [[0.25, 0.5]]),
        (np.array([[100, 4095 + 100]], np.uint16), Levels(4095, 100), [[0, 1]]),
        (np.array([[0.25, 0.5]]), Levels(), [[0.25, 0.5]]),
        (np.array([[-3.0, 900.0]]), Levels(scale=300), [[-0.01, 3]]),
        (np.array([[-(2**40), 2**40]]), Levels(scale=2**41), [[-0.5, 0.5]]),
    ],
)
def test_levels(values: NDArray[Any], levels: Levels, expected: Any) -> None:
    seen = levels(RawImage(values))
    assert seen.dtype == (np.uint8 if expected == [[0, 255]] else np.float32)
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"scale": 0.0}, r"scale must be a finite number other than 0, got 0.0: x = \(raw - offset\) / scale"),
        ({"scale": float("inf")}, "scale must be a finite number other than 0, got inf"),
        ({"offset": float("nan")}, "offset must be a finite number, got nan: it is the raw value of black"),
    ],
)
def test_levels_that_cannot_be(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Levels(**arguments)


def test_the_order_of_bytes_is_nothing_to_an_array(tmp_path: Path) -> None:
    values = numbers(3, 4, 4, below=4096)
    np.save(tmp_path / "a.npy", values.astype(">u2"))
    np.save(tmp_path / "b.npy", values)
    (big,), (little,) = raw_images(tmp_path / "a.npy"), raw_images(tmp_path / "b.npy")
    np.testing.assert_array_equal(Levels()(big), Levels()(little))
    assert Levels().peak(big) == Levels().peak(little) > 0


def test_twelve_bits_in_sixteen_are_said_to_be_dim(tmp_path: Path) -> None:
    for i in range(3):
        write_png(tmp_path / f"{i}.png", numbers(4, 5, below=4000), 16)
    write_png(tmp_path / "a.png", np.full((4, 5), 4080), 16)
    said = (
        r"4 of 4 files are nearly black \(.*0\.png first\): the largest .* 4080, 0\.062 of white.*data.scale 4095 \(x"
    )
    with pytest.warns(UserWarning, match=said):
        ImageFolder(str(tmp_path))
    module = ImageFolder(str(tmp_path), scale=4095)
    assert module._pixels.max() == pytest.approx(4080 / 4095)


def test_bright_files_do_not_hide_dim_ones(tmp_path: Path) -> None:
    """Three of 12 bits beside one of 16 and one of 8."""
    for i in range(3):
        write_png(tmp_path / f"{i}.png", np.full((4, 5), 4000 + i), 16)
    write_png(tmp_path / "a.png", np.full((4, 5), 60_000), 16)
    write_png(tmp_path / "b.png", np.full((4, 5), 200), 8)
    said = (
        r"3 of 5 files are nearly black \(.*0\.png first\): .* is 4002, 0\.061 of white; .* \(x = raw / 4095\) to them"
    )
    with pytest.warns(UserWarning, match=said):
        ImageFolder(str(tmp_path))


def test_a_file_is_as_bright_as_its_brightest_image_and_black_says_nothing() -> None:
    peaks = Peaks()
    for path, peak in (("stack.tif", 4000), ("stack.tif", 16_384), ("black.png", 0)):
        peaks.add(Path(path), peak)
    assert peaks.note("scale") is None
    peaks.add(Path("dim.tif"), 16_383)
    assert str(peaks.note("scale")).startswith("1 of 3 files is nearly black (dim.tif first): ")


def test_real_values_stay_real_when_they_are_scaled_down() -> None:
    grey = (RANDOM.random((8, 8)) * 100 - 50).astype(np.float32)
    small = shaped_image(grey, (4, 4), color=True)
    assert small.shape == (3, 4, 4) and small.dtype == np.float32 and small.min() < -1
    assert small.mean() == pytest.approx(grey.mean(), abs=5)
    assert shaped_image(np.stack([grey] * 3, -1), None, color=False)[0] == pytest.approx(grey, abs=1e-4)


def test_asinh_lifts_the_faint_and_keeps_black_and_white() -> None:
    values = torch.tensor([0.0, 0.01, 1.0])
    lifted = stretched(values, "asinh")
    assert lifted[0] == 0 and lifted[2] == 1 and lifted[1] == pytest.approx(0.0333, abs=1e-3)
    assert torch.equal(stretched(values, "linear"), values)
    faint = np.full((2, 2), 0.01, np.float32)
    assert np.asarray(displayed(faint, "linear")).max() == 3 and np.asarray(displayed(faint, "asinh")).max() == 8


def test_a_folder_of_real_values_keeps_them(tmp_path: Path) -> None:
    stack = RANDOM.normal(1000, 30, (6, 4, 5)).astype(np.float32)
    np.save(tmp_path / "sky.npy", stack)
    with pytest.raises(
        ValueError, match=r"sky.npy: real values must lie in \[0, 1\].*give `scale`, the value of white"
    ):
        ImageFolder(str(tmp_path))
    module = ImageFolder(str(tmp_path), scale=100, offset=1000, stretch="asinh")
    assert module.image_shape == (1, 4, 5)
    batch = module.scenes("train").__getitems__([0, 1, 2, 3])
    assert batch.images.dtype == torch.float32 and batch.images.min() < 0
    rows = module._rows["train"]
    expected = np.sort(((stack[rows] - 1000) / 100).reshape(4, -1), 0)
    np.testing.assert_allclose(np.sort(batch.images.numpy().reshape(4, -1), 0), expected, atol=1e-5)
    assert torch.equal(module.displayed(batch.images), stretched(batch.images, "asinh"))


def test_eight_bits_beside_real_values(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 4, 5), 0.25, np.float32))
    Image.fromarray(np.full((4, 5), 51, np.uint8)).save(tmp_path / "b.png")
    assert ImageFolder(str(tmp_path))._pixels[:, 0, 0, 0].tolist() == pytest.approx([0.25, 0.25, 0.2])


def test_a_terminal_is_shown_how_far_long_reading_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(3):
        Image.fromarray(np.full((4, 4), n * 80, np.uint8)).save(tmp_path / f"{n}.png")
    paths = sorted(tmp_path.iterdir())
    monkeypatch.setattr(store, "PATIENCE", 0.0)
    store.read(paths, Levels(), None, False, store.GIB, "folder='x'")
    assert capsys.readouterr().err == ""  # no terminal
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    store.read(paths, Levels(), None, False, store.GIB, "folder='x'")
    assert "reading folder='x'" in capsys.readouterr().err
