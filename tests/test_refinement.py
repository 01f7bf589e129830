"""Refinement, measured: poses that are off by a known amount, on images whose truth is known."""

import math
import re
from typing import NamedTuple

import pytest
import torch
from renderers_for_tests import Bumps, Discs
from slots_for_tests import observed
from torch import Tensor

from air_lightning.distributions import count_log_prior
from air_lightning.model.refinement import Problem, Refinement
from air_lightning.model.slots import Slots
from datamodules import Scenes3D
from renderers import Categorical, Gaussian, MeshRenderer, Renderer

SCENES, OFF, SD = 32, 0.15, 0.2
KL = 5.0  # nats a slot, about what a network's posterior costs


class Case(NamedTuple):
    """Images, the true slots, and the same with poses moved."""

    renderer: Renderer
    images: Tensor
    what: Tensor
    true: Tensor
    start: Tensor


def given(case: Case, second: Tensor | None = None) -> Slots:
    """What a network would say: every identity at the same pose, ``case.what`` likeliest, then ``second``."""
    batch, slots = case.start.shape[:2]
    options = case.start.unsqueeze(2).repeat(1, 1, case.renderer.identity_count, 1)
    looks = torch.zeros(batch, slots, case.renderer.identity_count)
    if not isinstance(case.renderer.what, Gaussian):
        looks.scatter_(2, case.what.unsqueeze(2), 5.0)
        if second is not None:
            looks.scatter_(2, second.unsqueeze(2), 4.0)
    return Slots(
        torch.zeros(batch, slots),
        case.what,
        case.start,
        options,
        options,
        options,
        looks,
        torch.zeros_like(options[:, :, :1]),
    )


def refined(case: Case, refinement: Refinement | None = None, slots: Slots | None = None) -> Slots:
    """Refinement of ``case.start``, or of the given slots."""
    before = given(case) if slots is None else slots
    refinement = Refinement() if refinement is None else refinement
    count = before.what.shape[1]
    kl, log_prior = torch.full(before.what.shape[:2], KL), count_log_prior(count, 0.3)
    after = refinement(case.renderer, observed(case.images, SD), before, kl, log_prior)
    for name in set(Slots._fields) - {"what", "where", "what_parameters"}:
        assert getattr(after, name) is getattr(before, name)
    if isinstance(case.renderer.what, Categorical):
        told = after.what_parameters.gather(2, after.what.unsqueeze(2)).squeeze(2)
        assert torch.equal(told, after.what_parameters.amax(2)), "what is found is the likeliest"
        assert torch.equal(*(slots.what_parameters.sort(2).values for slots in (before, after)))
    else:
        assert after.what_parameters is before.what_parameters
    return after


@pytest.fixture(scope="module")
def renderer() -> MeshRenderer:
    return MeshRenderer()


def moved(where: Tensor, by: float) -> Tensor:
    return where + by * (2 * torch.rand_like(where) - 1)


@pytest.fixture
def table(renderer: MeshRenderer) -> Case:
    """Three objects on the table, x and z off by up to 0.15, yaw by anything."""
    torch.manual_seed(0)
    scenes = Scenes3D(renderer, counts=(3,), seed=1).scenes("val").__getitems__(list(range(SCENES)))
    start = moved(scenes.where, OFF)
    start[..., 2] = math.pi * (2 * torch.rand(SCENES, 3) - 1)
    return Case(renderer, scenes.images, scenes.what, scenes.where, renderer.where.clamp(start))


def position_error(case: Case, where: Tensor) -> Tensor:
    return (where - case.true)[..., :2].norm(dim=-1)


def rotation_error(case: Case, where: Tensor) -> Tensor:
    """Radians modulo symmetry, of the objects whose rotation can be seen."""
    period = case.renderer.where.periods(case.renderer.identity_count, where)[:, 2][case.what]
    seen = period > 0
    error, turn = (where - case.true)[..., 2], torch.where(seen, period, 1.0)
    error = torch.remainder(error + turn / 2, turn) - turn / 2
    return error[seen].abs()


def squared_error(case: Case, slots: Slots) -> Tensor:
    return (case.renderer.render(slots.what, slots.where)[:, -1] - case.images).pow(2).flatten(1).sum(1)


def test_refinement_finds_the_objects(table: Case) -> None:
    slots = refined(table)
    before, after = position_error(table, table.start), position_error(table, slots.where)
    assert before.mean() > 0.09
    assert after.median() < 0.02 and after.mean() < 0.25 * before.mean()
    assert after.quantile(0.9) < 0.05
    first, last = squared_error(table, given(table)), squared_error(table, slots)
    assert last.mean() < 0.15 * first.mean()
    assert (last < first).float().mean() > 0.95


def test_refinement_finds_the_rotation(table: Case) -> None:
    assert rotation_error(table, table.start).median() > 0.3
    slots = [refined(table, Refinement(scan=n, identities=1)) for n in (8, 0)]
    scanned, unscanned = (rotation_error(table, s.where) for s in slots)
    assert scanned.median() < 0.06
    # what the scan is for: some slots start in the wrong one of two similar views
    assert (scanned > 0.3).float().mean() < 0.5 * (unscanned > 0.3).float().mean()


def test_refinement_keeps_what_is_right(table: Case) -> None:
    slots = refined(table._replace(start=table.true))
    assert position_error(table, slots.where).median() < 0.02
    assert rotation_error(table, slots.where).median() < 0.05
    assert (slots.what == table.what).float().mean() > 0.98


def test_refinement_tries_the_likeliest_identities(table: Case) -> None:
    """All identities wrong, the right one second: found, and the pose with it, unless only one is tried."""
    wrong = table._replace(what=(table.what + 1) % 3)
    slots = given(wrong, second=table.what)
    found, kept = (refined(wrong, Refinement(identities=n), slots) for n in (2, 1))
    assert (found.what == table.what).float().mean() > 0.9
    assert position_error(table, found.where).median() < 0.02
    assert torch.equal(kept.what, wrong.what)


def test_an_identity_is_tried_at_its_own_pose(table: Case) -> None:
    """The right identity's pose is the true one, the likeliest's lies far away."""
    wrong = (table.what + 1) % 3
    slots = given(table._replace(what=wrong), second=table.what)
    options = slots.where_by_identity.clone()
    options[..., :2] = 1.9
    index = table.what[:, :, None, None].expand(-1, -1, 1, 3)
    options.scatter_(2, index, table.true.unsqueeze(2))
    where = options.gather(2, wrong[:, :, None, None].expand(-1, -1, 1, 3)).squeeze(2)
    found = refined(table, Refinement(2, identities=3), slots._replace(where=where, where_by_identity=options))
    assert (found.what == table.what).float().mean() > 0.9
    assert position_error(table, found.where).median() < 0.05


UNLIKE = {
    "cube": 1.2374,
    "sphere": 1.75,
    "cylinder": 1.75,
}  # a ball's middle is higher than a cube's, as in CLEVR


def test_an_identity_that_fits_elsewhere_is_exchanged() -> None:
    """The wrong identity, where it covers the object best; the right one has its place behind it, or in front of it."""
    torch.manual_seed(0)
    renderer = MeshRenderer(sizes=UNLIKE, color=(0.0, 1.0))
    data = Scenes3D(renderer, counts=(2,), seed=1)
    scenes = data.scenes("val").__getitems__(list(range(16)))
    case = Case(renderer, scenes.images, scenes.what, scenes.where, renderer.where.clamp(moved(scenes.where, 0.05)))
    wrong = (scenes.what + 1) % 3
    best = refined(case, Refinement(identities=1), given(case._replace(what=wrong)))
    kl, log_prior = torch.full(wrong.shape, KL), count_log_prior(2, 0.3)
    given_again = renderer, observed(case.images, SD), best, kl, log_prior
    kept = Refinement().exchanged(*given_again)
    assert kept is best
    found = Refinement(exchange=12).exchanged(*given_again)
    assert (found.what == case.what).float().mean() > 0.9
    assert position_error(case, found.where).median() < 0.03
    assert torch.equal(found.what_parameters.argmax(2), found.what)
    assert squared_error(case, found).mean() < 0.2 * squared_error(case, best).mean()


def test_a_ball_is_exchanged_for_the_cube_that_it_stands_for() -> None:
    """A ball's angle says nothing, and its size and depth are others than those of the cube that it explains."""
    torch.manual_seed(0)
    renderer = MeshRenderer(["cube", "sphere"], size=(0.7, 1.3), color=(0.1, 1.0))
    scenes = Scenes3D(renderer, counts=(1,), seed=1).scenes("val").__getitems__(list(range(48)))
    cubes = [part[scenes.what[:, 0] == 0] for part in (scenes.images, scenes.what, scenes.where)]
    turned = moved(cubes[2], 0.05) + (torch.arange(7) == renderer.where.names.index("yaw")) * 0.7
    case = Case(renderer, *cubes, renderer.where.clamp(turned))
    ball = refined(case, Refinement(16, identities=1), given(case._replace(what=case.what + 1)))
    log_prior = count_log_prior(1, 0.3)
    found = Refinement(exchange=12).exchanged(
        renderer, observed(case.images, SD), ball, torch.full(case.what.shape, KL), log_prior
    )
    assert (found.what == 0).float().mean() > 0.9
    assert position_error(case, found.where).median() < 0.03


def test_an_appearance_is_not_exchanged() -> None:
    torch.manual_seed(0)
    renderer = Bumps()
    what, where = torch.randn(2, 2, 3), renderer.where.constrain(torch.randn(2, 2, len(renderer.where)))
    case = Case(renderer, torch.rand(2, *renderer.image_shape), what, where, where)
    slots = given(case)
    arguments = observed(case.images, SD), slots, torch.full((2, 2), KL), count_log_prior(2, 0.3)
    assert Refinement(exchange=3).exchanged(renderer, *arguments) is slots


def test_more_iterations_are_better(table: Case) -> None:
    errors = [float(squared_error(table, refined(table, Refinement(n))).mean()) for n in (0, 1, 3, 8)]
    assert errors == sorted(errors, reverse=True)


def test_no_iterations_change_nothing(table: Case) -> None:
    before = given(table)
    assert refined(table, Refinement(iterations=0), before) is before


def test_refinement_is_deterministic_and_scene_by_scene(table: Case) -> None:
    """No scene's answer depends on the others of its batch."""
    whole = refined(table).where
    few = Case(*(part[5:8] if isinstance(part, Tensor) else part for part in table))
    torch.testing.assert_close(refined(few).where, whole[5:8], rtol=0, atol=1e-5)
    torch.testing.assert_close(refined(table).where, whole, rtol=0, atol=0)


def test_refinement_never_leaves_the_support(renderer: MeshRenderer, table: Case) -> None:
    low, high = torch.tensor([(c.low, c.high) for c in renderer.where.coordinates[:2]]).unbind(1)
    corner = table.start.clone()
    corner[..., :2] = torch.where(torch.rand_like(corner[..., :2]) < 0.5, low, high)
    for case in (table, table._replace(start=corner)):
        where = refined(case, Refinement(6, identities=1, coarseness=6.0)).where
        assert bool(where.isfinite().all())
        assert bool(((where[..., :2] >= low) & (where[..., :2] <= high)).all())


@pytest.mark.parametrize("place", [1, 2])
def test_a_spurious_slot_does_not_spoil_the_others(renderer: MeshRenderer, place: int) -> None:
    """Two objects in the image and a third that is not there, in the middle or at the end of the slots."""
    torch.manual_seed(2)
    scenes = Scenes3D(renderer, counts=(2,), seed=3).scenes("val").__getitems__(list(range(SCENES)))
    order = [0, 1] if place == 2 else [0, 2]
    true = renderer.where.constrain(torch.randn(SCENES, 3, 3))
    what = torch.randint(3, (SCENES, 3))
    true[:, order], what[:, order] = scenes.where, scenes.what
    start = true.clone()
    start[:, order, :2] = moved(scenes.where[..., :2], 0.1)
    case = Case(renderer, scenes.images, what, true, renderer.where.clamp(start))
    error = position_error(case, refined(case).where)[:, order]
    assert error.median() < 0.02 and error.mean() < 0.04


def test_a_slot_worse_than_none_still_finds_its_way(renderer: MeshRenderer) -> None:
    """So far off that the posterior is sure of an empty scene: its own canvas still tells where to go."""
    scenes = Scenes3D(renderer, counts=(1,), seed=4).scenes("val").__getitems__(list(range(SCENES)))
    start = scenes.where.clone()
    start[..., 0] += torch.where(start[..., 0] > 0, -0.5, 0.5)
    error = (renderer.render(scenes.what, start) - scenes.images.unsqueeze(1)).pow(2).flatten(2).sum(2)
    lost = error[:, 1] / (2 * SD**2) + KL > error[:, 0] / (2 * SD**2) + 20
    assert lost.sum() >= 8
    case = Case(renderer, scenes.images, scenes.what, scenes.where, start)
    after = position_error(case, refined(case, Refinement(12, coarseness=3.0)).where)
    assert after[lost].median() < 0.03


def discs_apart(batch: int) -> Tensor:
    """(B, 2, 2): one disc to the left, one to the right."""
    where = 0.3 * (2 * torch.rand(batch, 2, 2) - 1)
    where[..., 0] += torch.tensor([-0.35, 0.35])
    return where


def test_flat_renderer_without_angles() -> None:
    torch.manual_seed(0)
    renderer, true = Discs(), discs_apart(SCENES)
    what = torch.randint(3, (SCENES, 2))
    case = Case(renderer, renderer.render(what, true)[:, -1], what, true, moved(true, 0.12))
    after = position_error(case, refined(case).where)
    # a hard edge on pixels 1/16 wide says no more
    assert after.median() < 0.02 and after.mean() < 0.3 * position_error(case, case.start).mean()


def test_continuous_what() -> None:
    torch.manual_seed(0)
    renderer, true = Bumps(), discs_apart(SCENES)
    assert isinstance(renderer.what, Gaussian)
    what = torch.randn(SCENES, 2, renderer.what.dim)
    case = Case(renderer, renderer.render(what, true)[:, -1], what, true, moved(true, 0.15))
    after = position_error(case, refined(case).where)
    assert after.median() < 0.01 and after.mean() < 0.3 * position_error(case, case.start).mean()


@pytest.mark.parametrize(
    "options, text",
    [
        ({"iterations": -1}, "refinement's iterations must be at least 0, got -1"),
        ({"scan": -2}, "refinement's scan must be at least 0, got -2"),
        ({"identities": 0}, "refinement's identities must be at least 1, got 0"),
        ({"exchange": -1}, "refinement's exchange must be at least 0, got -1"),
        ({"coarseness": 0.0}, "refinement's coarseness must be positive and finite, got 0.0: 2 starts"),
        ({"coarseness": -1.0}, "refinement's coarseness must be positive and finite, got -1.0: 2 starts"),
    ],
)
def test_errors(options: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Refinement(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["discs", "meshes"])
def test_losses_with_every_slot_as_it_is_tell_the_posterior(place: str, renderer: MeshRenderer) -> None:
    """As drawing the canvases does."""
    torch.manual_seed(0)
    drawn: Renderer = renderer if place == "meshes" else Discs()
    what = torch.randint(drawn.identity_count, (6, 3))
    where = drawn.where.constrain(torch.randn(6, 3, len(drawn.where)))
    case = Case(drawn, drawn.render(what, where)[:, 2], what, where, where)
    problem = Problem(drawn, observed(case.images, 2.0), torch.full((6, 3), KL), count_log_prior(3, 0.3))
    swaps = problem.swaps(given(case), what.unsqueeze(2), where.unsqueeze(2))
    torch.testing.assert_close(problem.weights_of(swaps[:, :, 0]), problem.weights(given(case)), atol=1e-4, rtol=1e-3)
