"""What the objects of an image share and is inferred with them: drawn, differenced, in the bound, refined, told."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_renderers import Blobs, Panned

from air_lightning.model import AIRModule, Refinement, Search
from air_lightning.model.objective import objective
from air_lightning.model.observation import Observation, SceneGuess
from air_lightning.model.refinement import Problem
from air_lightning.model.scene import guess, refine_scene
from air_lightning.model.slots import Slots
from renderers import Renderer
from renderers.pixel_loss import Normal


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def scenes(batch: int = 4, slots: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """What, where and the scenes' values, in double precision."""
    renderer = Panned()
    assert renderer.scene is not None
    what = torch.rand(batch, slots, 1, dtype=torch.double) + 0.5
    where = renderer.where.constrain(torch.randn(batch, slots, 3, dtype=torch.double))
    return what, where, renderer.scene.constrain(torch.randn(batch, 2, dtype=torch.double))


# ---- drawing


def test_each_image_is_drawn_with_its_own_values() -> None:
    what, where, values = scenes()
    renderer = Panned()
    images = renderer.at(values).render(what, where)
    for b in range(len(values)):
        alone = renderer.at(values[b : b + 1]).render(what[b : b + 1], where[b : b + 1])
        torch.testing.assert_close(images[b : b + 1], alone)
    torch.testing.assert_close(
        renderer.at(values).of(torch.tensor([2, 0])).render(what[[2, 0]], where[[2, 0]]), images[[2, 0]]
    )
    moved = where.clone()
    moved[..., 0] += values[:, None, 0]
    plain = Blobs().render(what * values[:, None, 1:], moved)
    torch.testing.assert_close(images - renderer.at(values).image_background().unsqueeze(1), plain)


def test_what_nobody_has_said_is_the_priors_middle() -> None:
    renderer = Panned()
    torch.testing.assert_close(renderer.scene_values, torch.tensor([[0.0, 1.0]]))
    what, where, _ = scenes()
    middle = torch.tensor([[0.0, 1.0]], dtype=torch.double).expand(4, -1)
    torch.testing.assert_close(renderer.render(what, where), renderer.at(middle).render(what, where), check_dtype=False)
    assert renderer.at(None) is renderer and Blobs().of(torch.tensor([0])).scene is None


def test_places_go_with_the_scene() -> None:
    what, where, values = scenes()
    placed = Panned().at(values)
    image, _ = placed.project(where)
    torch.testing.assert_close(image[..., 0], where[..., 0] + values[:, None, 0])
    torch.testing.assert_close(placed.unproject(image)["x"], where[..., 0])
    assert placed.window(where).shape == (4, 2, 2, 3)
    (boxes,) = [placed.boxes(what, where)]
    assert boxes.shape == (4, 2, 4)


WRONG = {
    "too few values": (Panned, torch.zeros(3, 1), "values of the scene must have shape (batch, 2), got (3, 1)"),
    "no axis of images": (Panned, torch.zeros(2), "values of the scene must have shape (batch, 2), got (2,)"),
    "none to give": (Blobs, torch.zeros(3, 1), "its coordinates of the scene are none"),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_values_are_refused(name: str) -> None:
    made, values, said = WRONG[name]
    with pytest.raises(ValueError, match=re.escape(said)):
        made().at(values)


def test_poses_of_another_number_of_images_are_refused() -> None:
    with pytest.raises(ValueError, match="draws 3 scenes, got poses of 4"):
        Panned().at(torch.zeros(3, 2)).draw(torch.ones(4, 1), torch.ones(4, 3))


# ---- gradients


@pytest.mark.parametrize("with_background", [False, True])
def test_differences_are_what_autograd_knows(with_background: bool) -> None:
    what, where, values = scenes()
    target = torch.rand(4, 3, 1, 9, 12, dtype=torch.double)
    behind = torch.rand(4, 1, 9, 12, dtype=torch.double) if with_background else None
    gradients = []
    for differentiable in (True, False):
        inputs = [where.clone().requires_grad_(), values.clone().requires_grad_()]
        given = None if behind is None else behind.clone().requires_grad_()
        canvases = Panned(differentiable).at(inputs[1]).canvases(what, inputs[0], background=given)
        loss = ((canvases - target) ** 2).sum()
        gradients.append(torch.autograd.grad(loss, inputs if given is None else [*inputs, given]))
    for known, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, known, rtol=2e-3, atol=2e-3 * float(known.abs().max()))


def test_the_error_of_differences_falls_with_the_square_of_the_step() -> None:
    what, where, values = scenes()
    incoming = torch.randn(4, 3, 1, 9, 12, dtype=torch.double)
    given = values.clone().requires_grad_()
    (known,) = torch.autograd.grad((Panned(True).at(given).canvases(what, where) * incoming).sum(), given)
    placed = Panned().at(values)
    coarse, fine = ((placed.contract_scene(what, where, incoming, step) - known).abs().max() for step in (4.0, 1.0))
    assert 10 < coarse / fine < 22


# ---- the bound


def model(**changes: Any) -> AIRModule:
    return AIRModule(Panned(), slots=2, **changes)


def test_the_bound_pays_for_the_scene_once() -> None:
    module = model()
    images = torch.rand(4, 1, 9, 12)
    observation = module.observed(images, step=0, sample=True)
    assert observation.scene is not None and observation.scene.values.shape == (4, 2)
    mean, sd = observation.scene.mean, observation.scene.sd
    torch.testing.assert_close(observation.scene.kl, (0.5 * (mean**2 + sd**2 - 1) - sd.log()).sum(1))
    slots = module._own(observation)
    kl = torch.zeros(4, 2)
    with_it = module._evidence(observation, slots, kl)
    free = observation._replace(scene=observation.scene._replace(kl=torch.zeros(4)))
    torch.testing.assert_close(
        module._evidence(free, slots, kl) - with_it, observation.scene.kl.unsqueeze(1).expand(-1, 3)
    )


def test_a_samples_log_ratio_is_the_kl_on_average() -> None:
    module = model()
    images = torch.rand(1, 1, 9, 12).expand(4000, -1, -1, -1)
    sampled = guess(module.renderer, module.network, images, sample=True, ratio=True)
    assert sampled is not None
    known = guess(module.renderer, module.network, images[:1], sample=False)
    assert known is not None and float(sampled.kl.detach().mean()) == pytest.approx(float(known.kl.detach()), abs=0.1)


def test_training_reaches_the_head_by_differences() -> None:
    module = model()
    batch = torch.rand(4, 1, 9, 12)
    observation = module.observed(batch, step=0, sample=True)
    renderer = module._at(observation)
    result = objective(
        renderer, module._own(observation, sample=True), observation, module.log_prior, module.count_estimator, None, 0
    )
    assert "scene_kl" in result.terms
    (gradient,) = torch.autograd.grad(result.terms["reconstruction"], observation.scene.mean)  # type: ignore[union-attr]
    assert gradient.abs().min() > 0


def learnt(steps: int) -> tuple[Tensor, Tensor]:
    """Root mean square errors of the scenes' unconstrained coordinates, before and after so many steps on one blob."""
    module = AIRModule(Panned(), slots=1, likelihood_sd=None)
    random = torch.Generator().manual_seed(1)
    space = module.renderer.scene
    assert space is not None

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        u = torch.randn(count, 2, generator=random)
        return u, module.renderer.at(space.constrain(u)).image_background()

    optimizer, errors = torch.optim.Adam(module.network.scene.parameters(), 3e-3), []  # type: ignore[union-attr]
    for _ in range(steps + 1):
        u, images = drawn(64)
        said = guess(module.renderer, module.network, images, sample=True)
        assert said is not None
        errors.append((said.mean - u).square().mean(0).sqrt().detach())
        nothing = torch.zeros(64, 1, 1), torch.zeros(64, 1, 3) + 0.3
        canvas = module.renderer.at(said.values).canvases(*nothing)[:, 0]
        loss = ((canvas - images) ** 2).flatten(1).sum(1) / (2 * 0.05**2) + said.kl
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
    return errors[0], torch.stack(errors[-10:]).mean(0)


def test_the_head_learns_scenes_without_labels() -> None:
    before, after = learnt(300)
    assert (before > 0.7).all() and (after < 0.35).all()


# ---- evaluation


def explained(renderer: Renderer, off: Tensor) -> tuple[Observation, Slots, Tensor, Tensor]:
    """Scenes of two blobs that are seen where they are, their scenes said to be ``off`` (2,) from the truth."""
    what, where, values = (part.float() for part in scenes(batch=16))
    what = 1.5 + 0 * what
    where[..., 2], where[:, 0, :2], where[:, 1, :2] = 0.25, torch.tensor([-0.4, -0.3]), torch.tensor([0.4, 0.3])
    images = renderer.at(values).render(what, where)[:, -1]
    said = values + off
    seen = where.clone()
    seen[..., 0] += values[:, None, 0] - said[:, None, 0]
    scene = SceneGuess(said, torch.zeros(16, 2), torch.ones(16, 2), torch.zeros(16))
    module = AIRModule(renderer, slots=2)
    slots = module._own(module.observed(images))._replace(what=what, where=seen)
    return Observation(images, Normal(0.02), scene=scene), slots, values, where


def test_refinement_finds_the_scene_and_takes_its_objects_along() -> None:
    renderer = Panned()
    observation, slots, values, where = explained(renderer, torch.tensor([0.03, -0.04]))
    prior = torch.tensor([0.1, 0.1, 0.8]).log()
    found, refined = refine_scene(
        Refinement(), renderer.at(observation.values), observation, slots, torch.zeros(16, 2), prior
    )
    assert found.scene is not None
    assert ((found.scene.values - values).abs().median(0).values < torch.tensor([0.01, 0.01])).all()
    assert (refined.where - where)[..., 0].abs().median() < 0.01
    assert (found.scene.sd < 0.5).all() and (found.scene.sd > 0).all()

    def worth(observation: Observation, slots: Slots) -> Tensor:
        problem = Problem(renderer.at(observation.values), observation, torch.zeros(16, 2), prior)
        canvas = problem.renderer.render(slots.what, slots.where)[:, -1]
        return ((canvas - observation.images) ** 2).flatten(1).sum(1)

    assert (worth(found, refined) <= worth(observation, slots) + 1e-6).all()


@pytest.mark.parametrize(
    "options", [{}, {"refinement": Refinement()}, {"search": Search(), "refinement": Refinement()}]
)
def test_inference_tells_the_scene(options: dict[str, Any]) -> None:
    module = model(**options)
    seen = module.infer(torch.rand(3, 1, 9, 12))
    assert seen.scene is not None and seen.scene_sd is not None
    assert seen.scene.shape == seen.scene_sd.shape == (3, 2) and (seen.scene_sd > 0).all()
    assert module.elbo(torch.rand(3, 1, 9, 12)).isfinite().all()
    assert module.log_evidence(torch.rand(3, 1, 9, 12), 3).isfinite().all()


def test_without_coordinates_of_the_scene_nothing_changes() -> None:
    module = AIRModule(Blobs(), slots=1)
    seen = module.infer(torch.rand(2, 1, 9, 12))
    assert seen.scene is None and module.network.scene is None and module.renderer.scene is None
    assert not [name for name in module.state_dict() if "scene" in name]
