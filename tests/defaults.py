"""Writes `defaults.yaml`: the default of every option of a command, and of every class that a YAML can name.

    python tests/defaults.py

What a configuration leaves out is a default: one that changes silently changes the numbers of whoever repeats a result.
`test_defaults.py` holds the file and the code together; the difference of the file shows a change that is meant.
"""

import importlib
import inspect
import pkgutil
from pathlib import Path

import yaml

import gen_experiments
from gen_experiments.__main__ import COMMANDS

FILE = Path(__file__).with_suffix(".yaml")
PARTS = (
    "callbacks",
    "data",
    "losses",
    "metrics",
    "models",
    "networks",
    "priors",
    "quantizers",
    "schedules",
    "training",
)


def defaults():
    """Returns the defaults by the names of the options, by the names of commands and classes."""
    found = {}
    for module in pkgutil.walk_packages(gen_experiments.__path__, "gen_experiments."):
        package = module.name.split(".")[1]
        if package not in (*PARTS, "commands"):
            continue
        for name, part in vars(importlib.import_module(module.name)).items():
            if getattr(part, "__module__", None) != module.name or name.startswith("_"):
                continue
            is_command = inspect.isfunction(part) and name.replace("_", "-") in COMMANDS
            # The options of a library's class are the library's.
            is_part = inspect.isclass(part) and getattr(part.__init__, "__module__", "").startswith("gen_experiments.")
            if is_command if package == "commands" else is_part:
                options = inspect.signature(part).parameters.values()
                chosen = {each.name: plain(each.default) for each in options if each.default is not each.empty}
                found |= {f"{module.name.removeprefix('gen_experiments.')}.{name}": chosen} if chosen else {}
    return found


def plain(value):
    """Returns a default as YAML has it."""
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"{value.__module__}.{value.__qualname__}"
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


if __name__ == "__main__":
    FILE.write_text(yaml.safe_dump(defaults(), width=120), encoding="utf-8")
    print(f"wrote {FILE}")
