"""The command line's parsers, which say in one line that a name is of no class."""

import os
import re
from collections.abc import Iterator
from typing import NoReturn

from jsonargparse import ArgumentParser
from pytorch_lightning.cli import LightningArgumentParser

from air_lightning.command_line import end
from air_lightning.plugins.short_names import UnknownName

KEY = re.compile(r'Parser key "([^"]+)"')


class Parser(ArgumentParser):
    """jsonargparse's, for commands of our own."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End with usage and message as jsonargparse does; where a name is of no class, with one line about that."""
        unknown = unknown_name(ex)
        if unknown is not None and self.exit_on_error and not os.environ.get("JSONARGPARSE_DEBUG"):
            end(2, f"error: {unknown}")
        super().error(message, ex)


class CLIParser(Parser, LightningArgumentParser):
    """LightningCLI's."""


def unknown_name(error: BaseException | None) -> str | None:
    """The argument that has the name of no class, and what is known of it; None for errors of another cause.

    jsonargparse raises an error anew at each level of the arguments, with the key there and the one before as its
    cause, and between levels in the same words.
    """
    chain = list(_causes(error))
    keys = [match[1] for one in chain if str(one) != str(one.__cause__) and (match := KEY.match(str(one)))]
    unknown = [one for one in chain if isinstance(one, UnknownName)]
    return ": ".join([".".join(keys), str(unknown[-1])]) if unknown and keys else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
