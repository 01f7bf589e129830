"""Slots that are surely absent stay as the network has them, and the others do not notice."""

import math

import pytest
import torch
from slots_for_tests import observed
from torch import Tensor

from air_lightning.model import absence
from air_lightning.model.absence import by_slots, possible_slots
from air_lightning.model.air import AIR, Inference
from air_lightning.model.evidence import of_sample
from air_lightning.model.refinement import Refinement
from air_lightning.model.slots import Slots
from renderers import MeshRenderer

COUNTS, PLACES, NOISE = (0, 1, 2, 3), ((-1.2, -1.0), (1.2, 0.0), (-0.2, 1.2)), 0.05


def test_a_slot_is_absent_where_both_posteriors_say_so() -> None:
    sure = torch.tensor([1.0, 0.0, 0.0])
    little, much = torch.tensor([1 - 1e-4, 0.0, 1e-4]), torch.tensor([0.5, 0.5, 0.0])
    for told, seen, possible in (
        (sure, sure, 0),
        (little, sure, 0),
        (sure, little, 2),
        (much, sure, 1),
        (sure, much, 1),
    ):
        assert possible_slots(told.unsqueeze(0), seen.unsqueeze(0)).tolist() == [possible]


def test_what_is_not_finite_says_nothing() -> None:
    broken = torch.full((1, 3), math.nan)
    assert possible_slots(broken, torch.tensor([[1.0, 0.0, 0.0]])).tolist() == [2]


def test_images_go_by_their_slots() -> None:
    parts = [(slots, images.tolist()) for slots, images in by_slots(torch.tensor([2, 0, 1, 2]))]
    assert parts == [(1, [2]), (2, [0, 3])]


def model(told: Tensor) -> tuple[AIR, Slots]:
    """A model that finds the same three objects in every image, a little off, with these presence logits (B, N)."""
    torch.manual_seed(0)
    module = AIR(MeshRenderer(image_size=(32, 32)), refinement=Refinement(4), likelihood_sd=NOISE).eval()
    own = module._own(module.observed(torch.zeros(len(told), 3, 32, 32)))
    where = own.where.clone()
    where[..., :2] = torch.tensor(PLACES) + 0.05
    options = where.unsqueeze(2).expand_as(own.where_by_identity)
    own = own._replace(presence_logits=told, where=where, where_by_identity=options)
    module._own = lambda observation, sample=False: own.of(torch.arange(len(observation.images)))  # type: ignore[method-assign]
    return module, own


def explained() -> tuple[Inference, Slots]:
    """Of images with none to three of the objects, whose presence the network tells rightly."""
    counts = torch.tensor(COUNTS)
    there = torch.arange(3) < counts.unsqueeze(1)
    module, own = model(torch.where(there, 20.0, -20.0))
    where = own.where.clone()
    where[..., :2] -= 0.05
    images = module.renderer.render(own.what, where)[torch.arange(len(counts)), counts]
    found = module.explained(observed(images, NOISE))
    assert found.count.tolist() == list(COUNTS)
    return found, own


def test_absent_slots_stay_and_the_others_are_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    found, own = explained()
    there = torch.arange(3) < found.count.unsqueeze(1)
    assert torch.equal(found.slots.where[~there], own.where[~there])
    assert torch.equal(found.slots.what[~there], own.what[~there])
    assert torch.equal(found.where_sd[~there], of_sample(own.where_sd, own.what)[~there])
    monkeypatch.setattr(absence, "TOLD", 0.0)
    everywhere, _ = explained()
    assert not torch.equal(everywhere.slots.where[~there], own.where[~there])
    assert torch.allclose(found.slots.where[there], everywhere.slots.where[there], atol=1e-4)
    assert torch.equal(found.slots.what[there], everywhere.slots.what[there])
    assert torch.allclose(found.where_sd[there], everywhere.where_sd[there], rtol=1e-3)
    assert torch.allclose(found.log_posterior, everywhere.log_posterior, atol=1e-6)
