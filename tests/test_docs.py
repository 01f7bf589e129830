"""The pages keep their promises: links lead somewhere, commands are understood, code runs, the site builds.

Pages are README.md, docs/**/*.md and the template package's. A new page needs nothing but a link in docs/index.md.

- A ```bash line `python -m air_lightning ...` (also `.venv/bin/python`, also after `&&` and a `cd` into the repository)
  or `python benchmarks/...` must be understood by that command's own parser, so options, classes and config files
  exist. A run that it reads, `--run_dir DIR`, is one of EXPERIMENTS, whichever takes the options;
- a ```yaml block that begins with a comment `# NAME.yaml` is the file NAME.yaml for the page's commands;
- ```python blocks run one after the other in an empty folder. `my_package` is the template's renderer, `rings` its
  short name;
- `<!-- run -->` anywhere: commands with --run_dir are run, at TINY sizes, and so are blocks of code, all in order;
- `<!-- not run: REASON -->` before a block: it is skipped, and REASON is said.
"""

import argparse
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jsonargparse
import pytest

from air_lightning import runs
from air_lightning.cli import main
from air_lightning.runs.loading import shipped, shipped_run

ROOT = Path(__file__).parent.parent
TEMPLATE = ROOT / "tests" / "template_plugin"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), TEMPLATE / "README.md"]
EXPERIMENTS = ("scenes3d", "multi_sprites", "multi_mnist", "image_folder")
TINY = [
    *("--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.enable_progress_bar=false"),
    *("--figures.every_minutes=0", "--data.batch_size=4", "--data.val_scenes=4", "--data.test_scenes=4"),
]
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+?) -->\s*)?^```(?P<language>\w+)\n(?P<text>.*?)^```", re.M | re.S)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")
PLACE = re.compile(r"\]\((?!\w+:)([^)#\s]*)#([^)\s]+)\)")
HEADING = re.compile(r"^#{1,3} (.+)$", re.M)


class Block(NamedTuple):
    reason: str | None
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text())
    return [Block(match["reason"], match["language"], match["text"]) for match in found]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def is_run(page: Path) -> bool:
    return "<!-- run -->" in page.read_text()


class Command(NamedTuple):
    """A command of a page: the folder below ROOT in which it is given, and its words after `python`."""

    folder: str
    words: tuple[str, ...]


def commands(text: str, folder: str = ".") -> Iterator[Command]:
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words[:1] == ["cd"]:
                folder = words[1] if (ROOT / words[1]).is_dir() else folder
            if words and Path(words[0]).name in ("python", "python3") and is_ours(words[1:]):
                yield Command(folder, tuple(words[1:]))


def is_ours(words: list[str]) -> bool:
    return words[:2] == ["-m", "air_lightning"] or words[0].startswith("benchmarks/")


def home(page: Path) -> str:
    """Where a page's commands are given: at the root, or beside a page on a package."""
    return name(TEMPLATE) if page.parent == TEMPLATE else "."


PARSED = [
    pytest.param(page, command, id=f"{name(page)}: {' '.join(command.words[1:])[:90]}")
    for page in PAGES
    for command in dict.fromkeys(
        c for b in blocks(page) if b.language == "bash" and not b.reason for c in commands(b.text, home(page))
    )
]


# ---- links


def without_code(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(without_code(page))
    assert [link for link in links if not (page.parent / link).exists()] == []


def places(page: Path) -> set[str]:
    """What links may name of a page: its headings of three levels, as docs/conf.py has it."""
    headings = HEADING.findall(without_code(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=name)
def test_links_lead_to_headings(page: Path) -> None:
    """Anchors of another kind (`<a id=...>`) are none for the site."""
    links = [(page.parent / link if link else page, place) for link, place in PLACE.findall(without_code(page))]
    assert [(link.name, place) for link, place in links if link.suffix == ".md" and place not in places(link)] == []


def test_every_model_of_the_package_is_listed_with_what_its_own_arguments_reach() -> None:
    """And so the figures that its model card shows are those of the model as `predict` uses it."""
    row = re.compile(r"^\| `(\w+)` \|.+\| ([01]\.\d{4}) of ([\d ]*\d)[^|]*\|$", re.M)
    rows = row.findall((ROOT / "docs" / "predict.md").read_text())
    assert sorted(name for name, *_ in rows) == shipped() and len(rows) == 5
    for model, right, scenes in rows:
        record = json.loads(runs.evaluation_of(shipped_run(model), "test").read_text())
        assert f"{record['metrics']['test/count_accuracy']:.4f}" == right, model
        assert record["scenes"] == int(scenes.replace(" ", "")), model
        assert not [name for name in record["overrides"] if name.startswith("model.")], model


def test_the_index_links_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    missing = [name(page) for page in PAGES if page != index and page not in linked]
    assert missing == [], f"add to docs/index.md, in reading order: {missing}"


# ---- commands


class Parsed(Exception):
    """The command line was understood."""


@pytest.fixture
def stops_when_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsers end the command once they have understood it; those that they use inside do not."""
    depth = 0

    def stopping(parse: Any) -> Any:
        def parse_args(*args: Any, **kwargs: Any) -> Any:
            nonlocal depth
            depth += 1
            try:
                parsed = parse(*args, **kwargs)
            finally:
                depth -= 1
            if depth == 0:
                raise Parsed
            return parsed

        return parse_args

    for parser in (argparse.ArgumentParser, jsonargparse.ArgumentParser):
        monkeypatch.setattr(parser, "parse_args", stopping(parser.parse_args))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with the repository's folders in sight and the template package installed."""
    site, here = tmp_path / "site", tmp_path / "here"
    info = site / "air_rings-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: air-rings\nVersion: 0.1.0\n")
    names = [
        "[air_lightning.renderers]", "rings = my_package:Rings", "mujoco_scene = air_mujoco:MujocoScene",
        "point_sources = air_stars:PointSources", "[air_lightning.datamodules]", "star_fields = air_stars:StarFields",
    ]  # fmt: skip
    (info / "entry_points.txt").write_text("\n".join([*names, ""]))
    shutil.copy(TEMPLATE / "air_rings.py", site / "my_package.py")
    here.mkdir()
    for folder in ("configs", "docs", "tests", "benchmarks"):
        (here / folder).symlink_to(ROOT / folder)
    for example in ("mujoco_renderer", "star_field"):
        monkeypatch.syspath_prepend(str(ROOT / "docs" / "examples" / example))
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "my_package", raising=False)
    monkeypatch.chdir(here)
    return here


def write_files(page: Path, folder: Path) -> None:
    """The page's own config files."""
    for block in blocks(page):
        named = re.match(r"# (\w+\.yaml)\b", block.text)
        if block.language == "yaml" and named:
            (folder / named[1]).write_text(block.text)


def understood(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str | None:
    """None, or what the command says against its arguments."""
    try:
        if words[0] == "-m":
            main(words[2:])
        else:
            sys.argv = list(words)
            runpy.run_path(words[0], run_name="__main__")
    except Parsed:
        return None
    except SystemExit as stop:
        text = capsys.readouterr()
        return None if not stop.code else text.err.rpartition("error: ")[2] or str(stop.code)
    return None  # it takes no arguments, or has shown what was asked for


def reads_run(words: tuple[str, ...]) -> bool:
    return "--run_dir" in words and (words[2] != "fit" or "--resume" in words)


@pytest.mark.usefixtures("stops_when_parsed")
@pytest.mark.parametrize("page, command", PARSED)
def test_commands_are_understood(
    page: Path, command: Command, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "mujoco" in " ".join([command.folder, *command.words]):
        pytest.importorskip("mujoco", reason="MuJoCo is not installed")
    write_files(page, desk)
    if command.folder != ".":
        monkeypatch.chdir(desk / command.folder)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # python itself has a script's folder there
    if not reads_run(command.words):
        assert understood(command.words, capsys) is None
        return
    errors: list[str] = []
    for experiment in EXPERIMENTS:
        run = Path(tempfile.mkdtemp(dir=desk))
        shutil.copy(ROOT / "configs" / f"{experiment}.yaml", run / "config.yaml")
        place = command.words.index("--run_dir") + 1
        error = understood((*command.words[:place], str(run), *command.words[place + 1 :]), capsys)
        if error is None:
            return
        errors.append(error)
    pytest.fail("\n".join(errors))


# ---- what is run


@pytest.mark.parametrize("page", [page for page in PAGES if is_run(page)], ids=name)
def test_page_runs(page: Path, desk: Path) -> None:
    write_files(page, desk)
    space: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.reason:
            continue
        if block.language == "python":
            exec(compile(block.text, name(page), "exec"), space)
        if block.language == "bash":
            for command in commands(block.text):
                if "--run_dir" in command.words:
                    main([*command.words[2:], *TINY])


@pytest.mark.parametrize(
    "page, number, block",
    [
        pytest.param(page, number, block, id=f"{name(page)}-{number}")
        for page in PAGES
        if not is_run(page)
        for number, block in enumerate(b for b in blocks(page) if b.language == "python")
    ],
)
def test_code_runs(page: Path, number: int, block: Block, desk: Path) -> None:
    if block.reason:
        pytest.skip(block.reason)
    space: dict[str, Any] = {"__name__": "page"}
    for earlier in [b for b in blocks(page) if b.language == "python" and not b.reason][: number + 1]:
        exec(compile(earlier.text, name(page), "exec"), space)


def test_the_plugins_command_and_the_check_command_run(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plugins"])
    main(["check", "--renderer", "rings", "--renderer.size", "16", "--only", "shapes", "types"])
    shown = capsys.readouterr().out
    assert "  rings  my_package.Rings  (air-rings 0.1.0)\n" in shown and "Rings keeps 2 laws and breaks 0" in shown


# ---- the site


@pytest.mark.skipif(
    any(find_spec(module) is None for module in ("sphinx", "myst_parser", "furo")),
    reason="the site is built with the extra docs: pip install -e '.[docs]'",
)
def test_the_site_builds_without_warnings(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs", ".", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = [tmp_path / Path(name(page)).with_suffix(".html") for page in PAGES]
    assert [page for page in pages if not page.is_file()] == []
    assert "renderers.Coordinate" in (tmp_path / "docs" / "api" / "renderers.html").read_text()
