"""What is wrong with an argument that may be of several types, where its value names a class: what that class says."""

import re
import reprlib
from collections.abc import Callable
from typing import Any, NoReturn, get_args, get_origin

from jsonargparse import Namespace, _typehints

from air_lightning.plugins.names import MEANT
from air_lightning.plugins.short_names import UnknownName

HINTS: Any = _typehints
"""Private, and so without types that are promised."""
OF_ANOTHER_TYPE = re.compile(r"Expected a |Import path \S+ does not correspond to a subclass|Not a valid subclass")
"""How jsonargparse begins where a value is not of a type at all."""
UNREADABLE = re.compile(r"Not of type \w+: ")
"""How it begins where a type that is made of text, a path for example, cannot be made of the value."""


UNKNOWN = object()
"""In the place of a value that is not known."""


class ClassError(ValueError):
    """jsonargparse's error about all types of a union; its cause is what the one says that was meant.

    Attributes:
        value: what was given, as configs have it, or UNKNOWN.
        within: the value, if it has entries, of which one is wrong; None for others.
    """

    def __init__(self, said: str, value: Any = UNKNOWN) -> None:  # jsonargparse raises copies of one argument
        super().__init__(said)
        self.value = plain(value)
        self.within = reprlib.repr(value) if isinstance(value, dict) and "class_path" not in value else None

    def entry(self, inner: "ClassError") -> str | None:
        """The name of the entry that an error about a part of the value is about, if it has entries."""
        if not isinstance(self.value, dict):
            return None
        return next((str(name) for name, value in self.value.items() if value == inner.value), None)


def tell_of_named_classes() -> None:
    """Have errors about ``float | Schedule`` be caused by what `Schedule` says of its arguments, not by `float`.

    jsonargparse tries the types of a union in turn, lists what each of them says, and gives the first one's error as
    the cause, which is that the value is no number. Calling this again changes nothing.
    """
    if HINTS.raise_union_unexpected_value is not _raise:
        HINTS.raise_union_unexpected_value = _raise


# The one place where jsonargparse knows the errors of all types; there is no public way to choose among them.
_theirs: Callable[[Any, Any, list[Exception]], NoReturn] = HINTS.raise_union_unexpected_value


def _raise(subtypes: Any, val: Any, exceptions: list[Exception]) -> NoReturn:
    meant = _meant(subtypes, val, exceptions)
    try:
        _theirs(subtypes, val, exceptions)
    except ValueError as error:
        if meant is None:
            raise
        raise ClassError(str(error), val) from meant


def _meant(subtypes: Any, val: Any, exceptions: list[Exception]) -> Exception | None:
    """The one error that is about the type that was meant, if that is clear."""
    unknown = [one for one in exceptions if isinstance(one, UnknownName)]
    own = [one for one in exceptions if one not in unknown and not OF_ANOTHER_TYPE.match(str(one))]
    classes = [one for one in own if not UNREADABLE.match(str(one))]
    own = classes or own or [one for one in unknown if MEANT in str(one)]  # of one of the types there is a near name
    return own[0] if len(own) == 1 else _no_mapping(subtypes, val)


def _no_mapping(subtypes: Any, val: Any) -> Exception | None:
    """What to say of a value where a mapping, or null, should be; None where it is one, or others will do, too."""
    types = [one for one in subtypes if one is not type(None)]
    if len(types) != 1 or get_origin(types[0]) is not dict or isinstance(plain(val), (dict, HINTS.NestedArg)):
        return None
    values = get_args(types[0])[1]
    wanted = next((one.wanted for one in get_args(values) if hasattr(one, "wanted")), "VALUE")
    return ValueError(
        f"expected a mapping, got {reprlib.repr(val)}: give {{NAME: {wanted}, ...}}, with a space behind each colon"
    )


def plain(value: Any) -> Any:
    """A value as configs have it: mappings in the place of jsonargparse's own."""
    if not isinstance(value, Namespace):
        return {name: plain(one) for name, one in value.items()} if isinstance(value, dict) else value
    content = value.as_dict()
    return content["init_args"] if "__subclasses_disabled__" in content else content
