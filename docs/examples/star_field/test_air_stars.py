"""That the renderer keeps the contract, images are what they are said to be, and figures count stars right."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from air_stars import PointSources, StarFields
from measure import Found, by_filter, figures

from air_lightning.testing import check_renderer
from renderers.pixel_loss import PoissonGaussian


@pytest.mark.parametrize("psf", ["gaussian", "moffat"])
def test_it_keeps_the_contract(psf: Any) -> None:
    report = check_renderer(PointSources, size=24, psf=psf)
    assert {"gradient", "backgrounds", "project", "pickling", "spec"} <= set(report.kept)


@pytest.mark.parametrize(("psf", "share"), [("gaussian", 1.0), ("moffat", 0.98)])
def test_a_star_has_its_flux_and_width(psf: Any, share: float) -> None:
    renderer = PointSources(size=33, psf=psf, fwhm=4.0)
    image = renderer.draw(torch.zeros(1, dtype=torch.int64), torch.tensor([[0.0, 0.0, math.log10(2.0)]])).color[0, 0]
    assert float(image.sum()) == pytest.approx(2 * share, rel=0.02)
    assert float(image[16, 18] / image[16, 16]) == pytest.approx(0.5, rel=0.1)


def test_images_are_stars_and_sky_with_the_noise_of_photons() -> None:
    """The model's likelihood, given the truth, is that of the noise: whitened residuals are standard normal."""
    data = StarFields(PointSources(), test_scenes=50)
    scenes = data.scenes("test")
    batch = scenes.__getitems__(list(range(50)))
    skies = torch.from_numpy(np.stack([scenes.sky(i) for i in range(50)])).unsqueeze(1)
    clean = data.renderer.render(batch.what, batch.where, skies)[torch.arange(50), batch.count]
    whitened = PoissonGaussian(data.read_noise, data.gain).whiten(clean, batch.images)
    assert abs(float(whitened.mean())) < 0.02 and float(whitened.std()) == pytest.approx(1, abs=0.02)
    assert set(batch.count.tolist()) <= set(data.counts) and skies.flatten(1).std(1).min() > 1e-4


def test_training_images_come_again_and_others_do_not() -> None:
    data = StarFields(PointSources(), train_scenes=7, test_scenes=7)
    first, again = (data.scenes("train").__getitems__([number]).images for number in (2, 9))
    assert torch.equal(first, again)
    assert not torch.equal(first, data.scenes("test").__getitems__([2]).images)


def test_stars_are_counted_once_and_within_a_pixel() -> None:
    """Two stars, one found at 0.9 pixels, one missed; one detection of nothing."""
    where = torch.tensor([[[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [9.0, 9.0, 9.0]]])
    ours = torch.tensor([[[0.09, 0.0], [0.09, 0.09], [0.5, 0.5]]])
    posterior = torch.tensor([[0.0, 0.2, 0.5, 0.3]])
    found = figures(Found(torch.tensor([2]), ours, posterior), torch.tensor([2]), where, torch.ones(1, 3) > 0, 10)
    assert found["recall"] == found["precision"] == 0.5 and found["counts"] == 1.0
    assert found["stated precision"] == pytest.approx((1.0 + 0.8) / 2) and found["expected number"] == pytest.approx(
        2.1
    )


def test_the_matched_filter_finds_bright_stars() -> None:
    data = StarFields(PointSources(flux=(1.0, 6.3)), counts=(2,))
    scenes = data.scenes("test")
    batch = scenes.__getitems__([0, 1, 2])
    skies = np.stack([scenes.sky(i) for i in range(3)]).astype(np.float64)
    found = by_filter(data, batch.images, skies, 3)
    result = figures(found, batch.count, batch.where, torch.ones(3, 2) > 0, data.renderer.size / 2)
    assert result["recall"] == result["precision"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"psf": "airy"}, "psf must be gaussian or moffat, got 'airy'"),
        ({"fwhm": 0.0}, "fwhm must be positive (pixels), got 0.0: 2.8, for example"),
        ({"flux": (2.0, 1.0)}, "flux must hold the faintest and the brightest, positive, got [2.0, 1.0]"),
    ],
    ids=str,
)
def test_stars_that_cannot_be_drawn_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        PointSources(**options)
