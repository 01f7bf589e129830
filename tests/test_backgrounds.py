"""Backgrounds behind the objects: what each of them is, what the model makes of it, and what checkpoints keep of it."""

import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image
from renderers_for_tests import Bumps, BumpScenes
from runs_for_tests import GLIMPSES, write_run
from torch import Tensor

from air_lightning.backgrounds import (
    Background,
    CodedBackground,
    ImageFileBackground,
    LearntBackground,
    MedianBackground,
    NoBackground,
    PolynomialBackground,
)
from air_lightning.cli import main
from air_lightning.commands.report.page import scene_card
from air_lightning.commands.report.scenes import judge_batch
from air_lightning.distributions import count_log_posterior
from air_lightning.inference import ResidualAttention
from air_lightning.likelihoods import NormalLikelihood
from air_lightning.model.evidence import bound, evidence, log_likelihoods, slot_kl
from air_lightning.model.laplace import laplace_sd
from air_lightning.model.module import AIRModule, drawn
from air_lightning.model.observation import Observation
from air_lightning.model.reconsideration import Reconsideration
from air_lightning.model.refinement import Refinement
from air_lightning.model.slots import infer
from datamodules.base import Batch, Scenes
from renderers import GlimpseRenderer

network = partial(ResidualAttention, channels=4, hidden=8)
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*is smaller than the logging interval.*"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated.*"),
    pytest.mark.filterwarnings("ignore:.*GPU available but not used.*"),
]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def ramp(size: int = 12) -> Tensor:
    return torch.linspace(0.1, 0.6, size).expand(1, size, size).contiguous()


def model(background: Background | None, **options: Any) -> AIRModule:
    return AIRModule(Bumps(), network, slots=2, background=background, likelihood=NormalLikelihood(0.2), **options)


class OverRamp(Scenes):
    """Bumps on a ramp."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes

    def __getitems__(self, indices: list[int]) -> Batch:
        batch = self.scenes.__getitems__(indices)
        return batch._replace(images=batch.images + ramp())


class RampScenes(BumpScenes):
    def scenes(self, split: str) -> Scenes:  # type: ignore[override]
        return OverRamp(super().scenes(split))


def trainer(folder: Path, steps: int = 2) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(max_steps=steps, accelerator="cpu", default_root_dir=folder, enable_checkpointing=False, **quiet)


# ---- what each of them is


def test_the_median_is_what_a_still_camera_sees() -> None:
    renderer, background = Bumps(), MedianBackground()
    background.prepare(renderer)
    assert background.waits and torch.equal(background(torch.rand(2, 1, 12, 12)).image, renderer.image_background())
    what, where = torch.zeros(31, 1, 2), renderer.where.constrain(torch.randn(31, 1, 2))
    background.fit(renderer.render(what, where, ramp())[:, 1])
    assert not background.waits
    torch.testing.assert_close(background.image, ramp(), rtol=0, atol=0.05)


@pytest.mark.parametrize("number", [0, 2])
def test_a_median_of_few_images_is_refused(number: int) -> None:
    background = MedianBackground()
    background.prepare(Bumps())
    said = f"a median background needs at least 3 images, got {number}: give more images, or another model.background"
    with pytest.raises(NoBackground, match=re.escape(said)):
        background.fit(torch.rand(number, 1, 12, 12))


def test_learnt_and_coded_start_where_they_are_told() -> None:
    for made in (LearntBackground(), CodedBackground()):
        made.prepare(Bumps())
        assert made.waits
        made.fit(ramp().expand(3, -1, -1, -1))
        found = made(ramp()[None]).image
        torch.testing.assert_close(found, ramp().expand_as(found), rtol=0, atol=0.1)
    for made in (LearntBackground(median=False), CodedBackground(median=False)):
        made.prepare(Bumps())
        assert not made.waits


def test_a_learnt_background_becomes_what_is_behind() -> None:
    module = model(LearntBackground(median=False))
    images = ramp().expand(8, -1, -1, -1)
    assert module.background is not None
    optimizer = torch.optim.Adam(module.background.parameters(), lr=0.003)
    for _ in range(150):
        observation = module.observed(images)
        assert observation.background is not None
        canvases = module.renderer.canvases(torch.zeros(8, 0, 2), torch.zeros(8, 0, 2), 1.0, observation.background)
        loss = -log_likelihoods(canvases, observation).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(module.background(images).image, ramp(), rtol=0, atol=0.02)


def test_a_codes_mean_log_ratio_is_its_kl() -> None:
    background = CodedBackground(code=2)
    background.prepare(GlimpseRenderer((3, 19, 12), what=2, glimpse=4, hidden=4))
    with torch.no_grad():
        background.encode[2].bias += torch.tensor([0.5, -1.0, 0.3, -2.0])
        backdrop = background(torch.rand(1, 3, 19, 12).expand(20_000, -1, -1, -1), sample=True)
    assert backdrop.image.shape == (20_000, 3, 19, 12)
    assert backdrop.kl is not None and backdrop.log_ratio is not None
    assert float(backdrop.log_ratio.mean()) == pytest.approx(float(backdrop.kl[0]), rel=0.03)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_a_polynomial_is_fitted_beside_objects_and_noise(degree: int) -> None:
    """Of each image and channel its own; what no polynomial of its degree is stays with the objects."""
    background = PolynomialBackground(degree)
    background.prepare(GlimpseRenderer((2, 24, 20)))
    x, y = torch.linspace(-1, 1, 20), torch.linspace(-1, 1, 24).unsqueeze(1)
    terms = torch.stack([torch.ones(24, 20), x.expand(24, 20), y.expand(24, 20), x * y])[: (1, 3, 4)[degree]]
    sky = 0.3 + 0.1 * (torch.randn(5, 2, len(terms), 1, 1) * terms).sum(2)
    images = sky + 0.01 * torch.randn_like(sky)
    images[:, :, 3:12, 5:12] += 0.2
    images[:, :, 15:20, 2:6] -= 0.1
    fitted = background(images)
    assert fitted.kl is None and fitted.log_ratio is None
    assert float((fitted.image - sky).square().mean().sqrt()) < 0.002  # 0.01 sqrt(6 / 400), and a little for the cut
    torch.testing.assert_close(background(images[:1]).image, fitted.image[:1])


def test_of_a_large_image_some_pixels_are_fitted_and_all_are_drawn() -> None:
    background = PolynomialBackground(1)
    background.prepare(GlimpseRenderer((1, 90, 130)))
    sky = 0.2 + 0.3 * torch.linspace(0, 1, 130).expand(1, 1, 90, 130) + 0.2 * torch.linspace(0, 1, 90).unsqueeze(1)
    images = sky.clone()
    images[..., 20:50, 40:80] = 0.9
    torch.testing.assert_close(background(images).image, sky, atol=1e-4, rtol=0)
    assert background.fitted.shape == (30 * 44, 3)


def test_a_flat_image_is_its_own_polynomial() -> None:
    background = PolynomialBackground()
    background.prepare(Bumps())
    torch.testing.assert_close(background(torch.full((1, 1, 12, 12), 0.4)).image, torch.full((1, 1, 12, 12), 0.4))


@pytest.mark.parametrize("degree", [-1, 4])
def test_a_polynomial_of_no_degree_is_refused(degree: int) -> None:
    message = f"a polynomial background's degree must lie between 0 and 3, got {degree}: 1 is a slope"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        PolynomialBackground(degree)


@pytest.mark.parametrize("name", ["code", "hidden"])
def test_a_code_without_numbers_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"a coded background's {name} must be at least 1, got 0"):
        CodedBackground(**{name: 0})


def test_small_objects_do_not_change_what_a_code_is_read_from() -> None:
    background = CodedBackground()
    background.prepare(GlimpseRenderer((3, 64, 64), what=2, glimpse=4, hidden=4))
    empty = torch.full((1, 3, 64, 64), 0.4)
    spotted = empty.clone()
    spotted[..., 20:24, 30:35] = 1.0
    assert torch.equal(background(empty).image, background(spotted).image)


# ---- an image file


def written(folder: Path, values: Tensor, name: str = "empty.png") -> Path:
    Image.fromarray((values[0] * 255).round().to(torch.uint8).numpy()).save(folder / name)
    return folder / name


def test_an_image_file_is_behind_all_objects(tmp_path: Path) -> None:
    module = model(ImageFileBackground(str(written(tmp_path, ramp()))))
    none, behind = torch.zeros(1, 0, 2), module.observed(ramp()[None]).background
    torch.testing.assert_close(module.renderer.render(none, none, behind)[0, 0], ramp(), rtol=0, atol=0.51 / 255)


def unreadable(folder: Path) -> tuple[str, str]:
    return str(folder / "none.png"), f"model.background: could not read {folder / 'none.png'}: "


def of_another_size(folder: Path) -> tuple[str, str]:
    path = written(folder, ramp(16))
    said = f"{path} is an image of (1, 16, 16) (channels, height, width), and the model's images are (1, 12, 12): scale"
    return str(path), f"model.background: {said} it to their size"


def several(folder: Path) -> tuple[str, str]:
    np.save(folder / "two.npy", np.zeros((2, 12, 12), np.uint8))
    return str(
        folder / "two.npy"
    ), f"{folder / 'two.npy'} holds 2 images, and a background is one: take one of them out"


@pytest.mark.parametrize("make", [unreadable, of_another_size, several])
def test_unsuitable_files_are_refused_when_they_are_needed(make: Any, tmp_path: Path) -> None:
    """Not before: a checkpoint may hold the image."""
    path, said = make(tmp_path)
    module = model(ImageFileBackground(path))
    with pytest.raises(NoBackground, match=re.escape(said)):
        trainer(tmp_path).fit(module, datamodule=RampScenes(module.renderer))
    with pytest.raises(NoBackground, match=re.escape(said)):
        module.infer(torch.rand(1, 1, 12, 12))


# ---- checkpoints


def saved(module: AIRModule) -> dict[str, Any]:
    checkpoint = {"state_dict": {name: value.clone() for name, value in module.state_dict().items()}}
    module.on_save_checkpoint(checkpoint)
    return checkpoint


def loaded(module: AIRModule, checkpoint: dict[str, Any]) -> AIRModule:
    checkpoint = dict(checkpoint)
    module.on_load_checkpoint(checkpoint)
    module.load_state_dict(checkpoint["state_dict"])
    return module


def test_a_checkpoint_keeps_the_image_and_says_where_the_file_has_changed(tmp_path: Path) -> None:
    path = str(written(tmp_path, ramp()))
    first = model(ImageFileBackground(path))
    checkpoint, images = saved(first), torch.rand(2, 1, 12, 12)
    expected = first.observed(images).background
    assert expected is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded(model(ImageFileBackground(path)), checkpoint)
        Path(path).unlink()
        again = loaded(model(ImageFileBackground(path)), checkpoint)
        once_more = loaded(model(ImageFileBackground(path)), saved(again))
    for module in (again, once_more):
        assert torch.equal(module.observed(images).background, expected)  # type: ignore[arg-type]
    written(tmp_path, 1 - ramp())
    with pytest.warns(UserWarning, match=f"the background '{path}' is not what it was in training"):
        changed = loaded(model(ImageFileBackground(path)), checkpoint)
    assert torch.equal(changed.observed(images).background, expected)  # type: ignore[arg-type]


def test_another_background_takes_the_place_of_the_checkpoints(tmp_path: Path) -> None:
    first = model(MedianBackground())
    assert first.background is not None
    first.background.fit(ramp().expand(3, -1, -1, -1))
    checkpoint = saved(first)
    assert torch.equal(loaded(model(MedianBackground()), checkpoint).observed(ramp()[None]).background, ramp())  # type: ignore[arg-type]
    assert loaded(model(None), checkpoint).observed(ramp()[None]).background is None
    other = loaded(model(ImageFileBackground(str(written(tmp_path, 1 - ramp())))), checkpoint)
    torch.testing.assert_close(other.observed(ramp()[None]).background, 1 - ramp(), rtol=0, atol=0.51 / 255)
    fresh = loaded(model(MedianBackground()), saved(model(None)))
    assert fresh.background is not None and fresh.background.waits


# ---- training and evaluation


@pytest.mark.parametrize("background", [MedianBackground(), LearntBackground(), CodedBackground()])
def test_fit_starts_at_the_training_images_median_once(background: MedianBackground, tmp_path: Path) -> None:
    module = model(background)
    data = RampScenes(module.renderer)
    images = data.scenes("train").__getitems__(list(range(8))).images
    started = {name: p.detach().clone() for name, p in background.named_parameters()}
    trainer(tmp_path).fit(module, datamodule=data)
    assert torch.equal(background.image, images.median(0).values)
    background.image += 1
    trainer(tmp_path, 1).fit(module, datamodule=data)
    assert torch.equal(background.image, images.median(0).values + 1)
    figures = trainer(tmp_path).test(module, datamodule=data, verbose=False)[0]
    assert np.isfinite(figures["test/elbo"])
    assert all(not torch.equal(p, started[name]) for name, p in background.named_parameters())


def test_a_model_without_takes_the_median_of_what_it_is_tested_on(tmp_path: Path) -> None:
    module = model(MedianBackground())
    data = RampScenes(module.renderer)
    trainer(tmp_path).test(module, datamodule=data, verbose=False)
    assert isinstance(module.background, MedianBackground)
    tested = data.scenes("test").__getitems__(list(range(4))).images
    assert torch.equal(module.background.image, tested.median(0).values)


def test_no_background_without_images_to_look_at(tmp_path: Path) -> None:
    module = model(MedianBackground())
    batch = BumpScenes(module.renderer).scenes("test").__getitems__([0, 1])
    loader = torch.utils.data.DataLoader([batch], batch_size=None)  # type: ignore[arg-type]
    said = "MedianBackground looks at images before the first step, and there is no SceneDataModule to take them from"
    with pytest.raises(NoBackground, match=said):
        trainer(tmp_path).test(module, loader, verbose=False)


@pytest.mark.parametrize("background", [LearntBackground(median=False), CodedBackground(median=False)])
def test_every_f_n_holds_the_background_and_its_kl(background: Background) -> None:
    module = model(background)
    with torch.no_grad():
        for parameter in background.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    images = torch.rand(3, 1, 12, 12)
    torch.manual_seed(1)
    found = module.elbo(images)
    torch.manual_seed(1)
    backdrop = background(images, sample=True)
    observation = Observation(images, module.likelihood.final(), backdrop.image, backdrop.kl)
    slots = infer(module.renderer, module.network, observation, 2)
    front = module.renderer.render(slots.what, slots.where) - module.renderer.image_background()
    canvases = front + backdrop.image.expand(3, 1, 12, 12).unsqueeze(1)
    explained = evidence(log_likelihoods(canvases, observation), slot_kl(module.renderer, slots))
    if backdrop.kl is not None:
        explained = explained - backdrop.kl.unsqueeze(1)
    torch.testing.assert_close(found, bound(count_log_posterior(slots.presence_logits), explained, module.log_prior))


def test_all_that_scores_explanations_sees_the_background() -> None:
    """Objects over a ramp, which is subtracted from the images of a model without: every number is the same."""
    renderer, what = Bumps(), torch.zeros(4, 1, 2)
    where = renderer.where.constrain(torch.randn(4, 1, 2))
    images = renderer.render(what, where)[:, 1]
    steps = {"refinement": Refinement(2), "reconsideration": Reconsideration()}
    plain, over = (model(background, **steps) for background in (None, MedianBackground()))
    over.background.fit(ramp().expand(3, -1, -1, -1))  # type: ignore[union-attr]
    over.network.load_state_dict(plain.network.state_dict())
    expected, found = plain.infer(images), over.infer(images + ramp())
    observations = plain.observed(images), over.observed(images + ramp())
    weights = torch.full((4, 2, 3), 1 / 3)
    sds = [laplace_sd(renderer, observation, expected.slots, weights) for observation in observations]
    torch.testing.assert_close(sds[1], sds[0], rtol=1e-3, atol=1e-4)
    slots = expected.slots
    joint = [m._log_joint(o, slots) for m, o in zip((plain, over), observations)]
    torch.testing.assert_close(joint[1], joint[0], rtol=1e-4, atol=1e-3)
    assert found.background is not None and expected.background is None
    kl = slot_kl(renderer, slots)
    moved = slots._replace(where=slots.where + 0.05)
    refined = [Refinement(2)(renderer, observation, moved, kl, plain.log_prior) for observation in observations]
    torch.testing.assert_close(refined[1].where, refined[0].where, rtol=1e-3, atol=1e-3)


# ---- figures, commands


def test_figures_show_background_and_objects_apart() -> None:
    module = model(MedianBackground())
    assert module.background is not None
    module.background.fit(ramp().expand(3, -1, -1, -1))
    what, where = torch.zeros(2, 1, 2), torch.zeros(2, 1, 2)
    batch = Batch(module.renderer.render(what, where, ramp())[:, 1], torch.ones(2).long(), what, where)
    plain = model(None).image(batch)
    image = module.image(batch)
    assert image.shape[0] == plain.shape[0] and image.shape[1] > 1.8 * plain.shape[1]
    seen = module.infer(batch.images)
    reconstruction, behind, objects = drawn(module.renderer, seen).chunk(3, -1)
    torch.testing.assert_close(behind + objects, reconstruction)  # of layers that add up
    scenes = judge_batch(module.renderer, batch, seen, 0)
    assert [[name for name, *_ in scene_card(scene, has_truth=False)["views"]] for scene in scenes] == [
        ["inferred", "reconstruction", "background", "objects"]
    ] * 2
    assert torch.equal(behind[0], ramp()) and (objects > -1e-6).all()


def fitted(*arguments: object) -> None:
    small = ["--trainer.max_steps", 1, "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", False]
    small += ["--trainer.val_check_interval", 1, "--trainer.check_val_every_n_epoch", "null", "--model.slots", 1]
    glimpses = ["--model.renderer", "renderers.GlimpseRenderer", "--model.renderer.image_shape", "[1,12,12]"]
    glimpses += ["--model.renderer.what", 2, "--model.renderer.glimpse", 4, "--model.renderer.hidden", 4]
    data = ["--data", "datamodules.ImageFolder", "--data.batch_size", 2, "--data.train_scenes", 2]
    main(["fit", *(str(a) for a in (*small, *glimpses, *data, "--checkpoint.monitor", "val/elbo", *arguments))])


def images(folder: Path, number: int) -> Path:
    folder.mkdir()
    for i in range(number):
        written(folder, (ramp() + 0.2 * torch.rand(1, 12, 12)).clamp(0, 1), f"{i}.png")
    return folder


def test_a_file_is_not_needed_again_after_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, folder = written(tmp_path, ramp()), images(tmp_path / "images", 6)
    chosen = ["--model.background", "ImageFileBackground", "--model.background.path", file]
    fitted("--run_dir", tmp_path / "run", "--data.folder", folder, *chosen)
    file.unlink()
    main(["test", "--run_dir", str(tmp_path / "run"), "--trainer.accelerator", "cpu"])
    main(["export", "--run_dir", str(tmp_path / "run"), "--output", str(tmp_path / "small"), "--format", "checkpoint"])
    given = ["--input", str(folder), "--output", str(tmp_path / "out"), "--accelerator", "cpu"]
    main(["predict", "--run_dir", str(tmp_path / "small"), *given])
    main(["predict", "--run_dir", str(tmp_path / "small"), *given, "--background", "median", "--overwrite"])
    with pytest.raises(SystemExit) as stop:
        fitted("--run_dir", tmp_path / "again", "--data.folder", folder, *chosen)
    assert stop.value.code == 2 and not (tmp_path / "again").exists()
    assert f"error: model.background: could not read {file}: " in capsys.readouterr().err


@pytest.mark.parametrize("make", [unreadable, of_another_size])
def test_a_background_file_that_cannot_be_used_is_said_and_the_run_is_not_damaged(
    make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, folder = write_run(tmp_path / "run", GLIMPSES), images(tmp_path / "images", 3)
    path, said = make(tmp_path)
    if make is of_another_size:
        said = f"model.background: {path} is an image of (1, 16, 16) (channels, height, width), and the model's"
    chosen = ["--run_dir", str(run), "--output", str(tmp_path / "out")]
    chosen += ["--model.background", "ImageFileBackground", "--model.background.path", path]
    for command in (["predict", "--accelerator", "cpu"], ["adapt"]):
        with pytest.raises(SystemExit) as stop:
            main([*command, *chosen, "--input", str(folder)])
        assert stop.value.code == 2 and not (tmp_path / "out").exists()
        assert f"error: {said}" in capsys.readouterr().err


def test_a_median_of_two_training_images_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = images(tmp_path / "images", 4)  # two of which are held out
    with pytest.raises(SystemExit) as stop:
        fitted("--run_dir", tmp_path / "run", "--data.folder", folder, "--model.background", "MedianBackground")
    assert stop.value.code == 2 and not (tmp_path / "run").exists()
    assert "error: a median background needs at least 3 images, got 2: give more images" in capsys.readouterr().err


def test_a_median_of_two_given_images_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", GLIMPSES)
    given = ["--input", str(images(tmp_path / "images", 2)), "--output", str(tmp_path / "out"), "--accelerator", "cpu"]
    for option in (["--background", "median"], ["--model.background", "air_lightning.backgrounds.MedianBackground"]):
        with pytest.raises(SystemExit) as stop:
            main(["predict", "--run_dir", str(run), *given, *option])
        assert stop.value.code == 2 and not (tmp_path / "out").exists()
        assert "error: a median background needs at least 3 images, got 2: give more images" in capsys.readouterr().err
