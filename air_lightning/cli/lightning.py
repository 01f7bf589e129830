"""Lightning's command line, in which every fit has a run folder, and the other subcommands read one."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast, runtime_checkable

import pytorch_lightning as pl
import yaml
from jsonargparse import ActionYesNo, Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, ProgressBar
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.utilities.exceptions import SIGTERMException

from air_lightning import parallel, runs
from air_lightning.backgrounds import NoBackground
from air_lightning.cli import by_count, calibration, loggers, records, run_folders
from air_lightning.cli.arguments import check_given, with_run_config
from air_lightning.cli.commands import SUBCOMMANDS
from air_lightning.cli.exit_status import INTERRUPTED, end_unwritten, exit_with, interruptions_raised
from air_lightning.cli.help import DESCRIPTION, EPILOG, PROGRAM
from air_lightning.cli.parsers import CLIParser
from air_lightning.cli.precision import check_clipping, check_precision
from air_lightning.inference.base import WrongAnswer
from air_lightning.plugins.constructor_errors import named_message, root_cause
from air_lightning.runs import RunError, RunFolder
from air_lightning.runs.loading import start_from
from air_lightning.runs.machine import describe
from air_lightning.runs.metrics_file import MetricsFile
from air_lightning.runs.writing import naming
from air_lightning.testing.first_look import WrongDrawing
from air_lightning.training import callbacks, wandb
from air_lightning.version import __version__
from datamodules.base import DataError, SceneDataModule

VERSIONS = ("pytorch-lightning", "jsonargparse", "torch", "numpy")  # said in every saved config
USAGE = "%(prog)s [--config FILE] [--ARGUMENT VALUE ...]"
SPLIT_OF = {"fit": "val", "validate": "val", "test": "test"}
"""The split that each subcommand shows once."""
SIGTERM_STATUS = 143  # 128 + 15, as shells report it
WRONG = (ValueError, OSError, MisconfigurationException)
"""What constructors raise where the user gave a wrong value, or a file that cannot be read; other errors are bugs."""


@runtime_checkable
class TakesWeights(Protocol):
    """A model that takes of a checkpoint's weights those that go with it."""

    def weights_of(self, checkpoint: Mapping[str, Any]) -> dict[str, Any]: ...


class AIRCLI(LightningCLI):
    """LightningCLI in which every fit has a run folder, and the other subcommands read one.

    It runs the subcommand as it is made. Differences from Lightning's own:

    - `--run_dir` and `--resume`, as said in `add_arguments_to_parser`;
    - `config.yaml`, metrics, checkpoints and loggers all lie in the run folder, and `fit` locks it;
    - the callbacks of `air_lightning.training.callbacks` are always there; two have arguments, `--checkpoint.*` and
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
                parser_kwargs={"prog": PROGRAM, "description": DESCRIPTION, "epilog": EPILOG},
                args=None if args is None else list(args),
            )
        finally:
            if self.folder is not None:
                self.folder.close()
            if parallel.rank() == 0:
                parallel.forget_folder()

    # ---- arguments

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's own that are ours too, each with the arguments that it does not take from the command line."""
        theirs = LightningCLI.subcommands()
        return {name: theirs[name] for name in SUBCOMMANDS}

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """As Lightning's, but usage does not list every argument, and saved configs say which versions wrote them."""
        versions = [f"air-lightning=={__version__}", *(f"{name}=={version(name)}" for name in VERSIONS)]
        kwargs.setdefault("dump_header", [*versions, f"machine: {describe()}"])
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
            "--start_from",
            type=str | None,
            default=None,
            help="fit only: the weights to begin with, of a model that comes with the package, of a run's folder or of "
            "a checkpoint. Step and optimizer begin anew.",
        )
        parser.add_argument(
            "--calibrate",
            action="store_true",
            help="validate only: fit powers, tilt and doubt under which the posteriors would have been as sure as they "
            "were right, and keep them in the checkpoint in the place of earlier ones. The truth must be known.",
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
        exit_with(2, f"error: {error if message is None else message}")

    # ---- before the subcommand runs

    def before_instantiate_classes(self) -> None:
        """Find or make the run folder, and the checkpoint to start from."""
        parallel.forget_launches(self._arguments.trainer.num_nodes)
        try:
            run_folders.check_kept(self._arguments.trainer)
            if self.subcommand == "fit":
                self._open_fit()
            else:
                self._open_evaluation()
        except RunError as error:
            self._fail(error)

    def _open_fit(self) -> None:
        arguments = self._arguments
        loggers.check(arguments)
        self.run_dir = run_folders.fit_folder(arguments)
        arguments.ckpt_path = run_folders.training_checkpoint(arguments, self.run_dir)
        calibration.check(arguments, "fit", self.run_dir)
        if parallel.rank() != 0:
            return  # the first process has opened it
        if not arguments.trainer.fast_dev_run:  # which writes nothing
            self.folder = run_folders.make_folder(self.run_dir, arguments)
            self.run_dir = self.folder.path
        if arguments.run_dir is None:
            parallel.tell_folder(self.run_dir)

    def _open_evaluation(self) -> None:
        self.run_dir = run_folders.evaluation_folder(self._arguments, str(self.subcommand))
        self._arguments.ckpt_path = run_folders.checkpoint(self._arguments, self.run_dir, "best")
        calibration.check(self._arguments, str(self.subcommand), self.run_dir)

    def instantiate_classes(self) -> None:
        """As Lightning's; a wrong value ends the command with a message and no folder."""
        # with the loggers as the user has them
        self._text = records.config_text(self._parser(self.subcommand), self._arguments)
        loggers.direct(self._arguments.trainer, self.run_dir, str(self.subcommand))
        try:
            super().instantiate_classes()
            parallel.check_world(self.trainer.world_size)
            check_precision(self.trainer)
            check_clipping(self.trainer)
            if self._check is not None:
                self._check(self.model, self.datamodule)
            calibration.check_truth(self._arguments, self.model, self.datamodule)
            self._check_weights()
            self._prepare_calibration()
            self._start()
            if self.datamodule is not None and parallel.rank() == 0:
                self.datamodule.prepare_data()  # data that cannot be had ends the command here, like a wrong value
                self._check_shares()
            if self.subcommand == "fit" and isinstance(self.model, callbacks.NamesMetrics):
                callbacks.check_monitors(self.trainer, self.model.validation_metrics(self.datamodule))
            if self.folder is not None and self._arguments.resume:
                records.say_best_of_others(self.folder.path, self._parser(self.subcommand), self._text)
        except BaseException as error:
            if self.folder is not None:
                self.folder.discard()
            if not isinstance(error, WRONG):
                raise
            own = root_cause(error)
            if not isinstance(own, WRONG):
                raise own from None
            self._fail(own, named_message(error, self._arguments.as_dict(), self._classes()))
        parser = self._parser(self.subcommand)
        records.say_other_arguments(self._arguments.ckpt_path, parser, self._text, str(self.subcommand))
        if self.folder is not None:
            try:
                self.folder.write_config(self._text, step=runs.step_of(self._arguments.ckpt_path))
            except OSError:
                self.folder.discard()
                raise

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
        weights = self.model.weights_of(saved) if isinstance(self.model, TakesWeights) else saved["state_dict"]
        try:
            runs.check_weights(weights, self.model.state_dict())
        except ValueError as error:
            raise RunError(f"checkpoint {str(path)!r} does not fit: {error}") from error

    def _prepare_calibration(self) -> None:
        if self.subcommand != "fit":  # which forgets powers
            now = yaml.safe_load(self._text)["model"]
            calibration.prepare(self.model, self._arguments.ckpt_path, now, self._arguments.calibrate)

    def _start(self) -> None:
        """Give a model that is to be trained the weights of another, where that is asked for."""
        name = self._arguments.start_from
        if self.subcommand == "fit" and name is not None and self._arguments.ckpt_path is None:
            start_from(self.model, name, yaml.safe_load(self._text)["model"])

    def _check_shares(self) -> None:
        if isinstance(self.datamodule, SceneDataModule):
            self.datamodule.check_shares(SPLIT_OF[str(self.subcommand)], self.trainer.world_size)

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """The trainer, which writes to the run folder and has our callbacks besides the user's."""
        trainer = self._get(self.config_init, "trainer")
        given = loggers.listed(trainer.get("callbacks"))
        kwargs["callbacks"] = callbacks.with_own_buffers([*given, *self._callbacks(given)])
        if self.run_dir is not None and self.subcommand == "fit":
            kwargs["default_root_dir"] = self.run_dir
            if trainer.get("logger") is not False:
                others = wandb.chosen(loggers.listed(trainer.get("logger")), self._arguments.wandb, self.run_dir)
                kwargs["logger"] = [MetricsFile(self.run_dir), *others]
        try:
            return super().instantiate_trainer(**kwargs)
        except TypeError as error:  # how Lightning says that a device's name is wrong
            raise MisconfigurationException(str(error)).with_traceback(error.__traceback__) from None

    def _callbacks(self, given: Sequence[Callback]) -> list[Callback]:
        """Those that have no arguments; Lightning adds the others. A given progress bar takes our own one's place."""
        always: list[Callback] = [
            callbacks.Arguments(records.measured(self._text)),
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
        has_bar = any(isinstance(callback, ProgressBar) for callback in given)
        wants_bar = self._arguments.trainer.enable_progress_bar is not False and not has_bar
        return [callbacks.Progress(), *always] if wants_bar else always

    # ---- the subcommands

    def fit(self, **kwargs: Any) -> None:
        """Train; end with status 143 on SIGTERM, 130 on Ctrl-C and 1 on a loss that is not finite.

        All processes end together then, and the first one has the status and the word.
        """
        place = {"run_dir": str(self.run_dir.absolute())} if self.run_dir is not None else {}
        with wandb.recorded(self.trainer, {**yaml.safe_load(self._text), **place}):
            self._fit(**kwargs)

    def _fit(self, **kwargs: Any) -> None:
        try:
            self._train(**kwargs)
        except SIGTERMException:
            (status, by), step = self._stopped(), self.trainer.global_step
            place = (
                f"after step {step}; {self._how_to_resume()}" if step else "before the first step; nothing was written"
            )
            self._end_together(status, f"stopped by {by} {place}")
        except callbacks.NonFiniteError as error:
            self._end_together(1, f"error: {error}")
        except callbacks.MonitorError as error:
            trained = f"; {self._how_to_resume()} --checkpoint.monitor NAME" if self.trainer.global_step else ""
            self._end_together(2, f"error: {error}{trained}")
        except (NoBackground, WrongAnswer, WrongDrawing) as error:
            self._end_together(2, f"error: {error}")
        except DataError as error:  # in one process, maybe: its status ends the others
            exit_with(2, f"error: {error}" + (f"; {self._how_to_resume()}" if self.trainer.global_step else ""))
        except OSError as error:  # in the first process, which writes
            end_unwritten(error, self._how_to_go_on())
            raise

    def _train(self, **kwargs: Any) -> None:
        """Fit; one that ends before its first step, for whatever reason, leaves no folder in the way of the next."""
        first = runs.step_of(self._arguments.ckpt_path)
        try:
            with interruptions_raised(), naming(Path(self.trainer.default_root_dir)):
                self.trainer.fit(**kwargs)
            self._heed_sigterm()
        except BaseException:
            if self.trainer.global_step == 0 and self.folder is not None:
                self.folder.discard()
            raise
        done = self.trainer.global_step == first
        if done and self.folder is not None and self.folder.restore_config():
            print(
                "note: no step was left to train, so config.yaml is as it was before: for other arguments to hold give "
                "more steps, too, with --trainer.max_steps",
                file=sys.stderr,
            )

    def validate(self, **kwargs: Any) -> None:
        """Validate, and write `validate_metrics.json`; with `--calibrate` keep powers in the checkpoint."""
        self._write_metrics(self._evaluate(**kwargs))
        if self._arguments.calibrate:
            try:
                calibration.keep(self.model, Path(self._arguments.ckpt_path))
            except ValueError as error:
                self._fail(error)

    def test(self, **kwargs: Any) -> None:
        """Test, and write `test_metrics.json`."""
        self._write_metrics(self._evaluate(**kwargs))

    def _evaluate(self, **kwargs: Any) -> Any:
        try:
            with interruptions_raised():
                results = getattr(self.trainer, str(self.subcommand))(**kwargs)
            self._heed_sigterm()
        except SIGTERMException:
            status, by = self._stopped()
            self._end_together(status, f"{self.subcommand} stopped by {by}; nothing was written")
        except (NoBackground, WrongAnswer, WrongDrawing, DataError) as error:
            self._fail(error)
        return results

    def _write_metrics(self, results: Sequence[dict[str, float]]) -> None:
        if self.run_dir is None:
            return  # weights from elsewhere: Lightning has printed the table
        parser, checkpoint = self._parser(self.subcommand), self._arguments.ckpt_path
        record = records.metrics(results, checkpoint, self._count.scenes, self.run_dir, parser, self._text)
        if isinstance(self.model, callbacks.CountsObjects) and self.model.count_confusion is not None:
            record["count_confusion"] = self.model.count_confusion.tolist()
        if isinstance(self.model, by_count.MeasuresByCount) and self.model.figures_by_count:
            record["by_count"] = self.model.figures_by_count
            by_count.show(self.model.figures_by_count)
        if isinstance(self.model, calibration.Calibrated) and self.model.sureness is not None:
            record["calibration"] = self.model.sureness
        records.write(runs.evaluation_of(self.run_dir, str(self.subcommand)), record)

    def _heed_sigterm(self) -> None:
        if self.trainer.received_sigterm:  # it came too late for Lightning to stop
            raise SIGTERMException

    def _stopped(self) -> tuple[int, str]:
        """The status that goes with what has stopped the run, and its name."""
        return (INTERRUPTED, "Ctrl-C") if self._stop.interrupted else (SIGTERM_STATUS, "SIGTERM")

    def _how_to_resume(self) -> str:
        return f"continue with: fit --resume --run_dir {shlex.quote(str(self.run_dir))}"

    def _how_to_go_on(self) -> str:
        """What to do after a fit that could not write, by what it has written before."""
        assert self.run_dir is not None
        for name, more in (("last", ""), ("best", " --ckpt_path best")):
            saved = self.run_dir / runs.CHECKPOINTS / f"{name}.ckpt"
            if saved.is_file():
                return f"{self._how_to_resume()}{more} (from step {runs.step_of(saved)})"
        in_the_way = self._arguments.run_dir is not None and runs.holds_run(self.run_dir)
        return "run the same command again" + (f" once {self.run_dir} is removed" if in_the_way else "")

    def _end_together(self, status: int, message: str) -> NoReturn:
        """`exit_with` where all processes do. Were another's status not 0, its launcher would kill the first one."""
        if not self.trainer.is_global_zero:
            raise SystemExit(0)
        exit_with(status, message)
