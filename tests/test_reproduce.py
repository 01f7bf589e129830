"""An experiment over its seeds: run once each, resumed, and its section in a page that is otherwise left alone."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from air_lightning.cli import main
from air_lightning.commands.reproduce import seeds
from air_lightning.commands.reproduce.command import check_folder, find_config
from air_lightning.commands.reproduce.experiments import EXPERIMENTS, Experiment
from air_lightning.commands.reproduce.section import HEADING, check_page, section, write
from air_lightning.commands.reproduce.seeds import Result, SeedFailed, commit, read, train
from air_lightning.model.random_starts import RandomStarts
from air_lightning.runs.measures import FIGURES

ROOT = Path(__file__).parent.parent
SMALL = [
    "--trainer.max_steps=2", "--trainer.val_check_interval=2", "--figures.every_minutes=0", "--data.batch_size=4",
    "--data.train_scenes=8", "--data.val_scenes=4", "--data.test_scenes=4", "--model.renderer.image_size=[32,32]",
]  # fmt: skip
TWO = Experiment("scene3d_single", "one object", ("count_accuracy", "rotation_error"))


def result(seed: int, right: float | None, turned: float | None, **more: Any) -> Result:
    figures = {"": {"count_accuracy": right, "rotation_error": turned}}
    return Result(seed, "abc", "a machine", 60.0 * seed, 0.25 / seed, 2000, figures)._replace(**more)


# ---- the table


def test_every_seed_the_median_and_the_worst_are_shown() -> None:
    text = section("one", TWO, [result(1, 0.5, 2.0), result(2, 0.9, 1.0), result(3, 0.75, 30.0)], "command")
    head, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert (
        head
        == "| seed | Count accuracy | Rotation error, median, degrees | minutes of training | milliseconds an image |"
    )
    assert rows == [
        "| 1 | 0.5 | 2 | 1 | 250 |", "| 2 | 0.9 | 1 | 2 | 125 |", "| 3 | 0.75 | 30 | 3 | 83.3 |",
        "| median | 0.75 | 2 | 2 | 125 |", "| worst | 0.5 | 30 | 3 | 250 |",
    ]  # fmt: skip
    assert text.startswith("**`one`**: one object; 2000 held-out scenes a seed. Every seed that was run. `command`, ")
    assert "commit abc; a machine.\n\n|" in text


def test_a_seed_without_a_figure_is_the_worst_and_several_commits_are_named() -> None:
    text = section("one", TWO, [result(1, 0.5, None), result(2, 0.9, 4.0, commit="def")], "command")
    assert "| median | 0.7 | 4 | 1.5 | 188 |\n| worst | 0.5 | none | 2 | 250 |" in text
    assert "commit abc and def; a machine." in text


def test_what_is_unaided_has_no_training() -> None:
    text = section("one", TWO._replace(unaided=8), [result(1, 0.5, 2.0)], "command")
    assert "minutes of training" not in text and "| milliseconds an image |" in text and "| 1 | 0.5 | 2 | 250 |" in text


def test_tests_on_other_scenes_have_columns_of_their_own() -> None:
    experiment = EXPERIMENTS["generalize_extrapolate_dair"]
    figures = {name: dict.fromkeys(experiment.metrics, 0.5) for name, _ in experiment.tests}
    text = section("x", experiment, [result(1, 0, 0)._replace(figures=figures)], "command")
    assert "| Count accuracy on 3 | Box AP at 0.5 on 3 | Count accuracy on 0, 1, 2 | Box AP at 0.5 on 0, 1, 2 |" in text


# ---- the page


def test_a_section_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text("# Results\n\nBy hand.\n")
    write(page, "one", "first")
    write(page, "two", "second")
    write(page, "one", "first again")
    assert page.read_text() == (
        f"# Results\n\nBy hand.\n{HEADING}\n<!-- reproduce one -->\n\nfirst again\n\n<!-- end of one -->\n\n"
        "<!-- reproduce two -->\n\nsecond\n\n<!-- end of two -->\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "<!-- reproduce one -->\n",
        "<!-- end of one -->\n<!-- reproduce one -->\n",
        "<!-- reproduce one -->\n<!-- reproduce one -->\n<!-- end of one -->",
    ],
)
def test_a_page_with_a_broken_section_is_refused(text: str, tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(text)
    with pytest.raises(
        ValueError, match=r"must have the section of 'one' once or not at all, between <!-- reproduce one"
    ):
        check_page(page, "one")
    with pytest.raises(ValueError, match="must be a file in a folder that is there, docs/results.md for example"):
        check_page(tmp_path / "nowhere" / "results.md", "one")
    check_page(tmp_path / "new.md", "one")


# ---- the experiments


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_are_of_configs_and_figures_that_there_are(name: str) -> None:
    experiment = EXPERIMENTS[name]
    assert find_config(experiment.config).is_file() and set(experiment.metrics) <= set(FIGURES)
    assert len(set(experiment.seeds)) == len(experiment.seeds) >= 3 and experiment.tests


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_are_tested_on_the_scenes_they_say(name: str) -> None:
    """Where a config has counts of its own for tests, others in the place of `counts` would not be heard of."""
    experiment = EXPERIMENTS[name]
    given = yaml.safe_load(find_config(experiment.config).read_text())["data"]["init_args"]
    asked = [argument for _, arguments in experiment.tests for argument in arguments]
    assert not ("test_counts" in given and any(argument.startswith("--data.counts") for argument in asked))


# ---- the command


def reproduce(out: Path, page: Path, *more: str) -> None:
    main(["reproduce", "scene3d_single", "--seeds", "2", "--out", str(out), "--results", str(page), *more])


def test_an_experiment_is_run_once_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(seeds, "POLL", 0.05)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    out, page = tmp_path / "out", tmp_path / "results.md"
    reproduce(out, page, "--", *SMALL)
    first = page.read_text()
    assert f"python -m air_lightning reproduce scene3d_single --seeds 2 -- {SMALL[0]}" in first
    assert "4 held-out scenes a seed" in first and f"commit {commit()};" in first
    rows = [line.split(" | ")[0] for line in first.splitlines() if line.startswith("| ")]
    assert rows == ["| seed", "| ---", "| 2", "| median", "| worst"]
    measured = json.loads((out / "2" / "test_metrics.json").read_text())["metrics"]
    assert read(out / "2.json").figures[""]["count_accuracy"] == measured["test/count_accuracy"]
    config = (out / "2" / "config.yaml").read_text()
    assert "seed_everything: 2" in config and "    seed: 2" in config
    shutil.rmtree(out / "2")  # what is done is not looked at again
    reproduce(out, page, "--", *SMALL)
    assert page.read_text() == first and not (out / "2").exists()
    with pytest.raises(SystemExit) as stop:
        reproduce(out, page)
    assert stop.value.code == 2 and "holds another experiment, its config or its arguments" in capsys.readouterr().err


def test_an_unaided_experiment_has_no_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = EXPERIMENTS["scene3d_single_unaided"]._replace(unaided=2)
    monkeypatch.setitem(EXPERIMENTS, "scene3d_single_unaided", small)
    monkeypatch.setattr(seeds, "RandomStarts", lambda: RandomStarts(starts=2, iterations=1))
    command = ["reproduce", "scene3d_single_unaided", "--seeds", "3", "--out", str(tmp_path / "out")]
    page = tmp_path / "results.md"
    main([*command, "--results", str(page)])
    assert "2 held-out scenes a seed" in page.read_text() and "| 3 | " in page.read_text()
    assert set(read(tmp_path / "out" / "3.json").figures[""]) == set(small.metrics)
    with pytest.raises(SystemExit) as stop:
        main([*command, "--", "--trainer.max_steps", "1"])
    assert stop.value.code == 2 and "has no fit, and arguments after -- are for fits" in capsys.readouterr().err


def test_a_fit_that_is_interrupted_saves_its_state_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = [sys.executable, str(ROOT / "tests" / "fake_fit.py"), "fit", "--points=40", "--pause=0.05", "--x=1"]
    state = tmp_path / "1" / "checkpoints" / "last.ckpt"

    sleep, sent = time.sleep, list[bool]()

    def interrupt(seconds: float) -> None:
        """As Ctrl-C, once; what waits for the fit's end then sleeps as ever."""
        if not sent and state.is_file() and state.read_text():
            sent.append(True)
            raise KeyboardInterrupt
        sleep(min(seconds, 0.05))

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(seeds.time, "sleep", interrupt)
        train(fit, tmp_path / "1", 1)
    assert 0 < int(state.read_text()) < 40
    monkeypatch.setattr(seeds, "POLL", 0.05)
    train(fit, tmp_path / "1", 1)
    assert [line.split(",")[1] for line in (tmp_path / "1" / "metrics.csv").read_text().splitlines()[1:]] == [
        str(10 * n) for n in range(1, 41)
    ]


def test_a_seed_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "POLL", 0.05)
    fit = [sys.executable, str(ROOT / "tests" / "fake_fit.py"), "fit", "--fail=True"]
    with pytest.raises(
        SeedFailed, match=r"^seed 7: fit ended with status 1: error: it was told to fail; its log is .*7.log"
    ):
        train(fit, tmp_path / "7", 7)
    with pytest.raises(SeedFailed, match="^seed 7: test ended with status 3: no such thing$"):
        seeds.test(
            [sys.executable, "-c", "import sys; print('no such thing', file=sys.stderr); sys.exit(3)"], tmp_path, 7
        )


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    record = tmp_path / "1.json"
    for text in ("{", '{"seed": 1}', "[]"):
        record.write_text(text)
        with pytest.raises(ValueError, match=r"1.json' is damaged: delete it, and the seed is tested again"):
            read(record)


def test_folders_of_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match=r"--out '.*' is not empty and holds no experiment: name another folder"):
        check_folder(tmp_path, {})
    with pytest.raises(ValueError, match=r"--out '.*mine.txt' is a file: name a folder"):
        check_folder(tmp_path / "mine.txt", {})


def test_an_unknown_experiment_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "nothing"])
    assert stop.value.code == 2 and "invalid choice: 'nothing' (choose from" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"configs/nothing.yaml is not here: work in a copy of the repository"):
        find_config("nothing")


@pytest.mark.parametrize(
    "given, message",
    [
        ("x", "argument --seeds: must be a whole number, got 'x'"),
        ("1.5", "must be a whole number, got '1.5'"),
        ("-1", "must be at least 0, got -1"),
        (str(2**31), "must be at least 0 and below 2^31, got 2147483648"),
    ],
)
def test_seeds_that_are_none_are_refused(given: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "scenes3d", "--seeds", given])
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_code_that_is_not_in_a_repository_has_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == f"version {seeds.__version__}"
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        identity = ["-c", "user.name=x", "-c", "user.email=x@y"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True)
    assert len(commit()) == 9
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "a.yaml").touch()
    subprocess.run(["git", "-C", str(tmp_path), "add", "."], check=True)
    assert commit().endswith(", with changes")
