"""The foreground's adjusted Rand index, against hand-computed cases and torchmetrics, and who owns a pixel."""

import re

import pytest
import torch
from renderers_for_tests import Discs
from torch import Tensor
from torchmetrics.functional.clustering import adjusted_rand_score

from air_lightning.metrics import all_pixels_ari, foreground_ari, segments
from renderers.compositing import Compositing, Layer


def masks_of(truth: Tensor, objects: int) -> Tensor:
    """(B, T, H, W) masks of labels (B, H, W), of which 0 is the background."""
    return truth.unsqueeze(1) == torch.arange(1, objects + 1)[:, None, None]


def index(guess: list[int], truth: list[int]) -> float:
    """Of one scene, a row of pixels; a true label 0 is background."""
    row = torch.tensor([[truth]])
    (value,) = foreground_ari(torch.tensor([[guess]]), masks_of(row, max(truth)))
    return float(value)


# ---- the index


@pytest.mark.parametrize(
    "guess, truth, expected",
    [
        ([1, 1, 2, 2], [1, 1, 2, 2], 1),
        ([5, 5, 0, 0], [1, 1, 2, 2], 1),
        # pairs: 1 together, 1 in the guess, 2 in the truth, 6 in all: (1 - 1/3) / (3/2 - 1/3)
        ([0, 0, 1, 2], [1, 1, 2, 2], 4 / 7),
        # 0 together, 2 and 2 of 6: (0 - 2/3) / (2 - 2/3)
        ([0, 1, 0, 1], [1, 1, 2, 2], -0.5),
        # the background's pixels do not count, however they are labelled
        ([1, 1, 2, 2, 1, 2, 3], [1, 1, 2, 2, 0, 0, 0], 1),
        # one true object: 1 if it is one segment, else 0
        ([3, 3, 3, 3], [1, 1, 1, 1], 1),
        ([0, 0, 0, 0], [1, 1, 1, 1], 1),
        ([3, 3, 3, 0], [1, 1, 1, 1], 0),
        ([1, 1, 1, 1], [1, 1, 2, 2], 0),
        # each pixel for itself on both sides; a single pixel
        ([1, 2, 3], [3, 1, 2], 1),
        ([4, 0], [1, 0], 1),
    ],
)
def test_hand_computed(guess: list[int], truth: list[int], expected: float) -> None:
    assert index(guess, truth) == pytest.approx(expected, abs=1e-6)


def random_scenes(batch: int = 20) -> tuple[Tensor, Tensor]:
    """Guesses that know something of the truth, (B, H, W) each."""
    torch.manual_seed(0)
    truth, other = torch.randint(4, (batch, 6, 7)), torch.randint(5, (batch, 6, 7))
    return torch.where(torch.rand(batch, 6, 7) < torch.rand(batch, 1, 1), truth, other), truth


# torchmetrics' own use of torch
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_torchmetrics_agrees() -> None:
    guess, truth = random_scenes()
    expected = [adjusted_rand_score(g[t > 0], t[t > 0]) for g, t in zip(guess, truth)]
    torch.testing.assert_close(foreground_ari(guess, masks_of(truth, 3)), torch.stack(expected), rtol=0, atol=1e-5)


# torchmetrics' own use of torch
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_over_all_pixels_the_background_is_a_segment() -> None:
    guess, truth = random_scenes()
    truth[4] = 0
    guess[4] = 0  # nothing there, nothing found
    expected = [adjusted_rand_score(g.flatten(), t.flatten()) for g, t in zip(guess, truth)]
    found = all_pixels_ari(guess, masks_of(truth, 3))
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-5)
    assert found[4] == 1
    guess[4, 0, 0] = 1  # an object of one pixel where there is none
    assert all_pixels_ari(guess, masks_of(truth, 3))[4] == 0
    with pytest.raises(ValueError, match="true_masks must have shape"):
        all_pixels_ari(guess[:, 1:], masks_of(truth, 3))


def test_names_of_segments_do_not_matter() -> None:
    guess, truth = random_scenes()
    renamed = torch.tensor([3, 7, 0, 1, 2])[guess]
    torch.testing.assert_close(
        foreground_ari(renamed, masks_of(truth, 3)), foreground_ari(guess, masks_of(truth, 3).flip(1))
    )


def test_random_segments_score_zero_on_average() -> None:
    torch.manual_seed(0)
    guess, truth = torch.randint(3, (2000, 8, 8)), torch.randint(3, (2000, 8, 8))
    assert abs(float(foreground_ari(guess, masks_of(truth, 2)).mean())) < 0.002


def test_scenes_without_objects_are_left_out() -> None:
    guess, truth = random_scenes()
    truth[[0, 5, 19]] = 0
    masks, rest = masks_of(truth, 3), [i for i in range(20) if i not in (0, 5, 19)]
    assert torch.equal(foreground_ari(guess, masks), foreground_ari(guess[rest], masks[rest]))
    assert foreground_ari(guess, torch.zeros_like(masks)).shape == (0,)
    assert foreground_ari(guess, masks[:, :0]).shape == (0,)
    assert foreground_ari(guess[:0], masks[:0]).shape == (0,)


def test_large_images_keep_their_trivial_scenes() -> None:
    """More pairs than float32, and squares of pairs than float64, hold exactly."""
    guess = torch.zeros(1, 300, 301, dtype=torch.long)
    assert float(foreground_ari(guess, torch.ones(1, 1, 300, 301, dtype=torch.bool))) == 1


@pytest.mark.parametrize(
    "masks, text",
    [
        (torch.ones(2, 4, 4), "true_masks must have shape (scenes, objects, height, width) to go with pred_segments"),
        (torch.ones(2, 1, 4, 5), "(2, 4, 4), got (2, 1, 4, 5)"),
        (torch.ones(3, 1, 4, 4), "(2, 4, 4), got (3, 1, 4, 4)"),
        (torch.ones(2, 2, 4, 4), "true_masks must not overlap, got a pixel of two objects: give what one sees of each"),
    ],
)
def test_masks_that_do_not_fit(masks: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        foreground_ari(torch.zeros(2, 4, 4, dtype=torch.long), masks.bool())


# ---- who owns a pixel


def owners(rows: list[list[float]], count: int, rule: Compositing) -> list[int]:
    """Of one row of pixels. ``rows``: each slot's depths, alphas or brightnesses, as the rule asks."""
    values = torch.tensor(rows)[None, :, None]
    depth = values if rule == "zbuffer" else torch.ones_like(values)
    layers = Layer(values.clamp_max(1.0).unsqueeze(2), depth, values if rule == "over" else None)
    found = segments(layers, torch.tensor([count]), rule, height=1)
    assert found.shape == (1, 1, len(rows[0])) and found.dtype == torch.long
    return found.flatten().tolist()


FAR = float("inf")


@pytest.mark.parametrize(
    "rule, rows, count, expected",
    [
        ("zbuffer", [[2.0, 1.0, FAR, FAR], [1.0, 2.0, 3.0, FAR]], 2, [2, 1, 2, 0]),
        ("zbuffer", [[2.0, 1.0, FAR, FAR], [1.0, 2.0, 3.0, FAR]], 1, [1, 1, 0, 0]),
        ("zbuffer", [[2.0, 1.0, FAR, FAR], [1.0, 2.0, 3.0, FAR]], 0, [0, 0, 0, 0]),
        ("additive", [[0.3, 0.9, 0.1, 0.0], [0.5, 0.8, 0.19, 0.21]], 2, [2, 1, 0, 2]),
        ("additive", [[0.3, 0.9, 0.1, 0.0], [0.5, 0.8, 0.19, 0.21]], 1, [1, 1, 0, 0]),
        # the later hides the earlier as far as it covers it
        ("over", [[1.0, 1.0, 0.3, 0.0], [1.0, 0.25, 0.0, 0.1]], 2, [2, 1, 1, 0]),
        ("over", [[1.0, 1.0, 0.3, 0.0], [1.0, 0.25, 0.0, 0.1]], 1, [1, 1, 1, 0]),
        ("over", [[0.6], [0.6], [0.6]], 3, [3]),
        ("over", [[0.9], [0.5], [0.4]], 3, [3]),
        ("over", [[1.0], [0.1], [0.3]], 3, [1]),
    ],
)
def test_owners(rule: Compositing, rows: list[list[float]], count: int, expected: list[int]) -> None:
    assert owners(rows, count, rule) == expected


def test_each_scene_has_its_own_count() -> None:
    depth = torch.tensor([2.0, 1.0]).view(1, 2, 1, 1).expand(3, 2, 1, 1)
    layers = Layer(torch.ones(3, 2, 1, 1, 1), depth)
    assert segments(layers, torch.tensor([0, 1, 2]), "zbuffer", 1).flatten().tolist() == [0, 1, 2]


def test_samples_of_a_pixel_vote() -> None:
    """Two by two samples a pixel: the slot seen in most of them, if in more than a fifth."""
    first = torch.tensor([[2.0, 2.0, 2.0, FAR, FAR, FAR], [FAR, 2.0, 2.0, FAR, FAR, FAR]])
    second = torch.tensor([[1.0, FAR, 1.0, 1.0, 1.0, FAR], [FAR, FAR, 1.0, FAR, FAR, FAR]])
    layers = Layer(torch.ones(1, 2, 1, 2, 6), torch.stack([first, second])[None])
    found = segments(layers, torch.tensor([2]), "zbuffer", height=1)
    assert found.tolist() == [[[1, 2, 2]]]
    assert segments(layers, torch.tensor([2]), "zbuffer", 1, threshold=0.3).tolist() == [[[1, 2, 0]]]


def test_a_renderer_divides_its_own_image() -> None:
    """Discs with later identities on top: what one sees of each identity is its segment."""
    renderer = Discs()
    what, where = torch.tensor([[2, 0, 1]]), torch.tensor([[[-0.2, 0.0], [0.0, 0.1], [0.3, -0.1]]])
    found = segments(renderer.layers(what, where), torch.tensor([3]), "zbuffer", 32)
    image = renderer.render(what, where)[:, 3]
    shown = torch.where(image.amax(1) > 0, 1 + 2 - image.argmax(1), 0)  # identity 0 is blue, the last channel
    assert torch.equal(torch.where(found > 0, what[0][found - 1] + 1, 0), shown)
