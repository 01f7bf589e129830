"""What the author of a renderer tests: that it keeps the contract, with any arguments."""

import pytest
from air_rings import Rings

from air_lightning.testing import check_renderer


@pytest.mark.parametrize("size", [16, 32])
def test_rings_keep_the_contract(size: int) -> None:
    check_renderer(Rings, size=size)
