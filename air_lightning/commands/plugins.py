"""`python -m air_lightning plugins`: every plug-in by family, with what it asks of inference and where it comes from.

Exit status: 0 done; 2 wrong arguments, or two plug-ins of one name. A plug-in that cannot be loaded is left out with a
warning.
"""

import sys
import warnings
from collections.abc import Iterator, Sequence

from jsonargparse import ArgumentParser

from air_lightning.cli.exit_status import exit_with
from air_lightning.plugins.registry import FAMILIES, Family, Plugin, available
from renderers.base import Renderer
from renderers.spaces import Categorical


def main(args: Sequence[str]) -> None:
    """Run the subcommand with the arguments after its name.

    Raises:
        SystemExit: with status 2 where they are wrong, or where two plug-ins have one name.
    """
    arguments().parse_args(list(args))
    try:
        with warnings.catch_warnings(record=True) as broken:
            warnings.simplefilter("always")
            lines = [line for family in FAMILIES for line in section(family)]
    except ValueError as error:
        exit_with(2, f"error: {error}")
    for warning in broken:
        print(f"warning: {warning.message}", file=sys.stderr)
    print("\n".join(lines))


def arguments() -> ArgumentParser:
    """The subcommand's parser."""
    return ArgumentParser(
        prog="python -m air_lightning plugins",
        description="List the plug-ins that configs may name: those built in, by class, and those of installed "
        f"packages, by entry point (groups {', '.join(family.group for family in FAMILIES)}).",
    )


def section(family: Family) -> Iterator[str]:
    """The lines about one family."""
    yield f"{family.name}:"
    for plugin in available(family):
        yield f"  {plugin.name}  {plugin.path}  ({plugin.origin})"
        if issubclass(plugin.cls, Renderer):
            yield from (f"      {line}" for line in spaces(plugin))


def spaces(plugin: Plugin) -> list[str]:
    """What a renderer asks of inference, as it is with default arguments."""
    try:
        renderer = plugin.cls()
    except TypeError as error:
        return [f"needs arguments: {error}"]
    except Exception as error:  # whatever a constructor may raise, without its data or libraries
        return [f"cannot be built with defaults: {type(error).__name__}: {error}"]
    assert isinstance(renderer, Renderer)
    try:
        return _said(renderer)
    except Exception as error:  # of a renderer that is half built, for one
        return [f"does not say what it draws: {type(error).__name__}: {error}"]


def _said(renderer: Renderer) -> list[str]:
    space = renderer.what
    what = ", ".join(space.names) if isinstance(space, Categorical) else f"code of dimension {space.dim}"
    where = ", ".join(f"{c.name} [{c.low:g}, {c.high:g}] {c.unit}" for c in renderer.where.coordinates)
    gradient = "differentiable" if renderer.differentiable else "black box"
    size = "x".join(str(n) for n in renderer.image_shape)
    return [f"what: {what}", f"where: {where}", f"{gradient}, {renderer.compositing}, images {size}"]
