"""What training asks of the gradients of a network."""

from air_lightning.inference import InferenceNetwork, PoseHead


def finite(network: InferenceNetwork | PoseHead) -> bool:
    """Whether every parameter has a gradient, and a finite one."""
    return all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())
