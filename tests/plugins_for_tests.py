"""What packages announce by entry point in tests, some of it not as it should be."""

import torch
from disc_plugin import Discs

from air_lightning.inference import ResidualAttention
from renderers import Renderer

NUMBER = 3


class NeedsSize(Discs):
    def __init__(self, size: int) -> None:
        super().__init__(size)


class Unbuildable(Discs):
    def __init__(self) -> None:
        raise OSError("no image library")


class HalfBuilt(Discs):
    def __init__(self) -> None:
        torch.nn.Module.__init__(self)


class Abstract(Renderer):
    pass


class Looker(ResidualAttention):
    pass
