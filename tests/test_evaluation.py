"""What AIRModule measures besides SceneMetrics: boxes, segments and the importance-weighted bound, in a Trainer."""

from typing import Any

import pytest
import torch
from test_module import COMMON, METRICS, MODULE, SIZES, data_for, network, over_modules, trainer
from test_module import pytestmark as pytestmark
from torch import Tensor
from torch.utils.data import DataLoader

from air_lightning.model.module import AIRModule
from datamodules import Batch, MultiSprites
from renderers import GlimpseRenderer


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


SPRITES = {"counts": (0, 1, 2), "canvas": 32, "sizes": (8, 12), **SIZES}
FLAT = {"box_ap", "box_ap50", "box_ap75", "foreground_ari", "ari"}


def sprites(**options: Any) -> AIRModule:
    renderer = GlimpseRenderer((3, 32, 32), what=4, glimpse=8, hidden=8, compositing="over")
    return AIRModule(renderer, network, **options)


def test_boxes_and_masks_are_measured_where_there_are_any() -> None:
    module, data, run = sprites(), MultiSprites(**SPRITES), trainer()
    run.fit(module, datamodule=data)
    names = {name for name in run.callback_metrics if name.startswith("val/")}
    assert names == {f"val/{name}" for name in COMMON | FLAT} == set(module.validation_metrics(data))
    (tested,) = run.test(module, datamodule=data, verbose=False)
    assert set(tested) == {f"test/{name}" for name in COMMON | FLAT}
    assert all(0 <= tested[f"test/{name}"] <= 1 for name in ("box_ap", "box_ap50", "box_ap75"))


def test_metrics_move_with_the_model_and_leave_its_state_alone() -> None:
    module, data = sprites(), MultiSprites(**SPRITES)
    names = list(module.state_dict())
    trainer().validate(module, datamodule=data, verbose=False)
    evaluation = module.evaluation
    assert evaluation is not None and list(module.state_dict()) == names
    assert {evaluation.scenes, evaluation.boxes, evaluation.ari} <= set(module.modules())
    sprites().load_state_dict(module.state_dict(), strict=True)


@pytest.mark.parametrize("apart", [True, False], ids=["apart", "the same"])
def test_boxes_and_segments_of_the_truth(monkeypatch: pytest.MonkeyPatch, apart: bool) -> None:
    """Two discs a scene, explained as they are; or both as the first, so that one is found and one is missed."""
    module = MODULE["discs"](slots=3)
    what, where = torch.tensor([[0, 1, 2]] * 4), torch.tensor([[[-0.5, -0.4], [0.5, 0.4], [0.0, 0.0]]] * 4)
    count = torch.tensor([2, 2, 2, 2])
    here = torch.tensor([True, True, False])[:, None, None]
    masks = module.renderer.layers(what, where).depth.isfinite() & here
    batch = Batch(torch.rand(4, 3, 32, 32), count, what, where, module.renderer.boxes(what, where), masks)
    given = where if apart else where[:, [0, 0, 2]]
    infer = module.infer

    def cheat(images: Tensor) -> Any:
        found = infer(images)
        return found._replace(
            count=count,
            # the third slot's box is a wrong one, but the least sure
            log_posterior=torch.tensor([[0.0, 0.05, 0.9, 0.05]] * 4).log(),
            slots=found.slots._replace(what=what, where=given),
        )

    monkeypatch.setattr(module, "infer", cheat)
    run = trainer()
    data = data_for(module)
    monkeypatch.setattr(data, "test_dataloader", lambda: DataLoader([batch], batch_size=None))
    (tested,) = run.test(module, datamodule=data, verbose=False)
    # where the second is missed its pixels are background's, and apart from the first's all the same
    assert tested["test/foreground_ari"] == pytest.approx(1)
    assert tested["test/ari"] == pytest.approx(1 if apart else 0.6181, abs=1e-3)  # all pixels: a missed one counts
    assert tested["test/box_ap50"] == pytest.approx(1 if apart else 51 / 101, abs=1e-5)
    (twos,) = module.figures_by_count
    assert (twos["count"], twos["scenes"], twos["count_accuracy"], twos["inferred_count"]) == (2, 4, 1, 2)
    assert {name: twos[name] for name in ("box_ap50", "foreground_ari")} == pytest.approx(
        {name: tested[f"test/{name}"] for name in ("box_ap50", "foreground_ari")}
    )


def test_figures_of_each_count_are_tested_and_not_validated() -> None:
    module, data = sprites(), MultiSprites(**SPRITES)
    trainer().validate(module, datamodule=data, verbose=False)
    assert module.figures_by_count == []
    (tested,) = trainer().test(module, datamodule=data, verbose=False)
    rows = module.figures_by_count
    scenes = torch.tensor([float(row["scenes"]) for row in rows])
    assert [row["count"] for row in rows] == sorted({row["count"] for row in rows}) and len(rows) > 1
    assert scenes.sum() == SIZES["test_scenes"]
    for name, figure in (("count_accuracy", "count_accuracy"), ("count", "true_count")):
        mean = (scenes * torch.tensor([float(row[name]) for row in rows])).sum() / scenes.sum()
        assert float(mean) == pytest.approx(tested[f"test/{figure}"])


@over_modules
def test_log_evidence_is_tested_and_not_validated(kind: str) -> None:
    module = MODULE[kind](evidence_samples=3)
    data, run = data_for(module), trainer()
    run.fit(module, datamodule=data)
    assert "val/elbo" in run.callback_metrics and "val/log_evidence" not in run.callback_metrics
    (tested,) = run.test(module, datamodule=data, verbose=False)
    assert set(tested) == {f"test/{name}" for name in METRICS[kind] | {"log_evidence"}}
    torch.manual_seed(1)
    run.test(module, datamodule=data, verbose=False)
    (batch,) = data.test_dataloader()
    module.eval()
    torch.manual_seed(1)
    module.elbo(batch.images)
    expected = float(module.log_evidence(batch.images, 3).mean())
    assert float(run.callback_metrics["test/log_evidence"]) == pytest.approx(expected, rel=1e-5)
