"""What a program that calls us has set in torch: it changes no prediction, and is as it was afterwards."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from predict_for_tests import discs as discs
from predict_for_tests import glimpses as glimpses
from predict_for_tests import noise

import air_lightning
from air_lightning.commands.predict.defaults import usual_defaults


@pytest.fixture
def doubles() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.fixture
def nowhere() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("kind", ["discs", "glimpses"])
@pytest.mark.parametrize("setting", ["doubles", "nowhere"])
def test_the_callers_defaults_are_nothing_to_a_model(request: pytest.FixtureRequest, kind: str, setting: str) -> None:
    run: Path = request.getfixturevalue(kind)
    images = noise(3)
    before = air_lightning.load(run).infer(images)
    early = air_lightning.load(run)
    request.getfixturevalue(setting)
    default = torch.get_default_dtype(), torch.get_default_device()
    assert early.infer(images) == air_lightning.load(run).infer(images) == before
    assert (torch.get_default_dtype(), torch.get_default_device()) == default


def test_threads_share_the_default_type(doubles: None, discs: Path) -> None:
    model, images = air_lightning.load(discs), noise(2)
    with ThreadPoolExecutor(4) as pool:
        first, *rest = pool.map(lambda _: model.infer(images), range(12))
    assert all(seen == first for seen in rest) and torch.get_default_dtype() == torch.float64


def test_defaults_come_back_after_an_error(doubles: None) -> None:
    with pytest.raises(ValueError, match="wrong"), usual_defaults():
        raise ValueError("wrong")
    assert torch.get_default_dtype() == torch.float64
