"""Objects that keep the arguments of their constructors, so that a checkpoint can describe them by plain values."""

import dataclasses
import functools
import inspect
from typing import Any, Self

from gen_experiments.errors import UserError

HANDED_ON = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Recorded:
    """The base of models, and of the parts that models are given as objects."""

    _arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keeps the arguments."""
        instance = super().__new__(cls)
        object.__setattr__(instance, "_arguments", (args, kwargs))
        return instance


def arguments_of(instance: Recorded) -> dict[str, Any]:
    """Returns the arguments that were given to an object, by name and as plain values.

    Raises:
        UserError: an argument is no plain value, class, `functools.partial` of a class or `Recorded` object.
    """
    args, kwargs = instance._arguments
    bound = _by_name(type(instance).__mro__, args, kwargs, type(instance).__name__)
    return {name: _plain(value, f"{type(instance).__name__}.{name}") for name, value in bound.items()}


def _by_name(kinds: tuple[type, ...], args: tuple[Any, ...], kwargs: dict[str, Any], of_class: str) -> dict[str, Any]:
    """Returns the arguments of a constructor by name; what `*args` and `**kwargs` take are those of the next class's.

    Args:
        kinds: the class and those that it is derived from, in the order in which Python looks methods up.
        args: the arguments by position.
        kwargs: those by name.
        of_class: the name of the class, for messages.

    Raises:
        UserError: arguments by position that follow others go on to the next class, which may get them in any order.
    """
    number, kind = next((number, kind) for number, kind in enumerate(kinds) if "__init__" in vars(kind))
    signature = inspect.signature(vars(kind)["__init__"])
    _, *arguments = signature.bind_partial(None, *args, **kwargs).arguments.items()
    bound = {name: value for name, value in arguments if signature.parameters[name].kind not in HANDED_ON}
    handed_on: dict[Any, Any] = {
        signature.parameters[name].kind: value for name, value in arguments if name not in bound
    }
    more_args = handed_on.get(inspect.Parameter.VAR_POSITIONAL, ())
    more_kwargs = handed_on.get(inspect.Parameter.VAR_KEYWORD, {})
    if more_args and len(args) > len(more_args):
        raise UserError(f"{of_class} hands arguments on by position, by which no checkpoint can describe it: name them")
    return bound | (_by_name(kinds[number + 1 :], more_args, more_kwargs, of_class) if more_args or more_kwargs else {})


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
