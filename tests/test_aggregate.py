"""The aggregate posterior: moments of what was inferred, and what a search takes from them."""

from pathlib import Path

import pytest
import torch
from greedy_for_tests import APART, SCALE, Greedy, drawn_images
from runs_for_tests import GLIMPSES, MESHES, write_run
from slots_for_tests import BATCH, SLOTS, Leaves, over_renderers
from slots_for_tests import renderer as renderer
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence
from toy_renderers import Blobs

from air_lightning.model import AggregatePosterior, AIRModule, Search
from air_lightning.model.evidence import of_sample
from air_lightning.model.slots import Slots
from air_lightning.runs.loading import load_module
from air_lightning.schedules import Constant
from datamodules.base import Batch
from renderers import MeshRenderer, Renderer
from renderers.constants import pick
from renderers.spaces import Gaussian

GATHERED = {"class_path": "air_lightning.model.AggregatePosterior", "init_args": {"memory": 1}}


def made(renderer: Renderer, memory: int = 1) -> AggregatePosterior:
    aggregate = AggregatePosterior(memory)
    aggregate.prepare(renderer)
    return aggregate


def counts(*probabilities: float) -> Tensor:
    """log q(n), (B, N + 1), the same of every image."""
    return torch.tensor(probabilities).log().expand(BATCH, -1)


def posteriors(renderer: Renderer, slots: Slots) -> MultivariateNormal:
    """Of each slot, (B, N): straight coordinates and codes."""
    mean, sd = (
        pick(of_sample(part, slots.what), renderer.where.straight) for part in (slots.where_mean, slots.where_sd)
    )
    if isinstance(renderer.what, Gaussian):
        code, log_sd = slots.what_parameters.chunk(2, -1)
        mean, sd = torch.cat([mean, code], -1), torch.cat([sd, log_sd.exp()], -1)
    return MultivariateNormal(mean.detach(), scale_tril=torch.diag_embed(sd.detach()))


@over_renderers
def test_gains_are_differences_of_kls(renderer: Renderer) -> None:
    """Of a mixture's moments, by its first two slots, as sure to be there as the counts say."""
    torch.manual_seed(0)
    aggregate, slots = made(renderer), Leaves(renderer).slots()
    aggregate.gather(renderer, slots, counts(0.0, 0.25, 0.75, 0.0))
    each = posteriors(renderer, slots)
    there = torch.tensor([1.0, 0.75, 0.0]).expand(BATCH, -1).unsqueeze(-1)
    center = (there * each.mean).sum((0, 1)) / there.sum()
    away = each.mean - center
    outer = away.unsqueeze(-1) * away.unsqueeze(-2) + each.covariance_matrix
    covariance = (there.unsqueeze(-1) * outer).sum((0, 1)) / there.sum()
    prior = MultivariateNormal(torch.zeros_like(center), torch.eye(len(center)))
    nearest = MultivariateNormal(center, covariance)
    expected = kl_divergence(each, prior) - kl_divergence(each, nearest) - kl_divergence(nearest, prior)
    gain = aggregate.gain(renderer, slots).detach()
    torch.testing.assert_close(gain, expected, rtol=1e-3, atol=1e-3)
    assert float((gain * there.squeeze(-1)).sum()) == pytest.approx(0, abs=1e-3)


def test_steps_count_by_how_lately_they_were_and_by_their_objects() -> None:
    renderer = Blobs()
    torch.manual_seed(0)
    aggregate, (early, late) = made(renderer, memory=4), (Leaves(renderer).slots() for _ in range(2))
    aggregate.gather(renderer, early, counts(0.0, 0.0, 0.0, 1.0))
    aggregate.gather(renderer, late, counts(0.0, 1.0, 0.0, 0.0))
    sums = posteriors(renderer, early).mean.sum((0, 1)), posteriors(renderer, late).mean[:, 0].sum(0)
    torch.testing.assert_close(aggregate.weight, torch.tensor(0.25 * (0.75 * SLOTS + 1)))  # objects an image
    torch.testing.assert_close(aggregate.first, 0.25 * (0.75 * sums[0] + sums[1]) / BATCH)


@over_renderers
def test_where_nothing_was_gathered_the_prior_stays(renderer: Renderer) -> None:
    aggregate, slots = made(renderer), Leaves(renderer).slots()
    aggregate.gather(renderer, slots, counts(1.0, 0.0, 0.0, 0.0))
    assert not aggregate.gain(renderer, slots).any()


def test_angles_and_identities_are_left_out() -> None:
    renderer = MeshRenderer(image_size=[16, 16])
    assert renderer.where.circular
    assert made(renderer).first.shape == (len(renderer.where) - len(renderer.where.circular),)


def test_one_object_that_never_varies_is_no_division_by_nothing() -> None:
    renderer = Blobs()
    aggregate, slots = made(renderer), Leaves(renderer, 1).slots()
    same = Slots(*(part[:1].expand_as(part) for part in slots))._replace(where_sd=torch.full_like(slots.where_sd, 1e-6))
    aggregate.gather(renderer, same, counts(0.0, 1.0))
    assert bool(aggregate.gain(renderer, same).isfinite().all())
    assert bool((aggregate.gain(renderer, same) > 0).all())


def test_a_memory_of_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match="memory must be at least 1 step, got 0: 200 is usual"):
        AggregatePosterior(0)


def model(aggregate: AggregatePosterior | None) -> AIRModule:
    search = Search(power=0.5)
    return AIRModule(Blobs(), Greedy, likelihood_sd=Constant(0.1), search=search, aggregate=aggregate).eval()


def test_a_search_drops_what_the_data_has_no_object_like() -> None:
    """A third bump of half the brightness is worth an object, unless all that has been seen were of one brightness."""
    renderer = Blobs()
    faint = torch.tensor([[[0.5]]]), torch.tensor([[[0.0, 0.6, SCALE]]])
    images = drawn_images((-APART, APART)) + renderer.render(*faint)[:, 1]
    assert model(None).infer(images).count.tolist() == [3]
    told = model(AggregatePosterior(memory=1))
    assert told.aggregate is not None and told.infer(images).count.tolist() == [3]
    xs = torch.linspace(-0.8, 0.8, 9).tolist()
    seen = told.infer(drawn_images(*((x,) for x in xs)))
    assert seen.count.tolist() == [1] * len(xs)
    told.aggregate.gather(renderer, seen.slots, seen.log_posterior)
    found = told.infer(images)
    assert found.count.tolist() == [2]
    torch.testing.assert_close(found.slots.where[0, :2, 0], torch.tensor([-APART, APART]), rtol=0, atol=0.05)
    gain = told.aggregate.gain(renderer, found.slots)
    assert float(gain[0, :2].min()) > float(gain[0, 2]) + 10


def test_a_training_step_gathers() -> None:
    torch.manual_seed(0)
    module = AIRModule(Blobs(differentiable=True), aggregate=AggregatePosterior(memory=1))
    module._rates = dict  # type: ignore[assignment, method-assign]
    images, unused = drawn_images((-APART, APART), (0.0,)), torch.zeros(2, 1)
    module.training_step(Batch(images, unused, unused, unused), 0)["loss"].backward()
    assert module.aggregate is not None
    present = module.infer(images).slots.presence_logits
    assert 0 < float(module.aggregate.weight) < present.shape[1]


def test_checkpoints_keep_what_was_gathered(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", GLIMPSES, aggregate=GATHERED)
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    state["state_dict"]["aggregate.weight"] += 3.0
    torch.save(state, run / "checkpoints" / "best.ckpt")
    kept = load_module(run).aggregate
    assert kept is not None and float(kept.weight) == 3.0
    assert load_module(run, options=["--model.aggregate", "null"]).aggregate is None


def test_a_checkpoint_without_it_is_told_of(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", MESHES)
    options = ["--model.aggregate", "air_lightning.model.AggregatePosterior"]
    with pytest.warns(UserWarning, match="was trained without one.*train with it, or leave it out"):
        untold = load_module(run, options=options)
    assert untold.aggregate is not None and not untold.aggregate.weight
