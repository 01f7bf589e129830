"""Images for people: where things stand in the grid, and which objects are marked."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor
from torch import Tensor

from air_lightning.figures.images import CAPTION, COLORS, MARGIN, image_rows, image_steps, write_gif
from renderers.base import affine

SIZE = 20


def drawn(
    count: list[int],
    images: Tensor | None = None,
    center: Tensor | None = None,
    half: float = 0.3,
    columns: int = 2,
    zoom: int = 2,
    names: tuple[str, ...] | None = None,
) -> np.ndarray:
    """Black scenes with grey reconstructions, two slots each, at the middle unless said otherwise."""
    batch = len(count)
    images = torch.zeros(batch, 3, SIZE, SIZE) if images is None else images
    center = torch.zeros(batch, 2, 2) if center is None else center
    return image_rows(
        images,
        torch.full_like(images, 0.5),
        torch.tensor(count),
        windows(center, half),
        None if names is None else torch.zeros(batch, 2, dtype=torch.int64),
        names,
        columns,
        zoom,
    )


def windows(center: Tensor, across: float, down: float | None = None, turn: float = 0.0) -> Tensor:
    """Windows (..., 2, 3) of half these sizes at ``center`` (..., 2)."""
    like = torch.ones_like(center[..., 0])
    return affine(across * like, (across if down is None else down) * like, center, turn * like)


def pair(
    image: np.ndarray,
    row: int,
    column: int,
    height: int = SIZE,
    width: int = SIZE,
    zoom: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    """Scene and reconstruction of a place of the grid."""
    top = row * (height * zoom + 2 * MARGIN) + MARGIN
    left = column * (2 * width * zoom + 2 * MARGIN) + MARGIN
    both = image[top : top + height * zoom, left : left + 2 * width * zoom]
    return both[:, : width * zoom], both[:, width * zoom :]


def pixels(image: np.ndarray, color: str) -> np.ndarray:
    """(row, column) of the pixels of a colour."""
    return np.argwhere((image == np.array(ImageColor.getrgb(color))).all(-1))


@pytest.mark.parametrize("batch, columns, rows", [(1, 1, 1), (3, 2, 2), (4, 2, 2), (2, 4, 1), (5, 3, 2)])
@pytest.mark.parametrize("zoom", [1, 3])
def test_size(batch: int, columns: int, rows: int, zoom: int) -> None:
    image = drawn([0] * batch, columns=columns, zoom=zoom)
    height, width = SIZE * zoom + 2 * MARGIN, 2 * SIZE * zoom + 2 * MARGIN
    assert image.dtype == np.uint8 and image.shape == (rows * height, columns * width, 3)


def test_size_of_images_that_are_not_square() -> None:
    image = drawn([1], torch.zeros(1, 3, 10, 30), columns=1)
    assert image.shape == (20 + 2 * MARGIN, 120 + 2 * MARGIN, 3)


def test_scenes_stand_beside_their_reconstructions_in_order() -> None:
    images = torch.rand(3, 3, SIZE, SIZE)
    image = drawn([0, 0, 0], images)
    for i, (row, column) in enumerate([(0, 0), (0, 1), (1, 0)]):
        scene, reconstruction = pair(image, row, column)
        expected = (images[i] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(scene, expected.repeat(2, 0).repeat(2, 1))
        assert (reconstruction == 128).all()
    filler = pair(image, 1, 1)
    assert all((part == 0).all() for part in filler)


def test_colours_out_of_range_are_clipped() -> None:
    scene, _ = pair(drawn([0], torch.tensor([-0.5, 1.5, 0.2])[:, None, None].expand(1, 3, SIZE, SIZE)), 0, 0)
    assert scene[0, 0].tolist() == [0, 255, 51]


def test_grey_images_come_out_grey() -> None:
    images = torch.rand(2, 1, SIZE, SIZE)
    scene, _ = pair(drawn([0, 0], images), 0, 1)
    assert (scene[..., 0] == scene[..., 1]).all() and (scene[..., 0] == scene[..., 2]).all()
    np.testing.assert_array_equal(scene[::2, ::2, 0], (images[1, 0] * 255).round().to(torch.uint8).numpy())


@pytest.mark.parametrize("count", [0, 1, 2])
def test_only_present_objects_are_marked(count: int) -> None:
    center = torch.tensor([[[-0.5, -0.5], [0.5, 0.5]]])
    scene, reconstruction = pair(drawn([count], center=center), 0, 0)
    assert [len(pixels(scene, color)) > 0 for color in COLORS[:2]] == [count > 0, count > 1]
    assert (reconstruction == 128).all()


@pytest.mark.parametrize("x, y", [(0.0, 0.0), (-0.4, 0.2), (0.5, -0.5)])
@pytest.mark.parametrize("shape", [(SIZE, SIZE), (12, 40)])
def test_a_mark_is_a_box_around_its_object(x: float, y: float, shape: tuple[int, int]) -> None:
    height, width = shape
    images, center = torch.zeros(1, 3, height, width), torch.tensor([[[x, y], [0.0, 0.0]]])
    image = drawn([1], images, center, zoom=4, columns=1)
    found = pixels(pair(image, 0, 0, height, width, 4)[0], COLORS[0])
    (top, left), (bottom, right) = found.min(0), found.max(0)
    middle = (left + right) / 2, (top + bottom) / 2
    assert middle == pytest.approx(((x + 1) * width * 2, (y + 1) * height * 2), abs=1)
    assert right - left == pytest.approx(0.6 * width * 2, abs=2)
    assert bottom - top == pytest.approx(0.6 * height * 2, abs=2)
    inside = (found[:, 0] > top) & (found[:, 0] < bottom) & (found[:, 1] > left) & (found[:, 1] < right)
    assert not inside.any()


def test_a_mark_is_never_too_small_to_see() -> None:
    scene, _ = pair(drawn([1], half=0.0), 0, 0)
    assert len(pixels(scene, COLORS[0])) >= 12


def test_names_are_written_above_the_marks() -> None:
    plain, named = (pair(drawn([1], zoom=6, names=n), 0, 0, zoom=6)[0].any(-1) for n in (None, ("cube",)))
    top = np.argwhere(plain).min()
    assert named[:top].any() and not plain[:top].any()
    np.testing.assert_array_equal(named[top + 4 :], plain[top + 4 :])


def test_more_objects_than_colours() -> None:
    slots = len(COLORS) + 2
    image = image_rows(
        *(torch.zeros(1, 1, SIZE, SIZE),) * 2,
        torch.tensor([slots]),
        windows(torch.zeros(1, slots, 2), 0.3),
    )
    assert image.shape[2] == 3


@pytest.mark.parametrize("turn", [0.0, 0.5, -0.8])
def test_a_mark_has_its_windows_sides_and_turn(turn: float) -> None:
    window = windows(torch.tensor([[[0.1, -0.1]]]), 0.6, 0.2, turn)
    image = image_rows(*(torch.zeros(1, 1, 100, 100),) * 2, torch.tensor([1]), window, columns=1, zoom=2)
    found = pixels(pair(image, 0, 0, 100, 100)[0], COLORS[0])
    x, y = found[:, 1] / 100 - 1 - 0.1, found[:, 0] / 100 - 1 + 0.1
    u = (x * math.cos(turn) + y * math.sin(turn)) / 0.6
    v = (y * math.cos(turn) - x * math.sin(turn)) / 0.2
    np.testing.assert_allclose(np.maximum(abs(u), abs(v)), 1, atol=0.1)
    assert [u.min(), u.max(), v.min(), v.max()] == pytest.approx([-1, 1, -1, 1], abs=0.1)


# ---- step by step


def explained(count: list[int]) -> list[np.ndarray]:
    """White scenes of two slots; canvas n is 0.1 n bright."""
    batch = len(count)
    canvases = 0.1 * torch.arange(3.0).view(1, 3, 1, 1, 1).expand(batch, 3, 1, SIZE, SIZE)
    center = torch.tensor([[-0.5, 0.0], [0.5, 0.0]]).expand(batch, 2, 2)
    return image_steps(torch.ones(batch, 1, SIZE, SIZE), canvases, torch.tensor(count), windows(center, 0.3), zoom=2)


@pytest.mark.parametrize("count, frames", [([0], 1), ([1], 3), ([2, 0], 5), ([1, 2, 1], 5)])
def test_each_slot_has_two_frames(count: list[int], frames: int) -> None:
    made = explained(count)
    assert len(made) == frames
    side = 2 * SIZE
    assert all(f.shape == (2 * side + 3 * MARGIN, len(count) * (side + 2 * MARGIN), 3) for f in made)


def test_windows_come_before_what_is_drawn_in_them() -> None:
    for n, frame in enumerate(explained([2])):
        both = frame[MARGIN:-MARGIN, MARGIN:-MARGIN]
        scene, canvas = both[: 2 * SIZE], both[-2 * SIZE :]
        assert canvas[0, 0].tolist() == [round(25.5 * (n // 2))] * 3
        assert (len(pixels(scene, COLORS[1])) > 0) == (n > 2)
        assert [len(pixels(canvas, color)) > 0 for color in COLORS[:2]] == [n == 1, n == 3]


def test_a_scene_of_fewer_objects_waits() -> None:
    frames = [frame[:, : 2 * SIZE + 2 * MARGIN] for frame in explained([1, 2])]
    assert (frames[2] == frames[3]).all() and (frames[2] == frames[4]).all()


def test_scenes_of_most_objects_are_shown() -> None:
    many, best = explained([0, 1, 0, 2, 1, 0, 2]), explained([1, 2, 1, 2])
    assert len(many) == len(best) and all((a == b).all() for a, b in zip(many, best))


# ---- animations


def test_an_animation_opens_with_its_frames_and_times(tmp_path: Path) -> None:
    shown = [np.full((30, 40, 3), grey, np.uint8) for grey in (0, 100, 200)]
    write_gif(tmp_path / "a.gif", shown, ["step 0", "step 1", "step 2"], milliseconds=100, rest=900)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 3 and gif.info["loop"] == 0 and gif.size[1] == 30 + CAPTION
        for n, duration in enumerate((100, 100, 900)):
            gif.seek(n)
            assert gif.info["duration"] == duration
            image = np.asarray(gif.convert("RGB"))
            assert image[-1, 0].tolist() == [100 * n] * 3
            assert (image[:CAPTION] < 128).any()


def test_images_of_other_sizes_are_filled_up(tmp_path: Path) -> None:
    """As where a resumed run shows other scenes; and equal images of other captions stay apart."""
    shown = [np.zeros((side, side, 3), np.uint8) for side in (60, 80, 80)]
    write_gif(tmp_path / "a.gif", shown, ["1", "2", "3"])
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 3 and gif.size == (80, 80 + CAPTION)
        assert np.asarray(gif.convert("RGB"))[-1, -1].tolist() == [255] * 3


def test_an_animation_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs at least one image, got none for .*a.gif"):
        write_gif(tmp_path / "a.gif", [], [])
