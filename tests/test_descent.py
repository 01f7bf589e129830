"""Descent: slots that the network puts beside their objects find them, before the next one is looked for."""

import re
from collections.abc import Callable

import pytest
import torch
from greedy_for_tests import APART, Greedy, drawn_images
from toy_renderers import Blobs, Panned, Slabs

from air_lightning.likelihoods import LearntScale, NormalLikelihood
from air_lightning.model import AIRModule, Descent
from renderers import Renderer

BESIDE = 0.25
"""x of an object; the network looks at 0 first."""
FOUND = Descent(steps=40, rate=0.3)


def module(descent: Descent | None, learnt: bool = False) -> AIRModule:
    likelihood = NormalLikelihood(LearntScale(start=0.3)) if learnt else None
    return AIRModule(Blobs(differentiable=True), Greedy, slots=3, likelihood=likelihood, descent=descent).eval()


@pytest.mark.parametrize("learnt", [False, True])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_slot_beside_its_object_finds_it_and_no_other_patches_it(mode: Callable[[], object], learnt: bool) -> None:
    images = drawn_images((BESIDE,))
    assert module(None, learnt).infer(images).count.item() > 1
    with mode():  # type: ignore[attr-defined]
        seen = module(FOUND, learnt).infer(images)
    assert seen.count.tolist() == [1]
    assert float(seen.slots.where[0, 0, 0]) == pytest.approx(BESIDE, abs=0.03)
    assert float((seen.reconstruction - images).abs().max()) < 0.1


def test_images_do_not_disturb_one_another() -> None:
    images = drawn_images((BESIDE,), (-APART, APART), (0.0,))
    together = module(FOUND).infer(images)
    for i in range(len(images)):
        alone = module(FOUND).infer(images[i : i + 1])
        torch.testing.assert_close(alone.slots.where[0], together.slots.where[i], atol=1e-4, rtol=1e-4)
        assert alone.count[0] == together.count[i]


def test_a_slot_that_ends_worse_stays_as_it_was() -> None:
    images = drawn_images((BESIDE,), (0.0,))
    own, far = (module(how).infer(images).slots for how in (None, Descent(steps=1, rate=50.0)))
    for name, value in own._asdict().items():
        torch.testing.assert_close(getattr(far, name), value, msg=name)


def test_explanations_are_worth_more() -> None:
    images = drawn_images((BESIDE,), (-APART, APART))
    _, before, after = module(FOUND).improvement(images)
    assert bool((after > before + 1).all())


@pytest.mark.parametrize(
    ("renderer", "reason"),
    [
        (Blobs(), "Blobs is not differentiable"),
        (Slabs(), "Slabs is not differentiable"),
        (Panned(differentiable=True), "Panned has coordinates of the scene"),
    ],
)
def test_renderers_without_a_gradient_are_refused(renderer: Renderer, reason: str) -> None:
    text = f"{reason}, and descent is for differentiable renderers of a continuous `what`, one slot upon another"
    with pytest.raises(ValueError, match=re.escape(text)):
        AIRModule(renderer, descent=Descent())


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("rate", 0.0), ("rate", float("nan"))])
def test_values_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"descent's {name} must be .* got {value}"):
        Descent(**{name: value})
