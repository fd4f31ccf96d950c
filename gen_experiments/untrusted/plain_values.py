"""Plain values that a file holds, such as a configuration: checked before anything walks through them."""

from pathlib import Path
from typing import Any

import yaml

from gen_experiments.errors import UserError

MAX_VALUES, MAX_DEPTH, MAX_BYTES = 100_000, 64, 4 << 20  # more than any configuration of an experiment has


def read_yaml(path: Path) -> Any:
    """Returns the contents of a YAML file, which `check_plain` must see before anything walks through them.

    Raises:
        UserError: it cannot be read, is no YAML, or is larger than a configuration.
    """
    try:
        if path.stat().st_size > MAX_BYTES or not path.is_file():
            raise UserError(f"{path} is no configuration: it is no file or has more than {MAX_BYTES >> 20} MiB")
        # Aliases are shared values here: small, whatever they would be if they were written out.
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"{path} is no valid YAML") from error


def check_plain(value: Any, path: str | Path) -> None:
    """Makes sure that a value consists of no more than a configuration may hold, every repetition counted.

    Args:
        value: nested dicts and lists.
        path: the file that holds it, for the message.

    Raises:
        UserError: it contains itself, is too large or too deep, or holds other things than text, numbers and such.
    """
    _count(value, path, {}, 0)


def _count(value: Any, path: str | Path, counted: dict[int, int], depth: int) -> int:
    """Returns the number of values in a value."""
    if value is None or isinstance(value, (bool, int, float)):
        return 1
    if isinstance(value, str):
        if "*" in value and "&" in value and not value.lstrip().startswith('{"'):
            _check_text(value, path)
        return 1
    if type(value) not in (dict, list, tuple):
        raise UserError(f"{path} describes something by a {type(value).__name__}, which is no plain value")
    if id(value) in counted:
        if counted[id(value)] == 0:
            raise UserError(f"{path} holds a value that contains itself")
        return counted[id(value)]
    if depth >= MAX_DEPTH:
        raise UserError(f"{path} nests values more than {MAX_DEPTH} deep")
    counted[id(value)] = 0
    parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    total = 1
    for part in parts:
        total += _count(part, path, counted, depth + 1)
        if total > MAX_VALUES:
            raise UserError(f"{path} holds more than {MAX_VALUES} values: it is no configuration")
    counted[id(value)] = total
    return total


def _check_text(text: str, path: str | Path) -> None:
    """Checks what the parser would find in a text, which it reads as YAML where it expects more than a text."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        return
    if not isinstance(value, str):
        check_plain(value, path)
