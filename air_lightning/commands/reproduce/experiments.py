"""The experiments: a config, what of it is measured, and over which seeds."""

from typing import NamedTuple


class Experiment(NamedTuple):
    """An experiment.

    Attributes:
        config: of the file in `configs/`, without its suffix. about: what is seen, in half a sentence.
        metrics: of `test`, those that are shown. seeds: of training and of the data.
        tests: what to test on, by what it is called, as arguments of `test`; "": the config's own scenes.
        fit: further arguments of `fit`.
        unaided: scenes that are explained without a network, from random starts, instead of training; 0: it is trained.
    """

    config: str
    about: str
    metrics: tuple[str, ...]
    seeds: tuple[int, ...] = (1, 2, 3)
    tests: tuple[tuple[str, tuple[str, ...]], ...] = (("", ()),)
    fit: tuple[str, ...] = ()
    unaided: int = 0


POSES = ("count_accuracy", "identity_accuracy", "position_error_share", "rotation_error", "scene_accuracy")
CAMERA = ("camera_azimuth_error", "camera_elevation_error", "camera_distance_error")
BOXES = ("count_accuracy", "box_ap50", "elbo")
FIVE = (1, 2, 3, 4, 5)
ON_THREE = (("on 3", ("--data.test_counts=[3]",)), ("on 0, 1, 2", ("--data.test_counts=[0,1,2]",)))
ON_TWO = (("on 2", ("--data.test_counts=[2]",)), ("on 0, 1, 3", ("--data.test_counts=[0,1,3]",)))


def on(slots: int, *counts: tuple[int, int]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Tests of a model with so many slots on scenes with each of these ranges of counts, ends included.

    >>> on(7, (4, 6))
    (('on 4-6', ('--model.slots=7', '--data.test_counts=[4, 5, 6]')),)
    """
    arguments = ((f"--model.slots={slots}", f"--data.test_counts={[*range(a, b + 1)]}") for a, b in counts)
    return tuple((f"on {a}-{b}", more) for (a, b), more in zip(counts, arguments))


FAR = on(13, (0, 2), (3, 5), (6, 8), (9, 12))
MANY = on(11, (3, 6), (7, 10))
SEGMENTS = ("count_accuracy", "box_ap50", "foreground_ari")

BOTH = (("the network alone", ("--model.refinement=null",)), ("refined", ()))
LABELS = ("--model.supervised=true",)

EXPERIMENTS = {
    "scenes3d": Experiment("scenes3d", "0-3 objects of three identities, black-box renderer", POSES, FIVE),
    "scenes3d_sampled": Experiment("scenes3d_sampled", "the same, identity by four sampled scores", POSES),
    "scenes3d_meshes": Experiment("scenes3d_meshes", "0-3 objects of three meshes from files", POSES),
    "tabletop": Experiment("tabletop", "0-3 pieces of crockery on a wooden table", POSES),
    "tabletop_camera": Experiment("tabletop_camera", "the same, the camera of each image inferred", (*POSES, *CAMERA)),
    "scene3d_single": Experiment("scene3d_single", "always one object", POSES, FIVE),
    "scene3d_single_supervised": Experiment(
        "scene3d_single", "always one object; the same network trained on labels", POSES, tests=BOTH, fit=LABELS
    ),
    "scenes3d_supervised": Experiment(
        "scenes3d", "0-3 objects; the same network trained on labels", POSES, tests=BOTH, fit=LABELS
    ),
    "scene3d_single_unaided": Experiment(
        "scene3d_single", "always one object; no network, each image from random starts", POSES, unaided=100
    ),
    "scenes3d_unaided": Experiment(
        "scenes3d", "0-3 objects; no network, each image from random starts", POSES, unaided=32
    ),
    "multi_mnist": Experiment("multi_mnist", "0-2 digits", (*BOXES, "box_ap"), FIVE),
    "mnist_noisy": Experiment("mnist_noisy", "0-2 digits with SuPAIR's noise", BOXES),
    "mnist_grid": Experiment("mnist_grid", "0-2 digits before SuPAIR's grid", BOXES),
    "multi_sprites": Experiment("multi_sprites", "0-3 coloured shapes", (*BOXES, "foreground_ari"), FIVE),
    "omniglot": Experiment("omniglot", "strokes of characters, at most four", ("elbo",)),
    "generalize_extrapolate_air": Experiment(
        "generalize_extrapolate_air", "AIR trained on 0, 1 or 2 digits", ("count_accuracy", "box_ap50"), FIVE, ON_THREE
    ),
    "generalize_extrapolate_dair": Experiment(
        "generalize_extrapolate_dair",
        "DAIR trained on 0, 1 or 2 digits",
        ("count_accuracy", "box_ap50"),
        FIVE,
        ON_THREE,
    ),
    "generalize_interpolate_air": Experiment(
        "generalize_interpolate_air", "AIR trained on 0, 1 or 3 digits", ("count_accuracy", "box_ap50"), FIVE, ON_TWO
    ),
    "generalize_interpolate_dair": Experiment(
        "generalize_interpolate_dair", "DAIR trained on 0, 1 or 3 digits", ("count_accuracy", "box_ap50"), FIVE, ON_TWO
    ),
    "generalize_far": Experiment("generalize_far", "trained on 0, 1 or 2 digits", SEGMENTS, tests=FAR),
    "sprites_many": Experiment("sprites_many", "trained on 3 to 6 coloured shapes", SEGMENTS, tests=MANY),
}
