"""The conformance test: our renderers pass it, and it tells what broken ones break, with values and remedy."""

import pickle
import re
from typing import Any

import broken_renderers as broken
import pytest
import torch
from disc_plugin import Discs
from renderers_for_tests import Bumps, Dial, IdentityBumps

from air_lightning.cli import main
from air_lightning.testing import BrokenLaws, Finding, Report, check_renderer
from air_lightning.testing.check import LAWS
from renderers import GlimpseRenderer, MeshRenderer

ALPHA = dict(image_shape=(3, 18, 24), what=3, glimpse=8, hidden=8, anisotropic=True, turn=0.7, compositing="over")
SOUND: list[tuple[Any, dict[str, Any]]] = [
    (Discs, {}),
    (Discs, dict(size=24, radius=0.4)),
    (GlimpseRenderer, {}),
    (GlimpseRenderer, ALPHA),
    (MeshRenderer, dict(image_size=(32, 32))),
    (MeshRenderer, dict(identities=("cube", "cone"), image_size=(30, 40), supersample=2, y=(0.0, 0.5), x=(-1.0, 1.0))),
    (Bumps, {}),
    (IdentityBumps, dict(differentiable=False)),
    (Dial, {}),
]


@pytest.mark.parametrize("renderer, arguments", SOUND, ids=lambda value: getattr(value, "__name__", ""))
def test_sound_renderers_pass(renderer: Any, arguments: dict[str, Any]) -> None:
    report = check_renderer(renderer, **arguments)
    assert not report.broken and len(report.kept) >= 17
    assert {*report.kept, *(law for law, _ in report.skipped)} == set(LAWS)
    reasons = dict(report.skipped)
    assert ("contract" in reasons) != ("gradient" in reasons) and "spec" not in reasons


def test_instances_and_factories_are_checked_too() -> None:
    for given in (Discs(24), lambda: Discs(24)):
        report = check_renderer(given)
        assert "pickling" in report.kept
        assert dict(report.skipped)["spec"].startswith("its arguments are not known")


def turning(*periods: float) -> Any:
    return lambda: broken.Turning(periods)


def smooth(fault: str, differentiable: bool = True) -> Any:
    return lambda: broken.Smooth(fault, differentiable)


TURN = 2 * torch.pi
BROKEN: list[tuple[str, Any, str]] = [
    ("scene", broken.OneView, "read the values of a pose's own scene: scene_of(where), and scene_values row by row"),
    ("shapes", broken.NoLayer, "draw gave a tuple: return renderers.Layer(color, depth)"),
    (
        "shapes",
        broken.FlatDepth,
        "draw of 5 objects gave depth (5, 1024), not (5, 32, 32): image_shape (3, 32, 32) asks",
    ),
    ("shapes", broken.NoAlpha, "compositing is `over` and draw gave no alpha: return Layer(color, depth, alpha)"),
    ("shapes", broken.CoarseBackground, "background gave (3, 16, 16), not (3, 32, 32): paint it with the channels"),
    ("types", broken.Doubles, "color is torch.float64 on cpu, where is torch.float32 on cpu: make it with .to(where)"),
    (
        "buffers",
        broken.KeepsTensor,
        "attribute 'palette' holds a tensor that .to(device) leaves behind: self.register_",
    ),
    ("values", broken.Bytes, "color spans 0 to 255: keep it within [0, 1]"),
    ("values", broken.PaintsNowhere, "color is up to 0.1 where depth is infinite: multiply it by where the object is"),
    ("values", broken.DepthUndefined, "depth is NaN or -infinity somewhere: give a distance, and +infinity where"),
    ("values", broken.StraightAlpha, "color exceeds alpha by up to 0."),
    ("visibility", broken.ForgetsRed, "red is not seen in 21 images of poses from the prior: draw it, or narrow"),
    ("determinism", broken.Noisy, "drawn twice, images differ, color by up to 0."),
    ("determinism", broken.UsesNumpysRandom, "draw uses up global random numbers: draw the same image every time"),
    ("batching", broken.BatchScaled, "an object alone looks otherwise than in a batch, color by up to 0.875: let each"),
    ("batching", broken.Ordered, "the order of a batch changes images, color by up to 0.5: let each row depend"),
    ("inputs", broken.MovesPoses, "draw changed `where` by up to 0.5: work on where.clone()"),
    ("render", broken.PaintersOrder, "render differs from the composed layers by up to 0.9 in "),
    (
        "gradient",
        smooth("detached"),
        "it claims to be differentiable and gives no gradient in `where`: keep draw within",
    ),
    (
        "gradient",
        smooth("wrong"),
        "autograd in `where` differs from finite differences along 47 of 48 smooth directions",
    ),
    (
        "gradient",
        smooth("hard"),
        "autograd's gradient in 'x' is 0 everywhere, though a step of 0.1 changes the image",
    ),
    ("gradient", smooth("rough"), "directions in `where` the image is not smooth: it has no gradient: say"),
    ("parameters", smooth("idle"), "no gradient reaches gain: use every parameter in draw, or requires_grad_(False)"),
    ("parameters", smooth("black", False), "a black box has parameters that ask for gradients: gain: keep them as"),
    (
        "contract",
        broken.TwiceContracted,
        "at coarseness 1 from differences of whole images: leave contract to the base",
    ),
    ("contract", broken.CoarsenessForgotten, "at coarseness 4 from differences of whole images"),
    (
        "swap_scores",
        broken.LossesHalved,
        "under the loss Normal from the base class's: leave swap_scores to the base class",
    ),
    ("swap_scores", broken.AllLossesNormal, "under the loss Mixture from the base class's: leave swap_scores to"),
    ("backgrounds", broken.OldRender, "render takes no background: give it `background: Tensor | None = None`, and"),
    (
        "backgrounds",
        broken.OwnBackgroundOnly,
        "with a background, one for each image, render differs from the composed layers by up to ",
    ),
    ("backgrounds", broken.BlackBackgroundInScores, "with a background from the base class's: leave swap_scores to"),
    ("backgrounds", broken.SeesBackgroundThroughObjects, "canvases' gradient in the background differs by up to "),
    (
        "steps",
        broken.TinySteps,
        "the step 1e-05 of 'x' changes only 0 of 60 images: raise it to what moves the image",
    ),
    (
        "steps",
        turning(TURN, TURN / 3, TURN),
        "of 'yaw' changes only 0 of 20 images of dot: raise it to what moves the",
    ),
    ("periods", turning(TURN, TURN, 0.0), "'yaw' turned by 1/3 of the period 6.283 of star changes nothing either"),
    ("periods", turning(TURN / 2, TURN / 3, 0.0), "'yaw' turned by the period 3.142 of hand changes "),
    (
        "project",
        broken.FlatProject,
        "of poses (6, 8, P) project gave (48, 2) and (48,), not (6, 8, 2) and (6, 8): keep",
    ),
    ("project", broken.NoSize, "project gave NaN, infinity or a size of 0: give finite places and positive sizes"),
    ("project", broken.UpsideDown, "objects lie outside the size that project gives, for example one at ("),
    ("unproject", broken.HalfUnprojected, "project and unproject move 'x' by up to 0.394 (support -0.8 to 0.8): make"),
    ("unproject", broken.UnprojectsDepth, "unproject gave ['z'] and `where` has x, y: name coordinates of `where`"),
    ("unproject", broken.UnprojectsPairs, "of 30 places (30, 2) unproject gave 'x' of shape (30, 2): give one number"),
    ("window", broken.TinyWindow, "of what shows of their objects (median of 48): let window, or project, cover"),
    ("window", broken.FlatWindow, "a window's map is not finite or has area 0: give windows a width and a height"),
    ("window", broken.WindowsInverse, "of poses (6, 8, P) window gave (6, 8, 2, 2), not (6, 8, 2, 3): keep leading"),
    ("window", broken.Raises, "RuntimeError: no window yet: it must not raise on objects of its spaces"),
    ("boxes", broken.BoxesInShares, "pixels of what is drawn: leave boxes to the base class"),
    ("boxes", broken.BoxesOutside, "boxes reach from 1 to 33: keep them in the image, in pixels"),
    ("boxes", broken.BoxesFlat, "boxes gave (18, 4), not (6, 3, 4): give x0, y0, x1, y1 for each slot"),
    ("state", broken.RandomColors, "another one with its state draws otherwise, color by up to 0."),
    ("state", broken.StateWithObjects, "its state does not load with weights_only: "),
    ("pickling", broken.HoldsFunction, "pickle fails: "),
    (
        "pickling",
        broken.ForgetsRadius,
        "its copy by pickle draws otherwise, color by up to 1, depth by up to inf: copy all",
    ),
    ("spec", broken.RadiusByEnvironment, "from its config it has (Categorical(names=('kind "),
]


@pytest.mark.parametrize("law, renderer, said", BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_broken_laws_are_told(law: str, renderer: Any, said: str) -> None:
    with pytest.raises(BrokenLaws) as caught:
        check_renderer(renderer)
    mine = [str(finding) for finding in caught.value.report.broken if finding.law == law]
    assert any(said in finding for finding in mine), str(caught.value)
    assert f"  broken  {law}: " in str(caught.value)


def test_every_law_has_a_broken_renderer() -> None:
    """But for the law of accelerators, which this machine may lack."""
    assert {law for law, _, _ in BROKEN} == set(LAWS) - {"accelerator"}
    assert all(law.__doc__ for law in LAWS.values())


def test_a_renderer_without_an_importable_name_has_no_config() -> None:
    class Local(Discs):
        pass

    with pytest.raises(BrokenLaws, match="spec: a config of test_check_renderer.test_a_renderer") as caught:
        check_renderer(Local, only=["spec"])
    assert "define it at a module's top" in str(caught.value)


def test_arguments_that_no_config_can_hold() -> None:
    with pytest.raises(BrokenLaws, match="spec: "):
        check_renderer(broken.TakesAnything, radius=float, only=["spec"])


def test_all_broken_laws_are_told_at_once() -> None:
    class Worst(broken.Bytes, broken.UpsideDown, broken.TwiceContracted, broken.KeepsTensor):
        pass

    with pytest.raises(BrokenLaws) as caught:
        check_renderer(Worst)
    laws = [finding.law for finding in caught.value.report.broken]
    assert {"values", "project", "contract", "buffers", "pickling", "spec"} <= set(laws)
    assert str(caught.value).startswith(
        f"Worst keeps {len(caught.value.report.kept)} laws and breaks {len(set(laws))}\n"
    )


def test_what_needs_shapes_is_not_blamed_on_other_laws() -> None:
    with pytest.raises(BrokenLaws) as caught:
        check_renderer(broken.FlatDepth)
    reasons = dict(caught.value.report.skipped)
    assert reasons["render"] == "it cannot be measured while `shapes` is broken"


def test_only_what_is_asked_for() -> None:
    assert check_renderer(broken.Bytes, only=("types", "window")).kept == ("types", "window")
    said = "there is no law colour: the laws are shapes, types, buffers"
    with pytest.raises(ValueError, match=re.escape(said)):
        check_renderer(Discs, only=["colour"])


class Unsaid(Discs):
    """Forgets to say its spaces."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)


@pytest.mark.parametrize(
    "given, arguments, said",
    [
        (3, {}, "check_renderer needs a renderer, its class or a function that makes it, got 3"),
        (dict, {}, "dict must be or make a subclass of renderers.Renderer, got dict"),
        (
            Discs,
            {"colour": 1},
            "Discs cannot be built, Discs.__init__() got an unexpected keyword argument 'colour': give",
        ),
        (Unsaid, {}, "Unsaid does not say its spaces: call super().__init__(what, where, image_shape) in its __init__"),
        (Discs(), {"size": 1}, "arguments ['size'] are for a class, got a built Discs"),
    ],
)
def test_what_is_no_renderer_is_refused(given: Any, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check_renderer(given, **arguments)


def test_reports_are_readable() -> None:
    report = Report(
        "Discs", ("shapes", "types"), (Finding("values", "found 3", "give 1"),), (("spec", "no arguments"),)
    )
    assert str(report).splitlines() == [
        "Discs keeps 2 laws and breaks 1",
        "  broken  values: found 3: give 1",
        "  kept    shapes, types",
        "  skipped spec: no arguments",
    ]
    assert pickle.loads(pickle.dumps(report)) == report


# ---- the command


def test_check_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--renderer", "disc_plugin.Discs", "--renderer.size", "24"])
    assert capsys.readouterr().out.startswith("Discs keeps 19 laws and breaks 0\n")


class Bare(Discs):
    """Its constructor takes no arguments."""

    def __init__(self) -> None:
        super().__init__(24)


def test_check_of_a_renderer_without_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--renderer", "test_check_renderer.Bare"])
    assert capsys.readouterr().out.startswith("Bare keeps 19 laws and breaks 0\n")


@pytest.mark.parametrize(
    "arguments, status, said",
    [
        (
            ["--renderer", "broken_renderers.Bytes"],
            1,
            "  broken  values: color spans 0 to 255: keep it within [0, 1]\n",
        ),
        (
            ["--renderer", "GlimpseRenderer", "--renderer.turn", "9"],
            2,
            "error: renderer.turn must lie in [0, pi) radians, got 9.0",
        ),
        (["--renderer", "no_such.Renderer"], 2, "No module named 'no_such'"),
        (["--renderer", "disc_plugin.Discs", "--only", "colour"], 2, "error: there is no law colour"),
        ([], 2, "renderer"),
    ],
)
def test_check_fails(arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["check", *arguments])
    assert stop.value.code == status
    assert said in capsys.readouterr().err
