"""Reconsideration: with a network that looks between two objects first, and with one that has nothing to mend."""

import re

import pytest
import torch
from greedy_for_tests import APART, Greedy, drawn_images
from slots_for_tests import observed
from torch import Tensor
from toy_renderers import Blobs

from air_lightning.inference.base import Proposal
from air_lightning.model.module import AIRModule
from air_lightning.model.reconsideration import Reconsideration
from air_lightning.model.slots import infer
from renderers import GlimpseRenderer, MeshRenderer

PLAIN = Reconsideration(power=1.0, margin=0.0)  # the images are small: coarsened, nothing much is at stake
SLOTS = 3


def module(reconsideration: Reconsideration | None, first: float = 0.0) -> AIRModule:
    return AIRModule(
        Blobs(), lambda renderer: Greedy(renderer, first), slots=SLOTS, count_prior=0.1, reconsideration=reconsideration
    ).eval()


def test_a_glimpse_between_two_objects_gives_way_to_one_on_them() -> None:
    images = drawn_images((-APART, APART))
    assert module(None).infer(images).count.tolist() == [3]
    seen = module(PLAIN).infer(images)
    assert seen.count.tolist() == [2]
    torch.testing.assert_close(seen.slots.where[0, :2, 0].sort().values, torch.tensor([-APART, APART]))
    assert float((seen.reconstruction - images)[0].abs().max()) < 0.05


def test_an_explanation_that_nothing_betters_stays_as_it_is() -> None:
    images = drawn_images((-APART, APART), (APART,))
    # another start comes to the same but for rounding
    before, after = (module(how, APART).infer(images) for how in (None, Reconsideration(power=1.0, margin=1e-3)))
    assert before.count.tolist() == after.count.tolist() == [2, 1]
    for name, value in after.slots._asdict().items():
        torch.testing.assert_close(value, getattr(before.slots, name), rtol=0, atol=0)


def test_images_do_not_disturb_one_another() -> None:
    images = drawn_images((-APART, APART), (0.0,), (-0.25, 0.25))
    together = module(PLAIN).infer(images)
    for i in range(len(images)):
        alone = module(PLAIN).infer(images[i : i + 1])
        torch.testing.assert_close(alone.slots.where[0], together.slots.where[i])
        assert alone.count[0] == together.count[i]


def test_another_explanation_must_be_worth_the_margin_more() -> None:
    images = drawn_images((-APART, APART))
    assert module(Reconsideration(power=1.0, margin=1e4)).infer(images).count.tolist() == [3]


class Timid(Greedy):
    """As Greedy, but takes what it finds first, in the image's middle, for nothing."""

    def propose(self, images: Tensor, canvas: Tensor, state: Tensor) -> tuple[Proposal, Tensor]:
        found, after = super().propose(images, canvas, state)
        nothing = torch.full_like(found.presence_logit, -4.0)
        return (found._replace(presence_logit=nothing) if bool((state == 0).all()) else found), after


@pytest.mark.parametrize("ordered, count", [(False, 0), (True, 2)])
def test_a_slot_of_nothing_hides_those_after_it_unless_they_are_put_in_order(ordered: bool, count: int) -> None:
    own_stays = Reconsideration(power=1.0, margin=1e4, ordered=ordered)
    model = AIRModule(Blobs(), Timid, slots=SLOTS, count_prior=0.1, reconsideration=own_stays).eval()
    seen = model.infer(drawn_images((-APART, APART)))
    assert seen.count.tolist() == [count]
    logits = seen.slots.presence_logits[0].tolist()
    assert logits == ([4, 4, -4] if ordered else [-4, 4, 4])


def test_slots_that_lie_over_one_another_are_not_put_in_order() -> None:
    renderer = GlimpseRenderer((1, 16, 16), what=2, glimpse=4, hidden=4, compositing="over")
    AIRModule(renderer, Greedy, reconsideration=Reconsideration())
    text = (
        "GlimpseRenderer composites its slots one over another, and reconsideration's `ordered` would change what "
        "hides what: leave model.reconsideration.ordered out, or take `compositing: additive`"
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        AIRModule(renderer, Greedy, reconsideration=Reconsideration(ordered=True))


def test_a_start_replaces_the_first_pose_alone() -> None:
    renderer, images = Blobs(), drawn_images((-APART, APART))
    network = Greedy(renderer)
    own = infer(renderer, network, observed(images), SLOTS, sample=False)
    start = own.where_mean[:, 1], own.where_sd[:, 1] / 2
    other = infer(renderer, network, observed(images), SLOTS, sample=False, start=start)
    torch.testing.assert_close(other.where_mean[:, 0], start[0], rtol=0, atol=0)
    torch.testing.assert_close(other.where_sd[:, 0], start[1], rtol=0, atol=0)
    torch.testing.assert_close(other.where[:, 0], own.where[:, 1], rtol=0, atol=0)
    assert float(other.where[0, 1, 0]) == pytest.approx(-float(own.where[0, 1, 0]), abs=1e-5)


@pytest.mark.parametrize("name, value", [("power", 0.0), ("power", 2.0), ("margin", -1.0)])
def test_values_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must .* got {value}"):
        Reconsideration(**{name: value})


def test_identities_are_refused() -> None:
    with pytest.raises(ValueError, match="reconsideration is for a continuous"):
        AIRModule(MeshRenderer(), reconsideration=Reconsideration())
