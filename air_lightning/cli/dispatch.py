"""From the first word of a command line to what runs it."""

import logging
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from air_lightning.cli.collector import uncollected
from air_lightning.cli.commands import COMMANDS, SUBCOMMANDS
from air_lightning.cli.compiling import tell_of_compiling
from air_lightning.cli.exit_status import end_unwritten, exit_with, sigterm_interrupts
from air_lightning.cli.old_arguments import take_old_arguments
from air_lightning.plugins import enable_short_names
from air_lightning.plugins.mesh_values import keep_mesh_files
from air_lightning.plugins.names import unknown_name
from air_lightning.plugins.nested_values import keep_nested_values
from air_lightning.plugins.union_errors import tell_of_named_classes


def run(args: Sequence[str] | None = None) -> None:
    """As `air_lightning.cli.main`."""
    try:
        try:
            _run(args)
        finally:
            print(end="", flush=True)  # what cannot be printed is said here, and not when Python ends
    except OSError as error:
        end_unwritten(error, "run the same command again")
        raise


def _run(args: Sequence[str] | None) -> None:
    ignore_warnings()
    enable_short_names()
    keep_nested_values()
    keep_mesh_files()
    tell_of_named_classes()
    take_old_arguments()
    argv = sys.argv[1:] if args is None else list(args)
    if argv and argv[0] in COMMANDS:
        module, _ = COMMANDS[argv[0]]
        with sigterm_interrupts():  # as Ctrl-C: drafts are removed
            with uncollected():
                command = import_module(module)
            tell_of_compiling()
            command.main(argv[1:])
        return
    _check_command(argv)
    with uncollected():  # seconds, for those who mistyped the command
        from air_lightning import parallel

        parallel.end_with_first()
        from air_lightning.cli.lightning import AIRCLI
        from air_lightning.model.data_checks import check_data
        from air_lightning.model.module import AIRModule
        from datamodules.base import SceneDataModule

    tell_of_compiling()
    AIRCLI(AIRModule, SceneDataModule, args, check_data)


def _check_command(argv: Sequence[str]) -> None:
    """End where the first word is neither an option nor a command that there is."""
    names = (*SUBCOMMANDS, *COMMANDS)
    if not argv:
        exit_with(2, f"error: no command given: there are {', '.join(names)}; try --help")
    if not argv[0].startswith("-") and argv[0] not in names:
        exit_with(2, f"error: {unknown_name('command', argv[0], names)}; try --help")


def ignore_warnings() -> None:
    """Silence warnings on which our users should not act, and advertisements."""
    log = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    log.addFilter(_no_tip)
    for message in (
        # Scenes are made by compiled code on the process's own threads, with which workers would compete.
        ".*does not have many workers.*",
        # Epochs may be short; validation metrics are logged whatever this interval.
        ".*is smaller than the logging interval.*",
        # A renderer, or a frozen part, may well be in evaluation mode.
        ".*in eval mode at the start of training.*",
        # Lightning's own use of torch and jsonargparse, for Lightning to change.
        ".*LeafSpec.*is deprecated.*",
        "(?s).*(was deprecated in v4|JsonargparseDeprecationWarning).*",
        # Default values that a config has no words for are left out of it.
        "(?s).*Unable to serialize instance.*",
    ):
        warnings.filterwarnings("ignore", message=message)


def _no_tip(record: logging.LogRecord) -> bool:
    return "Tip: For seamless" not in record.getMessage()
