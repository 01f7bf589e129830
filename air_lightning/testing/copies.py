"""Laws of copies: a renderer's state, pickle and config give back what draws the same."""

import copy
import io
import pickle
import warnings
from collections.abc import Iterator

import torch
from jsonargparse import ArgumentParser

from air_lightning.moved import renamed
from air_lightning.testing.report import Skipped
from air_lightning.testing.subject import Subject, differences, in_words
from renderers.base import Renderer

Findings = Iterator[tuple[str, str]]


def state(s: Subject) -> Findings:
    """Saved and loaded safely, the state makes another renderer of the same arguments draw the same."""
    saved = io.BytesIO()
    torch.save(s.renderer.state_dict(), saved)
    saved.seek(0)
    try:
        loaded = torch.load(saved, weights_only=True, map_location=s.renderer.device)
    except pickle.UnpicklingError as error:
        yield f"its state does not load with weights_only: {error}", "keep tensors and plain numbers only in the state"
        return
    other = s.build().to(s.renderer.device) if s.build is not None else copy.deepcopy(s.renderer)
    other.load_state_dict(loaded)
    yield from _draws_the_same(s, other, "another one with its state", "register what it draws with as buffers")


def pickling(s: Subject) -> Findings:
    """Copies by pickle and deepcopy, as other processes get them, draw the same."""
    remedy = "leave out what cannot be pickled in __getstate__ and make it again when it is needed"
    for name, twin in (
        ("pickle", lambda: pickle.loads(pickle.dumps(s.renderer))),
        ("deepcopy", lambda: copy.deepcopy(s.renderer)),
    ):
        try:
            other = twin()
        except Exception as error:  # whatever an object says that does not want to be copied
            yield f"{name} fails: {type(error).__name__}: {error}", remedy
            continue
        yield from _draws_the_same(s, other, f"its copy by {name}", "copy all that it draws with")


def spec(s: Subject) -> Findings:
    """Built from a config, saved to a config and built again, it has the same spaces and draws the same."""
    if s.arguments is None:
        raise Skipped("its arguments are not known: check the class, with them as keyword arguments")
    cls = type(s.renderer)
    path = f"{cls.__module__}.{cls.__qualname__}"
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--renderer", type=Renderer)
    try:
        text = parser.dump(parser.parse_object({"renderer": renamed({"class_path": path, "init_args": s.arguments})}))
        again = parser.parse_string(text)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "(?s).*(was deprecated in v4|JsonargparseDeprecationWarning).*")
            other = parser.instantiate_classes(again).renderer  # its new name is not in all versions that we take
    except Exception as error:  # jsonargparse and constructors all have their own
        said = " ".join(str(error).split())
        yield (
            f"a config of {path} fails: {said}",
            "define it at a module's top, type its constructor's arguments, and keep them plain",
        )
        return
    if parser.dump(again) != text:
        yield f"saved twice, its config changes from {text!r} to {parser.dump(again)!r}", "keep arguments plain"
    mine, others = ((r.what, r.where, r.image_shape) for r in (s.renderer, other))
    if mine != others:
        yield f"from its config it has {others}, not {mine}", "let the constructor's arguments decide the spaces"
        return
    other.load_state_dict(s.renderer.state_dict())
    yield from _draws_the_same(s, other.to(s.renderer.device), "one from its config", "keep arguments plain")


def _draws_the_same(s: Subject, other: Renderer, which: str, remedy: str) -> Findings:
    what, where = s.objects(8)
    with torch.no_grad():
        parts = differences(other.draw(what, where), s.draw(what, where))
    if parts:
        yield f"{which} draws otherwise, {in_words(parts)}", remedy
