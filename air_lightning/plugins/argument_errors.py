"""What jsonargparse says of a wrong argument, in one line."""

import inspect
import re
import sys
from collections.abc import Iterator
from pkgutil import iter_modules
from pydoc import locate

from air_lightning.plugins.names import did_you_mean, unknown_name
from air_lightning.plugins.short_names import UnknownName
from air_lightning.plugins.union_errors import UNKNOWN, ClassError

KEY = re.compile(r'Parser key "([^"]+)"')
CLASS = re.compile(r"Problem with given class_path '([^']+)'")
MISSING = re.compile(r"module '([^']+)' has no attribute '([^']+)'")
OPTION = re.compile(r"Option '([^']+)' is not accepted")
CALLABLE = re.compile(r"expects a function or a callable class: Option .* Got value: Namespace\(class_path='([^']+)'")
"""Of an argument that is called for an object, as ``model.inference`` with the renderer; the rest names no class."""
UNION = re.compile(r"Does not validate against any of the Union subtypes\nSubtypes: (.*)\n")


def one_line(error: BaseException | None) -> str | None:
    """The dotted name of the argument that an error is about, and what is wrong with it.

    jsonargparse raises an error anew at each level of the arguments, with the key or the class there and the one before
    as its cause, and between levels in the same words. None where it does not name an argument, and where a value may
    be of several types and names no class of one, for the chain has the first type's error only.
    """
    chain = [one for one in _causes(error) if str(one) != str(one.__cause__)]
    undecided = [one for one in chain if not isinstance(one, ClassError)]
    unions = [match[1] for one in undecided if (match := UNION.match(str(one)))]
    if not chain or not (all(map(_is_optional, unions)) or isinstance(chain[-1], UnknownName)):
        return None
    places = [place for one in chain if (place := KEY.match(str(one)) or CLASS.match(str(one)))]
    key = _dotted(chain)
    if not key:
        return None
    said = " ".join(str(chain[-1]).split())
    said += _nearest_in_module(said)
    called = [match[1] for one in chain if (match := CALLABLE.search(str(one)))]
    if called:
        said = _of_class(called[-1], said, first=1)  # which it is called with is no option
    elif places[-1].re is CLASS:  # the error is about the class, not about one of its arguments
        said = _of_class(places[-1][1], said)
    values = [one for one in chain if isinstance(one, ClassError) and one.value is not UNKNOWN]
    within = values[-1].within if values else None
    return f"{key}: {said}" + (f", in {within}" if within and within not in said else "")


def _dotted(chain: list[BaseException]) -> str:
    """The keys on the way to an argument, with those of entries of a mapping; empty where there is none."""
    names, outer = list[str](), None
    for one in chain:
        if place := KEY.match(str(one)):
            names.append(place[1])
            outer = None
        elif isinstance(one, ClassError) and one.value is not UNKNOWN:
            entry = None if outer is None else outer.entry(one)
            names += [] if entry is None else [entry]
            outer = one
    return ".".join(names)


def _nearest_in_module(said: str) -> str:
    """What to ask behind a message about a class path whose module lacks what it names."""
    lacks = MISSING.fullmatch(said)
    if lacks is None or lacks[1] not in sys.modules:
        return ""
    module = sys.modules[lacks[1]]
    inside = [one.name for one in iter_modules(getattr(module, "__path__", []))]
    return did_you_mean(lacks[2], [*getattr(module, "__all__", vars(module)), *inside])


def _of_class(path: str, said: str, first: int = 0) -> str:
    option, cls = OPTION.fullmatch(said), locate(path)
    if option is None or not inspect.isclass(cls):
        return f"{path}: {said}"
    names = [name for name in inspect.signature(cls).parameters if name.isidentifier()]
    return unknown_name(f"argument of {cls.__name__}", option[1], names[first:])


def _is_optional(subtypes: str) -> bool:
    """Whether a union, as jsonargparse lists it in brackets, is of one type and null.

    The commas within a type (``dict[str, float]``) are not the union's.
    """
    depth = separators = 0
    for char in subtypes[1:-1]:
        depth += (char in "[(") - (char in ")]")
        separators += char == "," and depth == 0
    return separators == 1 and subtypes.endswith(", <class 'NoneType'>]")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
