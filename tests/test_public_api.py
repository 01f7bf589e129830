"""docs/public_api.md lists what packages export: every name there is, and every exported name is there."""

import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "public_api.md"
ROW = re.compile(r"^\| `([\w.]+)` \| (.+) \|$", re.M)
TABLE = {package: re.findall(r"`(\w+)`", names) for package, names in ROW.findall(PAGE.read_text())}
# packages whose `__all__` is for their neighbours in this repository alone
INTERNAL = {
    "air_lightning.commands.predict.formats",
    "air_lightning.commands.scenes.formats",
    "renderers.mesh.backends",
    "renderers.mesh.files",
    "renderers.mesh.files.gltf",
}


def exporting_packages() -> list[str]:
    names = []
    for root in map(import_module, ("air_lightning", "datamodules", "renderers")):
        below = pkgutil.walk_packages(root.__path__, f"{root.__name__}.")
        names += [root.__name__, *(found.name for found in below if found.ispkg)]
    return [name for name in names if hasattr(import_module(name), "__all__")]


def test_every_package_that_exports_has_its_row_or_is_internal() -> None:
    assert sorted(TABLE.keys() | INTERNAL) == sorted(exporting_packages())


@pytest.mark.parametrize("package", TABLE)
def test_a_row_has_what_its_package_exports_and_all_of_it_exists(package: str) -> None:
    module = import_module(package)
    row = ", ".join(f"`{name}`" for name in sorted(module.__all__))
    assert ", ".join(f"`{name}`" for name in TABLE[package]) == row, f"the row should be | `{package}` | {row} |"
    assert [name for name in TABLE[package] if not hasattr(module, name)] == []
