"""The spaces a renderer asks inference for: ``what`` (appearance or identity) and ``where`` (pose)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from renderers.constants import constant

FULL_TURN = 2 * math.pi
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(20)
HERMITE = tuple(_NODES.tolist()), tuple((_WEIGHTS / _WEIGHTS.sum()).tolist())
"""Nodes and weights of the mean over a standard normal number."""


@dataclass(frozen=True)
class Gaussian:
    """Appearance codes: real vectors of dimension ``dim`` with a standard normal prior."""

    dim: int

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ValueError(f"a Gaussian `what` needs at least one dimension, got dim={self.dim}")


@dataclass(frozen=True)
class Categorical:
    """Identities: one of ``names``, coded by its index."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(
                f"a categorical `what` needs one or more different names, got {list(self.names)}: "
                "identities of the same name could not be told apart"
            )

    def __len__(self) -> int:
        return len(self.names)


What = Gaussian | Categorical


@dataclass(frozen=True)
class Coordinate:
    """One coordinate of ``where``.

    Inference works on an unconstrained number u with prior N(0, 1) and the coordinate is a function of it:
    uniform prior: ``low + (high - low) Phi(u)``, so that nothing can leave the support; normal prior:
    ``mean + sd u``. A circular coordinate is an angle in radians, u is the angle itself, its prior uniform.

    Attributes:
        name, unit: for people (``x``, ``world units``).
        low, high: the support. For a normal prior it is only what images and refinement clamp to.
        step: central finite-difference step, in ``unit``.
        prior: ``uniform`` over the support, or ``normal``.
        mean, sd: of a normal prior.
        circular: an angle; ``periods`` then holds, for each identity of a categorical ``what``, the smallest turn
            that changes nothing in the image: 2 pi without symmetry, 0 where the angle cannot be seen. Empty:
            2 pi for all.
    """

    name: str
    unit: str
    low: float
    high: float
    step: float
    prior: Literal["uniform", "normal"] = "uniform"
    mean: float = 0.0
    sd: float = 1.0
    circular: bool = False
    periods: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(
                f"coordinate {self.name!r}: low must be smaller than high, both finite, got low={self.low}, "
                f"high={self.high}: to fix a coordinate leave it out of the renderer's free ones"
            )
        if not 0 < self.step < math.inf:
            raise ValueError(
                f"coordinate {self.name!r}: the finite-difference step must be positive and finite, got {self.step}"
            )
        if not 0 < self.sd < math.inf:
            raise ValueError(f"coordinate {self.name!r}: the prior's sd must be positive and finite, got {self.sd}")

    def constrain(self, u: Tensor) -> Tensor:
        """Unconstrained u (any shape) to the coordinate's own unit."""
        if self.circular:
            return u
        if self.prior == "normal":
            return self.mean + self.sd * u
        return self.low + (self.high - self.low) * torch.special.ndtr(u)

    def unconstrain(self, value: Tensor) -> Tensor:
        """The inverse of ``constrain``; values at or beyond the support's ends are taken just inside (u within +-3)."""
        if self.circular:
            return value
        if self.prior == "normal":
            return (value - self.mean) / self.sd
        share = (value - self.low) / (self.high - self.low)
        return torch.special.ndtri(share.clamp(0.00135, 0.99865))

    def slope(self, u: Tensor) -> Tensor:
        """The derivative of ``constrain`` at u (any shape), in the coordinate's own unit."""
        if self.circular:
            return torch.ones_like(u)
        if self.prior == "normal":
            return torch.full_like(u, self.sd)
        return (self.high - self.low) * torch.exp(-0.5 * u**2) / math.sqrt(FULL_TURN)

    def spread(self, u: Tensor, sd: Tensor) -> Tensor:
        """The sd in the coordinate's own unit where the unconstrained number is Gaussian, of mean u and ``sd``.

        Any shape. Of an angle the circular sd, which of a wrapped Gaussian is ``sd`` itself (Mardia & Jupp 2000,
        sections 2.3 and 3.5). Of a coordinate with a uniform prior by Gauss-Hermite quadrature, for its derivative
        alone would mislead where the posterior is wide, or near an end of the support.
        """
        if self.circular:
            return sd
        if self.prior == "normal":
            return self.sd * sd
        nodes, weights = constant(HERMITE, u.dtype, u.device)
        values = self.constrain(u.unsqueeze(-1) + sd.unsqueeze(-1) * nodes)
        mean = (values * weights).sum(-1, keepdim=True)
        return ((values - mean) ** 2 * weights).sum(-1).sqrt()


@dataclass(frozen=True)
class Where:
    """The pose space: named coordinates in order. ``where`` tensors have them in their last dimension."""

    coordinates: tuple[Coordinate, ...]

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(f"`where` needs one or more coordinates of different names, got {list(self.names)}")

    def __len__(self) -> int:
        return len(self.coordinates)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.coordinates)

    @property
    def straight(self) -> tuple[int, ...]:
        """Positions of the coordinates that are no angles."""
        return tuple(j for j, c in enumerate(self.coordinates) if not c.circular)

    @property
    def circular(self) -> tuple[int, ...]:
        """Positions of the angles."""
        return tuple(j for j, c in enumerate(self.coordinates) if c.circular)

    def indices(self, names: Sequence[str]) -> list[int]:
        """Positions of those of ``names`` that exist, in the order given."""
        return [self.names.index(n) for n in names if n in self.names]

    def constrain(self, u: Tensor) -> Tensor:
        """u (..., P) to where (..., P), coordinate by coordinate."""
        self.check(u)
        if all(c.prior == "uniform" and not c.circular for c in self.coordinates):  # all at once
            ends = tuple((c.low, c.high - c.low) for c in self.coordinates)
            low, width = constant(ends, u.dtype, u.device).unbind(-1)
            return low + width * torch.special.ndtr(u)
        return torch.stack([c.constrain(x) for c, x in zip(self.coordinates, u.unbind(-1))], -1)

    def unconstrain(self, where: Tensor) -> Tensor:
        """where (..., P) to u (..., P)."""
        self.check(where)
        return torch.stack([c.unconstrain(x) for c, x in zip(self.coordinates, where.unbind(-1))], -1)

    def slopes(self, u: Tensor) -> Tensor:
        """The derivative of every coordinate in its u, (..., P), for u (..., P)."""
        self.check(u)
        return torch.stack([c.slope(x) for c, x in zip(self.coordinates, u.unbind(-1))], -1)

    def spreads(self, u: Tensor, sd: Tensor) -> Tensor:
        """The sd of every coordinate in its own unit, (..., P), where u is Gaussian, mean and ``sd`` (..., P)."""
        self.check(u)
        columns = zip(self.coordinates, u.unbind(-1), sd.unbind(-1))
        return torch.stack([c.spread(*column) for c, *column in columns], -1)

    def clamp(self, where: Tensor) -> Tensor:
        """where (..., P) moved into the support (angles are left as they are)."""
        self.check(where)
        columns = zip(self.coordinates, where.unbind(-1))
        return torch.stack([x if c.circular else x.clamp(c.low, c.high) for c, x in columns], -1)

    def steps(self, like: Tensor) -> Tensor:
        """(P,) finite-difference steps, of ``like``'s type and device."""
        return constant(tuple(c.step for c in self.coordinates), like.dtype, like.device)

    def periods(self, identity_count: int, like: Tensor) -> Tensor:
        """(K, P) turn of each of K identities that changes nothing, for circular coordinates; 2 pi elsewhere."""
        rows = tuple(
            tuple(c.periods[k] if c.circular and c.periods else FULL_TURN for c in self.coordinates)
            for k in range(identity_count)
        )
        return constant(rows, like.dtype, like.device)

    def check(self, values: Tensor) -> None:
        """ValueError unless ``values`` are (..., P)."""
        if values.dim() == 0 or values.shape[-1] != len(self):
            raise ValueError(
                f"`where` must have shape (..., {len(self)}), got {tuple(values.shape)}: "
                f"the renderer's pose has {len(self)} coordinates ({', '.join(self.names)})"
            )
