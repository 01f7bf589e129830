"""A model card: what a shared model is, for people, with a head in YAML for the Hugging Face Hub."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from air_lightning import runs
from air_lightning.model.air import AIR
from renderers.spaces import Categorical

CARD = "README.md"
IMAGE = "scenes.png"
VERSION = re.compile(r"^# (.+==.+)$", re.MULTILINE)


def write_card(folder: Path, run_dir: Path, module: AIR, name: str, licence: str | None) -> None:
    """Write ``folder/README.md``, and an image of scenes beside their reconstructions where the run has one."""
    text, config = runs.read_config(run_dir)
    figures = runs.figures_of(run_dir / runs.FIGURES)
    if figures:
        (folder / IMAGE).write_bytes(figures[-1][1].read_bytes())
    measured = _measured(run_dir)
    data = _class_of(config.get("data")) or "unknown"
    parts = [
        f"---\n{yaml.safe_dump(_head(name, data, measured, licence, module.supervised), sort_keys=False)}---",
        f"# {name}",
        _what(module, data),
        f"![Scenes beside their reconstructions]({IMAGE})" if figures else "",
        _use(),
        _figures(measured),
        _section("Trained with", "\n".join(f"- {line}" for line in VERSION.findall(text))),
        _section("Data", _code(config.get("data"))),
        _section("Model", _code(config.get("model"))),
        _section("Licence", licence or "None was given: ask the owner."),
    ]
    (folder / CARD).write_text("\n\n".join(part for part in parts if part) + "\n")


def _head(name: str, data: str, measured: Mapping[str, Any], licence: str | None, supervised: bool) -> dict[str, Any]:
    head: dict[str, Any] = {"license": licence} if licence else {}
    head |= {
        "library_name": "air-lightning",
        "pipeline_tag": "object-detection",
        "tags": ["attend-infer-repeat", *(() if supervised else ("object-discovery", "unsupervised"))],
    }
    figures = [{"type": key, "value": value} for key, value in _plain(measured).items()]
    if figures:
        task, dataset = {"type": "object-detection"}, {"name": data, "type": data.rpartition(".")[2].lower()}
        head["model-index"] = [{"name": name, "results": [{"task": task, "dataset": dataset, "metrics": figures}]}]
    return head


def _what(module: AIR, data: str) -> str:
    channels, height, width = module.renderer.image_shape
    what = module.renderer.what
    objects = f"of {', '.join(what.names)}" if isinstance(what, Categorical) else "with codes of appearance"
    return (
        "Attend, Infer, Repeat: how many objects an image holds, where each is and what it is, learnt "
        f"{'from' if module.supervised else 'without'} labels. "
        f"At most {module.slots} objects {objects}, in images of {width}x{height} pixels (width x height) and "
        f"{channels} channel{'s' * (channels > 1)}; drawn by `{type(module.renderer).__name__}`, trained on `{data}`."
    )


def _use() -> str:
    return _section(
        "Use",
        "With AIR-Lightning and its extra `hub` installed, "
        "and `OWNER/NAME` being this model's:\n\n"
        "```bash\n"
        "python -m air_lightning predict --model hf://OWNER/NAME --input IMAGES --output OUT --overlay\n"
        "python -m air_lightning test --run_dir hf://OWNER/NAME\n"
        "```\n\n"
        "`SHA256SUMS` has the checksums of the config and the weights; both are compared when they are loaded.",
    )


def _figures(measured: Mapping[str, Any]) -> str:
    if not measured:
        return _section("Figures", "It was not measured on held-out scenes.")
    rows = "\n".join(f"| `{key}` | {value:.4g} |" for key, value in _plain(measured).items())
    scenes, changed = measured.get("scenes"), measured.get("overrides")
    on = f"On {scenes} held-out scenes" if scenes else "On held-out scenes"
    other = f", with {json.dumps(changed)}" if changed else ""
    return _section("Figures", f"{on}{other}, at step {measured.get('step')}:\n\n| figure | value |\n|---|---|\n{rows}")


def _measured(run_dir: Path) -> dict[str, Any]:
    """What `test` has written of the run; nothing where it was not measured.

    Raises:
        RunError: it is damaged.
    """
    path = runs.evaluation_of(run_dir, "test")
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text())
        _plain(record)
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise runs.RunError(f"{str(path)!r} is damaged: run `test` again, or delete it") from error
    return dict(record)


def _plain(measured: Mapping[str, Any]) -> dict[str, float]:
    """The figures that are numbers, without the name of their stage."""
    figures = measured.get("metrics", {}).items()
    return {name.removeprefix("test/"): float(f"{value:.6g}") for name, value in figures if value is not None}


def _class_of(section: Any) -> str | None:
    return section.get("class_path") if isinstance(section, Mapping) else None


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}" if text else ""


def _code(section: Any) -> str:
    return f"```yaml\n{yaml.safe_dump(section, sort_keys=False)}```" if section else ""
