"""Objects that keep the arguments of their constructors, so that a checkpoint can describe them by plain values."""

import dataclasses
import functools
import inspect
from typing import Any, Self

from gen_experiments.errors import UserError


class Recorded:
    """The base of models, and of the parts that models are given as objects."""

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keeps the arguments."""
        made = super().__new__(cls)
        object.__setattr__(made, "_arguments", (args, kwargs))
        return made


def arguments_of(made: Recorded) -> dict[str, Any]:
    """Returns the arguments that were given to an object, by name and as plain values.

    Raises:
        UserError: an argument is no plain value, class, `functools.partial` of a class or `Recorded` object.
    """
    args, kwargs = made._arguments
    bound = inspect.signature(type(made).__init__).bind(made, *args, **kwargs).arguments
    _, *names = bound
    return {name: _plain(bound[name], f"{type(made).__name__}.{name}") for name in names}


def class_path(kind: type) -> str:
    """Returns the full name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _plain(value: Any, name: str) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, name) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item, name) for key, item in value.items()}
    if isinstance(value, Recorded):
        return {"class_path": class_path(type(value)), "init_args": arguments_of(value)}
    if isinstance(value, functools.partial) and isinstance(value.func, type) and not value.args:
        return {"class_path": class_path(value.func), "init_args": _plain(value.keywords, name)}
    if isinstance(value, type):
        return {"class_path": class_path(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value), name)
    raise UserError(
        f"{name} is {type(value).__name__}, by which no checkpoint can describe it: give a class or a "
        "functools.partial of a class with its arguments by name"
    )
