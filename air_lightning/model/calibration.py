"""How far a model is trusted: what was found where a truth is known, and is kept with the weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from air_lightning.distributions import corrected

POWERS = "powers"
"""Where checkpoints keep them."""
USUAL = 0.99
"""Share of the images of a validation, or of an adaptation, whose reconstruction errors are usual ones."""
FITTED_WITH = (
    "slots",
    "likelihood",
    "likelihood_sd",
    "background",
    "count_prior",
    "reconsideration",
    "descent",
    "search",
    "aggregate",
    "refinement",
)
"""Arguments of the model that posteriors depend on: powers hold for those that they were fitted with."""


@dataclass(frozen=True)
class Powers:
    """Powers to which posteriors are raised before they are reported, 1: as they were learnt; and what is usual.

    Below 1 they are flatter, as if there were so much less evidence (Miller & Dunson 2019; here of the prior, too). A
    Gaussian to a power is one whose sd is divided by its root. Of the count and of identities there is more to be
    corrected than a power can: ``corrected`` says how.

    Attributes:
        count: of q(n | x). pose: of each coordinate's posterior, by name; 1 where it is not named.
        refined: whether poses and identities were refined when these were fitted: others keep their own posterior.
        searched: whether the count's posterior was a search's: another keeps its own.
        identity: of the identities' posterior.
        tilt: of the count, nats for each object more. doubt: of the count, the share of images in which its posterior
            says nothing. identity_doubt: the share of objects in which that of identities says nothing.
        usual_error: the reconstruction error that 99 of 100 of the images that were validated, or adapted to, have at
            most; None: no image was, or it is not finite. It changes no posterior.
        overrides: the arguments of ``FITTED_WITH`` that were not the run's own when these were fitted, by dotted name.
    """

    count: float = 1.0
    pose: Mapping[str, float] = field(default_factory=dict)
    refined: bool = False
    searched: bool = False
    identity: float = 1.0
    tilt: float = 0.0
    doubt: float = 0.0
    identity_doubt: float = 0.0
    usual_error: float | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def of_count(self, log_q: Tensor, searched: bool = False) -> Tensor:
        """Log probabilities (B, N + 1), of log q(n | x) (B, N + 1), the network's or a search's."""
        mine = (self.count, self.tilt, self.doubt) if searched == self.searched else (1.0, 0.0, 0.0)
        return corrected(log_q, *mine)

    def of_pose(self, names: tuple[str, ...], sd: Tensor, refined: bool) -> Tensor:
        """sd (..., P) of the coordinates of these names."""
        if not self.pose or refined != self.refined:
            return sd
        powers = [self.pose.get(name, 1.0) for name in names]
        return sd * torch.tensor(powers, dtype=sd.dtype, device=sd.device).rsqrt()

    def of_identity(self, logits: Tensor, refined: bool) -> Tensor:
        """Logits (..., K) of the identities' posterior."""
        if not self._corrects_identity or refined != self.refined:
            return logits
        return corrected(logits, self.identity, 0.0, self.identity_doubt)

    def other_arguments(self, overrides: Mapping[str, Any]) -> list[str]:
        """The names of arguments that these were not fitted with, where the run's own are overridden by such."""
        names = sorted({*self.overrides, *overrides})
        return [name for name in names if self.overrides.get(name, ...) != overrides.get(name, ...)]

    @property
    def are_none(self) -> bool:
        """Whether posteriors stay as they were learnt."""
        others = {self.tilt, self.doubt, self.identity_doubt}
        return {self.count, self.identity, *self.pose.values()} == {1.0} and others == {0.0}

    def state(self) -> dict[str, Any]:
        """As checkpoints hold them: ``Powers(**state)`` gives them again."""
        return asdict(self) | {"pose": dict(self.pose), "overrides": dict(self.overrides)}

    def __str__(self) -> str:
        more = {"tilt": self.tilt, "doubt": self.doubt}
        parts = [_said("count", self.count, more)]
        if self._corrects_identity:
            parts.append(_said("identity", self.identity, {"doubt": self.identity_doubt}))
        return ", ".join([*parts, *(_said(name, power, {}) for name, power in self.pose.items())])

    @property
    def _corrects_identity(self) -> bool:
        return (self.identity, self.identity_doubt) != (1.0, 0.0)


def _said(name: str, power: float, more: Mapping[str, float]) -> str:
    others = ", ".join(f"{key} {value:.3g}" for key, value in more.items() if value)
    return f"{name} {power:.3g}" + (f" ({others})" if others else "")
