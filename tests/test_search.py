"""Search, on images whose truth is known: what a network doubles, misses or puts in between is repaired."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from greedy_for_tests import APART, SCALE, Greedy, drawn_images
from slots_for_tests import observed
from torch import Tensor
from toy_renderers import Blobs, Slabs, centres

from air_lightning.distributions import count_log_prior
from air_lightning.inference import InferenceNetwork
from air_lightning.inference.base import Proposal
from air_lightning.model.arrangements import log_arrangements
from air_lightning.model.calibration import Powers
from air_lightning.model.descent import Descent
from air_lightning.model.evidence import evidence, log_likelihoods
from air_lightning.model.laplace import laplace_sd
from air_lightning.model.module import AIRModule
from air_lightning.model.objective import given_shown
from air_lightning.model.search import Scene, Search, _covered, _nearness, _without
from air_lightning.model.slots import Slots, infer
from air_lightning.schedules import Constant
from renderers import Categorical, Coordinate, GlimpseRenderer, Layer, Renderer
from renderers.base import affine

SD, SLOTS = 0.1, 3
LOG_PRIOR = count_log_prior(SLOTS, 0.3)
EMPTY = 0 * drawn_images((0.0,))
LEFT, RIGHT = (-APART, 0.0, SCALE), (APART, 0.0, SCALE)


def blobs(renderer: Renderer, images: Tensor, *objects: Sequence[float]) -> Slots:
    """What a network says that sees (brightness, x, y, scale) of every image; the rest is dim, in a corner."""
    rows = torch.tensor([*objects, *[(0.05, 0.7, -0.7, SCALE)] * (SLOTS - len(objects))])
    code, where = rows[:, :1].expand(len(images), -1, -1), rows[:, 1:].expand(len(images), -1, -1)
    mean = torch.stack([c.unconstrain(where[..., j]) for j, c in enumerate(renderer.where.coordinates)], -1)
    options, looks = where.unsqueeze(2), torch.cat([code, torch.full_like(code, -3.0)], -1)
    presence = torch.tensor([4.0 if i < len(objects) else -4.0 for i in range(SLOTS)]).expand(len(images), -1)
    spread = torch.full_like(options, 0.1)
    return Slots(presence, code, where, options, mean.unsqueeze(2), spread, looks, torch.zeros_like(options))


def searched(
    images: Tensor,
    slots: Slots,
    search: Search,
    sees: Callable[[Renderer], InferenceNetwork] | None = None,
    renderer: Renderer | None = None,
) -> tuple[Slots, Tensor]:
    """The slots found, and q(n)."""
    renderer, observation = renderer or Blobs(differentiable=search.descent is not None), observed(images, SD)
    network = Greedy(renderer, APART) if sees is None else sees(renderer)
    found = search(renderer, network, observation, slots, LOG_PRIOR)
    module = AIRModule(
        renderer, lambda _: network, slots=SLOTS, count_prior=0.3, likelihood_sd=Constant(SD), search=search
    )
    canvases = renderer.render(found.what, found.where)
    log_evidence = evidence(log_likelihoods(canvases, observation), search.kl(module.renderer, found))
    return found, module._log_count(found, log_evidence).exp()


CASES = {
    "one twice": [(0.5, *LEFT), (0.5, *LEFT), (1.0, *RIGHT)],
    "one twice, apart": [(0.6, -APART - 0.1, 0.0, SCALE), (0.6, -APART + 0.1, 0.0, SCALE), (1.0, *RIGHT)],
    "one missed": [(1.0, *RIGHT)],
    "both missed": [],
    "one in between, and both": [(0.3, 0.0, 0.0, SCALE), (1.0, *LEFT), (1.0, *RIGHT)],
    "one for both": [(1.0, 0.0, 0.0, 0.4)],
    "one faint one for both": [(0.5, 0.0, 0.0, 0.6)],
    "one that is not there": [(1.0, *LEFT), (0.6, 0.0, 0.6, SCALE), (1.0, *RIGHT)],
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_network_gets_wrong_is_repaired(case: str) -> None:
    images = drawn_images((-APART, APART))
    slots, posterior = searched(images, blobs(Blobs(), images, *CASES[case]), Search())
    assert posterior.argmax(1).tolist() == [2] and float(posterior[0, 2]) > 0.9
    places = slots.where[0, :2, 0].sort().values
    torch.testing.assert_close(places, torch.tensor([-APART, APART]), rtol=0, atol=0.03)
    assert float((Blobs().render(slots.what, slots.where)[0, 2] - images[0]).abs().max()) < 0.15


def test_nothing_better_leaves_every_number_as_it_is() -> None:
    images = drawn_images((-APART, APART))
    right = blobs(Blobs(), images, (1.0, *LEFT), (1.0, *RIGHT))
    found, posterior = searched(images, right, Search())
    for name, value in found._asdict().items():
        torch.testing.assert_close(value, getattr(right, name), rtol=0, atol=0)
    assert posterior.argmax(1).tolist() == [2]


def test_images_do_not_disturb_one_another() -> None:
    images = torch.cat([drawn_images((-APART, APART), (APART,), (-0.25, 0.25)), EMPTY])
    slots = blobs(Blobs(), images, *CASES["one twice"])
    together, posterior = searched(images, slots, Search())
    assert posterior.argmax(1).tolist() == [2, 1, 2, 0]
    for i in range(len(images)):
        alone, its = searched(images[i : i + 1], slots.of(torch.tensor([i])), Search())
        torch.testing.assert_close(its[0], posterior[i], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(alone.where[0], together.where[i], rtol=0, atol=1e-4)


def test_of_no_images_nothing_is_found() -> None:
    model = AIRModule(Blobs(), Greedy, slots=SLOTS, likelihood_sd=Constant(SD), search=Search()).eval()
    assert model.infer(EMPTY[:0]).slots.where.shape == (0, SLOTS, 3)


def test_the_posterior_is_that_of_the_slots_reported() -> None:
    """A model's count, posterior and reconstruction: of the evidence, to its power, less what every object costs."""
    search = Search(power=0.5, cost=2.0)
    model = AIRModule(Blobs(), Greedy, slots=SLOTS, likelihood_sd=Constant(SD), search=search).eval()
    images = torch.cat([drawn_images((-APART, APART), (APART,)), EMPTY])
    seen = model.infer(images)
    torch.testing.assert_close(seen.posterior.sum(1), torch.ones(3))
    assert seen.count.tolist() == [2, 1, 0] == seen.posterior.argmax(1).tolist()
    scene = Scene(search, model.renderer, model.network, model.observed(images), model.log_prior)
    log_evidence = scene.evidence(seen.slots)
    worth = 0.5 * log_evidence - 2.0 * torch.arange(SLOTS + 1)
    expected = (worth + log_arrangements(worth.diff(dim=1)) + model.log_prior).softmax(1)
    torch.testing.assert_close(seen.posterior, expected)
    canvases = model.renderer.render(seen.slots.what, seen.slots.where)
    torch.testing.assert_close(seen.reconstruction, canvases[torch.arange(3), seen.count])


def test_what_an_object_must_gain() -> None:
    """A faint object is found, unless it costs more than it explains, or the evidence counts for less."""
    images = 0.5 * drawn_images((APART,))
    for search, count in ((Search(), 1), (Search(cost=50.0), 0), (Search(power=0.01), 0)):
        assert searched(images, blobs(Blobs(), images), search)[1].argmax(1).tolist() == [count]


def test_a_fitted_posterior_makes_a_superfluous_object_cost_what_it_must() -> None:
    """A network that claims to know nothing of places gives them away; the fit knows them, and an object costs that."""
    noise = SD * torch.randn(1, 1, 9, 12, generator=torch.Generator().manual_seed(4))
    images = drawn_images((APART,)) + noise
    vague = blobs(Blobs(), images, (1.0, *RIGHT), (0.25, *LEFT))
    vague = vague._replace(where_sd=torch.ones_like(vague.where_sd))
    for laplace in (False, True):
        search = Search(rounds=0, laplace=laplace)
        found, _ = searched(images, vague, search)
        gain = search.kl(Blobs(), found)
        assert float(gain[0, 0]) > 5 if laplace else float(gain[0, 0]) < 5
    fitted = laplace_sd(Blobs(), observed(images, SD), found, given_shown(torch.tensor([[0.0, 1.0, 0.0, 0.0]])))
    torch.testing.assert_close(found.where_sd[:, 0, 0], fitted[:, 0], rtol=0.05, atol=0)
    torch.testing.assert_close(Blobs().where.constrain(found.where_mean[:, :, 0]), found.where, rtol=0, atol=1e-4)


def test_where_it_has_looked_in_vain_it_does_not_look_again() -> None:
    """A bright pixel that no object explains is looked at first, every time, were it not hidden then."""
    images = drawn_images((APART,)) + 0.5 * drawn_images((-APART,))
    images[0, 0, 0, 0] += 1.0
    given = blobs(Blobs(), images, (1.0, *RIGHT))
    for rounds, count in ((1, 1), (2, 2)):
        slots, posterior = searched(images, given, Search(rounds=rounds, cost=20.0))
        assert posterior.argmax(1).tolist() == [count]
    torch.testing.assert_close(slots.where[0, :2, 0].sort().values, torch.tensor([-APART, APART]), rtol=0, atol=0.05)


class Elsewhere(Greedy):
    """Takes what it finds far to the left for an object in the middle."""

    def propose(self, images: Tensor, canvas: Tensor, state: Tensor) -> tuple[Proposal, Tensor]:
        proposal, state = super().propose(images, canvas, state)
        x = self.where_space.constrain(proposal.mean)[..., :1]
        self.last = torch.cat([x, self.where_space.constrain(proposal.mean)[..., 1:2]], -1)[:, 0]
        mean = torch.cat([torch.where(x < -0.6, 0.0, proposal.mean[..., :1]), proposal.mean[..., 1:]], -1)
        return proposal._replace(mean=mean), state

    def looked_at(self, state: Tensor) -> Tensor | None:
        small = torch.full_like(self.last[:, 0], 0.15)
        return affine(small, small, self.last)


def test_the_place_looked_at_is_passed_even_where_the_object_is_put_elsewhere() -> None:
    images = drawn_images((APART,)) + 0.5 * drawn_images((-APART,))
    images[0, 0, :2, 0] += 1.0
    given, renderer, counts = blobs(Blobs(), images, (1.0, *RIGHT)), Blobs(), []
    for network in (Elsewhere(renderer, APART), Blind(renderer, APART)):
        scene = renderer, network, observed(images, SD)
        search = Search(rounds=4, cost=20.0)
        found = search(*scene, given, LOG_PRIOR)
        log_evidence = Scene(search, *scene, LOG_PRIOR).evidence(found)
        counts += search.log_posterior(renderer, found, log_evidence, LOG_PRIOR).argmax(1).tolist()
    assert counts == [2, 1]


class Blind(Elsewhere):
    """As that, without a word of where it has looked."""

    def looked_at(self, state: Tensor) -> Tensor | None:
        return None


class Framed(Blobs):
    """Blobs in windows that hold all of them."""

    def window(self, where: Tensor) -> Tensor:
        return super().window(where) * torch.tensor([2.5, 2.5, 1.0])


class Middling(Greedy):
    """Takes all that is left for one object, in its middle and as wide."""

    def propose(self, images: Tensor, canvas: Tensor, state: Tensor) -> tuple[Proposal, Tensor]:
        proposal, state = super().propose(images, canvas, state)
        left = (images - canvas)[:, 0].clamp_min(1e-6)
        weight = left / left.sum((1, 2), keepdim=True)
        x, y = (axis.to(left) for axis in centres(*left.shape[1:]))
        middle = [(weight * axis).sum((1, 2)) for axis in (x, y)]
        spread = [(weight * (axis - at[:, None, None]) ** 2).sum((1, 2)) for axis, at in zip((x, y), middle)]
        scale = (sum(spread) / 2).sqrt().clamp(0.11, 0.59)
        raw = [c.unconstrain(v) for c, v in zip(self.where_space.coordinates, (*middle, scale))]
        return proposal._replace(mean=torch.stack(raw, -1).unsqueeze(1)), state


@pytest.mark.parametrize("halves", [True, False])
def test_two_that_a_network_takes_for_one_are_found_by_halves(halves: bool) -> None:
    images = drawn_images((-APART, APART))
    slots = blobs(Blobs(), images, (0.8, 0.0, 0.0, 0.5))
    search = Search(rounds=1, refit=0, halves=halves)
    found, q = searched(images, slots, search, Middling, Framed())
    assert (int(q.argmax()) == 2) == halves
    if halves:
        assert found.where[0, :2, 0].sort().values.tolist() == pytest.approx([-APART, APART], abs=0.03)
        assert float(q[0, 2]) > 0.99


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_descent_fits_poses_and_codes_of_all_together(mode: Callable[[], Any]) -> None:
    images = drawn_images((-APART, APART))
    slots = blobs(Blobs(), images, (0.4, -0.3, 0.1, 0.25), (0.5, 0.3, -0.1, 0.15))
    with mode():
        found, q = searched(images, slots, Search(rounds=0, refit=0, descent=Descent(steps=60, rate=0.3)))
    assert q.argmax(1).tolist() == [2]
    nearer = found.where[0, :2][found.where[0, :2, 0].argsort()]
    assert nearer.flatten().tolist() == pytest.approx([*LEFT, *RIGHT], abs=0.03)
    assert found.what[0, :2, 0].tolist() == pytest.approx([1.0, 1.0], abs=0.05)
    rest = blobs(Blobs(), images).where[0, 2]
    torch.testing.assert_close(found.where[0, 2], rest)  # what is not there is left as it is


def test_descent_finds_what_the_network_only_points_at() -> None:
    images = drawn_images((-APART, APART))
    slots = blobs(Blobs(), images, (1.0, *RIGHT))
    beside = partial(Beside, by=0.2)
    for descent, sure in ((None, False), (Descent(steps=40, rate=0.3), True)):
        found, q = searched(images, slots, Search(rounds=1, refit=0, descent=descent), beside)
        close = (found.where[0, :2, 0].sort().values - torch.tensor([-APART, APART])).abs().max() < 0.03
        assert bool(close and q.argmax() == 2) == sure


class Beside(Greedy):
    """Puts an object beside the place that it looks at."""

    def __init__(self, renderer: Renderer, by: float) -> None:
        super().__init__(renderer, APART)
        self.by = by

    def propose(self, images: Tensor, canvas: Tensor, state: Tensor) -> tuple[Proposal, Tensor]:
        proposal, state = super().propose(images, canvas, state)
        x = self.where_space.coordinates[0]
        at = x.unconstrain(x.constrain(proposal.mean[..., 0]) + self.by)
        return proposal._replace(mean=torch.cat([at.unsqueeze(-1), proposal.mean[..., 1:]], -1)), state


def test_descent_is_refused_where_there_is_no_gradient() -> None:
    with pytest.raises(ValueError, match=r"Blobs is not differentiable, .*: leave model\.search\.descent out"):
        AIRModule(Blobs(), search=Search(descent=Descent()))


def test_no_rounds_drop_and_add_nothing() -> None:
    images = drawn_images((-APART, APART))
    slots, posterior = searched(images, blobs(Blobs(), images, (0.6, 0.0, 0.6, SCALE), (1.0, *LEFT)), Search(rounds=0))
    assert posterior.argmax(1).tolist() == [1]
    assert float(slots.where[0, 0, 0]) == pytest.approx(-APART, abs=0.03)


class TruthArrays(InferenceNetwork):
    """Knows of an object whenever it is asked: of an identity, in the middle of the image."""

    def __init__(self, renderer: Renderer, what: int) -> None:
        super().__init__(renderer)
        self.kind = what

    def initial(self, images: Tensor) -> Tensor:
        return images.new_zeros(len(images))

    def propose(self, images: Tensor, canvas: Tensor, state: Tensor) -> tuple[Proposal, Tensor]:
        mean = images.new_zeros(len(images), self.kinds, len(self.where_space))
        return Proposal(state + 3.0, mean, torch.full_like(mean, 0.1)), state

    def appearance(self, images: Tensor, canvas: Tensor, where: Tensor, state: Tensor) -> Tensor:
        return 3.0 * torch.eye(self.kinds)[self.kind].expand(len(images), -1)


@pytest.mark.parametrize("shown", [0, 1])
def test_identities_that_hide_one_another(shown: int) -> None:
    """Three of one kind where there is one, of whichever: opaque objects behind others are dropped."""
    renderer = Slabs()
    middle = renderer.where.constrain(torch.zeros(1, 1, 3))
    images = renderer.render(torch.tensor([[shown]]), middle)[:, 1]
    for told in (0, 1):
        observation, network = observed(images, SD), TruthArrays(renderer, told)
        slots = infer(renderer, network, observation, SLOTS, sample=False)
        search = Search()
        found = search(renderer, network, observation, slots, LOG_PRIOR)
        scene = Scene(search, renderer, network, observation, LOG_PRIOR)
        assert search.log_posterior(scene.renderer, found, scene.evidence(found), LOG_PRIOR).argmax(1).tolist() == [1]
        assert found.what[0, 0] == shown


def test_what_is_hidden_from_the_network() -> None:
    """The pixels of the first n slots and their neighbours; none for no slot."""
    renderer = Slabs()
    where = torch.tensor([[[-0.5, 0.0, 1.0], [0.5, 0.0, 1.0]]])
    covered = _covered(renderer, torch_slots(renderer, torch.zeros(1, 2, dtype=torch.long), where))
    drawn = renderer.layers(torch.zeros(1, 2, dtype=torch.long), where).depth.isfinite()[0]
    assert covered.shape == (1, 3, 1, 12, 16) and not covered[0, 0].any()
    for n, shown in ((1, drawn[0]), (2, drawn.any(0))):
        assert bool((covered[0, n, 0] | ~shown).all())
        assert int(shown.sum()) < int(covered[0, n].sum()) < 3 * int(shown.sum())


def torch_slots(renderer: Renderer, what: Tensor, where: Tensor) -> Slots:
    """Slots of these identities and poses, all else 0."""
    options = where.unsqueeze(2).repeat(1, 1, renderer.identity_count, 1)
    none = torch.zeros_like(options)
    looks = torch.zeros(*what.shape, renderer.identity_count)
    return Slots(torch.zeros(what.shape), what, where, options, none, none + 0.1, looks, none[:, :, :1])


@pytest.mark.parametrize(
    "pair, count, left", [((0, 1), 3, [2, 0, 2]), ((0, 2), 3, [1, 0, 1]), ((0, 1), 2, [0, 2, 2])], ids=str
)
def test_one_of_a_pair_is_taken_away(pair: tuple[int, int], count: int, left: list[int]) -> None:
    renderer, where = Slabs(), torch.tensor([[[0.0, 0.0, 1.0], [0.2, 0.0, 1.0], [-0.7, 0.7, 1.0]]])
    slots = torch_slots(renderer, torch.zeros(1, 3, dtype=torch.long), where)
    found = _without(slots, torch.tensor([pair]), torch.tensor([count]))
    torch.testing.assert_close(found.where[0], where[0, left])


class Lamps(Renderer):
    """Bumps of some width along a line, added up; ``flux`` is how bright they are."""

    def __init__(self) -> None:
        where = (Coordinate("x", "half images", -0.9, 0.9, 0.02), Coordinate("flux", "1", 0.2, 4.0, 0.3))
        super().__init__(Categorical(("lamp",)), where, (1, 1, 32), compositing="additive")

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, (place, flux) = (torch.arange(32) + 0.5) / 16 - 1, where.unsqueeze(2).unbind(1)
        color = (flux * torch.exp(-((x - place) ** 2) / (2 * 0.1**2))).view(-1, 1, 1, 32)
        return Layer(color, torch.ones_like(color[:, 0]))

    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([where[..., :1], torch.zeros_like(where[..., :1])], -1), torch.full_like(where[..., 0], 0.2)


def test_a_second_object_that_keeps_the_first_from_its_fit_is_taken_away() -> None:
    """One lamp that is explained by two, by a network that looks elsewhere when it is asked again."""
    renderer = Lamps()
    what, true = torch.zeros(1, 3, dtype=torch.long), torch.tensor([[[0.3, 3.0], [0.0, 1.0], [0.0, 1.0]]])
    images = renderer.render(what, true)[:, 1]
    doubled = torch.tensor([[[0.27, 1.9], [0.36, 1.1], [-0.5, 0.3]]])
    network, observation = TruthArrays(renderer, 0), observed(images, SD)
    for rounds, count in ((0, 2), (1, 1)):
        search = Search(rounds=rounds, laplace=True)
        found = search(renderer, network, observation, torch_slots(renderer, what, doubled), LOG_PRIOR)
        terms = Scene(search, renderer, network, observation, LOG_PRIOR).evidence(found)
        assert search.log_posterior(renderer, found, terms, LOG_PRIOR).argmax(1).tolist() == [count]
    torch.testing.assert_close(found.where[0, 0], true[0, 0], rtol=0, atol=0.05)


def test_layers_that_lie_over_one_another_keep_their_order() -> None:
    class Over(Slabs):
        """Slabs, each over those before it."""

        def __init__(self) -> None:
            super().__init__()
            self.compositing = "over"

        def draw(self, what: Tensor, where: Tensor) -> Layer:
            layer = super().draw(what, where)
            return layer._replace(alpha=layer.depth.isfinite().to(where))

    renderer = Over()
    what = torch.tensor([[1, 0, 0]])
    where = torch.tensor([[[0.0, 0.0, 1.0], [0.2, 0.0, 1.0], [-0.7, 0.7, 1.0]]])
    images = renderer.render(what, where)[:, 2]
    slots = torch_slots(renderer, what, where).at(torch.tensor([[2, 0, 1]]))
    search = Search(rounds=0, refit=0)
    scene = Scene(search, renderer, TruthArrays(renderer, 0), observed(images, SD), LOG_PRIOR)
    found = search(*scene[1:4], slots, LOG_PRIOR)
    assert found.what[0].tolist() == [1, 0, 0]  # the large one below, the small one over it, then what is not there
    torch.testing.assert_close(found.where[0, :2], where[0, :2])
    assert search.log_posterior(scene.renderer, found, scene.evidence(found), LOG_PRIOR).argmax(1).tolist() == [2]


def test_a_power_fitted_to_one_posterior_is_not_that_of_another() -> None:
    log_q = torch.tensor([[0.7, 0.3]]).log()
    network = Powers(0.5)
    assert not torch.allclose(network.of_count(log_q), log_q)
    torch.testing.assert_close(network.of_count(log_q, searched=True), log_q)
    assert not torch.allclose(Powers(0.5, searched=True).of_count(log_q, searched=True), log_q)


@pytest.mark.parametrize(
    "options, text",
    [
        ({"rounds": -1}, "search's rounds must not be negative, got -1"),
        ({"cost": -2.0}, "search's cost must not be negative, got -2.0"),
        ({"refit": -1}, "search's refit must not be negative, got -1"),
        ({"margin": -0.5}, "search's margin must not be negative, got -0.5"),
        ({"power": 0.0}, "search's power must lie in (0, 1], got 0.0: the count estimator's is right"),
        ({"power": 1.5}, "search's power must lie in (0, 1], got 1.5: the count estimator's is right"),
    ],
)
def test_values_out_of_range(options: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Search(**options)  # type: ignore[arg-type]


def test_which_pairs_overlap_in_an_image_that_is_not_square() -> None:
    """Windows of ten pixels in one of 20 x 80 touch at a distance of ten, side by side and one above the other."""
    renderer = GlimpseRenderer((1, 20, 80), what=1, glimpse=4, hidden=4, scale=(0.1, 0.9))
    x, y = (torch.tensor([0.0, 10.0, 40.0]) / 40, torch.tensor([0.0, 0.0, 10.0]) / 10)
    where = torch.stack([torch.full((3,), 0.5), x, y], -1).unsqueeze(0)
    slots = torch_slots(renderer, torch.zeros(1, 3, 1), where)
    near, far, other = _nearness(renderer, slots, torch.tensor([3]))[0].tolist()
    assert near == pytest.approx(1.0) and far == pytest.approx(17**0.5) and other > 3
