"""Learning from labels: the network that AIR is compared with."""

import re
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from renderers_for_tests import Discs

from air_lightning.backgrounds import LearntBackground
from air_lightning.estimators import NVILCount
from air_lightning.inference import ResidualAttention
from air_lightning.model import AIRModule
from air_lightning.model.supervision import labelled
from datamodules import MultiSprites, SceneDataModule, Scenes3D
from datamodules.base import Batch
from renderers import GlimpseRenderer, Renderer

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
quiet = pytest.mark.filterwarnings("ignore:.*does not have many workers.*", "ignore:.*GPU available but not used.*")


def small(renderer: Renderer, **options: Any) -> AIRModule:
    torch.manual_seed(0)
    return AIRModule(
        renderer, lambda r: ResidualAttention(r, channels=8, hidden=64, glimpse=12), slots=2, supervised=True, **options
    )


def test_labels_become_true_scenes_with_room_for_all_slots() -> None:
    renderer = Discs(16)
    names = renderer.where.names
    batch = Scenes3D(renderer=renderer, counts=[0, 1, 2], apart=0.3).scenes("train").__getitems__(list(range(20)))
    reordered = batch._replace(where=batch.where.flip(-1))
    true = labelled(renderer, tuple(reversed(names)), reordered, 4)
    assert true.what.shape == (20, 4) and true.where.shape == (20, 4, len(names))
    for b, n in enumerate(batch.count.tolist()):
        torch.testing.assert_close(true.where[b, :n], batch.where[b, :n])
        torch.testing.assert_close(renderer.where.constrain(true.unconstrained[b, :n]), batch.where[b, :n])
        assert true.what[b, :n].tolist() == batch.what[b, :n].tolist()
    assert true.unconstrained.isfinite().all()


@pytest.mark.parametrize("hidden", ["identity", "pose"])
def test_an_object_that_is_not_told_of_is_refused(hidden: str) -> None:
    renderer = Discs(16)
    batch = Scenes3D(renderer=renderer, counts=[1], apart=0.3).scenes("train").__getitems__([0, 1])
    what = torch.full_like(batch.what, -1) if hidden == "identity" else batch.what
    where = batch.where * torch.nan if hidden == "pose" else batch.where
    with pytest.raises(ValueError, match="has met an object whose identity or pose is not told: leave its image out"):
        labelled(renderer, renderer.where.names, batch._replace(what=what, where=where), 2)
    nobody = Batch(batch.images, torch.zeros_like(batch.count), what, where)
    assert labelled(renderer, renderer.where.names, nobody, 2).unconstrained.isfinite().all()


@quiet
def test_it_learns_to_count_place_and_identify() -> None:
    data = Scenes3D(counts=[0, 1], batch_size=32, val_scenes=8, test_scenes=200)
    model = small(Discs(16), lr=3e-3)
    pl.Trainer(max_steps=400, limit_val_batches=0, **QUIET).fit(model, datamodule=data)
    (figures,) = pl.Trainer(**QUIET).test(model, datamodule=data, verbose=False)
    assert figures["test/count_accuracy"] > 0.9 and figures["test/identity_accuracy"] > 0.9
    assert figures["test/position_error_share"] < 0.05


@quiet
def test_every_parameter_gets_a_gradient() -> None:
    """As parallel training asks, also of the estimators' and backgrounds' that labels teach nothing."""
    model = small(Discs(16), count=NVILCount(), background=LearntBackground())
    before = [p.detach().clone() for p in model.count_estimator.parameters()]
    trainer = pl.Trainer(max_steps=1, limit_val_batches=0, **QUIET)
    trainer.fit(model, datamodule=Scenes3D(counts=[1], apart=0.3, batch_size=4))
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.count_estimator.parameters()))


@quiet
@pytest.mark.parametrize(
    ("renderer", "data", "text"),
    [
        (
            GlimpseRenderer((3, 64, 64)),
            MultiSprites(counts=[0, 1, 2]),
            "model.supervised learns identities from labels, and GlimpseRenderer has none",
        ),
    ],
)
def test_what_labels_cannot_teach_is_refused(renderer: Renderer, data: SceneDataModule, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        pl.Trainer(max_steps=1, **QUIET).fit(small(renderer), datamodule=data)
