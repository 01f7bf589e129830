"""Degradation: what it does to an image's values, that it is a function of the scene's number, and leaves the truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_digits
import torch
from numpy.typing import NDArray

from datamodules import Batch, MultiMNIST
from datamodules.degradation import CLEAN, Degradation

NOISY, GRID = {"contrast": 0.8, "noise": 0.2}, {"grid": 0.4}


def degraded(image: NDArray[np.float32], seed: int = 0, **options: Any) -> NDArray[np.float32]:
    return Degradation(**options)(image, np.random.default_rng(seed))


def flat(value: float, side: int = 200) -> NDArray[np.float32]:
    return np.full((1, side, side), value, np.float32)


def batch(root: Path, numbers: list[int], split: str = "train", **options: Any) -> Batch:
    return MultiMNIST(root=str(root), counts=[0, 1, 2], **options).scenes(split).__getitems__(numbers)


# ---- values


@pytest.mark.parametrize(
    "options, before, after",
    [({}, 0.3, 0.3), ({"contrast": 0.8}, 0.0, 0.1), ({"contrast": 0.8}, 1.0, 0.9), ({"contrast": 0.5}, 0.3, 0.4)],
)
def test_contrast_is_about_mid_grey(options: dict[str, float], before: float, after: float) -> None:
    np.testing.assert_allclose(degraded(flat(before), **options), after, atol=1e-6)


def test_noise_is_normal_where_nothing_is_clipped_and_the_image_given_stays() -> None:
    image = flat(0.5)
    noisy = degraded(image, noise=0.1)
    assert noisy.dtype == np.float32 and noisy.min() >= 0 and noisy.max() <= 1 and (image == 0.5).all()
    assert noisy.mean() == pytest.approx(0.5, abs=0.002) and noisy.std() == pytest.approx(0.1, rel=0.02)
    neighbours = np.corrcoef(noisy[0, :, 1:].ravel(), noisy[0, :, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.02


def test_black_is_clipped_as_supairs() -> None:
    black = degraded(flat(0.0), **NOISY)
    # of max(0, N(0.1, 0.2^2)): a share Phi(-0.5) is 0, the mean is 0.1 Phi(0.5) + 0.2 phi(0.5)
    assert (black == 0).mean() == pytest.approx(0.3085, abs=0.01)
    assert black.mean() == pytest.approx(0.1396, abs=0.003)


def test_lines_of_the_grid_are_as_bright_as_said_and_hide_nothing_brighter() -> None:
    offsets = set()
    for seed in range(200):
        lined = degraded(flat(0.0, 20), seed, grid=0.4)[0]
        down, across = (np.flatnonzero((lined == np.float32(0.4)).all(axis)) for axis in (1, 0))
        assert len(down) == len(across) == 4 and (np.diff(down) == 5).all() and (np.diff(across) == 5).all()
        assert (lined == 0).sum() == 16 * 16  # nothing between them
        offsets.add((down[0], across[0]))
    assert len(offsets) == 25
    np.testing.assert_array_equal(degraded(flat(0.7), grid=0.4), flat(0.7))
    assert np.diff(np.flatnonzero(degraded(flat(0.0), grid=0.4, pitch=7)[0].all(0))).max() == 7


def test_the_grid_lies_behind_contrast_and_noise() -> None:
    np.testing.assert_allclose(np.unique(degraded(flat(0.0), contrast=0.8, grid=0.4)), [0.1, 0.42], atol=1e-6)


def test_colours_share_the_grid_but_not_the_noise() -> None:
    image = np.zeros((3, 20, 20), np.float32)
    lined, noisy = degraded(image, grid=0.4), degraded(image + 0.5, noise=0.1)
    assert (lined == lined[:1]).all() and (noisy[0] != noisy[1]).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"contrast": 0.0}, r"contrast must lie in \(0, 1\]: 1 keeps all, 0.8 four fifths; got 0.0"),
        ({"contrast": 1.5}, "contrast must .* got 1.5"),
        ({"noise": -0.1}, "noise must be an sd, finite and not negative: 0.2, for example, or 0 for none; got -0.1"),
        ({"noise": float("nan")}, "noise must .* got nan"),
        ({"grid": 2.0}, r"grid must be a brightness in \[0, 1\]: 0.4, for example, or 0 for none; got 2.0"),
        ({"pitch": 1}, "pitch must be at least 2 pixels from line to line: 5, for example; got 1"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    tiny_digits.write(tmp_path)
    with pytest.raises(ValueError, match=message):
        MultiMNIST(root=str(tmp_path), **options)


# ---- scenes


@pytest.mark.parametrize("options", [NOISY, GRID], ids=["noise", "grid"])
def test_a_scene_is_a_function_of_its_number_and_its_truth_is_that_of_the_clean_one(
    tmp_path: Path, options: dict[str, float]
) -> None:
    tiny_digits.write(tmp_path)
    together, alone = batch(tmp_path, [5, 700, 2], **options), batch(tmp_path, [700], **options)
    torch.testing.assert_close(together.images[1:2], alone.images, rtol=0, atol=0)
    clean = batch(tmp_path, [5, 700, 2])
    for name in ("count", "what", "where", "boxes"):
        assert torch.equal(getattr(together, name), getattr(clean, name)), name


def test_scenes_splits_and_seeds_have_noise_of_their_own(tmp_path: Path) -> None:
    tiny_digits.write(tmp_path)
    images = [
        batch(tmp_path, [number], split, seed=seed, noise=0.1, contrast=0.1).images - 0.5
        for number, split, seed in [(0, "train", 0), (1, "train", 0), (0, "val", 0), (0, "test", 0), (0, "train", 1)]
    ]
    flat = torch.stack([image.flatten() for image in images])
    assert (torch.corrcoef(flat) - torch.eye(5)).abs().max() < 0.5  # the digits' own, at this contrast
    assert torch.equal(batch(tmp_path, [0], "predict", **NOISY).images, batch(tmp_path, [0], "test", **NOISY).images)


def test_scenes_that_are_not_degraded_are_untouched(tmp_path: Path) -> None:
    tiny_digits.write(tmp_path)
    assert Degradation() == CLEAN
    shown = batch(tmp_path, list(range(20)))
    assert (shown.images[shown.count == 0] == 0).all() and (shown.count == 0).any()
