"""Laws of gradients: what a renderer claims, measured against differences of whole images."""

import copy
import inspect
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from air_lightning.testing.report import Skipped
from air_lightning.testing.subject import Scenes, Subject, worst
from renderers.base import Renderer
from renderers.finite_differences import contract_whole
from renderers.pixel_loss import Mixture, Normal, PixelLoss, PoissonGaussian, StudentT
from renderers.spaces import Gaussian

Findings = Iterator[tuple[str, str]]
DIRECTIONS = 8  # random ones, at each of the scenes


class Precision(NamedTuple):
    """How derivatives are measured: step, how well two steps must agree, how well autograd must."""

    dtype: torch.dtype
    step: float
    smooth: float
    agree: float


DOUBLE = Precision(torch.float64, 1e-4, 1e-3, 1e-2)
SINGLE = Precision(torch.float32, 5e-2, 2e-2, 5e-2)


def gradient(s: Subject) -> Findings:
    """Differentiable: autograd's derivative along random directions is that of the images, where these are smooth."""
    if not s.renderer.differentiable:
        raise Skipped("a black box; `contract` is its gradient")
    objective, scenes, precision = _objective(s)
    leaves = [scenes.where] + ([scenes.what] if isinstance(s.renderer.what, Gaussian) else [])
    units = [s.renderer.where.steps(scenes.where)] + [torch.tensor(0.1)] * (len(leaves) - 1)
    for name, leaf, unit in zip(("where", "what"), leaves, units):
        yield from _compare(name, objective, leaves, leaf, unit, precision)
    yield from _flat(s, objective, leaves)


def _objective(s: Subject) -> tuple[Callable[[list[Tensor]], Tensor], Scenes, Precision]:
    """Inner products (B,) of canvases and random numbers as a function of [where] or [where, what]."""
    for precision in (DOUBLE, SINGLE):
        renderer = copy.deepcopy(s.renderer).to(precision.dtype)
        plain = s.scenes(others=0)
        scenes = Scenes(*(part.to(precision.dtype) if part.is_floating_point() else part for part in plain))

        def objective(leaves: list[Tensor], renderer: Renderer = renderer, scenes: Scenes = scenes) -> Tensor:
            what = leaves[1] if len(leaves) > 1 else scenes.what
            return (renderer.render(what, leaves[0]) * scenes.incoming).flatten(1).sum(1)

        try:
            if objective([scenes.where]).dtype == precision.dtype:
                return objective, scenes, precision
        except (RuntimeError, ValueError, TypeError):
            if precision is SINGLE:
                raise
    return objective, scenes, SINGLE


def _slopes(objective: Callable[[list[Tensor]], Tensor], leaves: list[Tensor], leaf: Tensor, move: Tensor) -> Tensor:
    moved = [[at + sign * move if at is leaf else at for at in leaves] for sign in (1, -1)]
    with torch.no_grad():
        return objective(moved[0]) - objective(moved[1])


def _autograd(objective: Callable[[list[Tensor]], Tensor], leaves: list[Tensor]) -> list[Tensor | None]:
    variables = [leaf.clone().requires_grad_() for leaf in leaves]
    with torch.enable_grad():
        total = objective(variables).sum()
    if not total.requires_grad:
        return [None] * len(leaves)
    return list(torch.autograd.grad(total, variables, allow_unused=True))


def _compare(
    name: str,
    objective: Callable[[list[Tensor]], Tensor],
    leaves: list[Tensor],
    leaf: Tensor,
    unit: Tensor,
    p: Precision,
) -> Findings:
    grad = next(g for g, at in zip(_autograd(objective, leaves), leaves) if at is leaf)
    if grad is None:
        yield (
            f"it claims to be differentiable and gives no gradient in `{name}`",
            "keep draw within torch operations (no .detach(), no numpy), or say differentiable=False",
        )
        return
    random = torch.Generator().manual_seed(1)
    smooth, wrong = 0, list[tuple[float, float]]()
    for _ in range(DIRECTIONS):
        way = torch.randn(leaf.shape, generator=random).to(leaf) * unit.to(leaf)
        wide, narrow = (_slopes(objective, leaves, leaf, h * way) / (2 * h) for h in (p.step, p.step / 2))
        scale = wide.abs().median().clamp_min(1e-9)
        sure = (wide - narrow).abs() <= p.smooth * torch.maximum(narrow.abs(), scale)
        claimed = (grad * way).flatten(1).sum(1)
        bad = sure & ((claimed - narrow).abs() > p.agree * torch.maximum(narrow.abs(), scale))
        smooth += int(sure.sum())
        wrong += list(zip(claimed[bad].tolist(), narrow[bad].tolist()))
    total = DIRECTIONS * len(leaf)
    if smooth < total / 4:
        yield (
            f"along {total - smooth} of {total} directions in `{name}` the image is not smooth: it has no gradient",
            "say differentiable=False: poses are then learnt by finite differences",
        )
    if len(wrong) > smooth / 20:
        claimed_one, true_one = max(wrong, key=lambda pair: abs(pair[0] - pair[1]))
        yield (
            f"autograd in `{name}` differs from finite differences along {len(wrong)} of {smooth} smooth directions, "
            f"for example {claimed_one:.4g} against {true_one:.4g}",
            "correct the backward pass of draw, or say differentiable=False",
        )


def _flat(s: Subject, objective: Callable[[list[Tensor]], Tensor], leaves: list[Tensor]) -> Findings:
    """Hard edges: autograd says of a coordinate that it changes nothing, and it does."""
    grad = _autograd(objective, leaves)[0]
    if grad is None:
        return
    for j, c in enumerate(s.renderer.where.coordinates):
        move = torch.zeros_like(leaves[0])
        move[..., j] = c.step
        change = float(_slopes(objective, leaves, leaves[0], move).abs().max())
        if not grad[..., j].any() and change > 0:
            yield (
                f"autograd's gradient in {c.name!r} is 0 everywhere, though a step of {c.step:g} changes the image",
                "draw soft edges, or say differentiable=False",
            )


def parameters(s: Subject) -> Findings:
    """Every parameter that asks for gradients gets one: no other is ever trained."""
    learning = {name: p for name, p in s.renderer.named_parameters() if p.requires_grad}
    if not learning:
        raise Skipped("it has no parameters to train")
    if not s.renderer.differentiable:
        yield (
            f"a black box has parameters that ask for gradients: {', '.join(learning)}",
            "keep them as buffers, or say differentiable=True and draw with autograd",
        )
        return
    scenes = s.scenes()
    with torch.enable_grad():
        total = s.renderer.canvases(scenes.what, scenes.where).sum()
    grads = torch.autograd.grad(total, list(learning.values()), allow_unused=True) if total.requires_grad else ()
    idle = [name for name, grad in zip(learning, grads or [None] * len(learning)) if grad is None]
    if idle:
        yield f"no gradient reaches {', '.join(idle)}", "use every parameter in draw, or requires_grad_(False)"


def contract(s: Subject) -> Findings:
    """Black box: the contraction equals that of differences of whole images, for steps small and large."""
    if s.renderer.differentiable:
        raise Skipped("differentiable; autograd is its gradient")
    scenes = s.scenes()
    for coarseness in (1.0, 4.0):
        found = s.renderer.contract(scenes.what, scenes.where, scenes.incoming, coarseness)
        steps = coarseness * s.renderer.where.steps(scenes.where)

        def whole(where: Tensor) -> Tensor:
            with torch.no_grad():
                return s.renderer.render(scenes.what, where)

        expected = contract_whole(whole, scenes.where, steps, scenes.incoming)
        yield from _same(
            s, "contract", found, expected, f"at coarseness {coarseness:g} from differences of whole images"
        )


def swap_scores(s: Subject) -> Findings:
    """An own ``swap_scores`` gives the base class's numbers, of inner products and of every pixel loss."""
    if not s.overrides("swap_scores"):
        raise Skipped("it is the base class's own")
    scenes = s.scenes()
    for loss in (None, *_losses(scenes.images)):
        target = scenes.incoming if loss is None else scenes.images.unsqueeze(1)
        arguments = (*scenes[:4], target, loss)
        found, expected = s.renderer.swap_scores(*arguments), Renderer.swap_scores(s.renderer, *arguments)
        told = "of inner products" if loss is None else f"under the loss {type(loss).__name__}"
        yield from _same(s, "swap_scores", found, expected, f"{told} from the base class's")


def backgrounds(s: Subject) -> Findings:
    """A given background lies behind all objects: in canvases, in what alternatives change, and for the gradient."""
    for name in ("canvases", "render", "contract", "swap_losses", "swap_scores"):
        if "background" not in inspect.signature(getattr(s.renderer, name)).parameters:
            yield f"{name} takes no background", "give it `background: Tensor | None = None`, and hand it on"
            return
    scenes, remedy = (
        s.scenes(),
        "compose over self.ground(batch, background), or hand `background` on to the base class",
    )
    what, where, given = scenes.what, scenes.where, scenes.images.flip(0)
    for said, behind in (("one for each image", given), ("one for all images", given[0])):
        with torch.no_grad():
            found, expected = (r(s.renderer, what, where, behind) for r in (type(s.renderer).render, Renderer.render))
        gap, share = worst(found, expected)
        if share > 0.002:
            yield f"with a background, {said}, render differs from the composed layers by up to {gap:.3g}", remedy
    if s.overrides("swap_scores"):
        found, expected = (
            scores(s.renderer, *scenes[:4], scenes.incoming, None, given)
            for scores in (type(s.renderer).swap_scores, Renderer.swap_scores)
        )
        yield from _same(s, "swap_scores", found, expected, "with a background from the base class's")
    found, expected = _in_background(s, scenes, given)
    yield from _same(s, "canvases' gradient in the background", found, expected, "from what is seen")


def _in_background(s: Subject, scenes: Scenes, background: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient in the background, and the incoming one times the share that is seen of it."""
    leaf = background.clone().requires_grad_()
    with torch.enable_grad():
        canvases = s.renderer.canvases(scenes.what, scenes.where, background=leaf)
        (found,) = torch.autograd.grad((canvases * scenes.incoming).sum(), leaf)
    return found, (s.renderer.transmittance(scenes.what, scenes.where).unsqueeze(2) * scenes.incoming).sum(1)


def _losses(images: Tensor) -> tuple[PixelLoss, ...]:
    """Of every kind one, with scales of one number, one a channel and a map over pixels."""
    height, width = images.shape[-2:]
    channels = torch.linspace(0.2, 0.5, images.shape[1], device=images.device)[:, None, None]
    pixels = torch.linspace(0.2, 0.5, height * width, device=images.device).view(height, width)
    return Normal(0.3), Normal(pixels), StudentT(0.3), Mixture(channels), PoissonGaussian(pixels, gain=0.1)


def _same(s: Subject, name: str, found: Tensor, expected: Tensor, against: str) -> Findings:
    if found.shape != expected.shape:
        yield f"{name} gave {tuple(found.shape)}, not {tuple(expected.shape)}", "keep the documented shape"
        return
    scale = max(1.0, float(expected.abs().max()))
    if not torch.allclose(found, expected, rtol=1e-4, atol=s.tolerance * scale):
        gap = float((found - expected).abs().max())
        yield (
            f"{name} differs by up to {gap:.3g} (numbers up to {scale:.3g}) {against}",
            f"leave {name} to the base class, or make both agree",
        )


def steps(s: Subject) -> Findings:
    """A finite-difference step of each coordinate changes the image (of an angle: of every identity where it shows)."""
    what, where = s.objects(60)
    for j, c in enumerate(s.renderer.where.coordinates):
        move = torch.zeros_like(where)
        move[:, j] = c.step
        up, down = s.draw(what, where + move), s.draw(what, where - move)
        changed = ((up.color != down.color).flatten(1).any(1)) | ((up.depth != down.depth).flatten(1).any(1))
        for k in range(s.renderer.identity_count) if c.circular and s.renderer.identity_count > 1 else [None]:
            if k is not None and c.periods and c.periods[k] == 0:
                continue
            mine = changed if k is None else changed[what == k]
            if mine.double().mean() < 0.5:
                of = "" if k is None else f" of {s.renderer.what.names[k]}"  # type: ignore[union-attr]
                remedy = "raise it to what moves the image by half a pixel to a pixel"
                yield (
                    f"the step {c.step:g} of {c.name!r} changes only {int(mine.sum())} of {len(mine)} images{of}",
                    f"{remedy}, or give 0 as its period where the angle cannot be seen" if c.circular else remedy,
                )
