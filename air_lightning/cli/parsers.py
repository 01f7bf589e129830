"""The command line's parsers, which say in one line what is wrong with an argument."""

import os
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import extend_base_type
from pytorch_lightning.cli import LightningArgumentParser

from air_lightning.cli.arguments import check_configs
from air_lightning.cli.checks import natural, positive, seed
from air_lightning.cli.exit_status import exit_with
from air_lightning.plugins.argument_errors import one_line
from air_lightning.plugins.names import MEANT, did_you_mean
from air_lightning.runs import RunError

Positive: Any = extend_base_type("Positive", int, lambda cls, value: positive(value))
Natural: Any = extend_base_type("Natural", int, lambda cls, value: natural(value))
Seed: Any = extend_base_type("Seed", int, lambda cls, value: seed(value))
"""Types of arguments, as of ``checks``."""
UNKNOWN = re.compile(r"unrecognized arguments: (--[^\s=]+)|Subcommand '(\w+)' does not accept option '([^']+)'")
ALIKE = 0.85
"""Share of letters in common by which whole dotted names are near: many begin alike."""


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


def check_data_given(config: Namespace, command: str) -> None:
    """End with status 2 where neither the command line nor a config names the data."""
    if config.data is None:
        exit_with(2, f"error: {command} needs data: give --data CLASS, or --config FILE that names it")


class CLIParser(Parser, LightningArgumentParser):
    """LightningCLI's."""
