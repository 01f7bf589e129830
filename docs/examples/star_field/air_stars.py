"""Star fields for AIR-Lightning: a renderer of point sources, and simulated images of them.

A point source is the telescope's point spread function times a flux, and sources add up. Fluxes span decades, most of
the sources are faint, and nothing is known of the sky behind them.
"""

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datamodules import Batch, SceneDataModule, Scenes
from datamodules.base import stream
from renderers import Categorical, Coordinate, Layer, Renderer

Psf = Literal["gaussian", "moffat"]


class PointSources(Renderer):
    """Stars: a point spread function times a flux, added up. Differentiable.

    ``where`` is x and y (image coordinates) and ``log_flux``, the decimal logarithm of the flux, all of them uniform
    a priori. ``what`` has one identity. The unit of pixel values and fluxes is the data's own.

    Args:
        size: pixels along a side.
        psf: ``gaussian``, integrated over pixels, or ``moffat`` (Moffat 1969) with exponent 3, taken at their centres.
        fwhm: full width at half maximum, pixels.
        flux: the faintest and the brightest, summed over pixels.
        reach: centres lie within [-reach, reach].
    Errors:
        ValueError for an unknown psf, a width or fluxes that are not positive, and fluxes out of order.
    """

    def __init__(
        self,
        size: int = 32,
        psf: Psf = "gaussian",
        fwhm: float = 2.8,
        flux: tuple[float, float] = (0.2, 6.3),
        reach: float = 0.95,
    ) -> None:
        if psf not in ("gaussian", "moffat"):
            raise ValueError(f"psf must be gaussian or moffat, got {psf!r}")
        if not fwhm > 0:
            raise ValueError(f"fwhm must be positive (pixels), got {fwhm}: 2.8, for example")
        if not 0 < flux[0] < flux[1]:
            raise ValueError(f"flux must hold the faintest and the brightest, positive, got {list(flux)}")
        pixel = 2 / size
        place = [Coordinate(name, "half images", -reach, reach, pixel / 2) for name in ("x", "y")]
        low, high = (math.log10(value) for value in flux)
        brightness = Coordinate("log_flux", "dex", low, high, 0.05)
        super().__init__(
            Categorical(("star",)), (*place, brightness), (1, size, size), differentiable=True, compositing="additive"
        )
        self.psf, self.fwhm, self.size = psf, fwhm, size
        self.register_buffer("edges", torch.linspace(-1, 1, size + 1), persistent=False)

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        x, y, log_flux = where.unbind(-1)
        shape = self._gaussian(x, y) if self.psf == "gaussian" else self._moffat(x, y)
        color = 10 ** log_flux[:, None, None] * shape
        return Layer(color.unsqueeze(1), torch.ones_like(color))

    def project(self, where: Tensor) -> tuple[Tensor, Tensor]:
        # half the size: what holds all but the wings of a bright star
        return where[..., :2], torch.full_like(where[..., 0], 1.5 * self.fwhm * 2 / self.size)

    def _gaussian(self, x: Tensor, y: Tensor) -> Tensor:
        """(M, H, W): each pixel's share of the flux, which a difference of error functions gives exactly."""
        sd = self.fwhm / math.sqrt(8 * math.log(2)) * 2 / self.size
        across, down = ((torch.special.ndtr((self.edges - c.unsqueeze(1)) / sd)).diff(dim=1) for c in (x, y))
        return down.unsqueeze(2) * across.unsqueeze(1)

    def _moffat(self, x: Tensor, y: Tensor, exponent: float = 3.0) -> Tensor:
        pixel = 2 / self.size
        core = self.fwhm / (2 * math.sqrt(2 ** (1 / exponent) - 1)) * pixel
        centres = self.edges[:-1] + pixel / 2
        away = (centres - x[:, None, None]) ** 2 + (centres[:, None] - y[:, None, None]) ** 2
        return (exponent - 1) / math.pi * (pixel / core) ** 2 * (1 + away / core**2) ** -exponent


class StarFields(SceneDataModule):
    """Simulated images: stars from the renderer, a sky with a gradient of its own in each image, photon and read noise.

    Models see the images alone. They are 0 to 6 stars of the renderer's prior, over a sky whose level and slope differ
    from image to image; numbers are electrons times ``gain``, photons are Poisson's.

    Args:
        renderer: draws the stars.
        counts: numbers of stars, equally likely.
        sky: the faintest and the brightest level in the middle of an image, in the renderer's unit.
        slope: the largest change from the middle to an edge in each direction, as a share of the level.
        gain: of the unit an electron.
        read_noise: its sd, in the unit.
        train_scenes: images to learn from; they come again in every epoch.
        batch_size, val_scenes, test_scenes, seed: see SceneDataModule.
    """

    any_values = True  # of a unit that the fluxes have

    def __init__(
        self,
        renderer: PointSources,
        counts: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6),
        sky: tuple[float, float] = (0.08, 0.12),
        slope: float = 0.25,
        gain: float = 0.001,
        read_noise: float = 0.005,
        batch_size: int = 64,
        train_scenes: int = 5_000,
        val_scenes: int = 500,
        test_scenes: int = 2_000,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, train_scenes, val_scenes, test_scenes, seed)
        self.renderer, self.counts, self.sky, self.slope = renderer, tuple(counts), tuple(sky), slope
        self.gain, self.read_noise = gain, read_noise

    @property
    def largest_count(self) -> int:
        return max(self.counts)

    @property
    def extent(self) -> float:
        return 2.0  # image coordinates

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (1, self.renderer.size, self.renderer.size)

    @property
    def extras(self) -> tuple[str, ...]:
        return ()

    def displayed(self, images: Tensor) -> Tensor:
        return torch.asinh((images - self.sky[0]) / 0.03) / math.asinh(20)

    def signal_to_noise(self, flux: Tensor) -> Tensor:
        """Fluxes over their errors, of stars alone over a sky of middling level, whose place is known (King 1983)."""
        middle = torch.tensor([[[0.0, 0.0, 0.0]]])
        shape = self.renderer.render(torch.zeros(1, 1, dtype=torch.int64), middle)[0, 1]
        variance = self.gain * sum(self.sky) / 2 + self.read_noise**2
        return flux * shape.square().sum().sqrt() / variance**0.5

    def scenes(self, split: str) -> "Fields":
        return Fields(self, split)


class Fields(Scenes):
    """The images of one split, each a function of the seed and its number."""

    def __init__(self, data: StarFields, split: str) -> None:
        self.data, self.split = data, split

    def __len__(self) -> int:
        return self.data.scene_count(self.split)

    def __getitems__(self, indices: list[int]) -> Batch:
        data = self.data
        scenes = [self._scene(stream(data.seed, self.split, i % len(self))) for i in indices]
        count, where, sky = (torch.from_numpy(np.stack(column)) for column in zip(*scenes))
        what = torch.zeros(where.shape[:2], dtype=torch.int64)
        with torch.no_grad():
            canvases = data.renderer.cpu().render(what, where, sky.unsqueeze(1))
        clean = canvases[torch.arange(len(indices)), count, 0].numpy()
        images = [self._exposed(stream(data.seed, self.split, i % len(self), 1), c) for i, c in zip(indices, clean)]
        return Batch(torch.from_numpy(np.stack(images)).unsqueeze(1), count, what, where)

    def sky(self, number: int) -> NDArray[np.float32]:
        """The sky (H, W) of an image, which nobody tells the model."""
        return self._scene(stream(self.data.seed, self.split, number % len(self)))[2]

    def _scene(self, random: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """How many stars, their poses (N, 3) and the sky (H, W)."""
        data, most = self.data, max(1, self.data.largest_count)
        space = data.renderer.where.coordinates
        poses = random.uniform([c.low for c in space], [c.high for c in space], (most, len(space)))
        level = random.uniform(*data.sky)
        across, down = random.uniform(-data.slope, data.slope, 2)
        axis = (np.arange(data.renderer.size) + 0.5) * 2 / data.renderer.size - 1
        sky = level * (1 + across * axis + down * axis[:, None])
        return np.array(random.choice(data.counts)), poses.astype(np.float32), sky.astype(np.float32)

    def _exposed(self, random: np.random.Generator, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        electrons = random.poisson(clean / self.data.gain)
        noise = random.normal(0, self.data.read_noise, clean.shape)
        return (electrons * self.data.gain + noise).astype(np.float32)
