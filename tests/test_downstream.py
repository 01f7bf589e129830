"""The downstream tasks: their answers, latents, classifiers and chart, and the command on a tiny model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_digits
import torch
from PIL import Image
from torch import Tensor

from air_lightning.cli import main
from air_lightning.commands.downstream import CLASSES, PAIRS, Latents, PairClassifier, PixelClassifier, infer, labels
from air_lightning.commands.downstream.chart import HEIGHT, WIDTH, draw_chart
from air_lightning.commands.downstream.classifiers import FEWEST
from air_lightning.commands.downstream.study import compare, material
from air_lightning.commands.downstream.training import Plan, accuracy, choose, held_out, train
from air_lightning.inference import ResidualAttention
from air_lightning.model.module import AIRModule
from datamodules import Batch, MultiMNIST
from renderers import GlimpseRenderer

CONFIGS = Path(__file__).parent.parent / "configs"
QUICK = Plan(lr=5e-3, weight_decay=0.0, passes=1.0, fewest=300, largest_batch=64)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tiny_digits.write(tmp_path / "data")
    monkeypatch.setenv("AIR_DATA_ROOT", str(folder))
    return folder


def model(slots: int = 2) -> AIRModule:
    torch.manual_seed(0)
    renderer = GlimpseRenderer(what=4, glimpse=8, hidden=16)
    module = AIRModule(renderer, lambda r: ResidualAttention(r, channels=4, reader=0, hidden=16, glimpse=8), slots)
    return module.eval()


# ---- tasks


def scene(digits: list[int], lefts: list[int]) -> Batch:
    """Digits in boxes 10 pixels wide that begin at these columns."""
    boxes = torch.tensor([[[x, 0, x + 10, 20] for x in lefts]]).float()
    return Batch(torch.zeros(1, 1, 50, 50), torch.tensor([2]), torch.tensor([digits]), torch.zeros(1, 2, 3), boxes)


@pytest.mark.parametrize(
    "digits, lefts, total, ascending",
    [
        ([3, 5], [0, 20], 8, 1),
        ([3, 5], [20, 0], 8, 0),
        ([9, 9], [20, 0], 18, 1),  # equal digits ascend
        ([0, 0], [0, 20], 0, 1),
        ([7, 2], [0, 20], 9, 0),
        ([2, 7], [5, 5], 9, 1),  # one above the other: the first is the left one
    ],
)
def test_answers(digits: list[int], lefts: list[int], total: int, ascending: int) -> None:
    shown = scene(digits, lefts)
    assert labels("sum", shown).tolist() == [total] and labels("order", shown).tolist() == [ascending]
    assert total < CLASSES["sum"] and CLASSES["order"] == 2


@pytest.mark.parametrize(
    "change, message",
    [
        ({"count": torch.tensor([1])}, r"need boxes and 2 objects in every scene: give data .* counts \[2\]"),
        ({"boxes": None}, r"need boxes and 2 objects"),
        ({"what": torch.tensor([[3, 12]])}, r"need digits 0 to 9, got the identity 12: use MultiMNIST"),
    ],
)
def test_scenes_without_two_digits_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        labels("sum", scene([1, 2], [0, 20])._replace(**change))


# ---- latents


def test_latents_are_the_posterior_from_left_to_right() -> None:
    module, images = model(slots=3), MultiMNIST(counts=[2]).scenes("train").__getitems__(list(range(20))).images
    found, explanation = infer(module, images), module.infer(images)
    assert found.mean.shape == found.sd.shape == (20, 2, 4) and found.place.shape == (20, 2, 4)
    assert (found.place[:, 0, 0] <= found.place[:, 1, 0]).all() and (found.sd > 0).all()
    swapped = explanation.slots.where[:, 0, 1] > explanation.slots.where[:, 1, 1]
    assert swapped.any() and not swapped.all()
    first = explanation.slots.what_parameters[:, 0, :4]
    torch.testing.assert_close(torch.where(swapped[:, None], found.mean[:, 1], found.mean[:, 0]), first)
    present = 1 - explanation.posterior[:, 0]
    torch.testing.assert_close(torch.where(swapped, found.place[:, 1, 3], found.place[:, 0, 3]), present)
    again = infer(module, images)
    assert all(torch.equal(a, b) for a, b in zip(found, again))


def test_material_is_the_first_scenes_of_a_split() -> None:
    data, module = MultiMNIST(counts=[2]), model()
    long, short = (material(module, data, "sum", "train", n) for n in (520, 7))
    assert long.images.dtype == torch.uint8 and len(long.answers) == 520
    first = long.first(7)
    assert torch.equal(first.images, short.images) and torch.equal(first.answers, short.answers)
    torch.testing.assert_close(first.latents.mean, short.latents.mean)
    assert not torch.equal(material(module, data, "sum", "test", 7).images, short.images)


# ---- classifiers


def pairs(n: int, seed: int) -> tuple[Latents, Tensor]:
    """Objects whose code is a noisy direction for each digit, and their sum."""
    directions = torch.randn(10, 8, generator=torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(seed)
    digits = torch.randint(10, (n, 2), generator=random)
    codes = directions[digits] + 0.1 * torch.randn(n, 2, 8, generator=random)
    return Latents(codes, torch.full_like(codes, 0.1), torch.rand(n, 2, 4, generator=random)), digits.sum(1)


def test_pairs_of_objects_are_learnt() -> None:
    torch.manual_seed(0)
    (known, answers), (unseen, wanted) = pairs(1000, 1), pairs(500, 2)
    net = PairClassifier(known, 19)
    train(net, known, answers, QUICK)
    assert accuracy(net, unseen, wanted) > 0.9


def test_images_are_learnt() -> None:
    torch.manual_seed(0)
    answers = torch.randint(3, (300,))
    images = torch.zeros(300, 1, 50, 50, dtype=torch.uint8)
    for image, answer in zip(images, answers.tolist()):
        image[0, 10 * answer : 10 * answer + 20, 20:30] = 255
    net = PixelClassifier((1, 50, 50), 3)
    train(net, [images], answers, Plan(lr=1e-3, weight_decay=0.0, passes=1.0, fewest=40, largest_batch=64))
    assert accuracy(net, [images], answers) > 0.95


def test_held_out_labels_are_not_learnt_from() -> None:
    (known, answers), wrong = pairs(100, 1), torch.zeros(100, dtype=torch.int64)
    wrong[:80] = answers[:80]
    results = []
    for given in (answers, wrong):
        torch.manual_seed(0)
        net = PairClassifier(known, 19)
        seen = Plan(lr=5e-3, weight_decay=0.0, passes=1.0, fewest=1, largest_batch=64)
        train(net, known, given, seen)
        results.append(torch.cat([p.flatten() for p in net.parameters()]))
    assert seen.steps(80) == 1 and torch.equal(*results)


@pytest.mark.parametrize("number, expected", [(10, 2), (125, 25), (7000, 1400), (60_000, 2000)])
def test_share_held_out(number: int, expected: int) -> None:
    assert held_out(number) == expected


@pytest.mark.parametrize(
    "right, scenes, chosen",
    [([0.2, 0.9, 0.88, 0.5], 100, 2), ([0.2, 0.9, 0.88, 0.5], 10_000, 1), ([1.0, 1.0], 5, 1), ([0.0], 5, 0)],
)
def test_the_latest_of_nearly_the_best_is_chosen(right: list[float], scenes: int, chosen: int) -> None:
    assert choose(right, scenes) == chosen


def test_more_labels_are_trained_on_longer() -> None:
    lengths = [PAIRS.steps(n) * PAIRS.batch(n) for n in (100, 1000, 10_000, 60_000)]
    assert lengths == sorted(lengths)


def test_a_comparison_repeats_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Plan(lr=1e-3, weight_decay=0.0, passes=1.0, fewest=3, largest_batch=16)
    for name in ("PAIRS", "PIXELS"):
        monkeypatch.setattr(f"air_lightning.commands.downstream.study.{name}", short)
    data, module = MultiMNIST(counts=[2]), model()
    given, test = material(module, data, "order", "train", 30), material(module, data, "order", "test", 40)
    first, again, other = (list(compare("order", given, test, [15, 30], seed)) for seed in (3, 3, 4))
    assert [r[:4] for r in first] == [r[:4] for r in again] != [r[:4] for r in other]
    assert [r.labels for r in first] == [15, 30] and all(0 <= r.latents <= 1 and 0 <= r.pixels <= 1 for r in first)
    assert list(compare("order", given, test, [30], 3))[0][:4] == first[1][:4]  # whatever else is compared


# ---- chart


@pytest.mark.parametrize("points", [[(125, 0.2), (1000, 0.5), (1000, 0.6), (60000, 0.97)], [(10, 0.0)]])
def test_chart(tmp_path: Path, points: list[tuple[float, float]]) -> None:
    draw_chart(tmp_path / "a.png", {"one": points, "other": points[:1]}, "title", "labels", "accuracy")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (WIDTH, HEIGHT)
        pixels = np.asarray(image.convert("RGB")).astype(int)
    blue, orange = (np.abs(pixels - np.array(color)).sum(-1) < 40 for color in ((31, 111, 180), (217, 98, 43)))
    assert blue.any() and orange.any()


def test_chart_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs at least one point, got none"):
        draw_chart(tmp_path / "a.png", {"one": []}, "title", "labels", "accuracy")


# ---- the command


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a finished fit of a tiny model."""
    small = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--trainer.enable_progress_bar", "false"]
    data = ["--data.batch_size", "4", "--data.train_scenes", "16", "--data.val_scenes", "4"]
    given = ["--config", str(CONFIGS / "multi_mnist.yaml"), "--figures.every_minutes", "0"]
    main(["fit", *given, "--run_dir", str(tmp_path / "run"), *small, *data])
    return tmp_path / "run"


def downstream(run: Path, *more: object, task: str = "sum") -> None:
    config = ["--config", str(CONFIGS / f"downstream_{task}.yaml"), "--run_dir", str(run)]
    main(["downstream", *config, *[str(arg) for arg in more]])


def test_command_writes_record_and_chart(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("air_lightning.commands.downstream.study.PAIRS", QUICK)
    monkeypatch.setattr("air_lightning.commands.downstream.study.PIXELS", QUICK)
    downstream(run, "--labels", 30, 20, "--seeds", 1, 2, "--test_scenes", 50)
    record = json.loads((run / "downstream_sum" / "downstream_sum.json").read_text())
    assert [(r["seed"], r["labels"]) for r in record["results"]] == [(1, 20), (1, 30), (2, 20), (2, 30)]
    assert record["task"] == "sum" and record["test_scenes"] == 50 and record["seconds"] > 0
    assert (run / "downstream_sum" / "downstream_sum.png").is_file()
    with pytest.raises(SystemExit) as stop:
        downstream(run, "--labels", 10, "--test_scenes", 10)
    assert stop.value.code == 2 and "is there already: give --overwrite" in capsys.readouterr().err
    assert json.loads((run / "downstream_sum" / "downstream_sum.json").read_text()) == record


def test_wrong_input_ends_with_a_message_before_anything_is_computed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(folder: Path, *more: object) -> str:
        with pytest.raises(SystemExit) as stop:
            downstream(folder, *more)
        assert stop.value.code == 2
        return capsys.readouterr().err

    files = sorted(run.iterdir())
    assert "does not exist: give the folder that `fit --run_dir DIR` wrote" in refused(tmp_path / "nowhere")
    assert refused(run, "--labels", 64, "abc") == "error: labels: must be a whole number, got 'abc'\n"
    assert refused(run, "--labels", 0) == "error: labels: must be at least 1, got 0\n"
    assert refused(run, "--test_scenes", -5) == "error: test_scenes: must be at least 1, got -5\n"
    assert "seeds: must be at least 0 and below 2^31, got 4294967296\n" in refused(run, "--seeds", 2**32)
    several = "several go one after another, as in 1 2 3"
    for given in ("[64]", "[20, 30]"):
        assert refused(run, "--labels", given) == f"error: labels: must be a whole number, got {given}: {several}\n"
    assert "no folder: name another" in refused(run, "--out", run / "metrics.csv" / "out")
    (tmp_path / "list.yaml").write_text("- 1")
    assert "list.yaml' holds a list: expected arguments by name" in refused(run, "--config", tmp_path / "list.yaml")
    assert "labels must be at least 10, got 5: a fifth of them is held out" in refused(run, "--labels", 5)
    assert "got counts (1, 2): give data.counts [2]" in refused(run, "--data.counts", "[1, 2]")
    assert "the data's images are (1, 60, 60)" in refused(run, "--data.canvas", 60)
    (run / "checkpoints" / "best.ckpt").rename(run / "checkpoints" / "other.ckpt")
    assert "has no checkpoints/best.ckpt" in refused(run)
    assert sorted(run.iterdir()) == files


class Few(MultiMNIST):
    """Has 40 scenes of each split."""

    def scenes(self, split: str) -> Any:
        scenes = super().scenes(split)
        scenes.__class__ = type("FewScenes", (type(scenes),), {"__len__": lambda self: 40})
        return scenes


def test_data_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["downstream", "--run_dir", str(tmp_path), "--task", "sum", "--labels", "10"])
    assert stop.value.code == 2
    said = "error: downstream needs data: give --data CLASS, or --config FILE that names it\n"
    assert capsys.readouterr().err == said


def test_no_more_scenes_are_asked_for_than_there_are(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--data", "test_downstream.Few", "--data.counts", "[2]")
    for more, said in (
        (("--labels", 20, 64, "--test_scenes", 40), "labels 64 is more than the 40 scenes that Few has for train"),
        (("--labels", 40, "--test_scenes", 41), "test_scenes 41 is more than the 40 scenes that Few has for test"),
    ):
        with pytest.raises(SystemExit) as stop:
            downstream(run, *data, *more)
        assert stop.value.code == 2 and capsys.readouterr().err == f"error: {said}: give 40 at most\n"


def test_data_that_does_not_say_its_counts_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "images.npz", image=np.zeros((20, 50, 50, 1), np.uint8))
    with pytest.raises(SystemExit) as stop:
        downstream(run, "--data", "ImageArrays", "--data.file", tmp_path / "images.npz", "--data.truth", "false")
    assert stop.value.code == 2
    assert "and ImageArrays does not say how many objects its scenes hold: use data" in capsys.readouterr().err


def test_model_of_named_objects_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--trainer.max_steps", "1", "--trainer.val_check_interval", "1", "--trainer.enable_progress_bar", "false"]
    data = ["--data.batch_size", "2", "--data.train_scenes", "2", "--data.val_scenes", "2"]
    given = ["--config", str(CONFIGS / "scenes3d.yaml"), "--figures.every_minutes", "0"]
    main(["fit", *given, "--run_dir", str(tmp_path / "run"), *small, *data])
    with pytest.raises(SystemExit) as stop:
        downstream(tmp_path / "run")
    assert stop.value.code == 2
    assert "MeshRenderer has a categorical `what`, which names the objects already" in capsys.readouterr().err


def test_model_of_one_slot_is_refused() -> None:
    from air_lightning.commands.downstream.latents import check_model

    with pytest.raises(ValueError, match="downstream needs a model of at least 2 slots, got model.slots 1"):
        check_model(model(slots=1))


def test_help_mentions_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    for asked, shown in ((["--help"], "downstream --help"), (["downstream", "--help"], "--labels")):
        with pytest.raises(SystemExit) as stop:
            main(asked)
        assert stop.value.code == 0 and shown in capsys.readouterr().out


def test_few_codes_are_learnt_from_with_noise_and_many_without() -> None:
    """Half the posterior's sd, while learning alone."""

    def spread(scenes: int, training: bool) -> float:
        torch.manual_seed(0)
        latents = Latents(torch.zeros(scenes, 2, 3), torch.ones(scenes, 2, 3), torch.rand(scenes, 2, 4))
        net = PairClassifier(latents, 5, dropout=0.0).train(training)
        return (net(*latents) - net(*latents)).detach().abs().max().item()

    assert spread(FEWEST - 1, training=True) > 0
    assert spread(FEWEST - 1, training=False) == 0
    assert spread(FEWEST, training=True) == 0
