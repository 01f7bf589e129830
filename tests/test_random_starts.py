"""Explanations from random starts: right where they are many, and what they cannot do is said."""

import pytest
import torch
from disc_plugin import Discs

from air_lightning.distributions import count_log_prior
from air_lightning.likelihoods import NormalLikelihood
from air_lightning.model.observation import Observation
from air_lightning.model.random_starts import RandomStarts
from renderers import GlimpseRenderer


def observed(renderer: Discs, where: torch.Tensor, what: torch.Tensor) -> Observation:
    likelihood = NormalLikelihood(0.3)
    likelihood.prepare(renderer.image_shape)
    return Observation(renderer.render(what, where)[:, -1], likelihood.final())


def test_objects_are_found_without_a_network() -> None:
    """Of no, one and two discs: how many, which, and where."""
    renderer, generator = Discs(16), torch.Generator().manual_seed(0)
    where = renderer.where.constrain(torch.tensor([[[-0.8, -0.6], [0.7, 0.8]]]).expand(1, 2, 2))
    what = torch.tensor([[0, 1]])
    for count in (0, 1, 2):
        scene = observed(renderer, where[:, :count], what[:, :count])
        method = RandomStarts(starts=32, iterations=12)
        posterior, slots = method(renderer, scene, count_log_prior(2, 0.3), generator)
        assert posterior.shape == (1, 3) and slots.where.shape == (1, 2, 2)
        assert posterior[0].argmax() == count and posterior[0, count] > 0.99
        found = slots.where[0, :count]
        if count == 0:
            continue
        order = torch.cdist(where[0, :count], found).argmin(1)
        assert sorted(order.tolist()) == list(range(count))
        assert torch.allclose(found[order], where[0, :count], atol=0.06)  # half a pixel
        assert slots.what[0, :count][order].tolist() == what[0, :count].tolist()


def test_the_same_generator_gives_the_same_scenes() -> None:
    renderer = Discs(16)
    where, what = renderer.where.constrain(torch.zeros(2, 1, 2)), torch.zeros(2, 1, dtype=torch.long)
    scene, prior = observed(renderer, where, what), count_log_prior(1, 0.3)
    one, two = (RandomStarts(4, 3)(renderer, scene, prior, torch.Generator().manual_seed(5))[1].where for _ in range(2))
    assert torch.equal(one, two)


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(ValueError, match="starts must be at least 1, got 0"):
        RandomStarts(starts=0)
    with pytest.raises(ValueError, match="refinement's iterations must be at least 0, got -1"):
        RandomStarts(iterations=-1)
    glimpses = GlimpseRenderer((1, 20, 24), what=3, glimpse=8, hidden=8)
    scene = Observation(torch.zeros(1, 1, 20, 24), NormalLikelihood(0.1).final())
    with pytest.raises(
        ValueError, match="random starts are of identities, and GlimpseRenderer has a continuous `what`"
    ):
        RandomStarts()(glimpses, scene, count_log_prior(1, 0.3), torch.Generator())
