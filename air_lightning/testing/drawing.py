"""Laws of what is drawn: shapes, types, values, and that an image depends on what and where alone."""

import copy
import pickle
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from air_lightning.testing.report import Skipped
from air_lightning.testing.subject import Subject, differences, in_words, worst
from renderers.base import Renderer
from renderers.compositing import Layer, coverage, each
from renderers.spaces import Categorical

Findings = Iterator[tuple[str, str]]


def shapes(s: Subject) -> Findings:
    """Colour (M, C, S H, S W), depth (M, S H, S W), for ``over`` alpha, any shade, the background (C, S H, S W)."""
    channels, height, width = s.renderer.image_shape
    for number in (1, 5):
        layer = s.draw(*s.objects(number))
        if not isinstance(layer, Layer):
            yield f"draw gave a {type(layer).__name__}", "return renderers.Layer(color, depth)"
            return
        strange = {name: part for name, part in zip(Layer._fields, layer) if not isinstance(part, Tensor | None)}
        if strange:
            name, part = next(iter(strange.items()))
            yield f"draw gave {name} as {type(part).__name__}, not as torch.Tensor", "return Layer(color, depth)"
            return
        samples = layer.color.shape[-2] // height if layer.color.dim() == 4 else 1
        plane = (max(1, samples) * height, max(1, samples) * width)
        expected = dict.fromkeys(Layer._fields, (number, *plane)) | {"color": (number, channels, *plane)}
        for name, part in zip(Layer._fields, layer):
            if part is not None and tuple(part.shape) != expected[name]:
                yield (
                    f"draw of {number} objects gave {name} {tuple(part.shape)}, not {expected[name]}",
                    f"image_shape {s.renderer.image_shape} asks for it, or S times as many samples each way",
                )
    if s.renderer.compositing == "over" and layer.alpha is None:
        yield "compositing is `over` and draw gave no alpha", "return Layer(color, depth, alpha)"
    empty = s.renderer.background()
    if not isinstance(empty, Tensor):
        yield f"background gave a {type(empty).__name__}, not a torch.Tensor", "return what an empty scene shows"
        return
    background = tuple(empty.shape if s.renderer.scene is None or empty.dim() == 3 else empty[0].shape)
    if background != (channels, *plane):
        yield (
            f"background gave {background}, not {(channels, *plane)}",
            "paint it with the channels and the samples of the layers",
        )


def types(s: Subject) -> Findings:
    """Colour, depth, alpha and background are floats like ``where`` (float32), on its device."""
    what, where = s.objects(3)
    parts = dict(zip(Layer._fields, s.draw(what, where)), background=s.renderer.background())
    for name, part in parts.items():
        if part is not None and (part.dtype, part.device) != (where.dtype, where.device):
            yield (
                f"{name} is {part.dtype} on {part.device}, where is {where.dtype} on {where.device}",
                "make it with .to(where), and constants as buffers",
            )


def buffers(s: Subject) -> Findings:
    """Tensors that the renderer keeps are parameters or buffers, which move and are saved with it."""
    for path, module in s.renderer.named_modules():
        for name, value in vars(module).items():
            if not name.startswith(("_parameters", "_buffers", "_modules")) and _holds_tensor(value):
                yield (
                    f"attribute {'.'.join(filter(None, (path, name)))!r} holds a tensor that .to(device) leaves behind",
                    f"self.register_buffer({name!r}, tensor, persistent=False), or keep it as numbers",
                )


def _holds_tensor(value: object) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, Tensor) for item in value)
    return isinstance(value, Tensor) and not isinstance(value, nn.Parameter)


def accelerator(s: Subject) -> Findings:
    """On a GPU, where there is one, it draws what it draws on the CPU."""
    if not torch.cuda.is_available():
        raise Skipped("there is no GPU here")
    what, where = s.objects(8)
    moved = copy.deepcopy(s.renderer).to("cuda")
    with torch.no_grad():
        layer = moved.draw(what.cuda(), where.cuda())
    if layer.color.device.type != "cuda":
        yield f"moved to the GPU, it draws on {layer.color.device}", "make every tensor on where's device"
        return
    parts = differences(each(lambda part: part.cpu(), layer), s.draw(what.cpu(), where.cpu()))
    if parts:
        yield f"the GPU draws otherwise than the CPU, {in_words(parts)}", "draw with the same arithmetic on both"


def values(s: Subject) -> Findings:
    """Colours in [0, 1], finite; depth a number or infinite; nothing painted where there is nothing."""
    layer = s.draw(*s.objects(64))
    color, depth, alpha, shade = layer
    shares = {"color": color, "alpha": alpha, "shade": shade, "background": s.renderer.background()}
    for name, part in shares.items():
        if part is not None and not (part.min() >= -1e-4 and part.max() <= 1 + 1e-4):  # nor NaN
            yield f"{name} spans {float(part.min()):.3g} to {float(part.max()):.3g}", "keep it within [0, 1]"
    if depth.isnan().any() or (depth == -torch.inf).any():
        yield "depth is NaN or -infinity somewhere", "give a distance, and +infinity where the object is not"
    nowhere = ~depth.isfinite().unsqueeze(1).expand_as(color)
    if s.renderer.compositing == "zbuffer" and nowhere.any() and color[nowhere].abs().max() > 1e-6:
        yield (
            f"color is up to {float(color[nowhere].abs().max()):.3g} where depth is infinite",
            "multiply it by where the object is",
        )
    if alpha is not None and s.renderer.compositing == "over" and (color - alpha.unsqueeze(1)).max() > 1e-4:
        yield (
            f"color exceeds alpha by up to {float((color - alpha.unsqueeze(1)).max()):.3g}",
            "multiply colour by alpha before returning it",
        )


def visibility(s: Subject) -> Findings:
    """Every identity shows in some images, and an image is more than nothing."""
    what, where = s.objects(64)
    shown = coverage(s.draw(what, where), s.renderer.compositing).flatten(1).amax(1) > 0
    names = s.renderer.what.names if isinstance(s.renderer.what, Categorical) else ("objects",)
    for k, name in enumerate(names):
        mine = shown[what == k] if len(names) > 1 else shown
        if not mine.any():
            yield (
                f"{name} is not seen in {len(mine)} images of poses from the prior",
                "draw it, or narrow the support of `where` to what the image shows",
            )


def determinism(s: Subject) -> Findings:
    """The image depends on what and where alone, and drawing leaves the random numbers of others as they are."""
    what, where = s.objects(8)
    first = s.draw(what, where)
    before = _random_states()
    second = s.draw(what, where)
    if before != _random_states():
        yield "draw uses up global random numbers", "draw the same image every time; runs could not be repeated"
    gaps = {n: worst(a, b)[0] for n, a, b in zip(Layer._fields, second, first) if a is not None and b is not None}
    if any(gaps.values()):
        parts = {name: gap for name, gap in gaps.items() if gap}
        yield (
            f"drawn twice, images differ, {in_words(parts)}",
            "make draw a pure function: no noise, no state, no dropout",
        )


def _random_states() -> bytes:
    return pickle.dumps((torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()))


def batching(s: Subject) -> Findings:
    """An object looks the same alone and among others, in any order."""
    what, where = s.objects(8)
    whole = s.draw(what, where)
    alone = [s.draw(what[i : i + 1], where[i : i + 1]) for i in range(8)]
    parts = differences(each(lambda *rows: torch.cat(rows), *alone), whole)
    if parts:
        yield (
            f"an object alone looks otherwise than in a batch, {in_words(parts)}",
            "let each row depend on its own row only",
        )
    flipped = s.draw(what.flip(0), where.flip(0))
    parts = differences(each(lambda part: part.flip(0), flipped), whole)
    if parts:
        yield f"the order of a batch changes images, {in_words(parts)}", "let each row depend on its own row only"


def inputs(s: Subject) -> Findings:
    """Drawing leaves its arguments as they are."""
    what, where = s.objects(4)
    kept = what.clone(), where.clone()
    s.draw(what, where)
    for name, given, was in zip(("what", "where"), (what, where), kept):
        if not torch.equal(given, was):
            yield f"draw changed `{name}` by up to {worst(given, was)[0]:.3g}", f"work on {name}.clone()"


def render(s: Subject) -> Findings:
    """Canvases are the background and the layers composed: prefix after prefix, with ``render`` and ``canvases``."""
    scenes = s.scenes()
    with torch.no_grad():
        found, base = (r(s.renderer, scenes.what, scenes.where) for r in (type(s.renderer).render, Renderer.render))
        given = s.renderer.canvases(scenes.what, scenes.where)
        fewer = s.renderer.render(scenes.what[:, :1], scenes.where[:, :1])
    remedy = "make it equal compose(layers, background, compositing), downsampled, for every prefix of the slots"
    if found.shape != base.shape:
        yield f"render gave {tuple(found.shape)}, not {tuple(base.shape)}", remedy
        return
    for claim, a, b in (
        ("render differs from the composed layers", found, base),
        ("canvases differ from render", given, found),
        ("the first canvases change with slots that come later", found[:, :2], fewer),
        ("the empty canvas is not the background", found[:, :1], s.renderer.image_background().expand_as(found[:, :1])),
    ):
        gap, share = worst(a, b)
        if share > 0.002:
            yield f"{claim} by up to {gap:.3g} in {share:.1%} of the pixels", remedy
