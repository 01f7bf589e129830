"""The conformance test of renderers."""

from collections.abc import Callable, Collection
from typing import Any

from air_lightning.testing import copies, drawing, geometry, gradients, scene
from air_lightning.testing.report import BrokenLaws, Finding, Report, Skipped
from air_lightning.testing.subject import Subject
from renderers.base import Renderer

Law = Callable[[Subject], drawing.Findings]

LAWS: dict[str, Law] = {
    law.__name__: law
    for law in (
        drawing.shapes,
        drawing.types,
        drawing.buffers,
        drawing.values,
        drawing.visibility,
        drawing.determinism,
        drawing.batching,
        drawing.inputs,
        drawing.render,
        gradients.gradient,
        gradients.parameters,
        gradients.contract,
        gradients.swap_scores,
        gradients.backgrounds,
        gradients.steps,
        geometry.periods,
        geometry.project,
        geometry.unproject,
        geometry.window,
        geometry.boxes,
        scene.scene,
        copies.state,
        copies.pickling,
        copies.spec,
        drawing.accelerator,
    )
}


def check_renderer(
    renderer: type[Renderer] | Renderer | Callable[[], Renderer], only: Collection[str] = (), **arguments: Any
) -> Report:
    """Measure whether a renderer keeps the contract, so that everything else works with it.

        def test_my_renderer() -> None:
            check_renderer(MyRenderer, size=24)

    Args:
        renderer: a class, which is built with ``arguments``; or a renderer, or a function that makes one.
        only: names of the laws to measure (default: all, see ``LAWS``; each has a docstring).
        arguments: of a class's constructor.
    Returns:
        What was measured, and what not for which reason.
    Errors:
        BrokenLaws, a ValueError that lists every broken law with what was found and what to do about it.
        ValueError for what is no renderer, and for laws that there are none of.
    """
    return measure(_subject(renderer, arguments), only)


def measure(subject: Subject, only: Collection[str] = ()) -> Report:
    """``check_renderer`` of a renderer that is built already. Errors: as said there."""
    unknown = sorted(set(only) - set(LAWS))
    if unknown:
        raise ValueError(f"there is no law {', '.join(unknown)}: the laws are {', '.join(LAWS)}")
    kept, broken, skipped = list[str](), list[Finding](), list[tuple[str, str]]()
    for name in [name for name in LAWS if name in only or not only]:
        try:
            found = _findings(name, subject, any(finding.law == "shapes" for finding in broken))
        except Skipped as reason:
            skipped.append((name, str(reason)))
            continue
        broken += found
        kept += [] if found else [name]
    report = Report(subject.name, tuple(kept), tuple(broken), tuple(skipped))
    if broken:
        raise BrokenLaws(report)
    return report


def _findings(name: str, subject: Subject, misshapen: bool) -> list[Finding]:
    try:
        return [Finding(name, *finding) for finding in LAWS[name](subject)]
    except Skipped:
        raise
    except Exception as error:  # whatever a renderer raises
        if misshapen:
            raise Skipped("it cannot be measured while `shapes` is broken") from error
        return [Finding(name, f"{type(error).__name__}: {error}", "it must not raise on objects of its spaces")]


def _subject(renderer: Any, arguments: dict[str, Any]) -> Subject:
    if isinstance(renderer, Renderer):
        if arguments:
            raise ValueError(f"arguments {sorted(arguments)} are for a class, got a built {type(renderer).__name__}")
        return Subject(renderer, None, None)
    if not callable(renderer):
        raise ValueError(f"check_renderer needs a renderer, its class or a function that makes it, got {renderer!r}")
    name, is_class = getattr(renderer, "__name__", repr(renderer)), isinstance(renderer, type)
    try:
        made = renderer(**arguments)
    except TypeError as error:
        raise ValueError(f"{name} cannot be built, {error}: give its arguments, check_renderer({name}, ...)") from error
    if not isinstance(made, Renderer):
        raise ValueError(f"{name} must be or make a subclass of renderers.Renderer, got {type(made).__name__}")
    if not hasattr(made, "image_shape"):
        raise ValueError(
            f"{name} does not say its spaces: call super().__init__(what, where, image_shape) in its __init__"
        )
    return Subject(made, lambda: renderer(**arguments), arguments if is_class else None)
