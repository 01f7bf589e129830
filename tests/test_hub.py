"""Models shared on the Hugging Face Hub, by a stand-in of it on loopback: had, kept, damaged, and never run as code."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from runs_for_tests import DISCS, GLIMPSES, write_run

import air_lightning
from air_lightning.cli import main
from air_lightning.plugins.registry import FAMILIES
from air_lightning.plugins.strangers import check_class_paths
from air_lightning.runs import RunError, read_checkpoint
from air_lightning.runs.checksums import check_sums, write_sums
from air_lightning.runs.hub import FILES, Shared, parse, shared_run

pytest.importorskip("huggingface_hub", reason="shared models need huggingface_hub")
from hub_server import Hub, served

FEW = ["--data.batch_size", "4", "--data.train_scenes", "8", "--data.val_scenes", "4", "--data.test_scenes", "4"]
QUIET = ["--trainer.enable_progress_bar", "false"]
DISCS_RUN = [
    "--model.renderer",
    "disc_plugin.Discs",
    "--model.slots",
    "2",
    "--data",
    "Scenes3D",
    "--data.counts",
    "[1]",
]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """It has one model, me/glimpses."""
    with served(tmp_path / "cache", monkeypatch) as hub:
        hub.models["me/glimpses"] = exported(write_run(tmp_path / "run", GLIMPSES))
        yield hub


def exported(run: Path, *more: str) -> Path:
    folder = run.with_name(f"{run.name}_shared")
    main(["export", "--run_dir", str(run), "--format", "checkpoint", "--output", str(folder), *more])
    return folder


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    assert stop.value.code == 2
    return capsys.readouterr().err


def copies(tmp_path: Path) -> list[Path]:
    """The cached files, under the name that they have in the repository."""
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and "snapshots" in path.parts]


# ---- had


def test_a_shared_model_is_the_one_that_was_exported(hub: Hub, tmp_path: Path) -> None:
    folder = shared_run("hf://me/glimpses")
    assert folder.name == hub.commit("me/glimpses")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == ["SHA256SUMS", "checkpoints/best.ckpt", "config.yaml"]  # nothing else is got
    images = np.random.default_rng(0).random((2, 20, 24))
    assert air_lightning.load("hf://me/glimpses@v1").infer(images) == air_lightning.load(tmp_path / "run").infer(images)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("hub") / "run"
    main(["fit", "--run_dir", str(run), *DISCS_RUN, *FEW, *QUIET, "--trainer.max_steps", "2"])
    main(["test", "--run_dir", str(run), *QUIET])
    return exported(run, "--license", "mit")


def test_every_command_takes_it(
    hub: Hub, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIR_TRUST", "some_package, disc_plugin")
    monkeypatch.chdir(tmp_path)
    hub.models["me/discs"], name, here = trained, "hf://me/discs", tmp_path / "here"
    here.mkdir()
    for k, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)):
        Image.fromarray(pixels).save(here / f"{k}.png")
    main(["predict", "--model", name, "--input", str(here), "--output", "predicted"])
    main(["predict", "--run_dir", name, "--input", str(here), "--output", "predicted_by_run_dir"])
    main(["adapt", "--model", name, "--input", str(here), "--output", "adapted"])
    main(["export", "--model", name, "--output", "again", "--format", "checkpoint"])
    main(["test", "--run_dir", name, *QUIET])
    main(["validate", f"--run_dir={name}", *QUIET])
    main(["report", name])
    main(["fit", "--start_from", name, "--run_dir", "more", *DISCS_RUN, *FEW, *QUIET, "--trainer.max_steps", "1"])
    made = sorted(path.name for path in tmp_path.iterdir() if path.name not in ("cache", "run", "run_shared", "here"))
    assert made == ["adapted", "again", "more", "predicted", "predicted_by_run_dir", "report.html"]
    for file in ("config.yaml", "checkpoints/best.ckpt"):
        assert (tmp_path / "again" / file).read_bytes() == (trained / file).read_bytes()
    assert {path.name for path in copies(tmp_path)} == {"SHA256SUMS", "best.ckpt", "config.yaml", "metrics.csv"}
    assert "test/count_accuracy" in capsys.readouterr().out


def test_a_shared_model_is_not_written_to(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    name = "hf://me/glimpses"
    error = refused(capsys, "fit", "--run_dir", name, "--config", "configs/scenes3d.yaml")
    assert (
        error == f"error: --run_dir '{name}' cannot be written to: `fit --start_from {name}` begins with its weights\n"
    )
    downstream = ("downstream", "--run_dir", name, "--config", "configs/downstream_sum.yaml")
    error = refused(capsys, *downstream)
    assert error == f"error: --run_dir '{name}' cannot be written to: give --out, a folder for the comparison\n"
    error = refused(capsys, "validate", "--run_dir", name, "--calibrate")
    assert f"error: --calibrate writes to the checkpoint, and --run_dir '{name}' is not yours: make a folder" in error


@pytest.mark.parametrize(
    "name, wanted", [("hf://a/b", Shared("a/b", None)), ("hf://a/b.c@refs/pr/1", Shared("a/b.c", "refs/pr/1"))]
)
def test_names(name: str, wanted: Shared) -> None:
    assert parse(name) == wanted and str(wanted) == name


@pytest.mark.parametrize(
    "name", ["hf://a", "hf://a/b/c", "hf://a/b@", "hf:///b", "hf://a/../b", "hf://a/b@../c", "hf://a/b c"]
)
def test_wrong_names(name: str) -> None:
    with pytest.raises(RunError, match=r"model 'hf:.* must be hf://owner/name or hf://owner/name@revision"):
        shared_run(name)


def test_what_is_not_there_is_named(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--output", tmp_path / "m.pt2")
    error = refused(capsys, "export", "--model", "hf://me/other", *more)
    assert error.startswith(
        "error: hf://me/other: there is no such model, or it is not for everybody: look at its name"
    )
    error = refused(capsys, "export", "--model", "hf://me/glimpses@v7", *more)
    assert error == "error: hf://me/glimpses@v7: the model has no revision 'v7': give a branch, tag or commit\n"
    (hub.models["me/glimpses"] / "SHA256SUMS").unlink()
    with pytest.raises(RunError, match=r"hf://me/glimpses: SHA256SUMS cannot be had .*as `export --format checkpoint`"):
        shared_run("hf://me/glimpses")


def test_without_the_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    error = refused(capsys, "export", "--model", "hf://me/glimpses", "--output", tmp_path / "m.pt2")
    assert error == "error: hf:// needs huggingface_hub, which is not installed: pip install 'air-lightning[hub]'\n"


# ---- kept


def test_a_copy_is_used_where_the_hub_cannot_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, none = "hf://me/glimpses", "hf://me/glimpses@v1"
    with served(tmp_path / "cache", monkeypatch) as hub:
        hub.models["me/glimpses"] = exported(write_run(tmp_path / "run", GLIMPSES))
        commit, online = hub.commit("me/glimpses"), shared_run(name)
    capsys.readouterr()
    assert shared_run(name) == online
    said = capsys.readouterr().err
    assert said.startswith(f"note: {name} cannot be reached (")
    assert said.endswith(f"): the copy of commit {commit[:12]}, got earlier, is used\n")
    with pytest.raises(RunError, match=f"{none} cannot be reached .*, and there is no copy of it here"):
        shared_run(none)


def test_the_librarys_own_offline_mode(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    online = shared_run("hf://me/glimpses")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert shared_run("hf://me/glimpses") == online
    assert "note: hf://me/glimpses cannot be reached (" in capsys.readouterr().err


def test_a_newer_commit_is_got(hub: Hub) -> None:
    before = shared_run("hf://me/glimpses")
    old, folder = hub.commit("me/glimpses"), hub.models["me/glimpses"]
    (folder / "config.yaml").write_text((folder / "config.yaml").read_text() + "# newer\n")
    write_sums(folder, FILES)
    after = shared_run("hf://me/glimpses")
    assert before.name == old != after.name == hub.commit("me/glimpses")


# ---- damaged


@pytest.mark.parametrize("file", ["config.yaml", "checkpoints/best.ckpt"])
@pytest.mark.parametrize("end", [-1, None])
def test_what_was_changed_on_the_way_is_refused(file: str, end: int | None, hub: Hub) -> None:
    path = hub.models["me/glimpses"] / file
    content = path.read_bytes()
    path.write_bytes(content[:end] if end else content[:-2] + b"ab")
    size = path.stat().st_size
    with pytest.raises(
        RunError, match=rf"^hf://me/glimpses: {file} is not what SHA256SUMS says \({size} bytes are there"
    ):
        shared_run("hf://me/glimpses")


def test_a_copy_that_was_changed_is_refused(hub: Hub, tmp_path: Path) -> None:
    folder = shared_run("hf://me/glimpses")
    with (folder / "checkpoints" / "best.ckpt").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(
        RunError, match=r"best.ckpt is not what SHA256SUMS says \(1000 bytes.* Delete the copy '.*' and try"
    ):
        shared_run("hf://me/glimpses")


def test_a_download_that_breaks_off_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # the library tries again, and waits
    hub.cut_off = {"best.ckpt"}
    with pytest.raises(RunError, match=r"hf://me/glimpses: checkpoints/best.ckpt cannot be had \("):
        shared_run("hf://me/glimpses")


def test_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"abc")
    write_sums(tmp_path, [Path("a.txt")])
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert (tmp_path / "SHA256SUMS").read_text() == f"{digest}  a.txt\n"
    check_sums(tmp_path, [Path("a.txt")], "here")
    with pytest.raises(RunError, match=r"here: SHA256SUMS does not list b.txt: it must be made by `export"):
        check_sums(tmp_path, [Path("b.txt")], "here")


# ---- never code


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.file}",)


def test_a_checkpoint_with_code_is_refused(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, trace = hub.models["me/glimpses"], tmp_path / "trace"
    whole = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    torch.save(whole | {"more": Evil(trace)}, folder / "checkpoints" / "best.ckpt")
    write_sums(folder, FILES)
    error = refused(capsys, "export", "--model", "hf://me/glimpses", "--output", tmp_path / "m.pt2")
    assert "holds code (posix.system), which is never run; one that `fit` wrote has none" in error
    assert not trace.exists()


def test_a_pickle_that_is_none_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "a.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(RunError, match="cannot be read, it is damaged, or no checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")


STRANGE = [
    ("model.renderer.class_path", "stranger.Renderer"),
    ("model.renderer", "stranger.Renderer"),
    ("trainer.callbacks", [{"class_path": "stranger.Callback"}]),
    ("data.class_path", "stranger.Data"),
    ("model.renderer.class_path", "os.system"),
    ("model.renderer.class_path", "renderers.base.Tensor"),  # ours to import, not ours to give
    ("model.renderer.class_path", "renderers.nothing.Here"),
]


@pytest.mark.parametrize("place, value", STRANGE)
def test_classes_of_strangers_are_refused(
    place: str,
    value: Any,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "stranger.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')\n")  # as soon as it is imported
    monkeypatch.syspath_prepend(tmp_path)
    folder = hub.models["me/glimpses"]
    config = yaml.safe_load((folder / "config.yaml").read_text())
    *names, last = place.split(".")
    node = config
    for name in names:
        node = node.setdefault(name, {})
    node[last] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    write_sums(folder, FILES)
    error = refused(capsys, "export", "--model", "hf://me/glimpses", "--output", tmp_path / "m.pt2")
    named = value if isinstance(value, str) else value[0]["class_path"]
    assert f"error: hf://me/glimpses: its config names {named!r} ({place}" in error
    assert f"set AIR_TRUST={named.partition('.')[0]} in the environment" in error
    assert not (tmp_path / "trace").exists() and "stranger" not in sys.modules


@pytest.mark.parametrize(
    "config",
    [
        {"model": {"renderer": {"class_path": "GlimpseRenderer"}}},
        {"model": {"renderer": {"class_path": "renderers.GlimpseRenderer", "init_args": {"meshes": ["mug.obj", 1.5]}}}},
        {"model": {"class_path": "air_lightning.module.AIRModule"}},  # where it was once
        {"data": {"folder": "images/a.b/c", "note": "See e.g. this"}},
    ],
)
def test_our_classes_and_other_texts_are_allowed(config: Any) -> None:
    check_class_paths(config, "here")


def test_installed_plug_ins_are_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"model": {"renderer": {"class_path": "their_package.parts.Renderer"}}}
    with pytest.raises(ValueError, match="here: its config names 'their_package.parts.Renderer' "):
        check_class_paths(config, "here")
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{FAMILIES[0].group}]\ntheirs = their_package:Renderer\n")
    monkeypatch.syspath_prepend(tmp_path)
    check_class_paths(config, "here")


# ---- shared


def test_the_card_is_the_hubs(trained: Path) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard.load(trained / "README.md")
    head = card.data.to_dict()
    assert (head["license"], head["library_name"], head["pipeline_tag"]) == ("mit", "air-lightning", "object-detection")
    (result,) = [r for r in card.data.eval_results if r.metric_type == "count_accuracy"]
    measured = json.loads((trained.with_name("run") / "test_metrics.json").read_text())
    assert result.metric_value == pytest.approx(measured["metrics"]["test/count_accuracy"], rel=1e-5)
    assert result.dataset_name == "datamodules.Scenes3D"
    assert f"| `count_accuracy` | {result.metric_value:.4g} |" in card.text
    assert "On 4 held-out scenes, at step 2:" in card.text and "At most 2 objects of " in card.text
    assert f"- torch=={torch.__version__}" in card.text and "- machine" not in card.text
    assert "class_path: disc_plugin.Discs" in card.text and "## Licence\n\nmit" in card.text
    assert (trained / "scenes.png").is_file() and "(scenes.png)" in card.text
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=trained, capture_output=True, text=True, check=True)
    assert done.stdout == "config.yaml: OK\ncheckpoints/best.ckpt: OK\nmetrics.csv: OK\n"


def test_the_card_of_a_model_that_was_not_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", DISCS)
    text = (exported(run) / "README.md").read_text()
    assert "license" not in text.partition("\n---")[0] and "None was given: ask the owner." in text
    assert "It was not measured on held-out scenes." in text and "scenes.png" not in text
    assert "- unsupervised\n" in text and "learnt without labels" in text
    labelled = exported(write_run(tmp_path / "labelled" / "run", DISCS, supervised=True))
    text = (labelled / "README.md").read_text()
    assert "unsupervised" not in text and "object-discovery" not in text and "learnt from labels" in text
    (run / "test_metrics.json").write_text('{"metrics": [')
    error = refused(capsys, "export", "--run_dir", run, "--format", "checkpoint", "--output", tmp_path / "out")
    assert error == f"error: {str(run / 'test_metrics.json')!r} is damaged: run `test` again, or delete it\n"
    assert not (tmp_path / "out").exists()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Any:
    """In the library's place, with its signatures."""
    import huggingface_hub

    stand_in = create_autospec(huggingface_hub.HfApi, instance=True)
    stand_in.upload_folder.return_value.commit_url = "where/it/is"
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: stand_in)
    return stand_in


def test_a_model_is_pushed(api: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import huggingface_hub

    run = write_run(tmp_path / "run", DISCS)
    folder = exported(run, "--push", "hf://me/discs@trial", "--license", "mit", "--private")
    assert "pushed to hf://me/discs@trial: where/it/is" in capsys.readouterr().out
    api.create_repo.assert_called_once_with("me/discs", private=True, exist_ok=True)
    api.create_branch.assert_called_once_with("me/discs", branch="trial", exist_ok=True)
    (call,) = api.upload_folder.call_args_list
    assert call.kwargs["folder_path"] == folder and call.kwargs["revision"] == "trial"
    assert "commit_url" in inspect.getsource(huggingface_hub.CommitInfo)


def test_a_push_that_is_not_taken_is_named(api: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = write_run(tmp_path / "run", DISCS), tmp_path / "out"
    api.create_repo.side_effect = OSError("not logged in\nand more")
    more = ("--format", "checkpoint", "--output", out, "--push", "hf://me/discs", "--license", "mit")
    error = refused(capsys, "export", "--run_dir", run, *more)
    assert error == f"error: --push 'hf://me/discs': the Hub did not take it (not logged in); {str(out)!r} is written\n"
    api.upload_folder.assert_not_called()


@pytest.mark.parametrize(
    "more, message",
    [
        (["--format", "torch", "--push", "hf://me/a"], "--license, --push and --private are for --format checkpoint"),
        (["--push", "hf://me/a"], "--push needs --license, what others may do with the model: mit or cc-by-4.0, for"),
        (["--push", "me/a", "--license", "mit"], "model 'me/a' must be hf://owner/name or hf://owner/name@revision"),
        (["--private"], "--private is for models on the Hub: add --push hf://OWNER/NAME"),
    ],
)
def test_wrong_arguments_of_sharing(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.pt2"
    assert f"error: {message}" in refused(
        capsys, "export", "--run_dir", tmp_path, "--output", out, "--format", "checkpoint", *more
    )
    assert not out.exists()
