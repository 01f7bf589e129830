"""What is wrong with an argument that may be of several types, where its value names a class: what that class says."""

import re
import reprlib
from collections.abc import Callable
from typing import Any, NoReturn

from jsonargparse import _typehints

from air_lightning.plugins.names import MEANT
from air_lightning.plugins.short_names import UnknownName

HINTS: Any = _typehints
"""Private, and so without types that are promised."""
OF_ANOTHER_TYPE = re.compile(r"Expected a |Import path \S+ does not correspond to a subclass|Not a valid subclass")
"""How jsonargparse begins where a value is not of a type at all."""


class ClassError(ValueError):
    """jsonargparse's error about all types of a union; its cause is what the class that was named says.

    Attributes:
        within: the value, if it has entries, of which one is wrong; None for others.
    """

    def __init__(self, said: str, value: Any = None) -> None:  # jsonargparse raises copies of one argument
        super().__init__(said)
        self.within = reprlib.repr(value) if isinstance(value, dict) and "class_path" not in value else None


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
    unknown = [one for one in exceptions if isinstance(one, UnknownName)]
    own = [one for one in exceptions if one not in unknown and not OF_ANOTHER_TYPE.match(str(one))]
    own = own or [one for one in unknown if MEANT in str(one)]  # of one of the types there is a name that is near
    try:
        _theirs(subtypes, val, exceptions)
    except ValueError as error:
        if len(own) != 1:
            raise
        raise ClassError(str(error), val) from own[0]
