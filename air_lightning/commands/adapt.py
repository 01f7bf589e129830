"""`python -m air_lightning adapt`: a trained model for images that its renderer did not draw, without training.

    python -m air_lightning adapt --model scenes3d --input IMAGES --output OUT
    python -m air_lightning adapt --run_dir DIR --input IMAGES --output OUT [--model.search.cost 60 ...]

OUT is a run folder for test, predict, report and export, as if it had been trained. The weights stay. New are the noise
(outliers are none of the objects' business), the background (each pixel's median), a search for the objects by their
evidence, and what all images share and nobody knows: where the light comes from, how near, strong and coloured it is,
and how dark and soft shadows are. That is learnt from the images, without labels, and said. How well they are drawn
then is said, too, and kept: predict warns of images that are drawn much worse. Arguments of the model win over all of
this. Raw numbers become x = (raw - offset) / scale: --scale and --offset are those that the model's run was trained
with, unless given.

Exit status: 0 done; 1 OUT could not be written, on a full disk for example; 2 wrong arguments, or images of which
nothing can be learnt; 130 (Ctrl-C) or 143 (SIGTERM) interrupted. Unless it is 0 nothing was written.
"""

import argparse
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from pydoc import locate
from typing import Any

import torch
import yaml
from torch import Tensor

from air_lightning import runs
from air_lightning.backgrounds.base import LOOKED_AT
from air_lightning.cli.checks import check_writable
from air_lightning.cli.exit_status import exit_with, interrupt_status
from air_lightning.cli.levels import add_level_arguments, given_levels
from air_lightning.cli.trained import add_model_arguments, chosen_run, split_model_options
from air_lightning.metrics import SceneQuantile
from air_lightning.model.adaptation import say
from air_lightning.model.air import AIR
from air_lightning.model.calibration import USUAL, Powers
from air_lightning.model.jackknife import objects_told, powers_without_truth, said_of, variance_ratios
from air_lightning.runs.levels import levels_of
from air_lightning.runs.loading import build_module, complete_arguments, find_checkpoint, restore, what_is_wrong
from datamodules.image_folder import ImageFolder

PROG = "python -m air_lightning adapt"
MODEL = "air_lightning.model"
RECIPE: dict[str, Any] = {
    "likelihood": {
        "class_path": "air_lightning.likelihoods.MixtureLikelihood",
        "init_args": {"scale": 0.1, "outliers": 0.05},
    },
    "likelihood_sd": None,
    "background": {"class_path": "air_lightning.backgrounds.MedianBackground"},
    "search": {"class_path": f"{MODEL}.Search", "init_args": {"cost": 30.0, "solid": True}},
    "refinement": {"class_path": f"{MODEL}.Refinement", "init_args": {"starts": 6}},
    "adaptation": {"class_path": f"{MODEL}.Adaptation"},
}
"""Arguments of the model for images from elsewhere."""
EXPLAINED = 32
"""Of so many images it is looked at how well they are drawn, where no others are explained to learn from."""


def main(args: Sequence[str]) -> None:
    """Run the subcommand with the arguments after its name.

    Raises:
        SystemExit: unless all went well, with the status said at the top of this file.
    """
    own, of_model = split_model_options(args)
    options = arguments().parse_args(own)
    try:
        adapt(options, of_model)
    except ValueError as error:
        exit_with(2, f"error: {error}")
    except KeyboardInterrupt as error:
        exit_with(interrupt_status(error), "interrupted; nothing was written")


def arguments() -> argparse.ArgumentParser:
    """The subcommand's parser."""
    parser = argparse.ArgumentParser(
        prog=PROG, description=__doc__.partition("\n\n")[2], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_arguments(parser)
    parser.add_argument("--input", type=Path, required=True, metavar="FOLDER", help="images, of one camera and light")
    add_level_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="folder to make")
    return parser


def adapt(options: argparse.Namespace, of_model: Sequence[str]) -> None:
    """Adapt and write. Errors: ValueError for what does not go together, before anything is written."""
    if options.output.exists():
        raise ValueError(f"--output {str(options.output)!r} exists: name another")
    if not options.input.is_dir():
        raise ValueError(f"--input {str(options.input)!r} is not a folder: name the one that holds the images")
    check_writable("--output", options.output.parent)
    source = chosen_run(options)
    weights, (_, config) = find_checkpoint(source, options.ckpt_path), runs.read_config(source)
    given = for_other_images(config["model"])
    model = built(given, of_model)
    restore(model, weights)
    model.requires_grad_(False).powers = Powers()
    of_images = image_arguments(options, source, model)
    images = some_images(ImageFolder(**of_images))
    learn(model, images)
    model.powers = sureness(model, images)
    config["model"] = complete_arguments(given, of_model)
    config["data"] = {"class_path": "datamodules.ImageFolder", "init_args": of_images}
    write(options.output, config, checkpoint_of(model, weights))


def built(given: Mapping[str, Any], of_model: Sequence[str]) -> AIR:
    """The model of these arguments, of which ``--model.NAME VALUE`` win.

    Errors: ValueError where they make none, and for a renderer with coordinates of the scene, which learns no light.
    """
    renderer = given["renderer"]
    views = renderer["init_args"].get("scene")
    if views and "adaptation" in given and not any(word.startswith("--model.renderer") for word in of_model):
        raise ValueError(
            f"the model's {renderer['class_path']} infers what differs from image to image ({', '.join(views)}), and "
            "beside that no light can be learnt: adapt takes models of one camera; `fit --start_from` trains this one "
            "on the images"
        )
    try:
        return build_module(dict(given), of_model)
    except Exception as error:  # jsonargparse and constructors have their own
        said = what_is_wrong(error, given, of_model)
        raise ValueError(f"the model cannot be made for these images{said}") from error


def for_other_images(model: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a model, and those for images from elsewhere in the place of its own."""
    given = deepcopy(dict(model)) | deepcopy(RECIPE)
    renderer = given["renderer"]
    freed = getattr(locate(renderer["class_path"]), "for_other_images", {})
    arguments = renderer.setdefault("init_args", {})
    for name, value in freed.items():
        held = arguments.get(name)
        arguments[name] = {**held, **value} if isinstance(held, dict) and isinstance(value, dict) else value
    if not freed:
        del given["adaptation"]
    return given


def learn(model: AIR, images: Tensor) -> None:
    """Show the model the images, and say what was found."""
    if model.background is not None and model.background.waits:
        model.background.fit(images)
    if model.adaptation is None:
        name = type(model.renderer).__name__
        if model.renderer.shared is None:
            print(f"{name} names nothing that all images share: only noise, background and search are new")
        else:
            print("model.adaptation is null: what all images share was not learnt")
        return
    say(model.renderer, model.adapt(images[: model.adaptation.images]))


def sureness(model: AIR, images: Tensor) -> Powers:
    """What images without a truth tell: how well they are drawn, and how sure what is said of them may be.

    Images (B, C, H, W), of which as many are explained as the model adapts to. It is said, too.
    """
    number = EXPLAINED if model.adaptation is None else model.adaptation.images
    observation = model.eval().observed(images[:number])
    seen = model.explained(observation)
    errors, most = seen.reconstruction_error, SceneQuantile(USUAL)
    most.update(errors)
    usual = float(most.compute())
    print(f"reconstruction error of these images: {float(errors.median()):.3g} (median), {usual:.3g} (99 of 100)")
    if not model.refines:
        return Powers(usual_error=usual)
    ratios = variance_ratios(model.renderer, observation.found(seen.scene), seen.slots, seen.count)
    names = model.renderer.where.names
    powers = powers_without_truth(ratios, names, model.search is not None)
    print(said_of(powers, objects_told(ratios, names)))
    return replace(powers, usual_error=usual)


def some_images(data: ImageFolder) -> Tensor:
    """The first images of the data, as many as a background looks at: those of training first, then the rest."""
    found = torch.empty(0)
    for split in ("train", "val", "test"):
        found = torch.cat([found, data.first_images(split, LOOKED_AT - len(found))])
    return found


def image_arguments(options: argparse.Namespace, run: Path, model: AIR) -> dict[str, Any]:
    """ImageFolder's, as the model wants the images; black and white are those of its run unless they are given."""
    trained, stretch = levels_of(run)
    levels = given_levels(trained, options)
    channels, *size = model.renderer.image_shape
    shape = {"folder": str(options.input), "resize": size, "color": channels == 3}
    return shape | {"scale": levels.scale, "offset": levels.offset, "stretch": stretch}


def checkpoint_of(model: AIR, weights: Path) -> dict[str, Any]:
    """What a checkpoint of the model holds, as of a fit that ended where the weights are from."""
    old = runs.read_checkpoint(weights)
    kept = {name: old[name] for name in ("epoch", "global_step", "pytorch-lightning_version") if name in old}
    checkpoint = kept | {"state_dict": model.state_dict()}
    model.write_to(checkpoint)
    return checkpoint


def write(folder: Path, config: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> None:
    """A run folder, whole or not at all."""
    place = Path(runs.CHECKPOINTS, "best.ckpt")
    with runs.drafted(folder) as draft:
        (draft / place).parent.mkdir(parents=True)
        runs.write_atomically(draft / runs.CONFIG, yaml.safe_dump(dict(config), sort_keys=False))
        runs.save_tensors(draft / place, dict(checkpoint))
    print(f"wrote {folder}/  {runs.CONFIG}, {place}; test, predict, report and export take it as --run_dir")
