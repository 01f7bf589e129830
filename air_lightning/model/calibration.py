"""How far a model's posteriors are trusted: powers fitted where a truth is known, and kept with the weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

POWERS = "powers"
"""Where checkpoints keep them."""


@dataclass(frozen=True)
class Powers:
    """Powers to which posteriors are raised before they are reported; 1: as they were learnt.

    Below 1 they are flatter, as if there were so much less evidence (Miller & Dunson 2019; here of the prior, too, so
    that the likeliest count stays). A Gaussian to a power is one whose sd is divided by its root.

    Attributes:
        count: of q(n | x). pose: of each coordinate's posterior, by name; 1 where it is not named.
        refined: whether poses and identities were refined when these were fitted: others keep their own posterior.
        searched: whether the count's posterior was a search's: another keeps its own.
        identity: of the identities' posterior.
    """

    count: float = 1.0
    pose: Mapping[str, float] = field(default_factory=dict)
    refined: bool = False
    searched: bool = False
    identity: float = 1.0

    def of_count(self, log_q: Tensor, searched: bool = False) -> Tensor:
        """(B, N + 1), of log q(n | x) (B, N + 1), the network's or a search's."""
        return ((self.count if searched == self.searched else 1.0) * log_q).softmax(1)

    def of_pose(self, names: tuple[str, ...], sd: Tensor, refined: bool) -> Tensor:
        """sd (..., P) of the coordinates of these names."""
        if not self.pose or refined != self.refined:
            return sd
        powers = [self.pose.get(name, 1.0) for name in names]
        return sd * torch.tensor(powers, dtype=sd.dtype, device=sd.device).rsqrt()

    def of_identity(self, logits: Tensor, refined: bool) -> Tensor:
        """Logits (..., K) of the identities' posterior."""
        return logits if self.identity == 1.0 or refined != self.refined else self.identity * logits

    def times(
        self, count: float, pose: Mapping[str, float], refined: bool, searched: bool = False, identity: float = 1.0
    ) -> "Powers":
        """These, then further ones that were fitted to what these had given."""
        mine = self if refined == self.refined else Powers()
        before = self.count if searched == self.searched else 1.0
        poses = {name: mine.pose.get(name, 1.0) * power for name, power in pose.items()}
        return Powers(before * count, poses, refined, searched, mine.identity * identity)

    def state(self) -> dict[str, Any]:
        """As checkpoints hold them: ``Powers(**state)`` gives them again."""
        return asdict(self) | {"pose": dict(self.pose)}

    def __str__(self) -> str:
        poses = (f"{name} {power:.3g}" for name, power in self.pose.items())
        whats = (f"identity {self.identity:.3g}",) if self.identity != 1.0 else ()
        return ", ".join((f"count {self.count:.3g}", *whats, *poses))
