"""Likelihoods: what their noise is, over training and learnt, and what the model makes of it."""

import math
from contextlib import nullcontext

import pytest
import torch
from renderers_for_tests import Bumps
from slots_for_tests import observed
from torch import Tensor
from torch.distributions import Normal as TorchNormal
from torch.distributions import StudentT as TorchStudentT

from air_lightning.inference import ResidualAttention
from air_lightning.likelihoods import (
    LearntScale,
    Likelihood,
    MixtureLikelihood,
    NormalLikelihood,
    PoissonGaussianLikelihood,
    StudentTLikelihood,
)
from air_lightning.model.evidence import log_likelihoods
from air_lightning.model.module import AIRModule
from air_lightning.model.objective import warn_of_balance
from air_lightning.model.observation import Observation
from air_lightning.model.slots import infer
from air_lightning.schedules import Constant, Geometric
from datamodules.base import Batch
from renderers.pixel_loss import Normal, PoissonGaussian

LIKELIHOODS: dict[str, Likelihood] = {
    "normal": NormalLikelihood(0.2),
    "student": StudentTLikelihood(0.2, dof=3.0),
    "mixture": MixtureLikelihood(0.2, outliers=0.05),
    "poisson": PoissonGaussianLikelihood(0.2, gain=0.03),
}


def log_density(name: str, image: Tensor, canvas: Tensor) -> Tensor:
    """Of each number, by torch.distributions."""
    if name == "student":
        return TorchStudentT(3.0, canvas, 0.2).log_prob(image)
    if name == "poisson":
        return TorchNormal(canvas, (0.03 * canvas.clamp_min(0) + 0.04).sqrt()).log_prob(image)
    inlier = TorchNormal(canvas, 0.2).log_prob(image)
    return inlier if name == "normal" else (0.95 * inlier.exp() + 0.05).log()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_likelihoods_sum_the_log_densities_of_all_numbers(name: str) -> None:
    images, canvases = torch.rand(4, 3, 5, 6), torch.rand(4, 3, 3, 5, 6)
    found = log_likelihoods(canvases, Observation(images, LIKELIHOODS[name].final()))
    torch.testing.assert_close(found, log_density(name, images.unsqueeze(1), canvases).sum((2, 3, 4)))


def test_a_schedule_gives_the_scale_of_each_step_and_its_last_for_evaluation() -> None:
    likelihood = NormalLikelihood(Geometric(1.0, 0.1, 2))
    assert [likelihood.at(step).scale for step in (0, 2, 9)] == pytest.approx([1.0, 0.1, 0.1])
    assert likelihood.final().scale == pytest.approx(0.1)


@pytest.mark.parametrize("over, shape", [("all", (1, 1, 1)), ("channel", (3, 1, 1)), ("pixel", (1, 5, 7))])
def test_a_learnt_scale_starts_where_it_is_told_and_stays_above_its_floor(over: str, shape: tuple[int, ...]) -> None:
    scale = LearntScale(over, start=0.3, floor=0.02)  # type: ignore[arg-type]
    scale.prepare((3, 5, 7))
    torch.testing.assert_close(scale(), torch.full(shape, 0.3))
    with torch.no_grad():
        scale.log_excess.fill_(-100.0)
    torch.testing.assert_close(scale(), torch.full(shape, 0.02))


@pytest.mark.parametrize("over", ["all", "channel", "pixel"])
def test_a_learnt_scale_finds_the_noise(over: str) -> None:
    torch.manual_seed(0)
    scale = LearntScale(over, start=0.3, floor=0.02)  # type: ignore[arg-type]
    likelihood = NormalLikelihood(scale)
    likelihood.prepare((2, 4, 4))
    true = torch.tensor([0.1, 0.2])[:, None, None] if over == "channel" else torch.full((1, 1, 1), 0.15)
    canvases = torch.rand(400, 1, 2, 4, 4)
    observation = Observation(canvases[:, 0] + true * torch.randn(400, 2, 4, 4), likelihood.final())
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.005)
    for _ in range(150):
        optimizer.zero_grad()
        (-log_likelihoods(canvases, observation._replace(loss=likelihood.final())).mean()).backward()
        optimizer.step()
    torch.testing.assert_close(scale(), true.expand_as(scale()).contiguous(), rtol=0.1, atol=0.0)


LIMITS = "must lie between 1e-06 and 1e+06"


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_least_and_the_largest_scale_have_a_likelihood_in_32_bits(scale: float) -> None:
    images, canvases = torch.zeros(2, 3, 64, 64), torch.ones(2, 1, 3, 64, 64)
    losses = {"normal": NormalLikelihood(scale), "t": StudentTLikelihood(scale), "mixture": MixtureLikelihood(scale)}
    for name, likelihood in losses.items():
        found = log_likelihoods(canvases, Observation(images, likelihood.final()))
        assert found.isfinite().all(), name
    expected = -12288 * (0.5 / scale**2 + math.log(scale) + 0.5 * math.log(2 * math.pi))
    found = log_likelihoods(canvases, Observation(images, losses["normal"].final()))
    assert float(found[0, 0]) == pytest.approx(expected, rel=1e-5)
    with pytest.warns(UserWarning, match="the noise's variance 1e-12") if scale < 1 else nullcontext():
        warn_of_balance(0.1, losses["normal"].final(), torch.zeros(3, 64, 64))


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: NormalLikelihood(0.0), f"the likelihood's scale {LIMITS}, got 0: 0.3 is a good start"),
        (lambda: NormalLikelihood(Constant(1e-25)), f"the likelihood's scale {LIMITS}, got 1e-25: 0.3 is a good start"),
        (lambda: StudentTLikelihood(1e-30), f"the likelihood's scale {LIMITS}, got 1e-30: 0.3 is a good start"),
        (
            lambda: MixtureLikelihood(Geometric(0.3, 1e-9, 10)),
            f"the likelihood's scale {LIMITS}, got 1e-09: 0.3 is a good start",
        ),
        (lambda: NormalLikelihood(1e200), f"the likelihood's scale {LIMITS}, got 1e+200: 0.3 is a good start"),
        (lambda: LearntScale(floor=1e-20), f"a learnt scale's floor {LIMITS}, got 1e-20: 0.3 is a good start"),
        (lambda: LearntScale(start=1e20), f"a learnt scale's start {LIMITS}, got 1e+20: 0.3 is a good start"),
        (lambda: LearntScale("row"), "a learnt scale is over all, channel, pixel, got 'row'"),  # type: ignore[arg-type]
        (
            lambda: LearntScale(start=0.1, floor=0.0),
            "a learnt scale needs a positive floor and a start above it, got floor=0.0 and start=0.1: 0.02 and 0.3, "
            "for example",
        ),
        (lambda: StudentTLikelihood(dof=0.0), "StudentT: dof must be positive and finite: 4, for example, got 0.0"),
        (
            lambda: MixtureLikelihood(outliers=1.0),
            "Mixture: outliers must be a share between 0 and 1: 0.01, for example, got 1.0",
        ),
        (
            lambda: PoissonGaussianLikelihood(gain=-1.0),
            "PoissonGaussian: gain must be not negative and finite; 0 leaves the read noise, got -1.0",
        ),
        (
            lambda: AIRModule(Bumps(), likelihood=StudentTLikelihood(), likelihood_sd=Constant(0.2)),
            "model.likelihood is StudentTLikelihood, which has a scale of its own, and model.likelihood_sd is given, "
            "too: leave likelihood_sd out (null)",
        ),
    ],
)
def test_refuses(make: object, said: str) -> None:
    with pytest.raises(ValueError) as error:
        make()  # type: ignore[operator]
    assert str(error.value) == said


def test_whitening_weighs_pixels_by_their_noise_and_is_none_where_all_are_alike() -> None:
    images = torch.rand(2, 1, 4, 4)
    assert observed(images).whitening is None
    sd = torch.tensor([0.1, 0.2]).view(1, 1, 2).repeat(1, 4, 2)
    weights = Observation(images, Normal(sd)).whitening
    assert weights is not None
    torch.testing.assert_close(weights[..., 0] / weights[..., 1], torch.full((1, 4), 2.0))
    assert float(weights.mean()) == pytest.approx(1.0)
    bright = Observation(torch.tensor([[[[0.0, 0.75]]]]), PoissonGaussian(0.1, gain=0.04)).whitening
    assert bright is not None
    assert float(bright[0, 0, 0, 0] / bright[0, 0, 0, 1]) == pytest.approx(2.0)


def test_attention_looks_away_from_pixels_of_large_noise() -> None:
    renderer = Bumps()
    height, width = renderer.image_shape[1:]
    images = torch.zeros(1, *renderer.image_shape)
    images[..., : width // 4] = 0.9  # a lamp that flickers
    images[:, :, height // 2, -2] = 0.6
    sd = torch.full((1, height, width), 0.1)
    sd[..., : width // 4] = 5.0
    network = ResidualAttention(renderer)
    plain, whitened = (
        infer(renderer, network, Observation(images, Normal(scale)), 1, sample=False).where[0, 0, 0].detach()
        for scale in (0.1, sd)
    )
    assert float(plain) < 0 < float(whitened)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_a_training_step_with_a_learnt_scale_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(1)
    likelihood = type(LIKELIHOODS[name])(scale=LearntScale("channel", start=0.4))
    module = AIRModule(Bumps(), slots=2, likelihood=likelihood)
    module.log = module.log_dict = lambda *a, **k: None  # type: ignore[method-assign, assignment]
    module._rates = lambda: {}  # type: ignore[method-assign]
    images = torch.rand(8, *module.renderer.image_shape)
    batch = Batch(images, torch.full((8,), -1), torch.zeros(8, 1), torch.zeros(8, 1, 3))
    module.training_step(batch, 0)["loss"].backward()
    gradient = likelihood.scale.log_excess.grad  # type: ignore[union-attr]
    assert gradient is not None and bool((gradient != 0).all()) and bool(gradient.isfinite().all())
    assert math.isfinite(float(module.elbo(images).mean()))
