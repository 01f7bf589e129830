"""The command line's parsers, which say in one line what is wrong with an argument."""

import inspect
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pkgutil import iter_modules
from pydoc import locate
from typing import NoReturn

from jsonargparse import ArgumentParser, Namespace
from pytorch_lightning.cli import LightningArgumentParser

from air_lightning.cli.arguments import check_configs
from air_lightning.cli.exit_status import exit_with
from air_lightning.plugins.names import MEANT, did_you_mean, unknown_name
from air_lightning.plugins.short_names import UnknownName
from air_lightning.plugins.union_errors import ClassError
from air_lightning.runs import RunError

KEY = re.compile(r'Parser key "([^"]+)"')
CLASS = re.compile(r"Problem with given class_path '([^']+)'")
MISSING = re.compile(r"module '([^']+)' has no attribute '([^']+)'")
OPTION = re.compile(r"Option '([^']+)' is not accepted")
UNKNOWN = re.compile(r"unrecognized arguments: (--[^\s=]+)|Subcommand '(\w+)' does not accept option '([^']+)'")
ALIKE = 0.85
"""Share of letters in common by which whole dotted names are near: many begin alike."""
UNION = re.compile(r"Does not validate against any of the Union subtypes\nSubtypes: (.*)\n")


class Parser(ArgumentParser):
    """jsonargparse's, for commands of our own."""

    def read(self, args: Sequence[str]) -> Namespace:
        """The arguments; a config file that holds none ends with status 2 and one line."""
        try:
            check_configs(args)
        except RunError as error:
            exit_with(2, f"error: {error}")
        return self.parse_args(list(args))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End with usage and message as jsonargparse does; with one line where that can tell all."""
        plain = one_line(ex)
        if plain is not None and self.exit_on_error and not os.environ.get("JSONARGPARSE_DEBUG"):
            exit_with(2, f"error: {plain}")
        super().error(message + self._nearest(message), ex)

    def _nearest(self, message: str) -> str:
        """What to ask behind a message about an argument that there is not."""
        unknown = UNKNOWN.match(message)
        if unknown is None:
            return ""
        option, subcommand, key = unknown.groups()
        if option:
            known = [name for action in self._actions for name in action.option_strings]
            whole = [name for name in known if name.endswith(f".{option[2:]}")]
            return f"{MEANT}{whole[0]}?" if len(whole) == 1 else did_you_mean(option, known, ALIKE)
        subcommands = self._subcommands_action
        actions = subcommands.choices[subcommand]._actions if subcommands else []
        return did_you_mean(key, [action.dest for action in actions], ALIKE)


class CLIParser(Parser, LightningArgumentParser):
    """LightningCLI's."""


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
    key = ".".join(place[1] for place in places if place.re is KEY)
    if not key:
        return None
    said = " ".join(str(chain[-1]).split())
    said += _nearest_in_module(said)
    if places[-1].re is CLASS:  # the error is about the class, not about one of its arguments
        said = _of_class(places[-1][1], said)
    within = next((one.within for one in chain if isinstance(one, ClassError) and one.within), None)
    return f"{key}: {said}" + (f", in {within}" if within else "")


def _nearest_in_module(said: str) -> str:
    """What to ask behind a message about a class path whose module lacks what it names."""
    lacks = MISSING.fullmatch(said)
    if lacks is None or lacks[1] not in sys.modules:
        return ""
    module = sys.modules[lacks[1]]
    inside = [one.name for one in iter_modules(getattr(module, "__path__", []))]
    return did_you_mean(lacks[2], [*getattr(module, "__all__", vars(module)), *inside])


def _of_class(path: str, said: str) -> str:
    option, cls = OPTION.fullmatch(said), locate(path)
    if option is None or not inspect.isclass(cls):
        return f"{path}: {said}"
    names = [name for name in inspect.signature(cls).parameters if name.isidentifier()]
    return unknown_name(f"argument of {cls.__name__}", option[1], names)


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
