#!/usr/bin/env bash
# jsonargparse 4.53.0: `null` on the command line sets an argument that may be null back to null - unless it is an argument
# of a dataclass (or of a class) that is an argument of a class given by its class path. The value is read as YAML, and
# handed to the inner class's parser in the words of Python's str(), where null has become the text "None": a dataclass
# refuses it, a text or null takes "None" for a text. In a second config, or with the whole of the inner dataclass as the
# value, null stays null.
# Seen with PyYAML 6.0.4, Python 3.11:
#   --car.door null: None
#   --car.engine.turbo null: refused
#   --car.engine.name null: 'None'
#   --car.engine {"turbo": null, "name": null}: None None
#   --config {"car": {"engine": {"turbo": null, "name": null}}}: None None
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "jsonargparse[signatures]==4.53.0" PyYAML==6.0.4
cd "$work"
cat > cars.py <<'PYTHON'
import json
from dataclasses import dataclass

from jsonargparse import ArgumentError, ArgumentParser


@dataclass
class Turbo:
    bar: float = 0.5


@dataclass
class Engine:
    turbo: Turbo | None = None
    name: str | None = None


class Car:
    def __init__(self, engine: Engine, door: Turbo | None = None) -> None:
        self.engine, self.door = engine, door


parser = ArgumentParser(exit_on_error=False)
parser.add_argument("--config", action="config")
parser.add_subclass_arguments(Car, "car")
ARGUMENTS = {"engine": {"turbo": {"bar": 0.7}, "name": "V8"}, "door": {"bar": 0.1}}
GIVEN = json.dumps({"car": {"class_path": "cars.Car", "init_args": ARGUMENTS}})


def given(option: str, value: str) -> Car:
    return parser.instantiate(parser.parse_args(["--config", GIVEN, option, value])).car


def main() -> None:
    print("--car.door null:", given("--car.door", "null").door)
    try:
        print("--car.engine.turbo null:", given("--car.engine.turbo", "null").engine.turbo)
    except ArgumentError:
        print("--car.engine.turbo null: refused")
    print("--car.engine.name null:", repr(given("--car.engine.name", "null").engine.name))
    nothing = {"turbo": None, "name": None}
    for option, value in (("--car.engine", nothing), ("--config", {"car": {"engine": nothing}})):
        engine = given(option, json.dumps(value)).engine
        print(f"{option} {json.dumps(value)}:", engine.turbo, engine.name)
PYTHON
venv/bin/python -c "import cars; cars.main()" | tee seen
diff seen - <<'SEEN'
--car.door null: None
--car.engine.turbo null: refused
--car.engine.name null: 'None'
--car.engine {"turbo": null, "name": null}: None None
--config {"car": {"engine": {"turbo": null, "name": null}}}: None None
SEEN
