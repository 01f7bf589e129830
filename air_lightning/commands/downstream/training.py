"""How both classifiers learn: the same labels, the same share of them held out to choose the weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HELD_OUT, MOST_HELD_OUT = 5, 2000
"""Every fifth of the labels chooses the weights, but no more than so many."""
CHECKS = 20
"""How often a training looks at them, at least."""


@dataclass(frozen=True)
class Plan:
    """Length and speed of a training: the more labels, the more steps and the fewer passes.

    Attributes:
        lr: largest learning rate, reached after a rise and left by a cosine (one cycle). weight_decay: AdamW's.
        passes: over the labels, times their square root. fewest: steps at least. largest_batch: scenes a step.
        smoothing: share of every label that is spread over all answers (Szegedy et al. 2016). What cannot be read, such
            as a digit that its window missed, then does not have to be learnt by heart.
    """

    lr: float
    weight_decay: float
    passes: float
    fewest: int
    largest_batch: int
    smoothing: float = 0.0

    def batch(self, labels: int) -> int:
        """Scenes a step: about 20 steps a pass, and no fewer scenes than 32."""
        return min(self.largest_batch, max(32, labels // 20))

    def steps(self, labels: int) -> int:
        """Steps of the training."""
        return max(self.fewest, round(self.passes * math.sqrt(labels) / self.batch(labels)))


PAIRS = Plan(lr=2e-3, weight_decay=1e-3, passes=4000.0, fewest=800, largest_batch=128, smoothing=0.1)
PIXELS = Plan(lr=1.5e-3, weight_decay=1e-3, passes=1700.0, fewest=300, largest_batch=128)


def held_out(labels: int) -> int:
    """How many of so many labels are not learnt from."""
    return min(labels // HELD_OUT, MOST_HELD_OUT)


def train(net: nn.Module, parts: Sequence[Tensor], answers: Tensor, plan: Plan) -> None:
    """Train ``net``, and leave it with weights chosen by the held-out labels (see ``choose``).

    Args:
        net: called with rows of ``parts``; gives logits. parts: (L, ...) each. answers: (L,) classes.
    """
    known = len(answers) - held_out(len(answers))
    unseen, wanted = [part[known:] for part in parts], answers[known:]
    steps, size = plan.steps(known), min(known, plan.batch(known))
    optimizer = torch.optim.AdamW(net.parameters(), plan.lr, weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.lr, total_steps=steps)
    right, kept, order = list[float](), list[dict[str, Tensor]](), torch.empty(0, dtype=torch.int64)
    for step in range(1, steps + 1):
        if len(order) < size:
            order = torch.randperm(known)
        rows, order = order[:size], order[size:]
        net.train()
        loss = F.cross_entropy(net(*(part[rows] for part in parts)), answers[rows], label_smoothing=plan.smoothing)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % max(1, steps // CHECKS) == 0 or step == steps:
            right.append(accuracy(net, unseen, wanted))
            kept.append({name: value.clone() for name, value in net.state_dict().items()})
    net.load_state_dict(kept[choose(right, len(wanted))])


def choose(right: Sequence[float], scenes: int) -> int:
    """Which of the successive weights to take, given the shares of ``scenes`` held-out scenes they answer right.

    The latest that is within a standard error of the best (Breiman et al. 1984, section 3.4.3): of few scenes the
    best is so by chance, and later weights have learnt at a lower rate.

    >>> choose([0.2, 0.9, 0.88, 0.5], 100)
    2
    """
    best = max(right)
    error = math.sqrt(best * (1 - best) / scenes)
    return max(i for i, share in enumerate(right) if share >= best - error)


@torch.no_grad()
def accuracy(net: nn.Module, parts: Sequence[Tensor], answers: Tensor, size: int = 500) -> float:
    """Share of scenes that ``net`` answers right, in evaluation mode."""
    net.eval()
    right = 0
    for start in range(0, len(answers), size):
        rows = slice(start, start + size)
        right += int((net(*(part[rows] for part in parts)).argmax(1) == answers[rows]).sum())
    return right / len(answers)
