"""Batches of a user's own data: what is wrong with one ends with a line that names it, its value and the remedy."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from batches_for_tests import SIZE, SPOILT, Spots
from renderers_for_tests import Bumps, Discs
from test_module import network, trainer
from test_module import pytestmark as pytestmark

from air_lightning.backgrounds import MedianBackground
from air_lightning.cli import main
from air_lightning.model import AIRModule
from datamodules import Batch
from datamodules.batch import DataError

SHAPE = "images of Spots must have shape (batch, 3, 12, 12), channels, height and width as Discs draws them, got "
PLACES = "; Spots.largest_count says the places, coordinates() the columns of where"
TO_BATCH = "a datamodules.Batch: return Batch(images, count, what, where) from __getitems__ of its scenes"
SAID = {
    "bytes": "images of Spots must be torch.float32, got torch.uint8: give images.float() / 255",
    "double": "images of Spots must be torch.float32, got torch.float64: give images.float()",
    "levels": "images of Spots must lie in [0, 1], noise aside, got 0 to 255: divide them by what is white, 255 of 8 "
    "bits; any_values = True in Spots says that another unit is meant",
    "nan": "images of Spots must be finite, got NaN or infinite numbers in 1 of 4, first in image 1 of the batch: look "
    "for a division by 0 or for damaged files",
    "channels last": f"{SHAPE}(4, 12, 12, 3): channels come first, give images.permute(0, 3, 1, 2)",
    "no channels": f"{SHAPE}(4, 12, 12): give both the same size",
    "size": f"{SHAPE}(4, 3, 12, 11): give both the same size",
    "array": "images of Spots must be a torch.Tensor, got ndarray: give torch.as_tensor(...)",
    "tuple": f"Spots gives a tuple as a batch, expected {TO_BATCH}",
    "dict": f"Spots gives a dict with the keys image, label as a batch, expected {TO_BATCH}",
    "list": f"Spots gives a list as a batch, expected {TO_BATCH}",
    "too many": "count of Spots must be from 0 to 2, largest_count, got 3 of image 0 of the batch: raise "
    "largest_count, with places for as many objects in what and where, or correct the count",
    "negative": "count of Spots must be from 0 to 2, largest_count, got -1 of image 0",
    "real count": "count of Spots must be whole numbers (torch.int64), got torch.float32: give count.long()",
    "other count": f"count of Spots must have shape (4,) (images), got (3,): give the truth of the same images{PLACES}",
    "other truth": "what of Spots must have shape (4, 2) (images, objects up to largest_count), got (3, 2): give the",
    "places": "what of Spots must have shape (4, 2) (images, objects up to largest_count), got (4, 1): give the truth",
    "identity": "what of Spots must be from 0 to 2, the numbers of Discs's identities (blue, green, red), or -1 where "
    "it is not told, got 4 of image 0 of the batch: number them so",
    "no identity": "",  # -1: not told
    "real identity": "what of Spots must be whole numbers (torch.int64), got torch.float32: give what.long()",
    "columns": "where of Spots must have shape (4, 2, 2) (images, objects up to largest_count, coordinates x, y), got "
    f"(4, 2, 1): give the truth of the same images{PLACES}",
    "poses": "where of Spots must be finite, got [nan, nan] of object 0 of image 0 of the batch: correct it, or lower",
    "no poses": "where of Spots must be a torch.Tensor, got NoneType: give torch.as_tensor(...)",
    "boxes": "boxes of Spots must have shape (4, 2, 4) (images, objects up to largest_count, x0 y0 x1 y1), got (4, 2)",
    "masks": "masks of Spots must have shape (4, 2, 12, 12) (images, objects up to largest_count, height, width), got",
    "scene": "scene of Spots must have shape (4, 0) (images, coordinates none), got (4, 1)",
    "nothing": "",
}


def model(**options: Any) -> AIRModule:
    return AIRModule(Discs(SIZE), **{"inference": network, "slots": 2, **options})


@pytest.mark.parametrize("wrong", SPOILT)
def test_what_is_wrong_with_a_batch(wrong: str) -> None:
    if not SAID[wrong]:
        trainer().validate(model(), datamodule=Spots(wrong), verbose=False)
        return
    with pytest.raises(DataError) as error:
        trainer().validate(model(), datamodule=Spots(wrong), verbose=False)
    assert str(error.value).startswith(SAID[wrong])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("split, stage", [("train", "fit"), ("val", "fit"), ("test", "test"), ("predict", "predict")])
def test_the_first_batch_of_every_loader_is_looked_at(split: str, stage: str) -> None:
    for wrong in ("bytes", "columns", "dict"):
        with pytest.raises(DataError, match="of Spots must|Spots gives"):
            getattr(trainer(), stage)(model(), datamodule=Spots(wrong, split))


def test_the_batches_after_the_first_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr("datamodules.base.check_images", lambda *_: looked.append("images"))
    monkeypatch.setattr("datamodules.base.check_truth", lambda *_: looked.append("truth"))
    data = Spots()
    trainer(max_steps=4).fit(model(), datamodule=data)
    assert looked == ["truth", "images"] * 3  # of the sanity check, of training, of validation
    trainer().fit(model(), datamodule=data)
    assert looked == ["truth", "images"] * 6  # another model


def test_training_carries_a_truth_with_other_places_and_nothing_told() -> None:
    """Nobody looks at it."""
    trainer(limit_val_batches=0).fit(model(), datamodule=Spots("places", "train"))
    trainer(limit_val_batches=0).fit(model(), datamodule=Spots("negative", "train"))


def test_images_before_the_first_batch_are_looked_at() -> None:
    for wrong in ("bytes", "channels last", "nan", "levels", "dict"):
        with pytest.raises(DataError) as error:
            trainer().fit(model(background=MedianBackground()), datamodule=Spots(wrong))
        assert str(error.value).startswith(SAID[wrong].partition(", got")[0])


def test_a_truth_that_is_not_known_is_not_looked_at() -> None:
    for wrong in ("columns", "places", "too many", "no poses", "identity"):
        trainer().validate(model(), datamodule=Spots(wrong, truth=False), verbose=False)
    with pytest.raises(DataError, match="got torch.uint8"):
        trainer().validate(model(), datamodule=Spots("bytes", truth=False))


def test_another_unit_may_be_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spots, "any_values", True)
    trainer().validate(model(), datamodule=Spots("levels"), verbose=False)


def test_identities_are_numbers_of_the_datas_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spots, "identity_names", ("red", "blue"))
    trainer().validate(model(), datamodule=Spots(), verbose=False)
    with pytest.raises(DataError, match=r"what of Spots must be from 0 to 1, the numbers of its identity_names \(red"):
        trainer().validate(model(), datamodule=Spots("identity"))


def test_codes_are_no_identities() -> None:
    module = AIRModule(Bumps(SIZE), inference=network, slots=2)
    with pytest.raises(DataError, match=r"must have shape \(batch, 1, 12, 12\)"):
        trainer().validate(module, datamodule=Spots("identity"))


def test_batches_may_be_finished_where_the_model_is() -> None:
    """As Lightning has it, on the device: bytes are carried, and made images there."""

    class Carried(Spots):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Batch:
            images = batch.images.float() / 255
            return super().on_after_batch_transfer(batch._replace(images=images), dataloader_idx)

    trainer().fit(model(), datamodule=Carried("bytes"))


def test_twice_the_bits_are_asked_for_where_a_training_has_them() -> None:
    trainer(precision="64-true").validate(model(), datamodule=Spots(), verbose=False)


def test_fit_and_test_end_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, run = tmp_path / "c.yaml", tmp_path / "run"
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "max_steps": 2}
    renderer = {"class_path": "renderers_for_tests.Discs", "init_args": {"size": SIZE}}
    data = {"class_path": "batches_for_tests.Spots", "init_args": {"wrong": "bytes", "split": "train"}}
    content = {"trainer": quiet, "model": {"renderer": renderer, "slots": 2}, "data": data}
    config.write_text(yaml.safe_dump({**content, "figures": {"every_minutes": 0}}))

    def refused(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--run_dir", str(run)])
        assert stop.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    assert refused("fit", "--config", str(config)) == f"error: {SAID['bytes']}" and not run.exists()
    main(["fit", "--config", str(config), "--run_dir", str(run), "--data.split", "test"])
    assert refused("test") == f"error: {SAID['bytes']}" and not (run / "test_metrics.json").exists()


def test_the_first_images_are_those_of_batches() -> None:
    assert Spots().first_images("val", 3).shape == (3, 3, SIZE, SIZE)
    with pytest.raises(DataError, match="Spots gives a tuple as a batch"):
        Spots("tuple").first_images("val", 3)
    assert torch.equal(Spots().first_images("val", 1)[0, 0, 4:8, 4:8], torch.ones(4, 4))
