"""Trained models from run folders, and the models that come with the package."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser, Namespace

from air_lightning import runs
from air_lightning.backgrounds import NoBackground
from air_lightning.model.air import AIR
from air_lightning.model.calibration import FITTED_WITH
from air_lightning.plugins.argument_errors import one_line
from air_lightning.plugins.constructor_errors import named_message
from air_lightning.plugins.nested_values import keep_nested_values
from air_lightning.plugins.union_errors import tell_of_named_classes
from air_lightning.runs import RunError
from air_lightning.runs.hub import is_shared, shared_run

SHIPPED = Path(__file__).parents[1] / "checkpoints"

SHAPING = re.compile(r"model\.(slots|inference)\b|model\.renderer\..*(identities|meshes|image_shape|image_size|what)\b")
"""Arguments that weights have their shapes by."""


def shipped() -> list[str]:
    """The names of the models that come with the package: run folders, with weights and no more."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{runs.CONFIG}"))


def shipped_run(name: str) -> Path:
    """The folder of a model that comes with the package.

    Raises:
        RunError: there is none of this name.
    """
    if name not in shipped():
        raise RunError(f"no model {name!r} comes with the package: choose one of {', '.join(shipped())}")
    return SHIPPED / name


def named_run(name: str) -> Path:
    """The run folder of a model that comes with the package, or of one on the Hub, `hf://owner/name`.

    Raises:
        RunError: there is none of this name, or it cannot be had.
    """
    return shared_run(name) if is_shared(name) else shipped_run(name)


def run_folder(name: str, option: str = "--run_dir") -> Path:
    """The folder of a run, given by its path or, shared on the Hub, by its name ``hf://owner/name``.

    Raises:
        RunError: a shared one cannot be had, or the name is empty.
    """
    return shared_run(name) if is_shared(name) else runs.named_folder(name, option)


def load_module(
    run_dir: Path,
    checkpoint: str | Path = "best",
    device: str = "cpu",
    options: Sequence[str] = (),
    kind: type[AIR] = AIR,
) -> AIR:
    """The trained model of a run, frozen.

    Args:
        run_dir: folder of a fit. checkpoint: ``best`` or ``last`` of it, or a file. device: where it is to lie.
        options: arguments ``--model.NAME VALUE`` that win over the run's, as on the command line of `test`.
        kind: ``AIR``, or ``AIRModule``, which Lightning's trainers take.

    Raises:
        RunError: there is no such run, or no such checkpoint; or the run's config holds no model.
        NoBackground: the background's file that was given cannot be used.
        ValueError: the run's model is not ours, or its checkpoint does not go with its config.
    """
    _, config = runs.read_config(run_dir)
    if not isinstance(config.get("model"), dict):
        raise RunError(f"run_dir {str(run_dir)!r}: its {runs.CONFIG} has no `model`: it must be as `fit` wrote it")
    weights = find_checkpoint(run_dir, checkpoint)
    try:
        model = build_module(config["model"], options, kind)
        if options:
            model.overrides = overridden(config["model"], complete_arguments(config["model"], options))
        restore(model, weights)
    except NoBackground:  # of a file that was given: nothing is wrong with the run
        raise
    except Exception as error:  # jsonargparse, constructors and torch all have their own
        said = what_is_wrong(error, config["model"], options)
        raise ValueError(
            f"run_dir {str(run_dir)!r} holds no model that this version can load from {weights.name}{said}"
        ) from error
    return model.to(device).eval().requires_grad_(False)


def restore(module: AIR, checkpoint: Path) -> None:
    """Give a model the weights of a checkpoint; as in training, renderers that draw other things now are named.

    Raises:
        RunError: the file cannot be read.
        NoBackground: neither the checkpoint nor the model's own file has a background that it could use.
        ValueError: its weights are another model's, or not finite.
    """
    saved = runs.read_checkpoint(checkpoint)
    module.read_from(saved)
    if module.background is not None:
        module.background.check()  # before its placeholder is taken for damage
    weights = saved["state_dict"]
    runs.check_weights(weights, module.state_dict())
    if wrong := [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise ValueError(f"its weights are not finite ({wrong[0]} first): its training diverged, or it is damaged")
    module.load_state_dict(weights)


def build_module(
    arguments: dict[str, Any],
    options: Sequence[str] = (),
    kind: type[AIR] = AIR,
) -> AIR:
    """The model of these arguments, as the ``model`` section of a config has them; what it raises is theirs.

    options: ``--model.NAME VALUE``, which win.
    """
    parser, given = _parsed(arguments, options, kind)
    with without_deprecations():
        module: AIR = parser.instantiate_classes(given).model
    return module


def what_is_wrong(error: Exception, arguments: Mapping[str, Any], options: Sequence[str]) -> str:
    """The end of a message about a model that ``build_module`` has not made: its options, if any, and the reason."""
    given = f" with {' '.join(options)}" if options else ""
    return f"{given}: {one_line(error) or named_message(error, {'model': arguments}, {'model': AIR})}"


def complete_arguments(arguments: dict[str, Any], options: Sequence[str] = ()) -> dict[str, Any]:
    """All arguments of the model that ``build_module`` makes, the defaults too, as a config has them."""
    parser, given = _parsed(arguments, options)
    with without_deprecations():
        complete: dict[str, Any] = yaml.safe_load(parser.dump(given, skip_none=False, skip_validation=True))["model"]
    return complete


def overridden(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``FITTED_WITH`` that are given, all arguments being so, and are not a run's own, by dotted name."""
    complete = complete_arguments(dict(own))
    before, now = ({name: some.get(name) for name in FITTED_WITH} for some in (complete, given))
    return runs.differences(before, now)


def _parsed(
    arguments: dict[str, Any], options: Sequence[str], kind: type[AIR] = AIR
) -> tuple[ArgumentParser, Namespace]:
    tell_of_named_classes()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "model")
    with without_deprecations():
        if not options:
            return parser, parser.parse_object({"model": arguments})
        # as a file and what wins over it: options do not go into a namespace's dataclass that may be null
        keep_nested_values()
        parser.add_argument("--config", action="config")
        return parser, parser.parse_args(["--config", yaml.safe_dump({"model": arguments}, sort_keys=False), *options])


@contextmanager
def without_deprecations() -> Iterator[None]:
    """Where objects are built by names that jsonargparse has others for now."""
    with warnings.catch_warnings():
        # newer versions have other names for what older ones have too
        warnings.filterwarnings("ignore", message="(?s).*(was deprecated in v4|JsonargparseDeprecationWarning).*")
        yield


def start_from(module: AIR, name: str, arguments: Mapping[str, Any]) -> None:
    """Give a model of these arguments, that is to be trained, the weights of another: see ``starting_weights``.

    Raises:
        RunError: they are not there.
        ValueError: they are another model's, whose own arguments are named where they are known; or as of ``restore``.
    """
    checkpoint = starting_weights(name)
    try:
        restore(module, checkpoint)
    except runs.OtherWeights as error:
        own = runs.differences({"model": arguments}, {"model": runs.trained_with(checkpoint)})
        shaping = [f"{key} {value}" for key, value in own.items() if SHAPING.match(key) and value is not None]
        told = f"it was trained with {', '.join(shaping)}: give the same, or " if shaping else ""
        raise ValueError(f"--start_from {name!r} does not fit: {error.fact}; {told}start from another") from error


def starting_weights(name: str) -> Path:
    """The checkpoint that a model of another run starts from: of a shipped or shared model, a run's folder, or a file.

    Raises:
        RunError: it is not there.
    """
    if name in shipped() or is_shared(name):
        return runs.checkpoint_of(named_run(name), "best")
    if Path(name).is_dir():
        return runs.checkpoint_of(Path(name), "best")
    if not Path(name).is_file():
        raise RunError(
            f"--start_from {name!r} is no run, no checkpoint, and no model that comes with the package: choose one of "
            f"{', '.join(shipped())}, or give the folder of a fit"
        )
    return Path(name)


def find_checkpoint(run_dir: Path, wanted: str | Path) -> Path:
    """The file of a checkpoint of a run: ``best``, ``last``, or a path.

    Raises:
        RunError: it is not there.
    """
    if wanted in runs.NAMED_CHECKPOINTS:
        return runs.checkpoint_of(run_dir, str(wanted))
    if not Path(wanted).is_file():
        raise RunError(f"--ckpt_path {str(wanted)!r} is not a file: give one, or `best` or `last` of --run_dir")
    return Path(wanted)


def best_device() -> str:
    """The accelerator where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"
