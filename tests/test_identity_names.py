"""Identities of data that another renderer draws are the model's by name, whatever their numbers."""

import math
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from test_module import SIZES, network, trainer
from test_module import pytestmark as pytestmark
from torch import Tensor

from air_lightning.model import module as model_module
from air_lightning.model.data_checks import check_data
from air_lightning.model.module import AIRModule
from datamodules import Batch, Scenes3D
from renderers import Categorical, GlimpseRenderer, MeshRenderer

MINE, THEIRS = ("cube", "sphere", "cylinder"), ("sphere", "cylinder", "cube")
CPU = torch.device("cpu")


def scenes(identities: Sequence[str], **options: Any) -> Scenes3D:
    renderer = MeshRenderer(identities=identities, image_size=(32, 32))
    return Scenes3D(renderer, **{"counts": (2, 3), "apart": 0.5, **SIZES, **options})


def module(identities: Sequence[str] = MINE, **options: Any) -> AIRModule:
    return AIRModule(MeshRenderer(identities=identities, image_size=(32, 32)), partial(network), **options)


def names(batch: Batch, known: Sequence[str]) -> list[list[str]]:
    return [[known[k] for k in row[:n]] for row, n in zip(batch.what.tolist(), batch.count.tolist())]


def test_a_perfect_explanation_is_perfect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cubes a quarter turn off, which is theirs to be and nobody else's."""
    model, data = module(), scenes(THEIRS, counts=[3])
    truth = data.scenes("test").__getitems__([0, 1, 2, 3])
    assert set(sum(names(truth, THEIRS), [])) == set(MINE)
    what = torch.tensor([[MINE.index(name) for name in row] for row in names(truth, THEIRS)])
    where = truth.where.clone()
    where[..., -1] += (math.pi / 2) * (what == MINE.index("cube"))
    infer = model.infer

    def perfect(images: Tensor) -> Any:
        found = infer(images)
        log_posterior = torch.eye(4)[truth.count].clamp_min(1e-6).log()
        return found._replace(
            count=truth.count, log_posterior=log_posterior, slots=found.slots._replace(what=what, where=where)
        )

    monkeypatch.setattr(model, "infer", perfect)
    (tested,) = trainer().test(model, datamodule=data, verbose=False)
    assert tested["test/identity_accuracy"] == tested["test/scene_accuracy"] == 1
    assert tested["test/rotation_error"] == pytest.approx(0, abs=1e-3)
    for scene, expected in zip(model.gallery(data.transfer_batch_to_device(truth, CPU, 0)), names(truth, THEIRS)):
        assert [box.caption for box in scene.truth] == [box.caption for box in scene.inferred] == expected


def test_labels_are_learnt_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data, met = module(supervised=True), scenes(THEIRS), []
    labelled = model_module.labelled
    monkeypatch.setattr(model_module, "labelled", lambda *given: met.append(labelled(*given)) or met[-1])
    trainer(max_steps=1, limit_val_batches=0).fit(model, datamodule=data)
    batch = data.scenes("train").__getitems__([0, 1, 2, 3])
    learnt = [[MINE[k] for k in row[:n]] for row, n in zip(met[0].what.tolist(), batch.count.tolist())]
    assert learnt == names(batch, THEIRS)


@pytest.mark.parametrize("theirs", [THEIRS, ("cylinder",), MINE, MINE[:2]], ids=lambda names: " ".join(names))
def test_numbers_by_name(theirs: tuple[str, ...]) -> None:
    data, renderer = scenes(theirs), MeshRenderer(identities=MINE)
    batch = data.scenes("val").__getitems__([0, 1, 2, 3])
    ours = data.renumbered(batch, renderer)
    assert names(ours, MINE) == names(batch, theirs)
    assert (ours is batch) == (theirs == MINE[: len(theirs)])
    untold = data.renumbered(batch._replace(what=torch.full_like(batch.what, -1)), renderer)
    assert (untold.what == -1).all()


def test_codes_and_borrowed_renderers_have_no_names_to_compare() -> None:
    borrowed = Scenes3D(counts=[1])
    assert borrowed.identity_names is None and borrowed.identity_numbers(MeshRenderer()) is None
    assert scenes(THEIRS).identity_numbers(GlimpseRenderer((3, 32, 32))) is None


@pytest.mark.parametrize("theirs", [("cube", "cone"), (*MINE, "cone")])
@pytest.mark.parametrize("supervised", [False, True])
def test_names_that_the_model_lacks_are_refused_before_training(theirs: tuple[str, ...], supervised: bool) -> None:
    model = module(supervised=supervised)
    assert isinstance(model.renderer.what, Categorical)
    text = "Scenes3D has objects of the identity 'cone', MeshRenderer draws cube, sphere, cylinder: name identities"
    with pytest.raises(ValueError, match=re.escape(text)):
        check_data(model, scenes(theirs))
    with pytest.raises(ValueError, match=re.escape(text)):
        trainer().fit(model, datamodule=scenes(theirs))
