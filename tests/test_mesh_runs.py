"""Runs on meshes from files, through the real command line: paths, what a run folder keeps, and files that change."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import air_lightning
from air_lightning.cli import main
from air_lightning.commands.export.weights import write_weights

trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed: pip install trimesh")

CONFIGS = Path(__file__).parent.parent / "configs"
SMALL = ["--trainer.max_steps", "1", "--trainer.val_check_interval", "1", "--trainer.enable_progress_bar", "false"]
DATA = ["--data.batch_size", "2", "--data.train_scenes", "4", "--data.val_scenes", "2", "--data.test_scenes", "2"]
BASE = ["--config", str(CONFIGS / "scenes3d.yaml"), "--model.renderer.image_size", "[32,32]", *SMALL, *DATA]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's, with a config and its mesh beside one another; the working directory is another."""
    folder = tmp_path / "mine"
    (folder / "shapes").mkdir(parents=True)
    trimesh.creation.box([1, 2, 1]).export(folder / "shapes" / "box.stl")
    box = "shapes/box.stl"
    meshes: dict[str, Any] = {"box": box, "same": {"path": box, "symmetry": 4}, "ball": "sphere"}
    renderer = {"class_path": "renderers.MeshRenderer", "init_args": {"identities": None, "meshes": meshes}}
    config = {"model": {"renderer": renderer}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def fit(mine: Path, *arguments: str) -> None:
    main(["fit", *BASE, "--config", str(mine / "mine.yaml"), "--run_dir", "run", *arguments])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert stopped.value.code == 2
    return capsys.readouterr().err.split("error: ")[-1]


def test_a_run_finds_its_meshes_from_anywhere(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    fit(mine, "--model.renderer.meshes.box.symmetry", "4")  # an option is added to the path
    saved = yaml.safe_load(Path("run/config.yaml").read_text())["model"]["renderer"]["init_args"]["meshes"]
    box = str(mine / "shapes" / "box.stl")
    assert saved["box"] == saved["same"] and saved["ball"] == "sphere"
    assert (saved["box"]["path"], saved["box"]["symmetry"]) == (box, 4)
    run = Path("run").absolute()
    monkeypatch.chdir(tmp_path)
    main(["test", "--run_dir", str(run)])
    record = json.loads((run / "test_metrics.json").read_text())
    assert record["scenes"] == 2 and record["overrides"] == {}
    assert not [w for w in recwarn if "not what the checkpoint was trained on" in str(w.message)]


def test_the_command_lines_paths_start_from_the_working_directory(mine: Path) -> None:
    shutil.copy(mine / "shapes" / "box.stl", "here.stl")
    given = ["--model.renderer.identities", "null", "--model.renderer.meshes", "{box: here.stl}"]
    main(["fit", *BASE, "--run_dir", "run", *given])
    saved = yaml.safe_load(Path("run/config.yaml").read_text())["model"]["renderer"]["init_args"]["meshes"]
    assert saved.keys() == {"box"} and saved["box"]["path"] == str(Path("here.stl").absolute())


def test_a_mesh_that_changed_is_said_and_one_that_is_gone_ends_it(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(mine)
    trimesh.creation.cone(1, 1).export(mine / "shapes" / "box.stl")
    with pytest.warns(UserWarning, match="not what the checkpoint was trained on: mesh 'box', mesh 'same'. The file"):
        main(["test", "--run_dir", "run"])
    changed = "not what the checkpoint was trained on: mesh 'box', mesh 'same'. The"
    with pytest.warns(UserWarning, match=changed):
        module = air_lightning.load("run", checkpoint="last").module
    write_weights(Path("run"), "last", Path("small"), module)
    with pytest.warns(UserWarning, match=changed):
        air_lightning.load("small")
    box = mine / "shapes" / "box.stl"
    box.unlink()
    error = refused(capsys, "test", "--run_dir", "run")
    assert error.startswith(f"model.renderer: meshes['box'] {str(box)!r}: there is no such file: give its path")


def test_broken_files_end_a_fit_before_it_makes_a_folder(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = mine / "shapes" / "box.stl"
    box.write_text("solid x\nendsolid x\n")
    error = refused(capsys, "fit", *BASE, "--config", str(mine / "mine.yaml"), "--run_dir", "run")
    assert error.startswith(f"model.renderer: meshes['box'] {str(box)!r}: it has no faces, there is nothing to draw")
    error = refused(capsys, "fit", *BASE, "--run_dir", "run", "--model.renderer.meshes", "{mug: 3}")
    assert "mug" in error
    assert not Path("run").exists()
