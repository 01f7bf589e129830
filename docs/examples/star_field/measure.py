"""How well a trained model finds stars, or a matched filter that knows the sky.

python measure.py RUN [--images 2000] [--first 0]  # the run's best checkpoint; arguments of the model win, as in `test`
python measure.py [--images 500]                   # matched filter, least squares; point spread function, sky known
"""

import argparse
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from air_stars import Fields, PointSources, StarFields
from numpy.typing import NDArray
from scipy.optimize import least_squares, linear_sum_assignment
from scipy.signal import fftconvolve
from torch import Tensor

from air_lightning.commands.predict import Model

SURE = 5.0
"""Signal to noise above which a star should be found."""
NEAR = 1.0
"""Pixels within which a detection is of a star."""
KERNEL = 4
"""Pixels to each side of a star that the matched filter looks at."""
Image = NDArray[np.float64]


class Found(NamedTuple):
    """Detections in B images.

    Attributes:
        number: (B,). place: (B, N, 2), image coordinates.
        posterior: (B, N + 1), q(n | x); None: nothing is said of it.
    """

    number: Tensor
    place: Tensor
    posterior: Tensor | None


def figures(found: Found, count: Tensor, where: Tensor, sure: Tensor, half: float) -> dict[str, float]:
    """Of detections held against true poses (B, T, 3), ``sure`` (B, T) those above 5 sigma; ``half``: pixels of one."""
    hits = sure_hits = 0
    for n, t, ours, theirs, bright in zip(found.number.tolist(), count.tolist(), found.place, where, sure):
        away = (ours[:n, None] - theirs[None, :t, :2]).norm(dim=-1) * half
        pairs = zip(*linear_sum_assignment(away.clamp_max(2 * NEAR).numpy()))
        of = [int(j) for i, j in pairs if away[i, j] <= NEAR]
        hits, sure_hits = hits + len(of), sure_hits + int(bright[of].sum())
    there = torch.arange(where.shape[1]) < count.unsqueeze(1)
    shares = {"recall": (sure_hits, int((sure & there).sum())), "precision": (hits, int(found.number.sum()))}
    result = {name: right / of if of else math.nan for name, (right, of) in shares.items()}
    if found.posterior is not None:
        confidence = found.posterior.flip(1).cumsum(1).flip(1)[:, 1:]
        listed = torch.arange(confidence.shape[1]) < found.number.unsqueeze(1)
        result["stated precision"] = float(confidence[listed].double().mean())
        numbers = torch.arange(found.posterior.shape[1])
        result["expected number"] = float((found.posterior * numbers).sum(1).double().mean())
    correct = (found.number == count).double().mean()
    return result | {"true number": float(count.double().mean()), "counts": float(correct)}


def by_model(run: str, images: Tensor, given: Sequence[str] = ()) -> Found:
    """What the run's model finds. given: arguments that win over its own, ``--model.search null``."""
    module = Model.load(run, options=given).module
    parts = [module.infer(some) for some in images.split(100)]
    where = torch.cat([part.slots.where for part in parts])
    number, posterior = (torch.cat([getattr(part, name) for part in parts]) for name in ("count", "posterior"))
    return Found(number, where[..., :2], posterior)


def by_filter(data: StarFields, images: Tensor, skies: Image, most: int, least: float = 4.5) -> Found:
    """The highest peak of the matched filter above ``least`` sigma, all stars fitted again, and the next peak."""
    fields = [_Filter(data, sky, most, least)(image) for image, sky in zip(images[:, 0].double().numpy(), skies)]
    place = torch.zeros(len(fields), most, 2)
    for row, stars in zip(place, fields):
        row[: len(stars)] = torch.from_numpy(stars[:, :2]).float()
    return Found(torch.tensor([len(stars) for stars in fields]), place, None)


class _Filter:
    """Stars, (n, 3), of one image whose sky (H, W) is known."""

    def __init__(self, data: StarFields, sky: Image, most: int, least: float) -> None:
        self.data, self.sky, self.most, self.least = data, sky, most, least
        middle = data.renderer.size // 2
        centre = np.array([[1 / data.renderer.size, 1 / data.renderer.size, 0.0]])
        around = slice(middle - KERNEL, middle + KERNEL + 1)
        self.kernel = self._drawn(centre)[around, around]

    def __call__(self, image: Image) -> Image:
        stars = np.zeros((0, 3))
        while len(stars) < self.most:
            drawn = self._drawn(stars)
            variance = self.data.gain * (self.sky + drawn) + self.data.read_noise**2
            weight = fftconvolve(1 / variance, self.kernel**2, "same")
            signal = fftconvolve((image - self.sky - drawn) / variance, self.kernel, "same")
            row, column = np.unravel_index((signal / np.sqrt(weight)).argmax(), signal.shape)
            if signal[row, column] / math.sqrt(weight[row, column]) < self.least:
                break
            half = self.data.renderer.size / 2
            flux = math.log10(signal[row, column] / weight[row, column])
            new = [(column + 0.5) / half - 1, (row + 0.5) / half - 1, flux]
            stars = self._fitted(image, np.sqrt(variance), np.vstack([stars, new]))
        return stars

    def _drawn(self, stars: Image) -> Image:
        where = torch.from_numpy(stars.reshape(1, -1, 3)).float()
        what = torch.zeros(where.shape[:2], dtype=torch.int64)
        image: Image = self.data.renderer.render(what, where)[0, -1, 0].double().numpy()
        return image

    def _fitted(self, image: Image, noise: Image, stars: Image) -> Image:
        def residuals(flat: Any) -> Any:
            return ((image - self.sky - self._drawn(flat)) / noise).ravel()

        fit: Image = least_squares(residuals, stars.ravel(), diff_step=1e-3, max_nfev=8).x.reshape(-1, 3)
        return fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", help="a run's folder; none: the matched filter")
    parser.add_argument("--images", type=int, default=500, help="of the test split (default: 500)")
    parser.add_argument("--first", type=int, default=0, help="number of the first of them (default: 0)")
    options, given = parser.parse_known_args()
    numbers = list(range(options.first, options.first + options.images))
    data = StarFields(PointSources(), test_scenes=numbers[-1] + 1)
    scenes = Fields(data, "test")
    batch = scenes.__getitems__(numbers)
    skies = np.stack([scenes.sky(i) for i in numbers]).astype(np.float64)
    sure = data.signal_to_noise(10 ** batch.where[..., 2]) > SURE
    if options.run:
        found = by_model(options.run, batch.images, given)
    else:
        found = by_filter(data, batch.images, skies, data.largest_count)
    half = data.renderer.size / 2
    for name, value in figures(found, batch.count, batch.where, sure, half).items():
        print(f"{name:18} {value:.4f}")


if __name__ == "__main__":
    main()
