"""The rotational symmetry of a coloured object about its vertical axis, found from points on its surface."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from renderers.mesh.files.painting import Soup
from renderers.mesh.files.sampling import at, scattered

Array = NDArray[np.float64]

MOST = 24  # folds that are looked for
POINTS, ALL = 2000, 30_000  # on the surface: that are turned, and that they are held against
SOME = 10  # of how many turned points one is looked at first
APART = 0.025  # how far turned points may be from the surface, the object's size being 1
COLOR = 0.25  # of that unit, a colour's whole range: a tenth of it counts as much as APART
EXCEPT = 0.01  # share of the points that may be farther, lest a rim or an edge decides
TURNS = (1.0, 2.39996, 0.37)  # radians, of no fold's turn: only a solid of revolution passes
AS_GOOD = 3e-4  # mean distances that differ by less are the same: four of their standard errors


def find_symmetry(soup: Soup) -> float:
    """The smallest yaw (radians) that maps an object of size 1 about the y axis to itself, colours included.

    2 pi where there is none, 0 where every turn does. Points on the surface are turned and must lie near points of
    the same colour, all but a hundredth of them; so marks smaller than that are overlooked. Of the turns that pass,
    those count that fit best: a heptagon's turn nearly fits a hexagon.
    """
    points, colors = _surface(soup, POINTS)
    known = cKDTree(np.concatenate(_surface(soup, ALL), 1))

    def misfit(turn: float) -> float:
        """Mean distance; infinite where too many points are apart."""
        turned = np.concatenate([points @ _yaw(turn).T, colors], 1)
        for some in (turned[::SOME], turned):
            away = np.minimum(known.query(some, distance_upper_bound=2 * APART)[0], 2 * APART)
            if (away > APART).mean() > EXCEPT * (2 if len(some) < len(turned) else 1):
                return math.inf
        return float(away.mean())

    if all(misfit(turn) < math.inf for turn in TURNS):
        return 0.0
    misfits = {fold: misfit(2 * math.pi / fold) for fold in range(2, MOST + 1)}
    least = min(misfits.values())
    folds = max((fold for fold, value in misfits.items() if value <= least + AS_GOOD < math.inf), default=1)
    return 2 * math.pi / folds


def _yaw(turn: float) -> Array:
    cos, sin = math.cos(turn), math.sin(turn)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def _surface(soup: Soup, count: int) -> tuple[Array, Array]:
    """Points (count, 3) on the surface, and their colours (count, 3) in the unit of length."""
    face, shares = scattered(soup.corners, count)
    return at(shares, soup.corners[face]), COLOR * at(shares, soup.srgb[face])
