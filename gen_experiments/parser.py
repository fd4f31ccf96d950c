"""A parser that answers a mistake with the one line a person needs: where it is, and what is accepted there."""

import difflib
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NoReturn, get_args

from jsonargparse import ArgumentParser
from lightning.pytorch.cli import LightningArgumentParser

# What jsonargparse tells about every alternative that a type has, and nobody wants to read.
NOISE = re.compile(
    r"^(Does not validate|Subtypes:|Errors:|Given value|Problem with given class_path|Expected a <class 'NoneType'>"
    r"|Expected a path but|Expected an instantiatable class|Parser key)"
)
UNKNOWN_KEY = re.compile(
    r"Option '([^']+)' is not accepted|does not accept option '([^']+)'|unrecognized arguments: (\S+)"
)
UNKNOWN_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
EXPLAINED = "there is no "


class OneLineParser(ArgumentParser):
    """jsonargparse's parser with mistakes told in one line."""

    # Keys of a subcommand, which the parser above it does not know.
    subcommand_keys: ClassVar[tuple[str, ...]] = ()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Ends the program with code 2; the parser of a nested class hands the explained mistake to the outer one."""
        if EXPLAINED not in message:
            message = self._explain(message)
        if not self.exit_on_error:
            super().error(message, ex)
        print(f"error: {one_line(message)}", file=sys.stderr)
        sys.exit(2)

    def _explain(self, message: str) -> str:
        """Replaces what is wrong with a key or class by its name, the nearest that is right, and what is accepted."""
        key = UNKNOWN_KEY.search(message)
        if key:
            name = next(filter(None, key.groups())).lstrip("-").partition("=")[0]
            keys = [*(action.dest for action in self._actions if action.dest != "help"), *self.subcommand_keys]
            return message.replace(key[0], f"{EXPLAINED}key {name}{_suggestion(name, keys)}")
        wrong = UNKNOWN_CLASS.search(message)
        if wrong:
            place = re.findall(r'Parser key "([^"]+)"', message)[-1:]
            hints = (getattr(action, "_typehint", None) for action in self._actions if action.dest in place)
            classes = sorted({name for hint in hints for name in _class_names(hint)})
            return message.replace(wrong[0], f"{EXPLAINED}class {wrong[1]}{_suggestion(wrong[1], classes)}")
        return message


class ExperimentParser(OneLineParser, LightningArgumentParser):
    """The same for LightningCLI."""

    subcommand_keys = ("model", "data", "trainer", "evaluation", "run", "seed_everything", "ckpt_path")


def one_line(message: str) -> str:
    """Boils a message of jsonargparse down to the path of keys and the first complaint that says something."""
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    complaints = [line for line in lines if line and not NOISE.match(line)]
    explained = [line for line in complaints if EXPLAINED in line]
    complaint = (explained or complaints or lines)[0]
    if EXPLAINED in complaint:
        complaint = complaint[complaint.index(EXPLAINED) :]
    complaint = re.sub(r"<class '([^']+)'>", r"\1", complaint.partition(". Got value: Namespace")[0])
    trail = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    return f"{trail}: {complaint}" if trail and not complaint.startswith("Parser key") else complaint


def _suggestion(name: str, known: Iterable[str]) -> str:
    known = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, known, 1, 0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{hint} (accepted: {', '.join(known)})" if 0 < len(known) <= 24 or not near else hint


def _class_names(hint: Any) -> Iterator[str]:
    """The names of the classes that a type hint accepts: its concrete classes and all their subclasses."""
    arguments = get_args(hint)
    if isinstance(hint, type) and not arguments:
        if hint.__module__ not in ("builtins", "typing", "collections.abc"):
            if not getattr(hint, "__abstractmethods__", None) and not hint.__name__.startswith("_"):
                yield hint.__name__
            subclasses: list[type] = hint.__subclasses__()
            for subclass in subclasses:
                yield from _class_names(subclass)
    elif hint is not None:
        # Of a factory, Callable[[A, B], C], what is built counts.
        for argument in arguments[-1:] if isinstance(arguments[0] if arguments else None, list) else arguments:
            yield from _class_names(argument)
