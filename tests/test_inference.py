"""Inference networks: every law runs over every network and every renderer of the two tables below."""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from gradients_for_tests import finite
from slots_for_tests import observed
from torch import Tensor

from air_lightning.inference import InferenceNetwork, RecurrentAIR, ResidualAttention, image_grid
from air_lightning.inference.heads import ANGLE_LIMITS as ANGLE
from air_lightning.inference.heads import STRAIGHT_LIMITS as STRAIGHT
from air_lightning.model.slots import Slots, infer, where_kl
from renderers import Categorical, Coordinate, Gaussian, GlimpseRenderer, Layer, MeshRenderer, Renderer

SLOTS = 3
BATCH = 5


class Blobs(Renderer):
    """Soft shaded blobs, added up: differentiable, continuous ``what``, an awkward image size."""

    def __init__(self) -> None:
        where = (
            Coordinate("scale", "image coordinates", 0.15, 0.45, 0.02, prior="normal", mean=0.3, sd=0.05),
            Coordinate("x", "image coordinates", -0.8, 0.8, 0.02),
            Coordinate("y", "image coordinates", -0.8, 0.8, 0.02),
        )
        super().__init__(Gaussian(3), where, (1, 30, 26), differentiable=True, compositing="additive")

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        scale, place = where[:, :1, None, None], where[:, 1:, None, None]
        offset = (image_grid(30, 26) - place) / scale
        shade = torch.sigmoid(what[:, 0, None, None] + (what[:, 1:, None, None] * offset).sum(1))
        color = torch.exp(-2 * (offset**2).sum(1)) * shade
        return Layer(color.unsqueeze(1), torch.zeros_like(color))


class Discs(Renderer):
    """Opaque discs with hard edges, the lower the nearer: black box, categorical ``what``, no angle."""

    def __init__(self) -> None:
        where = tuple(Coordinate(name, "image coordinates", -0.8, 0.8, 0.06) for name in "xy")
        super().__init__(Categorical(("red", "green", "blue")), where, (3, 32, 32))

    def draw(self, what: Tensor, where: Tensor) -> Layer:
        inside = ((image_grid(32, 32) - where[:, :, None, None]) ** 2).sum(1) < 0.25**2
        depth = torch.where(inside, 2 - where[:, 1, None, None], torch.inf)
        return Layer(torch.eye(3)[what][:, :, None, None] * inside.unsqueeze(1), depth)


RENDERERS: dict[str, Callable[[], Renderer]] = {
    "blobs": Blobs,
    "mesh": lambda: MeshRenderer(image_size=(32, 32)),
    "discs": Discs,
}

SMALL: dict[str, Any] = {"lstm": 32, "encoded": 24, "predict": 20, "what_hidden": 20, "glimpse": 12}
NETWORKS: dict[str, Callable[[Renderer], InferenceNetwork]] = {
    "attention": partial(ResidualAttention, channels=8, hidden=32),
    "air": partial(RecurrentAIR, **SMALL),
    "air_raw": partial(RecurrentAIR, encoder="raw", **SMALL),
    "dair": partial(RecurrentAIR, difference=True, encoder="conv", **SMALL),
    "dair_residual": partial(RecurrentAIR, difference=True, residual_only=True, **SMALL),
}

over_renderers = pytest.mark.parametrize("renderer", RENDERERS, indirect=True)
over_networks = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return RENDERERS[request.param]()


def scenes(renderer: Renderer, batch: int, objects: int) -> tuple[Tensor, Tensor]:
    """Images (B, C, H, W) of objects drawn from the prior, and their poses (B, objects, P)."""
    where = renderer.where.constrain(torch.randn(batch, objects, len(renderer.where)))
    if isinstance(renderer.what, Gaussian):
        what = torch.randn(batch, objects, renderer.what.dim)
    else:
        what = torch.randint(0, renderer.identity_count, (batch, objects))
    return renderer.render(what, where)[:, -1], where


def stirred(network: InferenceNetwork, amount: float = 0.1) -> InferenceNetwork:
    """The network as training may leave it: no layer at zero any more."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(amount * torch.randn_like(parameter))
    return network


def loss_of(renderer: Renderer, slots: Slots, images: Tensor) -> Tensor:
    """Something of everything a training step may take from the slots."""
    canvases = renderer.canvases(slots.what, slots.where)
    error = ((canvases - images.unsqueeze(1)) ** 2).mean()
    pose = where_kl(renderer, slots.where_mean, slots.where_sd).mean()
    looks = (
        slots.what_parameters.square()
        if isinstance(renderer.what, Gaussian)
        else -slots.what_parameters.log_softmax(-1)
    )
    return error + pose + looks.mean() + F.softplus(slots.presence_logits).mean()


def dead(network: InferenceNetwork) -> list[str]:
    """Parameters without a gradient, or whose gradient is all zero."""
    return [n for n, p in network.named_parameters() if p.grad is None or not bool(p.grad.any())]


# ---- laws of all networks


@over_networks
@over_renderers
@pytest.mark.parametrize("sample", [True, False])
def test_explain_returns_slots_of_the_stated_shapes(renderer: Renderer, make: Any, sample: bool) -> None:
    images, _ = scenes(renderer, BATCH, 2)
    slots = infer(renderer, make(renderer), observed(images), SLOTS, sample)
    identities, places = renderer.identity_count, len(renderer.where)
    assert slots.presence_logits.shape == (BATCH, SLOTS)
    assert slots.where.shape == (BATCH, SLOTS, places)
    assert (
        slots.where_mean.shape
        == slots.where_sd.shape
        == slots.where_by_identity.shape
        == (BATCH, SLOTS, identities, places)
    )
    if isinstance(renderer.what, Gaussian):
        assert slots.what.shape == (BATCH, SLOTS, renderer.what.dim)
        assert slots.what_parameters.shape == (BATCH, SLOTS, 2 * renderer.what.dim)
    else:
        assert slots.what.shape == (BATCH, SLOTS) and slots.what.dtype == torch.int64
        assert slots.what_parameters.shape == (BATCH, SLOTS, identities)
    assert all(bool(part.isfinite().all()) for part in slots)
    assert bool((slots.where_sd > 0).all())


@over_networks
@over_renderers
def test_every_parameter_takes_part_from_the_first_step(renderer: Renderer, make: Any) -> None:
    network = make(renderer)
    images, _ = scenes(renderer, BATCH, 2)
    loss_of(renderer, infer(renderer, network, observed(images), 1), images).backward()  # even with one slot
    absent = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert absent == []  # or distributed training complains
    assert finite(network)


@over_networks
@over_renderers
def test_every_parameter_has_a_gradient(renderer: Renderer, make: Any) -> None:
    network = stirred(make(renderer))
    images, _ = scenes(renderer, BATCH, 2)
    loss_of(renderer, infer(renderer, network, observed(images), SLOTS), images).backward()
    assert dead(network) == []


@over_networks
@over_renderers
def test_an_image_is_explained_alike_alone_and_in_a_batch(renderer: Renderer, make: Any) -> None:
    # In double precision: rounding moves a hard edge by a pixel otherwise.
    network = stirred(make(renderer)).double()
    images = scenes(renderer, BATCH, 2)[0].double()
    together = infer(renderer, network, observed(images), SLOTS, sample=False)
    for i in range(BATCH):
        alone = infer(renderer, network, observed(images[i : i + 1]), SLOTS, sample=False)
        for ours, theirs in zip(alone, together, strict=True):
            torch.testing.assert_close(ours[0], theirs[i], atol=1e-7, rtol=1e-7)


@over_networks
@over_renderers
def test_without_sampling_poses_are_posterior_means(renderer: Renderer, make: Any) -> None:
    images, _ = scenes(renderer, BATCH, 2)
    slots = infer(renderer, stirred(make(renderer)), observed(images), SLOTS, sample=False)
    torch.testing.assert_close(slots.where_by_identity, renderer.where.constrain(slots.where_mean))


@over_networks
@over_renderers
def test_widths_start_as_asked(renderer: Renderer, make: Any) -> None:
    images, _ = scenes(renderer, BATCH, 2)
    slots = infer(renderer, make(renderer, position_sd=0.4, angle_sd=0.15), observed(images), SLOTS)
    periods = renderer.where.periods(renderer.identity_count, slots.where_sd)
    for i, coordinate in enumerate(renderer.where.coordinates):
        expected = 0.15 * periods[:, i].clamp_min(0.1) if coordinate.circular else torch.tensor(0.4)
        torch.testing.assert_close(slots.where_sd[..., i], expected.expand_as(slots.where_sd[..., i]))


@over_networks
def test_angles_lie_within_half_a_period(make: Any) -> None:
    renderer = RENDERERS["mesh"]()
    images, _ = scenes(renderer, 64, 2)
    yaws = infer(renderer, stirred(make(renderer), 0.3), observed(images), SLOTS).where_mean[..., -1]
    half = renderer.where.periods(renderer.identity_count, yaws)[:, -1] / 2
    assert bool((yaws.abs() <= half * (1 + 1e-6)).all())
    assert ((yaws.std((0, 1)) > 0) == (half > 0)).all()  # 0 for the sphere, and used for the others


@over_networks
@over_renderers
@pytest.mark.parametrize("corner", [(-8.0, -8.0), (8.0, -8.0), (8.0, 8.0)])
def test_poses_far_out_stay_finite(renderer: Renderer, make: Any, corner: tuple[float, float]) -> None:
    network = stirred(make(renderer))
    straight = [i for i, c in enumerate(renderer.where.coordinates) if not c.circular][-2:]
    bias = dict(network.named_parameters())["pose.straight.bias"]
    with torch.no_grad():  # x and y, or x and z
        bias.view(len(renderer.where), 2)[straight, 0] = torch.tensor(corner)
    images, _ = scenes(renderer, BATCH, 2)
    slots = infer(renderer, network, observed(images), SLOTS)
    loss_of(renderer, slots, images).backward()
    assert all(bool(part.isfinite().all()) for part in slots)
    assert finite(network)


@over_renderers
def test_residual_attention_starts_at_the_unexplained_object(renderer: Renderer) -> None:
    images, where = scenes(renderer, 40, 1)
    slots = infer(renderer, ResidualAttention(renderer), observed(images), 1, sample=False)
    (seen, _), (true, half) = renderer.project(slots.where), renderer.project(where)
    outside = (seen - true).norm(dim=-1) > half
    assert outside.sum() == 0, f"{int(outside.sum())} of 40 objects missed"


@over_renderers
def test_residual_attention_leaves_a_place_where_nothing_was_found(renderer: Renderer) -> None:
    """Presence that learns to be 0 where a slot looks, if only by the map, sends it to the image's other object."""
    images, _ = scenes(renderer, 1, 2)
    network, canvas = ResidualAttention(renderer), torch.zeros_like(images)
    optimizer = torch.optim.Adam([*network.map.parameters(), *network.saliency.parameters()], 0.01)

    def look() -> Tensor:
        proposal, _ = network.propose(images, canvas, network.initial(images))
        optimizer.zero_grad()
        proposal.presence_logit.sum().backward()
        return renderer.project(renderer.where.constrain(proposal.mean[:, 0]))[0]

    first = look()
    for _ in range(100):
        optimizer.step()
        now = look()
        if (now - first).norm() > 0.3:
            return
    pytest.fail(f"still looks at {now.tolist()}")


# ---- the recurrent network


@over_renderers
def test_plain_air_does_not_look_at_the_canvas(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> None:
    network = stirred(RecurrentAIR(renderer, **SMALL))
    assert not network.needs_canvas
    images, where = scenes(renderer, BATCH, 2)
    nothing = torch.full_like(images, torch.nan)
    proposal, state = network.propose(images, nothing, network.initial(images))
    looks = network.appearance(images, nothing, where[:, :1].expand(-1, renderer.identity_count, -1), state)
    assert all(bool(part.isfinite().all()) for part in (*proposal, looks))

    def never(*arguments: Any) -> None:
        raise AssertionError("drawn between slots")

    monkeypatch.setattr(renderer, "render", never)
    infer(renderer, network, observed(images), SLOTS)


@over_renderers
@pytest.mark.parametrize("residual_only", [False, True])
def test_difference_looks_at_the_canvas(renderer: Renderer, residual_only: bool) -> None:
    network = stirred(RecurrentAIR(renderer, difference=True, residual_only=residual_only, **SMALL))
    assert network.needs_canvas
    images, where = scenes(renderer, BATCH, 2)
    options = where[:, :1].expand(-1, renderer.identity_count, -1)
    results = []
    for canvas in (torch.zeros_like(images), 0.5 * images):
        proposal, state = network.propose(images, canvas, network.initial(images))
        results.append((*proposal, network.appearance(images, canvas, options, state)))
    assert all(bool((a != b).any()) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("residual_only", [False, True])
def test_residual_alone_leaves_out_the_image(residual_only: bool) -> None:
    network = stirred(RecurrentAIR(Discs(), difference=True, residual_only=residual_only, **SMALL))
    images, _ = scenes(Discs(), BATCH, 2)
    canvas = torch.rand_like(images)
    first, _ = network.propose(images, canvas, network.initial(images))
    moved, _ = network.propose(images + 0.3, canvas + 0.3, network.initial(images))
    assert torch.allclose(first.mean, moved.mean, atol=1e-5) == residual_only


def test_glimpse_gives_where_a_gradient() -> None:
    renderer = Blobs()
    network = stirred(RecurrentAIR(renderer, **SMALL))
    images, where = scenes(renderer, BATCH, 1)
    where.requires_grad_()
    _, state = network.propose(images, images, network.initial(images))
    network.appearance(images, images, where, state).sum().backward()
    assert where.grad is not None and bool((where.grad.abs().amax((0, 1)) > 0).all())  # scale, x and y


def test_later_slots_have_a_gradient_in_earlier_samples() -> None:
    renderer = Blobs()
    network = stirred(RecurrentAIR(renderer, **SMALL))
    images, where = scenes(renderer, BATCH, 1)
    what = torch.randn(BATCH, 3, requires_grad=True)
    pose = where[:, 0].requires_grad_()
    _, state = network.propose(images, images, network.initial(images))
    proposal, _ = network.propose(images, images, network.observe(state, what, pose))
    proposal.mean.sum().backward()
    for sample in (what, pose):
        assert sample.grad is not None and bool((sample.grad.abs().amax(0) > 0).all())


def test_glimpse_is_the_window_the_renderer_projects() -> None:
    renderer = Blobs()
    network = RecurrentAIR(renderer, **{**SMALL, "glimpse": 9}, glimpse_margin=2.0)
    seen: list[Tensor] = []
    network.look.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    where = torch.tensor([[[0.3, -0.4, 0.5]]])
    images = renderer.render(torch.zeros(1, 1, 3), where)[:, -1]
    network.appearance(images, images, where, network.initial(images))
    assert seen[0].shape == (1, 1, 9, 9)
    assert seen[0].flatten().argmax() == 4 * 9 + 4  # the blob's middle
    offset = 2.0 * image_grid(9, 9)  # in units of the blob's scale
    expected = 0.5 * torch.exp(-2 * (offset**2).sum(0))
    torch.testing.assert_close(seen[0][0, 0], expected, atol=0.03, rtol=0)


def test_glimpse_of_identities_is_on_the_mean_of_their_windows() -> None:
    renderer = Discs()
    network = stirred(RecurrentAIR(renderer, **SMALL))
    images, _ = scenes(renderer, 1, 2)
    apart = torch.tensor([[[-0.6, 0.1], [0.0, 0.1], [0.3, 0.4]]])
    state = network.initial(images)
    mean = apart.mean(1, keepdim=True).expand_as(apart)
    torch.testing.assert_close(
        network.appearance(images, images, apart, state), network.appearance(images, images, mean, state)
    )


def test_presence_starts_at_its_bias() -> None:
    renderer = Discs()
    images, _ = scenes(renderer, BATCH, 2)
    logits = infer(
        renderer, RecurrentAIR(renderer, presence_bias=1.5, **SMALL), observed(images), SLOTS
    ).presence_logits
    torch.testing.assert_close(logits, torch.full_like(logits, 1.5))


@pytest.mark.parametrize("difference", [False, True])
def test_recurrent_network_finds_one_disc(difference: bool) -> None:
    """A few steps on known positions: the pieces fit together and learn."""
    renderer = Discs()
    network = RecurrentAIR(renderer, difference=difference, **{**SMALL, "lstm": 64, "encoded": 64})
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    images, where = scenes(renderer, 64, 1)
    distances = []
    for _ in range(120):
        inferred = renderer.where.constrain(infer(renderer, network, observed(images), 1, sample=False).where_mean)
        distance = (inferred - where.unsqueeze(2)).norm(dim=-1).mean()
        distances.append(distance.item())
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
    assert distances[-1] < 0.25 * distances[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"residual_only": True},
            "residual_only=True needs difference=True: plain AIR draws no canvas to take the residual of",
        ),
        ({"encoder": "cnn"}, "encoder must be raw, mlp or conv, got 'cnn'"),
        (
            {"position_sd": 2.0},
            f"position_sd must lie between {STRAIGHT[0]} and {STRAIGHT[1]} (the prior's sd is 1), got 2.0",
        ),
        (
            {"angle_sd": 0.5},
            f"angle_sd must lie between {ANGLE[0]} and {ANGLE[1]} (it is a share of the period), got 0.5",
        ),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RecurrentAIR(Discs(), **{**SMALL, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"glimpse_margin": 0.0}, "glimpse_margin must be positive and finite, got 0.0"),
        ({"glimpse_margin": math.inf}, "glimpse_margin must be positive and finite, got inf"),
        ({"presence_bias": math.nan}, "presence_bias must be finite, got nan"),
    ],
)
def test_numbers_that_make_no_window_and_no_presence_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecurrentAIR(Discs(), **{**SMALL, **options})


def test_a_glimpse_that_cannot_be_halved_twice_is_refused() -> None:
    message = "glimpse must be a positive multiple of 4 samples, got 10: 24, for example"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ResidualAttention(Discs(), glimpse=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"glimpse_half": 0.0},
            "glimpse_half must be positive and finite, got 0.0: 0.375, for example, 1 is a whole image",
        ),
        (
            {"glimpse_half": math.nan},
            "glimpse_half must be positive and finite, got nan: 0.375, for example, 1 is a whole image",
        ),
        ({"cell": 0}, "a cell must have at least 1 pixel along a side, got 0: 4, for example"),
        ({"stretch": 0.0}, "stretch must be positive, got 0.0: about the noise's scale, or null for none"),
        (
            {"cell": 16},
            "images of 16x16 pixels are a single cell of 16x16, and there is nothing for attention to choose: take at "
            "least 17 pixels in one direction, or RecurrentAIR, which looks at the whole image",
        ),
    ],
    ids=str,
)
def test_cells_and_stretches_that_see_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ResidualAttention(GlimpseRenderer((1, 16, 16)), **options)


@pytest.mark.parametrize("cell", [1, 2, 3])
def test_an_untrained_look_is_as_sharp_as_its_cells(cell: int) -> None:
    """It points at a dot, to within a cell and what smoothing moves it by."""
    renderer = GlimpseRenderer((1, 23, 30), what=2)
    network = ResidualAttention(renderer, channels=2, hidden=4, glimpse=4, cell=cell, window=0, signed=True)
    images = torch.zeros(1, 1, 23, 30)
    images[0, 0, 6, 20] = 1.0
    proposal, _ = network.propose(images, torch.zeros_like(images), network.initial(images))
    _, x, y = renderer.where.constrain(proposal.mean)[0, 0].tolist()
    assert abs((x + 1) * 15 - 20.5) <= 1.5 * cell and abs((y + 1) * 11.5 - 6.5) <= 1.5 * cell


def test_a_stretched_look_is_the_look_at_stretched_images() -> None:
    """Image and residual alike, the energy and the glimpse, too."""
    renderer = GlimpseRenderer((3, 16, 16), what=2)
    plain, stretched = (
        ResidualAttention(renderer, channels=4, hidden=8, glimpse=8, stretch=stretch) for stretch in (None, 0.1)
    )
    stretched.load_state_dict(plain.state_dict())
    images, canvas = torch.rand(2, 3, 16, 16), torch.zeros(2, 3, 16, 16)
    looked_at = (images / 0.1).asinh()
    expected, _ = plain.propose(looked_at, canvas, plain.initial(looked_at))
    found, _ = stretched.propose(images, canvas, stretched.initial(images))
    torch.testing.assert_close(found, expected)


def test_an_image_of_one_cell_is_refused_and_two_cells_will_do() -> None:
    message = (
        "images of 4x3 pixels are a single cell of 4x4, and there is nothing for attention to choose: take at least "
        "5 pixels in one direction, or RecurrentAIR, which looks at the whole image"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ResidualAttention(GlimpseRenderer((1, 4, 3)))
    renderer = GlimpseRenderer((1, 4, 5), what=2)
    where = infer(renderer, ResidualAttention(renderer), observed(torch.rand(2, 1, 4, 5)), slots=2).where
    assert where.shape == (2, 2, 3) and where.isfinite().all()


def test_an_image_too_small_for_convolutions_is_refused() -> None:
    message = "encoder conv halves an image three times and needs at least 8x8 pixels, got 6x32: take mlp or raw"
    renderer = Discs()
    renderer.image_shape = (3, 6, 32)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RecurrentAIR(renderer, encoder="conv")


@pytest.mark.parametrize("signed", [True, False])
def test_centered_attention_starts_at_the_object_whatever_the_background_s_mean(signed: bool) -> None:
    """A bright square on backgrounds beside the renderer's black, in images that are no whole number of cells."""
    images = torch.full((3, 1, 50, 50), 0.3) + torch.tensor([-0.3, 0.0, 0.3])[:, None, None, None]
    images[:, :, 10:20, 26:36] += 0.3
    network = ResidualAttention(GlimpseRenderer(), signed=signed, centered=True, smoothing=3)
    plain = ResidualAttention(GlimpseRenderer(), signed=signed, smoothing=3)
    energy = network._energy(images)
    assert (energy.flatten(1).argmax(1) == 3 * 13 + 7).all()
    torch.testing.assert_close(energy[1:], energy[:1].expand(2, -1, -1))  # the background's mean has no say
    torch.testing.assert_close(plain._energy(images[:1]), energy[:1])  # nothing to take off
    assert plain._energy(images[2:])[0, 12, 12] > 0.09 and energy[2, 12, 12] < 1e-6


def test_bright_attention_looks_at_what_is_too_dark_in_the_explanation_and_at_no_hole() -> None:
    """A faint square beside a hole twice as deep: what is darker than its explanation is no object that adds light."""
    images = torch.full((1, 1, 48, 48), 0.5)
    images[:, :, 8:16, 8:16] += 0.2
    images[:, :, 32:40, 32:40] -= 0.4
    canvas = torch.full_like(images, 0.5)
    for bright, cell in ((False, 8), (True, 2)):
        network = ResidualAttention(GlimpseRenderer((1, 48, 48)), signed=True, bright=bright)
        best = int(network._energy(images - canvas).flatten(1).argmax(1))
        assert best // 12 in (cell, cell + 1) and best % 12 in (cell, cell + 1)
    with pytest.raises(ValueError, match="bright looks at residuals' signs, which are dropped without `signed: true`"):
        ResidualAttention(GlimpseRenderer((1, 48, 48)), bright=True)


def test_what_is_covered_draws_no_slot() -> None:
    """Of a bright square a poor explanation leaves more than all of a fainter one."""
    renderer = GlimpseRenderer((1, 48, 48), background=[0.1])
    images, empty = torch.full((1, 1, 48, 48), 0.1), torch.full((1, 1, 48, 48), 0.1)
    images[:, :, 8:16, 8:16] += 0.9
    images[:, :, 32:40, 32:40] += 0.2
    canvas = empty.clone()
    canvas[:, :, 8:16, 8:16] += 0.45
    looks = {1.0: [(0, 0), (0, 0)], 0.1: [(0, 0), (1, 1)]}  # quarters of the image, before and after
    for covered, expected in looks.items():
        network = ResidualAttention(renderer, covered=covered)
        state = network.initial(images)
        for seen, place in zip((empty, canvas), expected):
            proposal, state = network.propose(images, seen, state)
            _, x, y = renderer.where.constrain(proposal.mean)[0, 0].tolist()
            assert (int(y > 0), int(x > 0)) == place
    with pytest.raises(ValueError, match="covered must lie between 0 and 1, got 1.5: 1 looks at all pixels alike"):
        ResidualAttention(renderer, covered=1.5)


class Misshapen(ResidualAttention):
    """A network one of whose tensors is cut to another shape."""

    cut: str

    def propose(self, *args: Any) -> Any:
        proposal, state = super().propose(*args)
        wrong = {"presence_logit": proposal.presence_logit.unsqueeze(1), "mean": proposal.mean[:, :1]}
        return proposal._replace(**{k: v for k, v in wrong.items() if k == self.cut}), state

    def appearance(self, *args: Any) -> Tensor:
        logits = super().appearance(*args)
        return logits[:, :1] if self.cut == "appearance" else logits


@pytest.mark.parametrize(
    "cut, said",
    [
        ("presence_logit", "Misshapen.propose's presence_logit must be of shape (B), got (B, 1)"),
        ("mean", "Misshapen.propose's mean must be of shape (B, 3, 2), got (B, 1, 2)"),
        ("appearance", "Misshapen.appearance must be of shape (B, 3), got (B, 1)"),
    ],
)
def test_a_networks_wrong_shapes_are_named(cut: str, said: str) -> None:
    """Identities' logits (B, 1) would be broadcast, and train."""
    renderer = Discs()
    network = Misshapen(renderer, channels=8, hidden=32)
    network.cut = cut
    with pytest.raises(ValueError, match=re.escape(said)):
        infer(renderer, network, observed(torch.rand(BATCH, *renderer.image_shape)), SLOTS)
