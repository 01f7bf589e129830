"""`python -m air_lightning check`: whether a renderer keeps the contract.

    python -m air_lightning check --renderer my_package.Discs [--renderer.size 24 ...]

Exit status: 0 it does; 1 it breaks laws, each said on stderr; 2 wrong arguments; 130 (Ctrl-C) or 143
(SIGTERM) interrupted.
"""

from collections.abc import Sequence

from air_lightning.cli.exit_status import exit_with
from air_lightning.cli.parsers import Parser
from air_lightning.plugins.constructor_errors import check_made, named_message
from air_lightning.testing.check import LAWS, measure
from air_lightning.testing.report import BrokenLaws
from air_lightning.testing.subject import Subject
from renderers.base import Renderer


def main(args: Sequence[str]) -> None:
    """Run the subcommand with the arguments after its name.

    Raises:
        SystemExit: with status 1 or 2, as said above.
    """
    parser = arguments()
    config = parser.read(args)

    def build() -> Renderer:
        renderer: Renderer = parser.instantiate_classes(config).renderer
        check_made(renderer)
        return renderer

    try:
        given = config.renderer.as_dict().get("init_args", {})  # a constructor may take none
        print(measure(Subject(build(), build, given), config.only))
    except BrokenLaws as error:
        exit_with(1, str(error))
    except ValueError as error:
        exit_with(2, f"error: {named_message(error, config.as_dict(), {})}")


def arguments() -> Parser:
    """The subcommand's parser."""
    parser = Parser(
        prog="python -m air_lightning check",
        description="Measure whether a renderer keeps the contract on which everything else relies.",
    )
    parser.add_argument("-c", "--config", action="config", help="Path to a YAML file of these arguments.")
    parser.add_argument("--renderer", type=Renderer, required=True, help="The renderer, and its arguments.")
    parser.add_argument("--only", type=str, nargs="+", default=[], help=f"Laws to measure, of {', '.join(LAWS)}.")
    return parser
