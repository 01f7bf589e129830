"""How sure poses are where no truth is known: of images with the noise that is expected, and with smeared noise."""

import pytest
import torch
from renderers_for_tests import Dial, IdentityBumps
from slots_for_tests import observed
from test_laplace import SD, of_the_last, slots_at
from torch import Tensor

from air_lightning.distributions import count_log_prior
from air_lightning.metrics import Rows
from air_lightning.metrics.calibration import central_mass
from air_lightning.model.calibration import Powers
from air_lightning.model.jackknife import FEWEST, objects_told, powers_without_truth, said_of, variance_ratios
from air_lightning.model.laplace import laplace_sd
from air_lightning.model.observation import SceneGuess
from air_lightning.model.refinement import Refinement
from air_lightning.model.slots import Slots
from renderers import MeshRenderer, Renderer

SCENES = 150


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def one_each() -> Tensor:
    return torch.ones(SCENES, dtype=torch.long)


def refined(renderer: Renderer, what: Tensor, images: Tensor, where: Tensor) -> Slots:
    refinement, log_prior = Refinement(iterations=12, scan=0, identities=1), count_log_prior(1, 0.3)
    return refinement(renderer, observed(images, SD), slots_at(renderer, what, where), torch.ones(SCENES, 1), log_prior)


def noise(images: Tensor, smeared: int) -> Tensor:
    """Normal noise of the sd that is expected, the same in squares of so many pixels a side."""
    rough = torch.randn(*images.shape[:2], *(-(-side // smeared) for side in images.shape[2:]))
    fine = rough.repeat_interleave(smeared, 2).repeat_interleave(smeared, 3)
    return SD * fine[..., : images.shape[2], : images.shape[3]]


@pytest.mark.parametrize("smeared", [1, 2])
def test_intervals_cover_what_they_say_without_a_truth(smeared: int) -> None:
    """By the powers, where the noise is as it is expected, and where a quarter of the numbers is all that there is."""
    renderer, what = IdentityBumps(32), torch.full((SCENES, 1), 2)
    true = 0.5 * torch.randn(SCENES, 1, 2)
    where = renderer.where.constrain(true)
    clean = renderer.render(what, where)[:, -1]
    images = clean + noise(clean, smeared)
    slots = refined(renderer, what, images, where)
    sd = laplace_sd(renderer, observed(images, SD), slots, of_the_last(SCENES, 1))
    powers = powers_without_truth(
        variance_ratios(renderer, observed(images, SD), slots, one_each()), renderer.where.names, searched=True
    )
    assert (min(powers.pose.values()) > 0.7) == (smeared == 1) and (powers.count < 0.35) == (smeared == 2)
    gap = true - renderer.where.unconstrain(slots.where)
    for level in (0.5, 0.9):
        told = central_mass(gap, powers.of_pose(renderer.where.names, sd, refined=True))
        assert float((told <= level).float().mean()) == pytest.approx(level, abs=0.12)
    if smeared > 1:
        assert float((central_mass(gap, sd) <= 0.9).float().mean()) < 0.7, "the likelihood alone is too sure"


def test_what_an_image_does_not_tell_has_no_ratio() -> None:
    """The turn of a dot, which nobody sees; and nothing at all of an image without an object."""
    renderer = Dial(16)
    what, where = torch.tensor([[0, 2]]), torch.tensor([[[-0.4, 0.0, 0.3], [0.4, 0.1, 0.3]]])
    images = renderer.render(what, where)[:, -1]
    images = images + SD * torch.randn_like(images)
    slots = slots_at(renderer, what, where)
    ratios = variance_ratios(renderer, observed(images, SD), slots, torch.tensor([2]))
    assert ratios.isnan().tolist() == [[False] * 3, [False, False, True]]
    assert objects_told(ratios, renderer.where.names) == {"objects found": 2, "x": 2, "y": 2, "yaw": 1}
    assert variance_ratios(renderer, observed(images, SD), slots, torch.tensor([0])).shape == (0, 3)


def test_each_image_is_drawn_with_its_own_scene() -> None:
    """Under two cameras as under the right one each, and otherwise under wrong ones."""
    renderer = MeshRenderer(image_size=(32, 32), scene={"camera_azimuth": (-0.8, 0.8)})
    what, where = torch.tensor([[0], [0]]), torch.tensor([[[0.3, 0.2, 0.4]]]).expand(2, -1, -1)
    azimuths = torch.tensor([[-0.5], [0.6]])
    images = renderer.at(azimuths).render(what, where)[:, -1]
    images = images + SD * torch.randn_like(images)

    def ratios(values: Tensor) -> Tensor:
        scene = SceneGuess(values, values, torch.ones_like(values), torch.zeros(2))
        seen = observed(images, SD)._replace(scene=scene)
        return variance_ratios(renderer, seen, slots_at(renderer, what, where), torch.tensor([1, 1]))

    alone = MeshRenderer(image_size=(32, 32), scene={"camera_azimuth": (-0.8, 0.8)}).at(azimuths[1:])
    slots = slots_at(renderer, what[1:], where[1:])
    expected = variance_ratios(alone, observed(images[1:], SD), slots, torch.tensor([1]))
    torch.testing.assert_close(ratios(azimuths)[1:], expected, equal_nan=True)
    assert not ratios(azimuths.flip(0))[1:].allclose(expected, equal_nan=True)


def test_powers_are_shares_and_few_objects_tell_nothing() -> None:
    ratios = torch.tensor([4.0, 0.5]).repeat(FEWEST, 1)
    powers = powers_without_truth(ratios, ("x", "y"), searched=True)
    assert powers == Powers(powers.count, {"x": 0.25, "y": 1.0}, refined=True, searched=True)
    assert 0.25 <= powers.count <= 1
    assert powers_without_truth(ratios, ("x", "y"), searched=False).count == 1, "the network's own, no evidence"
    few = powers_without_truth(ratios[: FEWEST - 1], ("x", "y"), searched=True)
    assert few.are_none, "of two coordinates each, but no more objects"


def test_what_too_few_objects_tell_of_is_said() -> None:
    powers = Powers(0.5, {"x": 0.5, "yaw": 1.0}, refined=True, searched=True)
    all_told = {"objects found": FEWEST, "x": FEWEST, "yaw": FEWEST}
    assert said_of(powers, all_told) == "as sure as parts of objects agree, to the power of count 0.5, x 0.5, yaw 1"
    assert said_of(powers, all_told | {"yaw": 0}).endswith("yaw 1 (fewer than 10 objects tell of yaw)")
    none = said_of(Powers(), dict.fromkeys(all_told, 0))
    assert none.startswith("as sure as the likelihood has it: 0 objects were found") and "agree" not in none


def test_rows_of_all_batches_are_kept_until_the_reset() -> None:
    rows = Rows(2)
    rows.update(torch.empty(0, 2))
    assert rows.compute().shape == (0, 2)
    for number in (3, 0, 1):
        rows.update(torch.full((number, 2), float(number)))
    assert rows.compute().tolist() == [[3.0, 3.0]] * 3 + [[1.0, 1.0]]
    rows.reset()
    rows.update(torch.ones(1, 2))
    assert rows.compute().shape == (1, 2)
