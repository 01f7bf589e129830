"""What a command says and writes about a run: its config, its figures, and where it departs from its checkpoint."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from pytorch_lightning.utilities import rank_zero_only

from air_lightning import runs
from air_lightning.runs import RunError
from air_lightning.runs.loading import without_deprecations

# Where and how to run, not what. Left out of config.yaml, so that it can be given to another fit, or to test.
NOT_SAVED = ("config", "run_dir", "resume", "calibrate", "ckpt_path")
MEASURED = ("model", "data")
"""Sections of a config that change what a validation says."""
LEARNING = ("model.lr", "model.baseline_lr", "data.init_args.batch_size", "data.init_args.train_")
"""Beginnings of those of their arguments that change how it is learnt alone."""
UNTOLD = "Unable to serialize instance "
"""What jsonargparse writes in the place of a value that it cannot, as the default device of a callback is."""


def config_text(parser: ArgumentParser, arguments: Namespace) -> str:
    """The arguments as YAML, complete but for those that say where and how to run."""
    saved = arguments.clone()
    for key in NOT_SAVED:
        saved.pop(key, None)
    # Validated already; without the keys removed it would not be valid.
    text = parser.dump(saved, skip_none=False, skip_validation=True)
    return _without_untold(text) if UNTOLD in text else text


def _without_untold(config: str) -> str:
    """A config without the arguments for whose values YAML has no words: defaults, which hold where nothing is said."""
    header = "".join(line for line in config.splitlines(keepends=True) if line.startswith("#"))
    return header + yaml.safe_dump(_told(yaml.safe_load(config)), sort_keys=False)


def _told(value: Any) -> Any:
    if isinstance(value, list):
        return [_told(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _told(item) for key, item in value.items() if not (isinstance(item, str) and item.startswith(UNTOLD))}


def measured(config: str) -> str:
    """The sections of a config, as `config_text` has it, that change what a validation says."""
    return yaml.safe_dump(_measured(config), sort_keys=False)


def _measured(config: str) -> dict[str, Any]:
    now = yaml.safe_load(config)
    return {key: now[key] for key in MEASURED if key in now}


def overrides(parser: ArgumentParser, saved: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `now` that are not as `saved` has them, nested keys joined by dots.

    What `saved` lacks, as configs of earlier versions do, stands at its default there. Where `saved` is not of this
    parser's arguments, what it lacks is unknown, and so another.
    """
    if not runs.differences(saved, now):
        return {}
    try:
        return runs.differences(_complete(parser, saved), now)
    except (ArgumentError, TypeError, ValueError):
        return runs.differences(saved, now)


def _complete(parser: ArgumentParser, saved: Mapping[str, Any]) -> dict[str, Any]:
    """A config with the defaults of what it lacks, as `config_text` writes it."""
    ends, parser.exit_on_error = parser.exit_on_error, False
    try:
        with without_deprecations():
            complete: dict[str, Any] = yaml.safe_load(config_text(parser, parser.parse_object(dict(saved))))
        return complete
    finally:
        parser.exit_on_error = ends


def metrics(
    results: Sequence[dict[str, float]],
    checkpoint: str,
    scenes: int | None,
    run_dir: Path,
    parser: ArgumentParser,
    config: str,
) -> dict[str, Any]:
    """What an evaluation of a run has measured, and on what.

    Args:
        results: as Lightning returns them. checkpoint: the file. scenes: how many were looked at.
        run_dir: folder of the run. parser, config: the arguments in force, as `config_text` has them.
    """
    saved, now = runs.read_config(run_dir)[1], yaml.safe_load(config)
    return {
        "metrics": {name: float(value) for metrics in results for name, value in metrics.items()},
        "checkpoint": str(checkpoint),
        "step": runs.step_of(checkpoint),
        "scenes": scenes,
        # Of the arguments that fit has too: the others do not change what is measured.
        "overrides": overrides(parser, saved, {key: value for key, value in now.items() if key in saved}),
    }


@rank_zero_only
def write(path: Path, record: dict[str, Any]) -> None:
    """Write what `metrics` made, and say so."""
    runs.write_json(path, record)
    print(f"wrote {path}")


@rank_zero_only
def say_other_arguments(checkpoint: str | None, parser: ArgumentParser, config: str, subcommand: str) -> None:
    """Name the model's arguments that the checkpoint was trained with and this command has otherwise."""
    if checkpoint is None or not Path(checkpoint).is_file():
        return
    now = yaml.safe_load(config)
    trained = {name: value for name, value in runs.trained_with(Path(checkpoint)).items() if name in now["model"]}
    known = {name: now["model"][name] for name in trained}
    other = overrides(parser, now | {"model": trained}, now | {"model": known})
    if other:
        said = ", ".join(f"{key} {value}" for key, value in other.items())
        kept = " (the optimizer, learning rates included, is the checkpoint's)" if subcommand == "fit" else ""
        print(f"note: {checkpoint} was trained with other arguments; now in force: {said}{kept}", file=sys.stderr)


@rank_zero_only
def say_best_of_others(run_dir: Path, parser: ArgumentParser, config: str) -> None:
    """Of a run that is resumed: its best checkpoint was measured with other data or another model, as long as it was.

    Raises:
        RunError: that checkpoint cannot be read.
    """
    best = run_dir / runs.CHECKPOINTS / "best.ckpt"
    if not best.is_file():
        return
    try:
        saved = runs.saved_with(best)
    except RunError as error:
        raise RunError(
            f"checkpoint {str(best)!r} cannot be read: remove it, and the next validation writes another"
        ) from error
    now = {key: value for key, value in _measured(config).items() if key in saved}
    others = [name for name in overrides(parser, saved, now) if not name.startswith(LEARNING)]
    if others:
        print(
            f"note: {best} was measured with another {', '.join(others)}, and stays until a validation is better: "
            "remove it where the two cannot be compared",
            file=sys.stderr,
        )
