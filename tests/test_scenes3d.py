"""Rendered scenes: each a pure function of its number, and the truth that comes with it."""

import re
from itertools import combinations
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from renderers_for_tests import Bumps, Discs
from scipy.stats import chisquare, kstest
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from datamodules import Batch, SceneDataModule, Scenes3D
from datamodules.base import SPLITS, CounterSampler, HeldOutSampler, OverfitSampler
from renderers import MeshRenderer, Renderer

SIZES = {"batch_size": 4, "train_scenes": 12, "val_scenes": 6, "test_scenes": 6}


@pytest.fixture(scope="module")
def renderer() -> MeshRenderer:
    return MeshRenderer(image_size=(32, 32))


def fetch(data: SceneDataModule, numbers: list[int], split: str = "train") -> Batch:
    return data.scenes(split).__getitems__(numbers)


def parts(batch: Batch) -> list[Tensor]:
    """Images and truth, as far as scenes on a table have it."""
    return [batch.images, batch.count, batch.what, batch.where]


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(parts(a), parts(b)))


def pick(batch: Batch, rows: list[int]) -> Batch:
    return Batch(*(part[rows] for part in parts(batch)))


# ---- scenes by number


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_scene_is_a_function_of_its_number(renderer: MeshRenderer, noise: float) -> None:
    """Whatever the batch, the order, and what was fetched before."""
    data = Scenes3D(renderer, noise=noise)
    whole = fetch(data, list(range(12)))
    rows = [7, 0, 11, 3, 3]
    assert same(fetch(data, rows), pick(whole, rows))
    torch.manual_seed(5)
    again = Scenes3D(MeshRenderer(image_size=(32, 32)), noise=noise)
    assert same(fetch(again, [4]), pick(whole, [4]))
    assert same(again.scenes("train")[9], pick(whole, [9]))


def test_scenes_draw_from_no_global_generator(renderer: MeshRenderer) -> None:
    before = torch.get_rng_state()
    fetch(Scenes3D(renderer, noise=0.1), [1, 2])
    assert torch.equal(torch.get_rng_state(), before)


def test_splits_and_seeds_have_streams_of_their_own(renderer: MeshRenderer) -> None:
    poses = {}
    for seed in (0, 1, 2**40):
        for split in ("train", "val", "test"):
            data = Scenes3D(renderer, counts=(3,), seed=seed)
            poses[seed, split] = fetch(data, [0, 1, 2], split).where.flatten(0, 1)
    everything = torch.cat(list(poses.values()))
    assert len(everything.unique(dim=0)) == len(everything) == 81


def test_predict_shows_the_scenes_of_test(renderer: MeshRenderer) -> None:
    data = Scenes3D(renderer, noise=0.05, **SIZES)
    assert same(fetch(data, [0, 5], "predict"), fetch(data, [0, 5], "test"))
    batches = [list(loader) for loader in (data.predict_dataloader(), data.test_dataloader())]
    assert all(same(a, b) for a, b in zip(*batches))


def test_far_numbers_are_scenes_too(renderer: MeshRenderer) -> None:
    data = Scenes3D(renderer, counts=(3,))
    where = fetch(data, [0, 2**31, 2**40]).where
    assert len(where.flatten(1).unique(dim=0)) == 3


# ---- loaders


def numbers(loader: DataLoader) -> list[int]:
    """What a loader's sampler asks for."""
    return list(loader.sampler)


def test_no_training_scene_repeats_over_epochs(renderer: MeshRenderer) -> None:
    loader = Scenes3D(renderer, **SIZES).train_dataloader()
    seen = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        assert len(loader) == 3
        seen += numbers(loader)
    assert seen == list(range(36))


def test_an_epoch_is_found_again(renderer: MeshRenderer) -> None:
    """Resumed at epoch 2, the sampler goes on where one that counted from 0 is."""
    sampler = CounterSampler(5)
    sampler.set_epoch(2)
    assert list(sampler) == [10, 11, 12, 13, 14] and len(sampler) == 5


@pytest.mark.parametrize("split, size", [("val", 6), ("test", 6), ("predict", 6)])
def test_held_out_scenes_stay_the_same_in_every_epoch(renderer: MeshRenderer, split: str, size: int) -> None:
    """Lightning calls ``set_epoch`` on held-out samplers too, where there is one."""
    loader = Scenes3D(renderer, **SIZES).loader(split)
    for epoch in (0, 3):
        getattr(loader.sampler, "set_epoch", lambda epoch: None)(epoch)
        assert numbers(loader) == list(range(size))


def test_batches_to_overfit_are_the_same_in_every_epoch(renderer: MeshRenderer) -> None:
    """Lightning puts a sampler of its own, which needs a set of known size, in the place of all but sequential ones."""
    seen: dict[str, list[list[float]]] = {"train": [], "val": []}

    class Watched(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
            seen["train"].append(batch.images.flatten(1).mean(1).tolist())
            return self.weight.sum()

        def validation_step(self, batch: Batch, batch_idx: int) -> None:
            seen["val"].append(batch.images.flatten(1).mean(1).tolist())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD([self.weight], 0.1)

    quiet = {name: False for name in ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")}
    trainer = pl.Trainer(max_epochs=3, overfit_batches=2, num_sanity_val_steps=0, accelerator="cpu", **quiet)
    trainer.fit(Watched(), datamodule=Scenes3D(renderer, **SIZES))
    assert len(seen["train"]) == len(seen["val"]) == 6
    assert seen["train"][:2] == seen["train"][2:4] == seen["train"][4:] and seen["train"][0] != seen["train"][1]
    assert seen["val"][:2] == seen["val"][2:4] == seen["val"][4:]
    assert [list(OverfitSampler(5, 2, rank)) for rank in (0, 1)] == [[0, 1, 2], [3, 4]]


@pytest.mark.parametrize("split", SPLITS)
def test_a_loader_gives_its_scenes_in_order(renderer: MeshRenderer, split: str) -> None:
    data = Scenes3D(renderer, **SIZES)
    batches = list(getattr(data, f"{split}_dataloader")())
    assert [len(batch.images) for batch in batches] == ([4, 4, 4] if split == "train" else [4, 2])
    joined = Batch(*(torch.cat(column) for column in zip(*map(parts, batches))))
    assert same(joined, fetch(data, list(range(len(joined.count))), split))


@pytest.mark.parametrize("split", SPLITS)
def test_loaders_leave_the_global_generator_alone(renderer: MeshRenderer, split: str) -> None:
    before = torch.get_rng_state()
    list(Scenes3D(renderer, **SIZES).loader(split))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_shares_of_training_scenes_make_up_the_batches_of_one_process(processes: int) -> None:
    """11 scenes an epoch, filled up to as many for each: none twice, none left out."""
    shares = [CounterSampler(11, processes, rank) for rank in range(processes)]
    seen = []
    for epoch in range(3):
        for share in shares:
            share.set_epoch(epoch)
        assert len({len(share) for share in shares}) == 1 and len(list(shares[0])) == len(shares[0])
        seen += [number for together in zip(*shares) for number in together]
    assert seen == list(range(len(seen))) and len(seen) == 3 * processes * -(-11 // processes)


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_shares_of_held_out_scenes_hold_each_once_and_the_same_in_every_epoch(processes: int) -> None:
    shares = [HeldOutSampler(11, processes, rank) for rank in range(processes)]
    for epoch in (0, 3):
        for share in shares:
            share.set_epoch(epoch)
        assert [number for share in shares for number in share] == list(range(11))
    sizes = [len(share) for share in shares]
    assert sizes == [len(list(share)) for share in shares] and max(sizes) - min(sizes) <= 1
    assert sizes[0] == max(sizes)


@pytest.mark.parametrize("split", SPLITS)
def test_loaders_give_the_share_of_the_trainers_process(renderer: MeshRenderer, split: str) -> None:
    data = Scenes3D(renderer, **SIZES)
    data.trainer = SimpleNamespace(world_size=2, global_rank=1)
    expected = [1, 3, 5, 7, 9, 11] if split == "train" else [3, 4, 5]
    assert numbers(data.loader(split)) == expected
    # Lightning leaves it as it is
    assert isinstance(data.loader(split).sampler, DistributedSampler)


def test_more_processes_than_held_out_scenes_are_refused(renderer: MeshRenderer) -> None:
    data = Scenes3D(renderer, **SIZES)
    data.check_shares("val", 6)
    message = "the val split has 6 scenes, fewer than the 7 processes that share them: raise data.val_scenes, or take"
    with pytest.raises(ValueError, match=message):
        data.check_shares("val", 7)


def test_a_training_loader_goes_on_where_it_was(renderer: MeshRenderer) -> None:
    """Once, within the epoch of its state; any other epoch starts from its first batch."""
    data = Scenes3D(renderer, **SIZES)
    whole, loader = list(data.train_dataloader()), data.train_dataloader()
    batches = iter(loader)
    next(batches), next(batches)
    state = loader.state_dict()
    assert state == {"epoch": 0, "scenes": 8}

    resumed = data.train_dataloader()
    resumed.load_state_dict(state)
    (rest,) = resumed
    assert same(rest, whole[2])
    assert resumed.state_dict() == {"epoch": 0, "scenes": 12} and len(list(resumed)) == 3

    for state, epoch in (({"epoch": 0, "scenes": 8}, 1), ({"epoch": 0, "scenes": 12}, 0)):
        resumed = data.train_dataloader()
        resumed.load_state_dict(state)
        resumed.sampler.set_epoch(epoch)
        assert len(list(resumed)) == 3


def test_a_training_loader_goes_on_after_as_many_scenes_in_other_processes(renderer: MeshRenderer) -> None:
    data = Scenes3D(renderer, **SIZES)
    data.trainer = SimpleNamespace(world_size=2, global_rank=1)
    loader = data.train_dataloader()
    next(iter(loader))
    assert loader.state_dict() == {"epoch": 0, "scenes": 8}
    alone = Scenes3D(renderer, **SIZES).train_dataloader()
    alone.load_state_dict(loader.state_dict())
    (rest,) = alone
    assert same(rest, fetch(data, [8, 9, 10, 11], "train"))


# ---- what scenes hold


@pytest.mark.parametrize("counts, most", [((0, 1, 2, 3), 3), ((2,), 2), ((0,), 1), ((1, 4), 4)])
def test_shapes(renderer: MeshRenderer, counts: tuple[int, ...], most: int) -> None:
    data = Scenes3D(renderer, counts=counts, apart=0.8)
    batch = fetch(data, list(range(10)))
    assert batch.images.shape == (10, 3, 32, 32) and batch.images.dtype == torch.float32
    assert batch.count.shape == (10,) and set(batch.count.tolist()) <= set(counts)
    assert batch.what.shape == (10, most) and batch.where.shape == (10, most, 3)
    assert batch.count.dtype == batch.what.dtype == torch.int64 and batch.where.dtype == torch.float32
    assert data.largest_count == max(counts) and data.extent == pytest.approx(3.8)


def present(batch: Batch) -> Tensor:
    """(B, T): which entries mean something."""
    return torch.arange(batch.what.shape[1]) < batch.count.unsqueeze(1)


@pytest.mark.parametrize("apart", [0.5, 0.9, 1.2])
def test_objects_are_apart_and_in_view(renderer: MeshRenderer, apart: float) -> None:
    batch = fetch(Scenes3D(renderer, apart=apart), list(range(200)))
    for count, where in zip(batch.count, batch.where):
        assert all(float((a - b)[:2].norm()) >= apart - 1e-6 for a, b in combinations(where[:count], 2))
    assert float(batch.where[..., :2].abs().max()) <= 1.9


@pytest.mark.parametrize("apart", [0.5, 0.9])
def test_objects_come_as_close_as_they_may(renderer: MeshRenderer, apart: float) -> None:
    where = fetch(Scenes3D(renderer, counts=(3,), apart=apart), list(range(200))).where[..., :2]
    gaps = torch.cat([(where[:, i] - where[:, j]).norm(dim=1) for i, j in combinations(range(3), 2)])
    assert apart <= gaps.min() < apart + 0.03


class Blank(Discs):
    """Draws nothing, in no time: for laws of many scenes."""

    def render(self, what: Tensor, where: Tensor, background: Tensor | None = None) -> Tensor:
        return torch.zeros(len(what), what.shape[1] + 1, *self.image_shape)


def test_counts_identities_and_poses_are_uniform() -> None:
    batch = fetch(Scenes3D(Blank(), apart=0.0), list(range(4000)))
    assert chisquare(torch.bincount(batch.count).numpy()).pvalue > 1e-3
    here = present(batch)
    assert chisquare(torch.bincount(batch.what[here]).numpy()).pvalue > 1e-3
    for values in batch.where[here].unbind(-1):
        assert kstest(((values + 0.7) / 1.4).numpy(), "uniform").pvalue > 1e-3


def test_counts_given_twice_come_twice_as_often() -> None:
    batch = fetch(Scenes3D(Blank(), counts=(1, 3, 3), apart=0.0), list(range(3000)))
    counts = torch.bincount(batch.count, minlength=4)[[1, 3]]
    assert chisquare(counts.numpy(), [1000, 2000]).pvalue > 1e-3


@pytest.mark.parametrize("name", ["mesh", "discs"])
def test_the_truth_draws_the_image(renderer: MeshRenderer, name: str) -> None:
    chosen: Renderer = renderer if name == "mesh" else Discs()
    batch = fetch(Scenes3D(chosen, apart=0.5), list(range(20)))
    for image, count, what, where in zip(*parts(batch)):
        canvases = chosen.render(what[None, :count], where[None, :count]) if count else None
        expected = chosen.image_background() if canvases is None else canvases[0, -1]
        torch.testing.assert_close(image, expected, rtol=0, atol=0)


def test_noise(renderer: MeshRenderer) -> None:
    clean, noisy = (fetch(Scenes3D(renderer, noise=noise), list(range(40))) for noise in (0.0, 0.1))
    assert all(torch.equal(a, b) for a, b in zip(parts(clean)[1:], parts(noisy)[1:]))
    assert float(noisy.images.min()) >= 0 and float(noisy.images.max()) <= 1
    # away from the ends of the range, where clipping has no part
    inner = (clean.images > 0.4) & (clean.images < 0.6)
    noise = (noisy.images - clean.images)[inner]
    assert inner.sum() > 1000
    assert abs(float(noise.mean())) < 0.01 and float(noise.std()) == pytest.approx(0.1, rel=0.05)
    assert len(noise.unique()) > 0.9 * len(noise)


def test_noise_differs_from_scene_to_scene(renderer: MeshRenderer) -> None:
    images = fetch(Scenes3D(renderer, counts=(0,), noise=0.1), [0, 1]).images
    flat = (images - renderer.image_background()).flatten(1)
    assert abs(float(torch.corrcoef(flat)[0, 1])) < 0.1


# ---- the model's renderer


class Model(pl.LightningModule):
    """Nothing but a renderer, to lend."""

    def __init__(self, renderer: Renderer) -> None:
        super().__init__()
        self.renderer = renderer


def attached(data: Scenes3D, model: pl.LightningModule) -> Scenes3D:
    """The data module as a trainer of ``model`` holds it."""
    data.trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        barebones=False,
    )
    data.trainer.strategy.connect(model)
    return data


def test_without_a_renderer_the_model_lends_its_own(renderer: MeshRenderer) -> None:
    data = attached(Scenes3D(seed=3), Model(renderer))
    assert data.extent == pytest.approx(3.8)
    assert same(fetch(data, [0, 1]), fetch(Scenes3D(renderer, seed=3), [0, 1]))


def test_its_own_renderer_comes_first(renderer: MeshRenderer) -> None:
    data = attached(Scenes3D(Discs()), Model(renderer))
    assert data.extent == 2.0  # half images


# ---- errors


@pytest.mark.parametrize(
    "options, text",
    [
        (
            {"counts": [-1, 2]},
            "counts must be a list of numbers >= 0, got [-1, 2]: [0, 1, 2, 3], for example",
        ),
        ({"counts": []}, "counts must be a list of numbers >= 0, got []: [0, 1, 2, 3], for example"),
        ({"apart": -0.5}, "apart and noise must be finite and not negative, got apart=-0.5, noise=0.0"),
        ({"noise": -0.1}, "apart and noise must be finite and not negative, got apart=0.9, noise=-0.1"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"train_scenes": 0}, "train_scenes must be at least 1, got 0"),
        ({"val_scenes": -3}, "val_scenes must be at least 1, got -3"),
        ({"test_scenes": 0}, "test_scenes must be at least 1, got 0"),
        ({"seed": -1}, "the data's seed must not be negative, got -1"),
    ],
)
def test_errors(renderer: MeshRenderer, options: dict, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Scenes3D(renderer, **options)


def test_objects_that_do_not_fit(renderer: MeshRenderer) -> None:
    text = (
        "could not place 5 objects 3.0 apart in 2000 tries, or not with ease: lower `apart` or the largest of `counts`"
    )
    data = Scenes3D(renderer, counts=(5,), apart=3.0)
    with pytest.raises(ValueError, match=re.escape(text)):
        data.coordinates(renderer)
    with pytest.raises(ValueError, match=re.escape(text)):
        fetch(data, [0])


def test_objects_that_fit_with_some_luck_are_placed_anew(renderer: MeshRenderer) -> None:
    """On a square 3.8 wide two objects 4.4 apart stand in opposite corners: the first one seldom does."""
    scenes = Scenes3D(renderer, counts=(2,), apart=4.4).scenes("train")
    stuck = [scenes._poses(scenes._generator(i, 0), 2) is None for i in range(12)]
    assert any(stuck)
    poses = scenes.__getitems__([i for i, is_stuck in enumerate(stuck) if is_stuck][:2]).where[..., :2]
    assert bool(((poses[:, 0] - poses[:, 1]).norm(dim=-1) >= 4.4 - 1e-5).all())


def test_appearance_codes_have_no_scenes() -> None:
    text = "scenes are drawn from a renderer with named identities, Bumps has appearance codes of dimension 2"
    with pytest.raises(ValueError, match=re.escape(text)):
        Scenes3D(Bumps()).scenes("train")


@pytest.mark.parametrize("ask", [lambda data: data.scenes("train"), lambda data: data.extent])
def test_no_renderer_at_all(ask: object) -> None:
    text = "Scenes3D has no renderer and no model to borrow one from: give it renderer=..., or use it in a"
    with pytest.raises(ValueError, match=re.escape(text)):
        ask(Scenes3D())  # type: ignore[operator]
