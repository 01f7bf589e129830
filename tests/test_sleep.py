"""The sleep phase: densities against torch's own, the order of matching, learning, and what is refused."""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from greedy_for_tests import APART, SCALE, Greedy
from renderers_for_tests import Bumps, Dial, Discs, IdentityBumps
from slots_for_tests import observed
from torch import Tensor
from torch.distributions import Categorical as Identities
from torch.distributions import Normal as Gaussian
from toy_renderers import Blobs, Panned

from air_lightning.distributions import count_log_posterior
from air_lightning.inference import RecurrentAIR, ResidualAttention
from air_lightning.likelihoods import NormalLikelihood
from air_lightning.model import AIRModule, Sleep
from air_lightning.model.observation import Observation
from air_lightning.model.sleep import Drawn, from_prior, sleep_loss, true_slots
from air_lightning.schedules import Constant, Linear
from datamodules import Scenes3D
from datamodules.base import Batch
from renderers import MeshRenderer, Renderer
from renderers.pixel_loss import Mixture, Normal, PixelLoss, PoissonGaussian, StudentT

RENDERERS: dict[str, Callable[[], Renderer]] = {
    "bumps": Bumps,
    "identities": IdentityBumps,
    "dial": Dial,
    "discs": Discs,
}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def scenes(renderer: Renderer, batch: int = 6, slots: int = 3) -> tuple[Drawn, Observation]:
    drawn = from_prior(renderer, torch.ones(slots + 1), batch)
    canvases = renderer.render(drawn.what, drawn.where)
    return drawn, observed(canvases[torch.arange(batch), drawn.count].detach())


def stirred(module: torch.nn.Module) -> Any:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return module


# ---- scenes from the prior


def test_scenes_are_of_the_prior() -> None:
    """Counts in their proportions; straight coordinates uniform over their support, angles over the turn."""
    drawn = from_prior(Dial(), torch.tensor([1.0, 0.0, 3.0]), 4000)
    assert drawn.count.unique().tolist() == [0, 2]
    assert (drawn.count == 2).double().mean().item() == pytest.approx(0.75, abs=0.03)
    assert drawn.what.flatten().bincount().tolist() == pytest.approx([8000 / 3] * 3, rel=0.1)
    for (low, high), column in zip([(-0.6, 0.6), (-0.6, 0.6), (-math.pi, math.pi)], drawn.where.unbind(-1)):
        assert float(column.min()) >= low and float(column.max()) <= high
        assert float(column.std()) == pytest.approx((high - low) / math.sqrt(12), rel=0.03)
    codes = from_prior(Bumps(), torch.ones(4), 4000).what
    assert float(codes.mean()) == pytest.approx(0, abs=0.03) and float(codes.std()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("background", ["none", "one", "each"])
def test_images_show_what_is_there_over_the_background(background: str) -> None:
    renderer, images = Bumps(), torch.rand(3, 1, 12, 12)
    behind = {"none": None, "one": images[0], "each": images}[background]
    drawn, drawings = Sleep(scenes=5).prepared(2).draw(renderer, observed(images)._replace(background=behind))
    for b, count in enumerate(drawn.count.tolist()):
        own = behind[b % 3] if background == "each" and behind is not None else behind
        alone = renderer.render(drawn.what[b : b + 1], drawn.where[b : b + 1], own)[0, count]
        torch.testing.assert_close(drawings[b], alone.detach())


# Mean absolute deviations from a canvas of 0.25.
NOISES: dict[str, tuple[PixelLoss, float]] = {
    "normal": (Normal(0.3), 0.3 * math.sqrt(2 / math.pi)),
    "a map": (Normal(torch.tensor([[[0.1], [0.5]]])), 0.3 * math.sqrt(2 / math.pi)),
    "photons": (PoissonGaussian(0.3, gain=0.28), 0.4 * math.sqrt(2 / math.pi)),
    "t of 3": (StudentT(0.3, 3.0), 0.3 * 2 * math.sqrt(3) / math.pi),
    "outliers": (Mixture(0.1, 0.5), 0.05 * math.sqrt(2 / math.pi) + 0.5 * (0.25**2 + 0.75**2) / 2),
}


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_the_likelihoods(name: str) -> None:
    loss, deviation = NOISES[name]
    canvas = torch.full((1, 2, 100_000), 0.25)
    assert float((loss.sample(canvas) - canvas).abs().mean()) == pytest.approx(deviation, rel=0.02)


def test_noise_is_drawn_at_the_final_scale_if_asked_for() -> None:
    module = AIRModule(Discs(), likelihood=NormalLikelihood(Linear(5.0, 0.1, 10)), sleep=Sleep(noise=True, scenes=64))
    observation = module.observed(torch.zeros(2, 3, 32, 32))
    assert module.sleep is not None
    drawn, images = module.sleep.draw(module.renderer, observation)
    canvas = module.renderer.render(drawn.what, drawn.where)[torch.arange(64), drawn.count]
    assert float((images - canvas).std()) == pytest.approx(0.1, rel=0.02)


def test_solid_scenes_have_no_objects_within_one_another() -> None:
    renderer = MeshRenderer(image_size=(16, 16))
    loose, solid = (
        Sleep(scenes=200, counts=[0, 0, 0, 1], solid=solid)
        .prepared(3)
        .draw(renderer, observed(torch.rand(1, 3, 16, 16)))
        for solid in (False, True)
    )
    shares = [renderer.intersecting(d.what, d.where).flatten(1).any(1).double().mean() for d, _ in (loose, solid)]
    assert shares[0] > 0.15 and shares[1] == 0
    drawn, _ = Sleep(scenes=400, solid=True).prepared(3).draw(renderer, observed(torch.rand(1, 3, 16, 16)))
    assert drawn.count.bincount().tolist() == pytest.approx([100] * 4, abs=35)


def test_each_scene_is_drawn_at_coordinates_of_its_own() -> None:
    renderer, images = Panned(), torch.rand(2, 1, 9, 12)
    drawn, drawings = Sleep(scenes=5).prepared(2).draw(renderer, observed(images))
    assert drawn.scene is not None and renderer.scene is not None and drawn.scene.std(0).min() > 0.1
    values = renderer.scene.constrain(drawn.scene)
    for b, count in enumerate(drawn.count.tolist()):
        alone = renderer.at(values[b : b + 1]).render(drawn.what[b : b + 1], drawn.where[b : b + 1])[0, count]
        torch.testing.assert_close(drawings[b], alone.detach())


# ---- the density of the true slots


@pytest.mark.parametrize("network", [ResidualAttention, RecurrentAIR])
@pytest.mark.parametrize("name", RENDERERS)
def test_the_loss_is_torchs_density(name: str, network: Any) -> None:
    """log q of count, where and what by torch.distributions, less the prior's, scene by scene and slot by slot."""
    renderer = RENDERERS[name]()
    q = stirred(network(renderer))
    drawn, observation = scenes(renderer)
    torch.manual_seed(1)
    slots = true_slots(renderer, q, observation, drawn)
    torch.manual_seed(1)
    loss = sleep_loss(renderer, q, observation, drawn)
    total = torch.zeros(())
    for b, count in enumerate(drawn.count.tolist()):
        total = total + count_log_posterior(slots.presence_logits)[b, count]
        for i in range(count):
            total = total + density(renderer, slots, b, i)
    torch.testing.assert_close(loss, -total / len(drawn.count), rtol=1e-4, atol=1e-4)


def test_the_scene_s_coordinates_are_a_part_of_the_density() -> None:
    """Slots are those of the true scenes; of the coordinates q says what it sees."""
    module = AIRModule(Panned(), slots=2, sleep=Sleep(scenes=4))
    stirred(module.network)
    renderer, space = module.renderer, module.renderer.scene
    assert module.sleep is not None and space is not None
    drawn, images = module.sleep.draw(renderer, module.observed(torch.rand(2, 1, 9, 12)))
    observation = module.observed(images)
    assert drawn.scene is not None and observation.scene is not None
    torch.manual_seed(1)
    loss = sleep_loss(renderer, module.network, observation, drawn)
    torch.manual_seed(1)
    placed = renderer.at(space.constrain(drawn.scene))
    alone = sleep_loss(placed, module.network.at(placed), observation._replace(scene=None), drawn._replace(scene=None))
    q = Gaussian(observation.scene.mean, observation.scene.sd).log_prob(drawn.scene)
    ratio = (q - Gaussian(0.0, 1.0).log_prob(drawn.scene)).sum(1).mean()
    torch.testing.assert_close(loss, alone - ratio)


def density(renderer: Renderer, slots: Any, b: int, i: int) -> Tensor:
    what, parameters = slots.what[b, i], slots.what_parameters[b, i]
    if renderer.identity_count > 1:
        result = Identities(logits=parameters).log_prob(what) + math.log(renderer.identity_count)
        column = int(what)
    else:
        mean, log_sd = parameters.chunk(2)
        result = (Gaussian(mean, log_sd.exp()).log_prob(what) - Gaussian(0.0, 1.0).log_prob(what)).sum()
        column = 0
    for j, coordinate in enumerate(renderer.where.coordinates):
        q = Gaussian(slots.where_mean[b, i, column, j], slots.where_sd[b, i, column, j])
        if not coordinate.circular:
            share = (slots.where[b, i, j] - coordinate.low) / (coordinate.high - coordinate.low)
            u = torch.special.ndtri(share.double()).float()
            result = result + q.log_prob(u) - Gaussian(0.0, 1.0).log_prob(u)
        elif coordinate.periods[column]:
            copies = slots.where[b, i, j] + coordinate.periods[column] * torch.arange(-12, 13)
            result = result + q.log_prob(copies).logsumexp(0) + math.log(coordinate.periods[column])
    return result


def two_blobs(*xs: float) -> tuple[Drawn, Observation]:
    """Images of blobs at these places of the middle row, of three slots."""
    renderer = Blobs()
    where = torch.tensor([[[x, 0.0, SCALE] for x in (*xs, *[0.7] * (3 - len(xs)))]])
    u = renderer.where.unconstrain(where)
    drawn = Drawn(torch.tensor([len(xs)]), torch.ones(1, 3, 1), where, u)
    return drawn, observed(renderer.render(drawn.what, where)[:, len(xs)])


@pytest.mark.parametrize("first", [-APART, APART])
@pytest.mark.parametrize("order", [(-APART, APART), (APART, -APART)])
def test_slots_are_matched_in_the_order_in_which_the_network_looks(first: float, order: tuple[float, ...]) -> None:
    drawn, observation = two_blobs(*order)
    slots = true_slots(Blobs(), Greedy(Blobs(), first * 0.8), observation, drawn)
    torch.testing.assert_close(slots.where[0, :, 0], torch.tensor([first, -first, 0.7]))
    # each is told apart by what is left: two there, then none
    assert (slots.presence_logits[0] > 0).tolist() == [True, True, False]
    torch.testing.assert_close(slots.where_mean[0, 1, 0, 0], drawn.unconstrained[0, order.index(-first), 0])


def test_every_other_scene_shows_the_networks_own_samples() -> None:
    """The true first object explains its image to the end; a sample of a network that knows nothing does not."""
    renderer, looked = IdentityBumps(), []

    class Looking(ResidualAttention):
        def propose(self, images: Tensor, canvas: Tensor, state: Any) -> Any:
            looked.append((images - canvas).abs().amax((1, 2, 3)).detach())
            return super().propose(images, canvas, state)

    drawn, _ = scenes(renderer, 8)
    drawn = drawn._replace(count=torch.ones_like(drawn.count))
    true_slots(renderer, Looking(renderer), observed(renderer.render(drawn.what, drawn.where)[:, 1]), drawn)
    assert (looked[1] < 1e-6).tolist() == [True, False] * 4
    assert torch.equal(looked[1], looked[2])  # no object is added where there are no more


@pytest.mark.parametrize("mode", [True, False])
def test_the_network_s_own_explanation_is_a_sample_or_its_mode(mode: bool) -> None:
    renderer = IdentityBumps()
    network = stirred(ResidualAttention(renderer))
    drawn, observation = scenes(renderer, 8)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with torch.no_grad():
            found.append(true_slots(renderer, network, observation, drawn, mode).presence_logits[1::2, 1:])
    assert torch.equal(*found) == mode


# ---- learning


def test_q_learns_from_drawn_scenes_alone() -> None:
    """Counts, identities and places of scenes that it has not seen, without one image."""
    renderer = Discs(16)
    network = ResidualAttention(renderer, channels=8, reader=0, hidden=32, glimpse=8)
    sleep, like = Sleep().prepared(2), observed(torch.zeros(1, 3, 16, 16))
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(150):
        drawn, images = sleep.draw(renderer, like)
        optimizer.zero_grad()
        sleep_loss(renderer, network, observed(images), drawn).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    drawn, images = Sleep(scenes=200).prepared(2).draw(renderer, like)
    with torch.no_grad():
        slots = true_slots(renderer, network, observed(images), drawn)
    right = count_log_posterior(slots.presence_logits).argmax(1) == drawn.count
    there = torch.arange(2) < drawn.count.unsqueeze(1)
    away = (renderer.where.constrain(slots.where_mean[:, :, 0]) - slots.where).norm(dim=-1)[there]
    same = (slots.what_parameters.argmax(-1) == slots.what)[there]
    assert float(right.double().mean()) > 0.8 and float(same.double().mean()) > 0.8
    assert float(away.median()) < 0.15  # a disc has half a width of 0.3


class Steps(pl.Callback):
    """The loss and its terms, step by step."""

    def __init__(self) -> None:
        self.terms: list[dict[str, float]] = []

    def on_train_batch_end(self, _: Any, __: Any, outputs: Any, *___: Any) -> None:
        self.terms.append(
            {name: float(value) for name, value in (outputs["terms"] | {"loss": outputs["loss"]}).items()}
        )


def fit(module: AIRModule, steps: int = 3) -> list[dict[str, float]]:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    torch.manual_seed(4)
    watch, limits = Steps(), {"accelerator": "cpu", "max_steps": steps, "limit_val_batches": 0}
    trainer = pl.Trainer(callbacks=[watch], log_every_n_steps=1, **limits, **quiet)
    trainer.fit(module, datamodule=Scenes3D(apart=0.5, batch_size=4, train_scenes=16))
    return watch.terms


def small(**options: Any) -> AIRModule:
    torch.manual_seed(3)
    return AIRModule(Discs(16), lambda r: ResidualAttention(r, channels=4, hidden=16, glimpse=8), **options)


quiet = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*GPU available but not used.*")


@quiet
def test_its_term_is_a_part_of_the_loss_while_its_weight_is_positive() -> None:
    """From the step on whose weight is 0 nothing is drawn."""
    steps = fit(small(sleep=Sleep(Linear(1.0, 0.0, 2), scenes=4)))
    assert ["sleep" in terms for terms in steps] == [True, True, False]
    for terms in steps:
        assert terms.pop("loss") == pytest.approx(sum(terms.values()), rel=1e-5)


@quiet
def test_alone_it_is_all_that_is_learnt() -> None:
    steps = fit(small(sleep=Sleep(1.0, scenes=4, alone=2)))
    assert [set(terms) for terms in steps[:2]] == [{"loss", "sleep"}] * 2 and "reconstruction" in steps[2]


@quiet
def test_where_its_weight_is_0_not_a_digit_changes() -> None:
    plain, late = small(), small(sleep=Sleep(LateStart(), scenes=4))
    assert fit(plain, 2) == fit(late, 2)
    pairs = zip(plain.state_dict().values(), late.state_dict().values())
    assert all(torch.equal(a, b) for a, b in pairs)


class LateStart(Linear):
    """From step 2 on."""

    def __init__(self) -> None:
        super().__init__(0.0, 1.0, 2)

    def __call__(self, step: int) -> float:
        return float(step >= 2)


def test_every_parameter_that_learns_gets_a_gradient() -> None:
    """As parallel training asks: what the term uses the others use, too."""
    module = small(sleep=Sleep(scenes=4))
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    module._rates = dict  # type: ignore[assignment, method-assign]
    unused = torch.zeros(4, 1)
    module.training_step(Batch(torch.rand(4, 3, 16, 16), unused, unused, unused), 0)["loss"].backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


# ---- errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenes": 0}, "sleep draws at least 1 scene a step, got scenes=0: 32, for example"),
        (
            {"weight": -1.0},
            "sleep's weight must not be negative, and positive somewhere, got -1 to -1: leave model.sleep",
        ),
        ({"weight": Constant(0.0)}, "positive somewhere, got 0 to 0: leave model.sleep out (null) for none"),
        ({"weight": Linear(1.0, -0.5, 9)}, "got 1 to -0.5"),
        (
            {"counts": [0.5, 0.5]},
            "sleep's counts must be 4 probabilities (of 0 to 3 objects), some of them of one object",
        ),
        ({"counts": [1.0, 0.0, 0.0, 0.0]}, "or more, got [1.0, 0.0, 0.0, 0.0]: null draws all counts alike"),
        ({"counts": [1.0, 1.0, -1.0, 1.0]}, "got [1.0, 1.0, -1.0, 1.0]"),
        ({"alone": -1}, "for alone=-1 steps"),
        (
            {"weight": Linear(1.0, 0.0, 9), "alone": 10},
            "sleep must be all that is learnt for alone=10 steps, and its weight is 0 by then: take fewer steps",
        ),
    ],
)
def test_what_makes_no_sleep_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        AIRModule(Discs(), sleep=Sleep(**options))
