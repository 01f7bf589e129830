"""The metric that sets what a model expects beside what comes true, over batches and over processes."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from air_lightning.metrics.calibration import (
    LEVELS,
    Correction,
    Reliability,
    calibration_error,
    central_mass,
    covering_power,
    fit_correction,
    objects_found,
    reliability,
)

POWERS = tuple(2 ** (step / 4) for step in range(-56, 25))
"""Powers of a pose's posterior that are tried: a Gaussian is then up to 128 times wider, or 8 times narrower."""
ITSELF = POWERS.index(1.0)


class Identities(NamedTuple):
    """Identities of the slots of B scenes.

    Attributes:
        inferred: (B, N) long. logits: (B, N, K), of their posterior. true: (B, T) long.
    """

    inferred: Tensor
    logits: Tensor
    true: Tensor

    @property
    def confidence(self) -> Tensor:
        """(B, N), the probability of each that is reported."""
        return self.logits.softmax(2).gather(2, self.inferred.unsqueeze(2)).squeeze(2)


class PoseGaps(NamedTuple):
    """How far the poses of M matched objects are from the truth, in unconstrained numbers; each (M, P).

    Attributes:
        gap: truth less the posterior's mean; nan where the truth is not known. sd: the posterior's, > 0.
        period: of angles, the turn that changes nothing (0: it cannot be seen); of other coordinates not read.
    """

    gap: Tensor
    sd: Tensor
    period: Tensor


class Fit(NamedTuple):
    """What makes posteriors as sure as they were right: the count's, each coordinate's power by name, identities'.

    Attributes:
        cases: what these were fitted to: how many scenes, true objects, objects found whose identity is known, and
            matched objects whose coordinate is known, by its name; of what has no truth there is no entry.
    """

    count: Correction  # type: ignore[assignment]  # hides tuple.count
    pose: dict[str, float]
    identity: Correction
    cases: dict[str, int]


class Calibration(Metric):
    """Expected beside realised: number of objects, precision of detections, identities, coverage of poses.

    `compute` returns scalar float tensors, nan where there was nothing to measure:

    ============================ ==================================================================================
    `expected_count`             mean over scenes of the number of objects that the posterior expects
    `true_count`                 mean over scenes of the true number
    `count_log_loss`             mean over scenes of -log q(true number), nats
    `stated_precision`           mean confidence of the objects reported, which are the posterior's likeliest number
    `precision`                  share of them that lie on a true object of their own; `recall`: of the true objects
                                 that have one of them
    `calibration_error`          of all slots as detections: slot i says with confidence q(n >= i) that it lies on an
                                 object of its own, see `objects_found` and `calibration_error`
    `identity_calibration_error` of the identities of the objects that were found: the probability of the one reported,
                                 and whether it is the true one; absent where identities are not known
    `coverage50`                 share of the coordinates of matched objects' poses that lie in the central 50 %
                                 interval of their posterior; `coverage90`: in that of 90 %
    ============================ ==================================================================================

    Args:
        slots: N. limit: largest distance at which an object counts as found, in the positions' unit.
        angles: of the P coordinates whose coverage is measured, by name, whether it is an angle.
        identities: whether identities are known. bins: K, of confidence.
        kwargs: for `torchmetrics.Metric`.

    Raises:
        ValueError: an argument is out of its range.
    """

    full_state_update = False
    is_differentiable = False

    counts: Tensor
    found: Tensor
    presence: Tensor
    identity: Tensor
    lost: Tensor
    covered: Tensor
    pairs: Tensor
    posteriors: list[Tensor] | Tensor
    truths: list[Tensor] | Tensor
    names: list[Tensor] | Tensor
    true_names: list[Tensor] | Tensor

    def __init__(
        self, slots: int, limit: float, angles: Mapping[str, bool], identities: bool, bins: int = 10, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("slots", slots), ("bins", bins)):
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        if not limit > 0:
            raise ValueError(f"limit must be > 0, got {limit}: a distance in the positions' unit")
        self.slots, self.limit, self.angles, self.identities = slots, float(limit), dict(angles), identities
        shapes = {
            "counts": (3,),  # scenes; objects expected, true
            "found": (4,),  # objects reported; the sum of their confidence; those found; true ones to be found
            "presence": (3, bins),  # a Reliability
            "identity": (3, bins),
            "lost": (),  # nats
            "covered": (len(POWERS), len(LEVELS), len(angles)),
            "pairs": (len(angles),),
        }
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape), "sum")
        # what corrections are fitted to, and what is true: log q(n | x) of scenes, logits of objects found
        for name in ("posteriors", "truths", "names", "true_names"):
            self.add_state(name, [], "cat")

    @torch.no_grad()
    def update(
        self,
        log_posterior: Tensor,
        position: Tensor,
        true_position: Tensor,
        true_count: Tensor,
        poses: PoseGaps,
        identities: Identities | None = None,
        placed: Tensor | None = None,
    ) -> None:
        """Take in B scenes.

        Args:
            log_posterior: (B, N + 1), log q(n | x). position: (B, N, D) of all slots, those held to be absent too.
            true_position: (B, T, D), of which the first `true_count` (B,) are there.
            poses: those of the matched objects. identities: where they are known.
            placed: (B,), how many of the true objects, the first, are to be found; None: all.

        Raises:
            ValueError: shapes do not fit.
        """
        self._check(log_posterior, true_count)
        log_posterior = log_posterior.detach().float()
        posterior = log_posterior.exp()
        confidence = posterior.flip(1).cumsum(1).flip(1)[:, 1:].clamp(0, 1)
        placed = true_count if placed is None else placed
        objects = objects_found(position, true_position, placed, self.limit)
        reported = torch.arange(self.slots, device=objects.device) < log_posterior.argmax(1)[:, None]
        right = reported & (objects >= 0)
        numbers = torch.arange(self.slots + 1, device=posterior.device)
        expected, scenes = (posterior * numbers).sum(), torch.full_like(true_count, 1)
        # never in place: a state made in validation's inference mode could not be changed outside it
        self.counts = self.counts + torch.stack([scenes.sum(), expected, true_count.sum()])
        self.found = self.found + torch.stack([reported.sum(), confidence[reported].sum(), right.sum(), placed.sum()])
        self.presence = self.presence + self._bins(confidence, objects >= 0)
        least = math.log(torch.finfo(torch.float32).tiny)  # what is certain and wrong costs much, but not everything
        self.lost = self.lost - log_posterior.gather(1, true_count.long().unsqueeze(1)).clamp_min(least).sum()
        self._keep(posteriors=log_posterior, truths=true_count)
        if identities is not None:
            true = identities.true.gather(1, objects.clamp_min(0))[right]
            same = identities.inferred[right] == true
            self.identity = self.identity + self._bins(identities.confidence[right], same)
            self._keep(names=identities.logits[right].detach().float(), true_names=true)
        self._take_poses(poses)

    def compute(self) -> dict[str, Tensor]:
        """The table above, of everything since the last `reset`, over all processes."""
        scenes, expected, true = self.counts
        reported, confidence, right, placed = self.found
        figures = {
            "expected_count": expected / scenes,
            "true_count": true / scenes,
            "count_log_loss": self.lost / scenes,
            "stated_precision": confidence / reported,
            "precision": right / reported,
            "recall": right / placed,
            "calibration_error": calibration_error(Reliability(*self.presence)),
        }
        if self.identities:
            figures["identity_calibration_error"] = calibration_error(Reliability(*self.identity))
        coverage = self.covered[ITSELF].sum(1) / self.pairs.sum()
        return figures | {f"coverage{round(100 * level)}": share for level, share in zip(LEVELS, coverage)}

    def record(self) -> dict[str, Any]:
        """Bins of confidence and the coverage of each coordinate, as numbers and names that go to JSON.

        Sums over all processes, so all of them must call it; likewise `fit`.
        """
        with self._together():
            tables = {"presence": self.presence, "identity": self.identity}
            shares = self.covered[ITSELF] / self.pairs
            coverage = {
                name: {"objects": int(self.pairs[j])}
                | {f"coverage{round(100 * level)}": float(shares[k, j]) for k, level in enumerate(LEVELS)}
                for j, name in enumerate(self.angles)
            }
            bins = {name: _rows(table) for name, table in tables.items() if name == "presence" or self.identities}
        return {"reliability": bins, "coverage": coverage}

    def fit(self) -> Fit:
        """What would have made these scenes' posteriors as sure as they were right.

        Raises:
            ValueError: a posterior is nan.
        """
        with self._together():
            pose = covering_power(self.covered, self.pairs, self._powers())
            (counts, numbers), (names, identities) = (
                self._kept("posteriors", "truths"),
                self._kept("names", "true_names"),
            )
            cases = {"scenes": len(numbers), "true objects": int(numbers.sum())}
            cases |= {"identities": len(names)} if self.identities else {}
            cases |= {name: int(number) for name, number in zip(self.angles, self.pairs.tolist()) if number}
        count, identity = fit_correction(counts, numbers, tilted=True), fit_correction(names, identities, tilted=False)
        return Fit(count, dict(zip(self.angles, pose.tolist())), identity, cases)

    def _together(self) -> Any:
        """A context in which the states are those of all processes."""
        return self.sync_context(
            dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync, should_unsync=self._should_unsync
        )

    def _keep(self, **rows: Tensor) -> None:
        """Append to lists; flat, for a process without data cannot know the shape."""
        for name, values in rows.items():
            getattr(self, name).append(values.float().flatten())

    def _kept(self, rows: str, answers: str) -> tuple[Tensor, Tensor]:
        """(M, K) and (M,) of what was kept, of all processes while they are together."""
        values, true = (
            dim_zero_cat(state) if len(state) else torch.zeros(0, device=self.device)
            for state in (getattr(self, rows), getattr(self, answers))
        )
        return values.view(len(true), -1) if len(true) else values.view(0, 1), true

    def _powers(self) -> Tensor:
        return torch.tensor(POWERS, device=self.device)

    def _bins(self, confidence: Tensor, right: Tensor) -> Tensor:
        return torch.stack(reliability(confidence, right, self.presence.shape[1]))

    def _take_poses(self, poses: PoseGaps) -> None:
        """Count, for every power, the truths that each interval would have held."""
        widths = self._powers().rsqrt()[:, None]
        levels = torch.tensor(LEVELS, device=self.device)[:, None]
        covered, pairs = [], []
        for gap, sd, period, circular in zip(*(part.float().unbind(1) for part in poses), self.angles.values()):
            mass = central_mass(gap, sd * widths, period if circular else None)
            covered.append((mass[:, None] <= levels).float().sum(2))
            pairs.append(mass[ITSELF].isfinite().sum())
        if pairs:
            self.covered, self.pairs = self.covered + torch.stack(covered, 2), self.pairs + torch.stack(pairs)

    def _check(self, log_posterior: Tensor, true_count: Tensor) -> None:
        expected = (len(true_count), self.slots + 1)
        if tuple(log_posterior.shape) != expected:
            raise ValueError(
                f"log_posterior must have shape (scenes, slots + 1) = {expected}, got {tuple(log_posterior.shape)}: "
                "give the log probability of every number of objects"
            )


def _rows(table: Tensor) -> list[dict[str, float]]:
    """A Reliability as rows; the means of a bin without forecasts are nan."""
    rows = []
    for place, (number, confidence, right) in enumerate(table.T.tolist()):
        bounds = {"from": place / table.shape[1], "to": (place + 1) / table.shape[1], "number": int(number)}
        means = (total / number if number else float("nan") for total in (confidence, right))
        rows.append(bounds | dict(zip(("confidence", "right"), means)))
    return rows
