"""Power, tilt and doubt: fitted to simulated posteriors whose faults are known, many and few."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from air_lightning.distributions import corrected
from air_lightning.metrics.calibration import Correction, fit_correction

NONE = Correction()
NUMBERS = 8


def sharp(scenes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Posteriors (scenes, 8) of counts from 2 to 6, most of them nearly certain, and the counts drawn from them."""
    random = np.random.default_rng(seed)
    mode = random.integers(2, 7, scenes)
    gap = random.exponential(12.0, (scenes, NUMBERS)) * abs(np.arange(NUMBERS) - mode[:, None])
    log_q = torch.from_numpy(-gap).log_softmax(1)
    draws = torch.from_numpy(random.gumbel(size=gap.shape))
    return log_q, (log_q + draws).argmax(1)


def with_wrong(scenes: int, share: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """As ``sharp``; but of a share of the scenes one object is missed, which is held to be impossible by 200 nats."""
    log_q, true = sharp(scenes, seed)
    wrong = torch.from_numpy(np.random.default_rng(seed + 1000).random(scenes) < share)
    said = torch.full_like(log_q, -200.0).scatter(1, (true - 1).clamp_min(0).unsqueeze(1), 0.0)
    return torch.where(wrong.unsqueeze(1), said, log_q).log_softmax(1), true


def loss(log_q: Tensor, true: Tensor, correction: Correction = NONE) -> float:
    """Mean -log q_c(true), nats."""
    return -float(corrected(log_q, *correction).gather(1, true.unsqueeze(1)).mean())


def expected(log_q: Tensor, correction: Correction = NONE) -> float:
    return float((corrected(log_q, *correction).exp() * torch.arange(log_q.shape[1])).sum(1).mean())


def test_no_correction_changes_nothing() -> None:
    log_q, _ = sharp(20)
    torch.testing.assert_close(corrected(log_q, *NONE), log_q)


def test_a_correction_by_hand() -> None:
    """Odds of 4 to 1 to the power of 1/2 are 2 to 1; half of the mass is spread evenly; then odds of 3 for one more."""
    log_q = torch.tensor([[0.8, 0.2]]).log()
    odds = (0.5 / 3 + 0.25) / (0.5 * 2 / 3 + 0.25) * 3
    found = corrected(log_q, 0.5, math.log(3), 0.5).exp()
    torch.testing.assert_close(found, torch.tensor([[1 / (1 + odds), odds / (1 + odds)]]))


def test_what_is_right_stays() -> None:
    power, tilt, doubt = fit_correction(*sharp(5_000), tilted=True)
    assert power == pytest.approx(1, abs=0.1) and tilt == pytest.approx(0, abs=0.1) and doubt < 1e-3


def test_where_all_is_said_there_is_no_doubt() -> None:
    """Flat posteriors, right as they are: a doubt would be worth nothing, and is none at all."""
    truth = torch.randn(2_000, 4, generator=torch.Generator().manual_seed(3)).softmax(1)
    true = torch.multinomial(truth, 1, generator=torch.Generator().manual_seed(4)).squeeze(1)
    power, tilt, doubt = fit_correction(truth.log(), true, tilted=True)
    assert doubt == 0.0 and power == pytest.approx(1, abs=0.15) and tilt == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("scenes", [64, 600])
def test_few_that_are_wrong_by_far_do_not_set_the_power(scenes: int) -> None:
    """The best power alone is 1/16, of which all the others are unsure; here they stay as sure as they are right."""
    log_q, true = with_wrong(scenes, 0.04)
    fit = fit_correction(log_q, true, tilted=True)
    assert 0.5 < fit.power < 3 and 0.02 < fit.doubt < 0.15
    more, answers = with_wrong(20_000, 0.04, seed=1)
    powers = [loss(more, answers, Correction(2.0**-step)) for step in range(14)]
    assert loss(more, answers) > 8 and min(powers) > 1.7 and loss(more, answers, fit) < 0.7


@pytest.mark.parametrize("share", [0.0, 0.04])
def test_the_expected_number_is_the_true_one(share: float) -> None:
    """Each object half a nat too unlikely, with and without scenes in which one is missed for sure."""
    log_q, true = with_wrong(2_000, share)
    low = (log_q - 0.5 * torch.arange(NUMBERS)).log_softmax(1)
    fit = fit_correction(low, true, tilted=True)
    assert expected(low) < 0.97 * float(true.double().mean())
    assert expected(low, fit) == pytest.approx(float(true.double().mean()), rel=0.002)
    if not share:
        assert fit.tilt == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("faults", ["none", "too sharp", "too low"])
def test_few_scenes_do_not_do_much_harm(faults: str) -> None:
    """Of 64 scenes: held-out log loss within 0.05 nats of that of the true posterior, whatever was wrong before."""
    for seed in range(5):
        small, large = sharp(64, seed), sharp(5_000, seed + 100)
        best = loss(*large)
        said, held_out = (
            {"none": q, "too sharp": 10 * q, "too low": q - 0.8 * torch.arange(NUMBERS)}[faults].log_softmax(1)
            for q in (small[0], large[0])
        )
        assert loss(held_out, large[1], fit_correction(said, small[1], tilted=True)) < best + 0.05


def test_what_was_never_wrong_is_not_made_certain() -> None:
    log_q, _ = sharp(100)
    fit = fit_correction(log_q, log_q.argmax(1), tilted=True)
    sure = corrected(log_q, *fit).exp().amax(1)
    assert 1 < fit.power < 64 and 1 / 300 < fit.doubt < 1 / 50 and float(sure.max()) < 0.998


def test_impossible_answers_and_one_scene_leave_it_finite() -> None:
    impossible = torch.tensor([[0.0, -torch.inf, -torch.inf]])
    for true in (0, 1):
        fit = fit_correction(impossible, torch.tensor([true]), tilted=True)
        assert all(map(math.isfinite, fit)) and 0 < fit.doubt < 1
    assert fit_correction(torch.zeros(0, 3), torch.zeros(0), tilted=True) == NONE


def test_identities_have_no_tilt() -> None:
    log_q, true = with_wrong(600, 0.04)
    fit = fit_correction(log_q, true, tilted=False)
    assert fit.tilt == 0.0 and 0.02 < fit.doubt < 0.15


def test_it_is_fitted_where_gradients_are_forbidden() -> None:
    with torch.inference_mode():
        log_q, true = with_wrong(64, 0.04)
        forbidden = fit_correction(log_q, true, tilted=True)
    assert forbidden == fit_correction(*with_wrong(64, 0.04), tilted=True)


def test_no_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match="^log_q is nan: a model that gives no probabilities cannot be calibrated$"):
        fit_correction(torch.full((2, 3), torch.nan), torch.zeros(2), tilted=True)
