"""What constructors say of wrong values, as the user is to see it: the argument's name first, and no more around it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from pydoc import locate
from typing import Any, NamedTuple

from air_lightning.plugins.union_errors import ClassError

# Where an argument may also be null, jsonargparse tries both, and begins so; a class's own error is the cause.
UNION = "Does not validate against any of the Union subtypes"


class GivenClass(NamedTuple):
    """A class among the arguments: where it was named, and what its constructor was to get."""

    key: str
    cls: object
    arguments: Mapping[str, Any]


def check_made(part: object) -> None:
    """ValueError where the constructor of a module, a renderer or network, has not called its base class's."""
    if "_modules" not in vars(part):
        name = type(part).__name__
        raise ValueError(f"{name}.__init__ does not call super().__init__(...): let it do so before all else")


def root_cause(error: Exception) -> Exception:
    """What a constructor raised, of what jsonargparse made of it."""
    while str(error).startswith(UNION) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def named_message(error: Exception, arguments: Mapping[str, Any], classes: Mapping[str, type]) -> str:
    """What a constructor says of a wrong value, with the dotted name of the argument that it is about.

    A message that begins with a constructor's argument, as ours do, makes one name with where the class was given:
    ``counts must ...`` becomes ``data.counts must ...``, other messages ``data: ...``. Where it is not known which
    class raised the error, the name is that of the value that it is about; where that is not known either, and where
    the message says it already, nothing is added.

    Args:
        arguments: as a config has them.
        classes: those of its top entries that have no ``class_path``.
    """
    cause = root_cause(error)
    message = str(cause)
    given = _culprit(cause, [*_given_classes(arguments, classes)])
    if given is None:
        place = _place(arguments, _value(error))
        return f"{place}: {message}" if place else message
    if message.startswith(given.key):
        return message
    first = message.replace("=", " ").replace(":", " ").partition(" ")[0]
    return f"{given.key}.{message}" if first in given.arguments else f"{given.key}: {message}"


def _value(error: BaseException | None) -> Any:
    """The innermost value with entries that an error about several types is about; None where there is none."""
    found = None
    while error is not None:
        found = error.value if isinstance(error, ClassError) and isinstance(error.value, dict) else found
        error = error.__cause__
    return found


def _place(arguments: Mapping[str, Any], value: Any, key: str = "") -> str | None:
    """The dotted name by which the arguments hold a value with entries; None where they do not."""
    if value is None:
        return None
    for name, one in arguments.items():
        dotted = key if name == "init_args" else f"{key}.{name}".lstrip(".")
        if isinstance(one, Mapping):
            place = dotted if one == value else _place(one, value, dotted)
            if place is not None:
                return place
    return None


def _given_classes(arguments: Mapping[str, Any], classes: Mapping[str, type], key: str = "") -> Iterator[GivenClass]:
    for name, value in arguments.items():
        yield from _within(f"{key}{name}", value, classes.get(name) if not key else None)


def _within(key: str, value: Any, cls: object = None) -> Iterator[GivenClass]:
    """The classes that are named in a value."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _within(key, item)
    elif isinstance(value, Mapping):
        if "class_path" in value:
            cls, value = locate(str(value["class_path"])), value.get("init_args") or {}
        if cls is not None:
            yield GivenClass(key, cls, value)
        yield from _given_classes(value, {}, f"{key}.")


def _culprit(error: Exception, given: list[GivenClass]) -> GivenClass | None:
    """Whose constructor raised the error: the innermost of them; of several of one class that with its arguments."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "__init__"]
    for frame in reversed(frames):
        cls = type(frame.f_locals.get("self"))
        likely = [one for one in given if one.cls is cls]
        if likely:
            return max(likely, key=lambda one: _agreements(one.arguments, frame.f_locals))
    return None


def _agreements(arguments: Mapping[str, Any], called: Mapping[str, Any]) -> int:
    """How many of the arguments a constructor was called with."""
    return sum(name in called and _plain(called[name]) == _plain(value) for name, value in arguments.items())


def _plain(value: Any) -> str:
    """A value as configs have it: tuples are lists there."""
    return f"[{', '.join(map(_plain, value))}]" if isinstance(value, (list, tuple)) else repr(value)
