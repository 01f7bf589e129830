"""Reconsideration: with a network that looks between two objects first, and with one that has nothing to mend."""

from typing import Any

import pytest
import torch
from slots_for_tests import observed
from torch import Tensor
from toy_renderers import Blobs

from air_lightning.inference import InferenceNetwork
from air_lightning.inference.base import Proposal
from air_lightning.model.module import AIRModule
from air_lightning.model.reconsideration import Reconsideration
from air_lightning.model.slots import infer
from renderers import MeshRenderer

SCALE = 0.2
PLAIN = Reconsideration(power=1.0, margin=0.0)  # the images are small: coarsened, nothing much is at stake
SLOTS = 3


class Greedy(InferenceNetwork):
    """Knows brightness and size; looks at the image's middle first, and then at the brightest of what is left."""

    def __init__(self, renderer: Any, first: float = 0.0) -> None:
        super().__init__(renderer)
        self.renderer, self.first = [renderer], first

    def initial(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images))

    def propose(self, images: Tensor, canvas: Tensor, state: Tensor) -> tuple[Proposal, Tensor]:
        left = (images - canvas)[:, 0]
        height, width = left.shape[1:]
        best = left.flatten(1).argmax(1)
        x, y = (best % width + 0.5) * 2 / width - 1, (best // width + 0.5) * 2 / height - 1
        if bool((state == 0).all()):
            x, y = torch.full_like(x, self.first), torch.zeros_like(y)
        raw = [c.unconstrain(v) for c, v in zip(self.where_space.coordinates, (x, y, torch.full_like(x, SCALE)))]
        mean = torch.stack(raw, -1).unsqueeze(1)
        presence = torch.where(left.abs().amax((1, 2)) > 0.3, 4.0, -4.0)
        return Proposal(presence, mean, torch.full_like(mean, 0.1)), state + 1

    def appearance(self, images: Tensor, canvas: Tensor, where: Tensor, state: Tensor) -> Tensor:
        renderer = self.renderer[0]
        drawn = renderer.render(torch.ones(len(images), 1, 1), where)[:, 1] - renderer.image_background()
        fit = ((images - canvas) * drawn).sum((1, 2, 3)) / drawn.square().sum((1, 2, 3))
        return torch.stack([fit, torch.full_like(fit, -3.0)], 1)

    def observe(self, state: Tensor, what: Tensor, where: Tensor) -> Tensor:
        return state


def drawn_images(*places: tuple[float, ...]) -> Tensor:
    """(B, 1, 9, 12): bumps of brightness 1 at each image's x, on its middle row."""
    renderer = Blobs()
    rows = []
    for xs in places:
        where = torch.tensor([[[x, 0.0, SCALE] for x in xs]])
        rows.append(renderer.render(torch.ones(1, len(xs), 1), where)[:, -1])
    return torch.cat(rows)


def module(reconsideration: Reconsideration | None, first: float = 0.0) -> AIRModule:
    return AIRModule(
        Blobs(), lambda renderer: Greedy(renderer, first), slots=SLOTS, count_prior=0.1, reconsideration=reconsideration
    ).eval()


APART = 5 / 12  # on the centres of pixels, either side of the middle


def test_a_glimpse_between_two_objects_gives_way_to_one_on_them() -> None:
    images = drawn_images((-APART, APART))
    assert module(None).infer(images).count.tolist() == [3]
    seen = module(PLAIN).infer(images)
    assert seen.count.tolist() == [2]
    torch.testing.assert_close(seen.slots.where[0, :2, 0].sort().values, torch.tensor([-APART, APART]))
    assert float((seen.reconstruction - images)[0].abs().max()) < 0.05


def test_an_explanation_that_nothing_betters_stays_as_it_is() -> None:
    images = drawn_images((-APART, APART), (APART,))
    before, after = (module(how, APART).infer(images) for how in (None, PLAIN))
    assert before.count.tolist() == after.count.tolist() == [2, 1]
    for name, value in after.slots._asdict().items():
        torch.testing.assert_close(value, getattr(before.slots, name), rtol=0, atol=0)


def test_images_do_not_disturb_one_another() -> None:
    images = drawn_images((-APART, APART), (0.0,), (-0.25, 0.25))
    together = module(PLAIN).infer(images)
    for i in range(len(images)):
        alone = module(PLAIN).infer(images[i : i + 1])
        torch.testing.assert_close(alone.slots.where[0], together.slots.where[i])
        assert alone.count[0] == together.count[i]


def test_another_explanation_must_be_worth_the_margin_more() -> None:
    images = drawn_images((-APART, APART))
    assert module(Reconsideration(power=1.0, margin=1e4)).infer(images).count.tolist() == [3]


def test_a_start_replaces_the_first_pose_alone() -> None:
    renderer, images = Blobs(), drawn_images((-APART, APART))
    network = Greedy(renderer)
    own = infer(renderer, network, observed(images), SLOTS, sample=False)
    start = own.where_mean[:, 1], own.where_sd[:, 1] / 2
    other = infer(renderer, network, observed(images), SLOTS, sample=False, start=start)
    torch.testing.assert_close(other.where_mean[:, 0], start[0], rtol=0, atol=0)
    torch.testing.assert_close(other.where_sd[:, 0], start[1], rtol=0, atol=0)
    torch.testing.assert_close(other.where[:, 0], own.where[:, 1], rtol=0, atol=0)
    assert float(other.where[0, 1, 0]) == pytest.approx(-float(own.where[0, 1, 0]), abs=1e-5)


@pytest.mark.parametrize("name, value", [("power", 0.0), ("power", 2.0), ("margin", -1.0)])
def test_values_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must .* got {value}"):
        Reconsideration(**{name: value})


def test_identities_are_refused() -> None:
    with pytest.raises(ValueError, match="reconsideration is for a continuous"):
        AIRModule(MeshRenderer(), reconsideration=Reconsideration())
