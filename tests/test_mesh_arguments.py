"""What is wrong with a renderer's meshes, in a config and on the command line: one line with name, value and remedy."""

import shutil
from pathlib import Path

import pytest
import yaml

from air_lightning.cli import main
from air_lightning.plugins.mesh_values import ENDINGS
from renderers.mesh.files.reading import FORMATS

CONFIGS = Path(__file__).parent.parent / "configs"
CHAIR, MUG = (str(CONFIGS / "meshes" / name) for name in ("chair.obj", "mug.glb"))
MAPPING = "give {NAME: mesh file or built-in shape, ...}, with a space behind each colon\n"
PATH = "expected the path of a mesh file or the name of a built-in shape, got"
OPTIONS = "There are path, up, symmetry, faces, detail, scale, units"
WRONG = {
    "chair.obj": f": expected a mapping, got 'chair.obj': {MAPPING}",
    "mug.glb": f": expected a mapping, got 'mug.glb': {MAPPING}",
    "nowhere.obj": f": expected a mapping, got 'nowhere.obj': {MAPPING}",
    "cube": f": expected a mapping, got 'cube': {MAPPING}",
    "[cube, cone]": f": expected a mapping, got ['cube', 'cone']: {MAPPING}",
    "{chair: 3}": f".chair: {PATH} 3\n",
    "{cube: cube, chair: null}": f".chair: {PATH} None\n",
    "{cube: cube, chair: [chair.obj]}": f".chair: {PATH} ['chair.obj']\n",
    "{chair: {file: chair.obj}}": f".chair: no argument of MeshFile is called 'file'. {OPTIONS}, in {{'file': 'chair",
    "{chair: {path: chair.obj, faec: 9}}": ".chair: no argument of MeshFile is called 'faec', did you mean faces? ",
    "{chair: {path: 3}}": f".chair.path: {PATH} 3\n",
    "{chair: {symmetry: 4}}": ".chair: renderers.mesh.MeshFile: the following arguments are required: path\n",
    "{chair: {path: chair.obj, symmetry: four}}": ".chair.symmetry: Expected a <class 'int'>. Got value: four, in {'",
    "{chair: {path: chair.obj, up: q}}": ".chair: mesh up must be one of x, y, z, -x, -y, -z, got 'q'\n",
    "{cube: cube, chair: {path: chair.obj, faces: 2}}": ".chair: mesh faces must be at least 4, got 2: null draws all",
    "{path: chair.obj, up: y}": " must name identities, got path, up, which are of a mesh file: give {NAME: {path: F",
    "{chair.up: y}": " has no 'chair' to which 'chair.up' could be added: give its file first, {chair: FILE}\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mesh in (CHAIR, str(Path(CHAIR).with_suffix(".mtl")), MUG):
        shutil.copy(mesh, tmp_path)
    monkeypatch.chdir(tmp_path)


def fit(*arguments: str) -> None:
    small = ["--model.renderer.image_size", "[16,16]", "--trainer.max_steps", "1", "--trainer.val_check_interval", "1"]
    data = ["--data.batch_size", "2", "--data.val_scenes", "2", "--figures.every_minutes", "0"]
    quiet = ["--trainer.enable_progress_bar", "false", "--model.renderer.identities", "null", "--run_dir", "run"]
    main(["fit", "--config", str(CONFIGS / "scenes3d.yaml"), *small, *data, *quiet, *arguments])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        fit(*arguments)
    assert stop.value.code == 2 and not Path("run").exists()
    return capsys.readouterr().err.split("error: ", 1)[1]


def config(meshes: str) -> list[str]:
    renderer = {"class_path": "renderers.MeshRenderer", "init_args": {"meshes": yaml.safe_load(meshes)}}
    Path("c.yaml").write_text(yaml.safe_dump({"model": {"renderer": renderer}}))
    return ["--config", "c.yaml"]


@pytest.mark.parametrize("meshes", WRONG)
def test_wrong_meshes(meshes: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--model.renderer.meshes", meshes], config(meshes)):
        error = refused(capsys, *arguments)
        assert error.startswith(f"model.renderer.meshes{WRONG[meshes]}") and error.count("\n") == 1


def test_a_mesh_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(capsys, *config("{chair: nowhere.obj}"))
    there = str(Path("nowhere.obj").absolute())
    assert error.startswith(f"model.renderer: meshes['chair'] {there!r}: there is no such file: give its path")


def test_every_format_is_known_as_a_mesh() -> None:
    assert set(ENDINGS) == set(FORMATS)


def test_other_mappings(capsys: pytest.CaptureFixture[str]) -> None:
    said = (
        "model.renderer.sizes: expected a mapping, got '3': give {NAME: VALUE, ...}, with a space behind each colon\n"
    )
    assert refused(capsys, "--model.renderer.sizes", "3") == said
    assert refused(capsys, "--model.renderer.sizes", "{cube:2}") == said.replace("'3'", "'{cube:2}'")


def test_meshes_may_stand_in_a_file_of_their_own() -> None:
    Path("below").mkdir()
    Path("below/meshes.yaml").write_text("{seat: ../chair.obj, cup: {path: ../mug.glb, faces: 90}}")
    fit("--model.renderer.meshes", "below/meshes.yaml")
    meshes = yaml.safe_load(Path("run/config.yaml").read_text())["model"]["renderer"]["init_args"]["meshes"]
    assert {name: Path(mesh["path"]).resolve() for name, mesh in meshes.items()} == {
        "seat": Path("chair.obj").resolve(),
        "cup": Path("mug.glb").resolve(),
    }
