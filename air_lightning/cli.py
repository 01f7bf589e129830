"""The command line: Lightning's, with a folder for every run.

    python -m air_lightning fit --config configs/scenes3d.yaml [--run_dir DIR] [--model.lr 1e-3 ...]
    python -m air_lightning fit --resume --run_dir DIR [--trainer.max_steps 6000 ...]
    python -m air_lightning fit --config configs/scenes3d.yaml --wandb
    python -m air_lightning test --run_dir DIR [--ckpt_path last] [--data.noise 0.1 ...]
    python -m air_lightning validate --run_dir DIR
    python -m air_lightning predict --run_dir DIR --input PICTURES --output OUT
    python -m air_lightning export --run_dir DIR --output FILE
    python -m air_lightning downstream --config configs/downstream_sum.yaml --run_dir DIR
    python -m air_lightning report DIR [DIR ...]
    python -m air_lightning sweep FILE --local
    python -m air_lightning plugins
    python -m air_lightning check --renderer CLASS

Later arguments win over earlier ones, and all of them over a run's own config. What a run folder holds is
said in `air_lightning.runs`. Exit status: 0 done; 1 training failed; 2 wrong arguments, and then no folder
was made; 143 stopped by SIGTERM and 130 by Ctrl-C, in fit after `last.ckpt` was saved.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, cast

import pytorch_lightning as pl
import yaml
from jsonargparse import ActionYesNo, Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException

from air_lightning import __version__, callbacks, machine, processes, runs, wandb_logging
from air_lightning.command_line import INTERRUPTED, end, sigterm_interrupts, unknown
from air_lightning.commands import COMMANDS
from air_lightning.constructor_errors import own_error, told
from air_lightning.parsers import CLIParser
from air_lightning.plugins import enable_short_names
from air_lightning.run_arguments import NEEDS_RUN, SUBCOMMANDS, check_given, with_run_config
from air_lightning.runs import MetricsFile, RunError, RunFolder
from datamodules.base import SceneDataModule

VERSIONS = ("pytorch-lightning", "jsonargparse", "torch", "numpy")  # said in every saved config
DESCRIPTION = (
    "Attend, Infer, Repeat with plug-in renderers: how many objects a scene holds, where each is and what it is."
)
EPILOG = "There are also: " + "; ".join(f"{name} --help ({purpose})" for name, (_, purpose) in COMMANDS.items()) + "."
USAGE = "%(prog)s [--config FILE] [--ARGUMENT VALUE ...]"
SPLIT_OF = {"fit": "val", "validate": "val", "test": "test"}
"""The split that each subcommand shows once."""
SIGTERM_STATUS = 143  # 128 + 15, as shells report it
WRONG = (ValueError, OSError, MisconfigurationException)
"""What constructors raise where the user gave a wrong value, or a file that cannot be read; other errors are bugs."""
# Where and how to run, not what. Left out of config.yaml, so that it can be given to another fit, or to test.
NOT_SAVED = ("config", "run_dir", "resume", "ckpt_path")


def main(args: Sequence[str] | None = None) -> None:
    """Run `python -m air_lightning` with `args` (default: those of the process).

    Raises:
        SystemExit: unless all went well, with the status said at the top of this file.
        KeyboardInterrupt: Ctrl-C where no training or evaluation heeds it, or SIGTERM in a command of our own.
    """
    ignore_warnings()
    enable_short_names()
    argv = sys.argv[1:] if args is None else list(args)
    if argv and argv[0] in COMMANDS:
        module, _ = COMMANDS[argv[0]]
        with sigterm_interrupts():  # as Ctrl-C: drafts are removed
            import_module(module).main(argv[1:])
        return
    names = (*SUBCOMMANDS, *COMMANDS)
    if not argv:
        end(2, f"error: no command given: there are {', '.join(names)}; try --help")
    if not argv[0].startswith("-") and argv[0] not in names:
        end(2, f"error: {unknown('command', argv[0], names)}; try --help")
    from air_lightning.module import AIRModule

    AIRCLI(AIRModule, SceneDataModule, args, AIRModule.check_data)


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
    ):
        warnings.filterwarnings("ignore", message=message)


def _no_tip(record: logging.LogRecord) -> bool:
    return "Tip: For seamless" not in record.getMessage()


class AIRCLI(LightningCLI):
    """LightningCLI in which every fit has a run folder, and the other subcommands read one.

    It runs the subcommand as it is made. Differences from Lightning's own:

    - `--run_dir` and `--resume`, as said in `add_arguments_to_parser`;
    - `config.yaml`, metrics, checkpoints and loggers all lie in the run folder, and `fit` locks it;
    - the callbacks of `air_lightning.callbacks` are always there; two have arguments, `--checkpoint.*` and
      `--figures.*`;
    - a checkpoint brings weights and training state, never arguments: config and command line have the last
      word, and where the checkpoint was trained with other arguments, that is said;
    - `--ckpt_path best|last` mean the run folder's, and a checkpoint that is not there is an error;
    - wrong values found by constructors (ValueError) end like wrong types, with a message and status 2; their
      trace is shown where the environment has JSONARGPARSE_DEBUG=true.
    """

    def __init__(
        self,
        model_class: type[pl.LightningModule],
        datamodule_class: type[pl.LightningDataModule] = pl.LightningDataModule,
        args: Sequence[str] | None = None,
        check: Callable[[Any, Any], None] | None = None,
    ) -> None:
        """
        Args:
            model_class: the module to train; its constructor's arguments are `--model.*`.
            datamodule_class: base class of what `--data CLASS` may name.
            args: the command line (default: the process's own).
            check: called with model and data before anything is written; a ValueError says why they do not go together.
        """
        self.folder: RunFolder | None = None  # ours to write, in fit
        self.run_dir: Path | None = None
        self._count, self._stop = callbacks.SceneCount(), callbacks.StopSignal()
        self._check = check
        try:
            super().__init__(
                model_class,
                datamodule_class,
                save_config_callback=None,  # `instantiate_classes` saves it
                seed_everything_default=1,
                subclass_mode_data=True,
                auto_configure_optimizers=False,  # the module's parameter groups have their own settings
                parser_class=CLIParser,
                parser_kwargs={"prog": "python -m air_lightning", "description": DESCRIPTION, "epilog": EPILOG},
                args=None if args is None else list(args),
            )
        finally:
            if self.folder is not None:
                self.folder.close()
            if processes.rank() == 0:
                processes.forget_folder()

    # ---- arguments

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's own that are ours too, each with the arguments that it does not take from the command line."""
        theirs = LightningCLI.subcommands()
        return {name: theirs[name] for name in SUBCOMMANDS}

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """As Lightning's, but usage does not list every argument, and saved configs say which versions wrote them."""
        versions = [f"air-lightning=={__version__}", *(f"{name}=={version(name)}" for name in VERSIONS)]
        kwargs.setdefault("dump_header", [*versions, f"machine: {machine.describe()}"])
        if "prog" not in kwargs:  # a subcommand's, which has its own from argparse
            kwargs.setdefault("usage", USAGE)
        return super().init_parser(**kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """`--run_dir`, `--resume`, and the arguments of the callbacks that have any."""
        parser.add_argument(
            "--run_dir",
            type=str | None,
            default=None,
            help="Folder of the run. fit: made for it (default: runs/<config name>/<date_time>), or, with "
            "--resume, continued. Else: that of an earlier fit, whose config and best checkpoint are used.",
        )
        parser.add_argument(
            "--resume",
            action="store_true",
            help="fit only: continue the run in --run_dir from its last checkpoint, with its own config.",
        )
        parser.add_argument(
            "--wandb",
            action=ActionYesNo(no_prefix="no_"),
            default=False,
            help="fit only: record the run with Weights & Biases too, as `--trainer.logger WandbLogger` does; what it "
            "can be told comes from the environment (WANDB_PROJECT, WANDB_MODE=offline, ...).",
        )
        parser.add_lightning_class_args(callbacks.Checkpoints, "checkpoint")
        parser.add_lightning_class_args(callbacks.Figures, "figures")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the command line, put behind the run's own config where there is one."""
        argv = sys.argv[1:] if args is None else [str(arg) for arg in cast(Sequence[str], args)]
        try:
            check_given(argv)
            self.config = parser.parse_args(with_run_config(argv))
        except RunError as error:
            self._fail(error)

    def _parse_ckpt_path(self) -> None:
        """Nothing: Lightning would put the checkpoint's arguments over those of config and command line."""

    @property
    def _arguments(self) -> Namespace:
        return self.config[self.subcommand]

    def _fail(self, error: Exception, message: str | None = None) -> NoReturn:
        """End as jsonargparse does, but for the usage: the arguments are well-formed. Default message: the error's."""
        if os.environ.get("JSONARGPARSE_DEBUG"):
            raise error
        end(2, f"error: {error if message is None else message}")

    def _config_text(self) -> str:
        """The arguments as YAML, complete but for those that say where and how to run."""
        saved = self._arguments.clone()
        for key in NOT_SAVED:
            saved.pop(key, None)
        # Validated already; without the keys removed it would not be valid.
        return self._parser(self.subcommand).dump(saved, skip_none=False, skip_validation=True)

    # ---- before the subcommand runs

    def before_instantiate_classes(self) -> None:
        """Find or make the run folder, and the checkpoint to start from."""
        try:
            if self.subcommand == "fit":
                self._open_fit()
            else:
                self._open_evaluation()
        except RunError as error:
            self._fail(error)

    def _open_fit(self) -> None:
        given = self._arguments.run_dir
        logger = self._arguments.trainer.logger
        wandb_logging.check(_listed(logger), self._arguments.wandb, switched_off=logger is False)
        if self._arguments.resume and given is None:
            raise RunError("--resume needs --run_dir DIR, the folder of the run to continue")
        self.run_dir = Path(given) if given is not None else self._unnamed_folder()
        self._find_checkpoint("last" if self._arguments.resume else None)
        if processes.rank() != 0:
            return  # the first process has opened it
        if not self._arguments.trainer.fast_dev_run:  # which writes nothing
            self._make_folder()
        if given is None:
            processes.tell_folder(self.run_dir)

    def _make_folder(self) -> None:
        assert self.run_dir is not None
        if self._arguments.resume:
            self.folder = RunFolder.existing(self.run_dir)
        elif self._arguments.run_dir is not None:
            self.folder = RunFolder.new(self.run_dir)
        else:
            self.folder = RunFolder.new_default(self.run_dir)
        self.run_dir = self.folder.path

    def _unnamed_folder(self) -> Path:
        first = processes.rank() == 0
        folder = runs.default_folder(self._name()) if first else processes.told_folder()
        if folder is None or (first and not processes.can_tell_folder()):
            raise RunError("several processes started from outside need --run_dir DIR, one folder for all of them")
        return folder

    def _open_evaluation(self) -> None:
        if self._arguments.resume:
            raise RunError(f"--resume is for fit, not for {self.subcommand}: leave it out")
        self.run_dir = Path(self._arguments.run_dir) if self._arguments.run_dir is not None else None
        if self.run_dir is None and self._arguments.ckpt_path is None:
            raise RunError(NEEDS_RUN.format(self.subcommand))
        self._find_checkpoint("best")

    def _name(self) -> str:
        """The stem of the last config file given, or `run`."""
        files = [path for path in self._arguments.get("config") or [] if path is not None]
        return Path(os.fspath(files[-1])).stem if files else "run"

    def _find_checkpoint(self, default: str | None) -> None:
        """Put a file in place of `best` and `last`, and refuse a file that is not there."""
        wanted = self._arguments.ckpt_path or default
        if wanted in runs.NAMED_CHECKPOINTS:
            if self.run_dir is None:
                raise RunError(f"--ckpt_path {wanted} needs --run_dir DIR: it names a checkpoint of that run")
            wanted = str(runs.checkpoint_of(self.run_dir, wanted))
        elif wanted is not None and _is_local(str(wanted)) and not Path(wanted).is_file():
            raise RunError(f"--ckpt_path {str(wanted)!r} is not a file: give one, or `best` or `last` of --run_dir")
        self._arguments.ckpt_path = wanted

    def instantiate_classes(self) -> None:
        """As Lightning's; a wrong value ends the command with a message and no folder."""
        self._text = self._config_text()  # with the loggers as the user has them
        self._direct_loggers()
        try:
            super().instantiate_classes()
            processes.check_world(self.trainer.world_size)
            if self._check is not None:
                self._check(self.model, self.datamodule)
            self._check_weights()
            if self.datamodule is not None and processes.rank() == 0:
                self.datamodule.prepare_data()  # data that cannot be had ends the command here, like a wrong value
                self._check_shares()
            if self.subcommand == "fit" and isinstance(self.model, callbacks.NamesMetrics):
                callbacks.check_monitors(self.trainer, self.model.validation_metrics(self.datamodule))
        except BaseException as error:
            if self.folder is not None:
                self.folder.discard()
            if not isinstance(error, WRONG):
                raise
            own = own_error(error)
            if not isinstance(own, WRONG):
                raise own from None
            self._fail(own, told(own, self._arguments.as_dict(), self._classes()))
        self._say_other_arguments()
        if self.folder is not None:
            self.folder.write_config(self._text, step=runs.step_of(self._arguments.ckpt_path))

    def _classes(self) -> dict[str, type]:
        """Those of the arguments that have no class path."""
        ours = {"checkpoint": callbacks.Checkpoints, "figures": callbacks.Figures}
        theirs = {"model": self.model_class, "trainer": self.trainer_class}
        return {name: cls for name, cls in (theirs | ours).items() if isinstance(cls, type)}

    def _check_weights(self) -> None:
        """Refuse a checkpoint that is damaged, or of another model, as one of an older version may be."""
        path = self._arguments.ckpt_path
        if path is None or not Path(path).is_file():
            return
        saved = runs.read_checkpoint(Path(path), mmap=True)
        try:
            runs.check_weights(saved["state_dict"], self.model.state_dict())
        except ValueError as error:
            raise RunError(f"checkpoint {str(path)!r} does not fit: {error}") from error

    def _check_shares(self) -> None:
        if isinstance(self.datamodule, SceneDataModule):
            self.datamodule.check_shares(SPLIT_OF[str(self.subcommand)], self.trainer.world_size)

    def _direct_loggers(self) -> None:
        """Have every logger save to the run folder. Evaluations have none, lest they add to fit's records."""
        trainer = self._arguments.trainer
        for logger in _listed(trainer.logger):
            if "save_dir" in logger.get("init_args", {}):
                logger.init_args.save_dir = str(self.run_dir)
        if self.subcommand != "fit":
            trainer.logger = False

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The trainer, which writes to the run folder and has our callbacks besides the user's."""
        trainer = self._get(self.config_init, "trainer")
        kwargs["callbacks"] = [*_listed(trainer.get("callbacks")), *self._callbacks()]
        if self.run_dir is not None and self.subcommand == "fit":
            kwargs["default_root_dir"] = self.run_dir
            if trainer.get("logger") is not False:
                others = wandb_logging.chosen(_listed(trainer.get("logger")), self._arguments.wandb, self.run_dir)
                kwargs["logger"] = [MetricsFile(self.run_dir), *others]
        try:
            return super().instantiate_trainer(**kwargs)
        except TypeError as error:  # how Lightning says that a device's name is wrong
            raise MisconfigurationException(str(error)).with_traceback(error.__traceback__) from None

    def _callbacks(self) -> list[Callback]:
        """Those that have no arguments; Lightning adds the others."""
        always: list[Callback] = [
            callbacks.Resumption(),
            callbacks.RandomState(),
            callbacks.NonFiniteGuard(),
            callbacks.FinalValidation(),
            self._stop,
            callbacks.Stopwatch(),
            self._count,
            callbacks.Summary(),
            callbacks.WandbMedia(),
        ]
        wants_bar = self._arguments.trainer.enable_progress_bar is not False
        return [callbacks.Progress(), *always] if wants_bar else always

    @rank_zero_only
    def _say_other_arguments(self) -> None:
        """Name the model's arguments that the checkpoint was trained with and this command has otherwise."""
        path = self._arguments.ckpt_path
        if path is None or not Path(path).is_file():
            return
        trained, now = runs.trained_with(Path(path)), yaml.safe_load(self._text)["model"]
        other = runs.differences(trained, {key: value for key, value in now.items() if key in trained})
        if other:
            shown = ", ".join(f"model.{key} {value}" for key, value in other.items())
            kept = " (the optimizer, learning rates included, is the checkpoint's)" if self.subcommand == "fit" else ""
            print(f"note: {path} was trained with other arguments; now in force: {shown}{kept}", file=sys.stderr)

    # ---- the subcommands

    def fit(self, **kwargs: Any) -> None:
        """Train; end with status 143 on SIGTERM, 130 on Ctrl-C and 1 on a loss that is not finite.

        All processes end together then, and the first one has the status and the word.
        """
        place = {"run_dir": str(self.run_dir.absolute())} if self.run_dir is not None else {}
        with wandb_logging.recorded(self.trainer, {**yaml.safe_load(self._text), **place}):
            self._fit(**kwargs)

    def _fit(self, **kwargs: Any) -> None:
        try:
            self.trainer.fit(**kwargs)
            self._heed_sigterm()
        except SIGTERMException:
            status, by = self._stopped()
            self._end_together(
                status, f"stopped by {by} after step {self.trainer.global_step}; {self._how_to_resume()}"
            )
        except callbacks.NonFiniteError as error:
            self._end_together(1, f"error: {error}")
        except callbacks.MonitorError as error:
            if self.trainer.global_step == 0 and self.folder is not None:
                self.folder.discard()
            trained = f"; {self._how_to_resume()} --checkpoint.monitor NAME" if self.trainer.global_step else ""
            self._end_together(2, f"error: {error}{trained}")

    def validate(self, **kwargs: Any) -> None:
        """Validate, and write `validate_metrics.json`."""
        self._write_metrics(self._evaluate(**kwargs))

    def test(self, **kwargs: Any) -> None:
        """Test, and write `test_metrics.json`."""
        self._write_metrics(self._evaluate(**kwargs))

    def _evaluate(self, **kwargs: Any) -> Any:
        try:
            results = getattr(self.trainer, str(self.subcommand))(**kwargs)
            self._heed_sigterm()
        except SIGTERMException:
            status, by = self._stopped()
            self._end_together(status, f"{self.subcommand} stopped by {by}; nothing was written")
        return results

    @rank_zero_only
    def _write_metrics(self, results: Sequence[dict[str, float]]) -> None:
        if self.run_dir is None:
            return  # weights from elsewhere: Lightning has printed the table
        saved, now = yaml.safe_load(runs.config_of(self.run_dir).read_text()), yaml.safe_load(self._text)
        record: dict[str, Any] = {
            "metrics": {name: float(value) for metrics in results for name, value in metrics.items()},
            "checkpoint": str(self._arguments.ckpt_path),
            "step": runs.step_of(self._arguments.ckpt_path),
            "scenes": self._count.scenes,
            # Of the arguments that fit has too: the others do not change what is measured.
            "overrides": runs.differences(saved, {key: value for key, value in now.items() if key in saved}),
        }
        if isinstance(self.model, callbacks.CountsObjects) and self.model.count_confusion is not None:
            record["count_confusion"] = self.model.count_confusion.tolist()
        path = self.run_dir / f"{self.subcommand}_metrics.json"
        runs.write_json(path, record)
        print(f"wrote {path}")

    def _heed_sigterm(self) -> None:
        if self.trainer.received_sigterm:  # it came too late for Lightning to stop
            raise SIGTERMException

    def _stopped(self) -> tuple[int, str]:
        """The status that goes with what has stopped the run, and its name."""
        return (INTERRUPTED, "Ctrl-C") if self._stop.interrupted else (SIGTERM_STATUS, "SIGTERM")

    def _how_to_resume(self) -> str:
        return f"continue with: fit --resume --run_dir {self.run_dir}"

    def _end_together(self, status: int, message: str) -> NoReturn:
        """`end` where all processes do. Were another's status not 0, its launcher would kill the first one."""
        if not self.trainer.is_global_zero:
            raise SystemExit(0)
        end(status, message)


def _is_local(path: str) -> bool:
    """Whether it is a file of this machine, not a URL nor one of Lightning's special words."""
    return "://" not in path and path != "hpc" and not path.startswith("registry")


def _listed(value: Any) -> list[Any]:
    """What a config has where Lightning accepts one, several, none or a switch."""
    if value is None or isinstance(value, bool):
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
