"""Plug-ins of installed packages: found by entry point, named in short, listed; broken ones and namesakes are told."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from disc_plugin import Discs

from air_lightning.backgrounds import MedianBackground
from air_lightning.cli import main
from air_lightning.likelihoods import NormalLikelihood
from air_lightning.plugins import FAMILIES, available, family_of, find
from datamodules import Scenes3D
from renderers import MeshRenderer

RENDERERS, INFERENCE, ESTIMATORS, LIKELIHOODS, BACKGROUNDS, DATAMODULES = FAMILIES
DISCS = "disc_plugin:Discs"
SMALL = {"max_steps": 2, "val_check_interval": 2, "check_val_every_n_epoch": None, "enable_progress_bar": False}
FEW = {"counts": [0, 1], "batch_size": 4, "train_scenes": 8, "val_scenes": 4, "test_scenes": 4}


class Packages:
    """Installed packages made of metadata alone; what they announce is importable already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, package: str, entries: dict[str, str], group: str = "air_lightning.renderers") -> None:
        info = self.folder / f"{package.replace('-', '_')}-1.5.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        with (info / "entry_points.txt").open("a") as file:
            file.write("\n".join([f"[{group}]", *lines, ""]))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return Packages(folder)


def listed(capsys: pytest.CaptureFixture[str]) -> str:
    main(["plugins"])
    return capsys.readouterr().out


# ---- listing


def test_built_in_plugins_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    out = listed(capsys)
    for family in ("renderers", "inference", "estimators", "likelihoods", "backgrounds", "datamodules"):
        assert f"{family}:\n" in out
    assert "  MeshRenderer  renderers.MeshRenderer  (air-lightning 0.1.0)\n" in out
    assert "      what: cube, sphere, cylinder\n" in out
    assert "      where: x [-1.9, 1.9] world units, z [-1.9, 1.9] world units, yaw [-3.14159, 3.14159] radians\n" in out
    assert "      black box, zbuffer, images 3x64x64\n" in out
    assert "      what: code of dimension 50\n" in out and "      differentiable, additive, images 1x50x50\n" in out
    assert "  Renderer  renderers.Renderer" not in out  # abstract


def test_installed_plugins_are_listed(packages: Packages, capsys: pytest.CaptureFixture[str]) -> None:
    packages.install("air-discs", {"discs": DISCS, "handed": "plugins_for_tests:NeedsSize"})
    packages.install("air-discs", {"lost": "plugins_for_tests:Unbuildable", "half": "plugins_for_tests:HalfBuilt"})
    out = listed(capsys)
    assert "  discs  disc_plugin.Discs  (air-discs 1.5)\n      what: blue, green, red\n" in out
    assert "  handed  plugins_for_tests.NeedsSize  (air-discs 1.5)\n      needs arguments: " in out
    assert "'size'" in out
    assert "      cannot be built with defaults: OSError: no image library\n" in out
    assert "      does not say what it draws: AttributeError: 'HalfBuilt' object has no attribute" in out


BROKEN = [
    ("no_such_module:Discs", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
    ("disc_plugin:Dics", "cannot be imported: AttributeError: module 'disc_plugin' has no attribute 'Dics'"),
    ("renderers.spaces:Categorical", "a subclass of renderers.Renderer, got class Categorical"),
    ("plugins_for_tests:NUMBER", "a subclass of renderers.Renderer, got 3"),
    ("plugins_for_tests:Abstract", "a subclass of renderers.Renderer, got class Abstract, which lacks draw"),
]


@pytest.mark.parametrize("value, said", BROKEN)
def test_broken_plugins_are_left_out(
    value: str, said: str, packages: Packages, capsys: pytest.CaptureFixture[str]
) -> None:
    packages.install("air-bad", {"bad": value, "good": DISCS})
    main(["plugins"])
    out, err = capsys.readouterr()
    assert err.count("warning: ") == 1
    assert f"warning: renderers plug-in 'bad' of air-bad 1.5 ({value}) " in err and said in err
    assert err.endswith("it is left out\n")
    assert "bad" not in out.replace("air-bad 1.5", "") and "  good  disc_plugin.Discs" in out


def test_a_name_with_a_dot_could_not_be_asked_for(packages: Packages) -> None:
    packages.install("air-discs", {"my.discs": DISCS})
    with pytest.warns(UserWarning, match=re.escape("'my.discs' of air-discs 1.5 (disc_plugin:Discs) has a dot in its")):
        assert "my.discs" not in [plugin.name for plugin in available(RENDERERS)]


def test_two_of_one_name(packages: Packages, capsys: pytest.CaptureFixture[str]) -> None:
    packages.install("air-discs", {"discs": DISCS})
    packages.install("air-coins", {"discs": "renderers:MeshRenderer"})
    said = (
        "two renderers are called 'discs': air-discs 1.5 (disc_plugin:Discs) and air-coins 1.5 (renderers:MeshRenderer)"
    )
    with pytest.raises(SystemExit) as stop:
        main(["plugins"])
    assert stop.value.code == 2 and f"error: {said}" in capsys.readouterr().err
    with pytest.raises(ValueError, match=re.escape(said)):
        find(RENDERERS, "discs")


def test_a_built_in_name_is_taken(packages: Packages) -> None:
    packages.install("air-discs", {"MeshRenderer": DISCS})
    said = "air-discs 1.5 (disc_plugin:Discs) and air-lightning 0.1.0 (renderers.MeshRenderer)"
    with pytest.raises(ValueError, match=re.escape(said)):
        available(RENDERERS)


def test_names_of_different_families_do_not_meet(packages: Packages) -> None:
    packages.install("air-discs", {"discs": DISCS})
    packages.install("air-discs", {"discs": "datamodules:Scenes3D"}, "air_lightning.datamodules")
    found = [find(family, "discs") for family in FAMILIES]
    assert [plugin and plugin.cls for plugin in found] == [Discs, *[None] * 4, Scenes3D]


def test_families() -> None:
    assert family_of(MeshRenderer) == RENDERERS and family_of(Scenes3D) == DATAMODULES
    assert family_of(NormalLikelihood) == LIKELIHOODS and family_of(MedianBackground) == BACKGROUNDS
    assert family_of(dict) is None and family_of("MeshRenderer") is None


def test_a_plugin_is_imported_when_it_is_asked_for(packages: Packages) -> None:
    (packages.folder / "seldom_asked_for.py").write_text("from disc_plugin import Discs")
    packages.install("air-discs", {"discs": DISCS, "seldom": "seldom_asked_for:Discs"})
    assert find(RENDERERS, "discs") and find(RENDERERS, "others") is None
    assert "seldom_asked_for" not in sys.modules
    assert find(RENDERERS, "seldom") and "seldom_asked_for" in sys.modules


# ---- short names


def test_short_names_train_and_reload(packages: Packages, tmp_path: Path) -> None:
    """In a config, nested, through a callable and on the command line; config.yaml has the full class path."""
    packages.install("air-discs", {"discs": DISCS})
    packages.install("air-discs", {"looker": "plugins_for_tests:Looker"}, "air_lightning.inference")
    packages.install("air-discs", {"tally": "air_lightning.estimators:ExactCount"}, "air_lightning.estimators")
    packages.install("air-discs", {"scenes": "datamodules:Scenes3D"}, "air_lightning.datamodules")
    config, run = tmp_path / "config.yaml", tmp_path / "run"
    model = {"renderer": {"class_path": "discs", "init_args": {"radius": 0.2}}, "inference": "looker", "slots": 1}
    data = {"class_path": "scenes", "init_args": {**FEW, "renderer": "discs"}}
    config.write_text(yaml.safe_dump({"trainer": SMALL, "model": model, "data": data}))
    main(["fit", "--config", str(config), "--run_dir", str(run), "--model.count", "tally", "--model.count.warmup", "7"])
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["model"]["renderer"]["class_path"] == "disc_plugin.Discs"
    assert saved["model"]["renderer"]["init_args"]["radius"] == 0.2
    assert saved["model"]["inference"]["class_path"] == "plugins_for_tests.Looker"
    assert saved["model"]["count"]["class_path"] == "air_lightning.estimators.ExactCount"
    assert saved["model"]["count"]["init_args"]["warmup"] == 7
    assert saved["data"]["class_path"] == "datamodules.Scenes3D"
    assert saved["data"]["init_args"]["renderer"]["class_path"] == "disc_plugin.Discs"
    (packages.folder / "air_discs-1.5.dist-info" / "entry_points.txt").unlink()
    main(["test", "--run_dir", str(run)])
    assert (run / "test_metrics.json").is_file()


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--data", "Scenes3D", *arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err.rpartition("error: ")[2]


def test_a_broken_plugin_that_is_asked_for_is_an_error(packages: Packages, capsys: pytest.CaptureFixture[str]) -> None:
    packages.install("air-bad", {"bad": "no_such_module:Discs"})
    said = refused(capsys, "--model.renderer", "bad")
    assert "renderers plug-in 'bad' of air-bad 1.5 (no_such_module:Discs) cannot be imported: ModuleNotFound" in said


def test_a_name_asked_for_that_two_have_is_an_error(packages: Packages, capsys: pytest.CaptureFixture[str]) -> None:
    packages.install("air-discs", {"discs": DISCS})
    packages.install("air-coins", {"discs": "renderers:MeshRenderer"})
    assert "two renderers are called 'discs': air-discs 1.5" in refused(capsys, "--model.renderer", "discs")


UNKNOWN = {
    "renderer": (
        ["--model.renderer", "MeshRendrer"],
        "model.renderer: no Renderer is called 'MeshRendrer', did you mean MeshRenderer? There are GlimpseRenderer, "
        "MeshRenderer, discs;",
    ),
    "one of two bases of estimators": (
        ["--model.count", "posteriorcuont"],
        "model.count: no CountEstimator is called 'posteriorcuont', did you mean PosteriorCount? There are "
        "ConcreteCount, ExactCount, NVILCount, PosteriorCount, RLOOCount, ReweightedWakeSleepCount, VIMCOCount;",
    ),
    "network, which the model builds": (
        ["--model.inference", "RecurentAIR"],
        "model.inference: no InferenceNetwork is called 'RecurentAIR', did you mean RecurrentAIR? There are ",
    ),
    "data": (["--data", "Multi-MNIST"], "data: no SceneDataModule is called 'Multi-MNIST', did you mean MultiMNIST?"),
    "within data": (
        ["--data.renderer", "dics"],
        "data.renderer: no Renderer is called 'dics', did you mean discs? There are ",
    ),
    "no plug-in": (
        ["--model.likelihood_sd", "Geometrical"],
        "model.likelihood_sd: no Schedule is called 'Geometrical', did you mean Geometric? There are Constant, ",
    ),
    "like none": (["--model.renderer", "zzz"], "model.renderer: no Renderer is called 'zzz'. There are "),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_an_unknown_name(case: str, packages: Packages, capsys: pytest.CaptureFixture[str]) -> None:
    packages.install("air-discs", {"discs": DISCS})
    arguments, text = UNKNOWN[case]
    error = refused(capsys, *arguments)
    assert error.startswith(text)
    assert error.endswith("; a class_path (package.module.Class) works too\n") and error.count("\n") == 1


def test_an_unknown_name_in_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"data": {"class_path": "Scenes3D", "init_args": {"renderer": "MeshRendrer"}}}))
    error = refused(capsys, "--config", str(config))
    assert error.startswith("data.renderer: no Renderer is called 'MeshRendrer', did you mean MeshRenderer?")


def test_an_unknown_name_in_other_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["check", "--renderer", "MeshRendrer"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("error: renderer: no Renderer is called 'MeshRendrer', did you mean Mesh")


def test_help_of_a_short_name(packages: Packages, capsys: pytest.CaptureFixture[str]) -> None:
    packages.install("air-discs", {"discs": DISCS})
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--model.renderer.help", "discs"])
    assert stop.value.code == 0
    assert "--model.renderer.radius RADIUS" in capsys.readouterr().out
