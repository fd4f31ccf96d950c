"""A parser that describes a mistake in one line: where it is, and what is accepted there."""

import difflib
import enum
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn, get_args

import yaml
from jsonargparse import ArgumentParser, Namespace, get_loader, set_loader

from gen_experiments.class_paths import UNFINISHED, class_names, explained_family, explained_import, missing_methods
from gen_experiments.errors import UserError, shortened
from gen_experiments.plain_values import check_plain

# What jsonargparse prints about every alternative of a type.
NOISE = re.compile(
    r"^(Does not validate|Subtypes:|Errors:|Given value|Problem with given class_path|Expected a <class 'NoneType'>"
    r"|Expected a path but|Expected an instantiatable class|Parser key)"
)
UNKNOWN_KEY = re.compile(
    r"Option '([^']+)' is not accepted|(?:Group '(?P<group>[^']+)' )?does not accept option '([^']+)'"
    r"|unrecognized arguments: (\S+).*",
    re.S,
)
NO_CLASS = re.compile(r"Not a valid subclass of (\w+)")
UNKNOWN_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
ABSTRACT_CLASS = re.compile(
    r"Expected an instantiatable class, but ((\S+) )?is abstract(?:.*Given value: (\S+))?", re.S
)
WHOLE_NUMBER = re.compile(r"\A(--[^=]+)=([+-]?[0-9]+)\.0+\Z")
NO_KEYS = ("help", "subcommand", "print_shtab")  # options that the libraries add
EXPLAINED = "there is no "
MOST_KEYS = 24  # accepted keys that a message lists


class OneLineParser(ArgumentParser):
    """jsonargparse's parser with mistakes described in one line."""

    # Keys of a subcommand, which the parent parser does not know.
    subcommand_keys: ClassVar[tuple[str, ...]] = ()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Ends the program with code 2; a nested parser passes the explained mistake to the outer parser."""
        importing = explained_import(ex)
        if importing is not None:
            message = "\n".join([*re.findall(r'Parser key "[^"]+"', message), importing])
        elif EXPLAINED not in message and UNFINISHED not in message:
            message = explained_family(self._explain(message))
        if not self.exit_on_error:
            super().error(message, ex)
        print(f"error: {one_line(message)}", file=sys.stderr)
        sys.exit(2)

    def parse_args(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:  # type: ignore[override]
        """Reads `--key=32.0` as 32 and `~/folder`, here or in a file, as a path in the home folder.

        W&B's sweeps write whole numbers as 32.0, which stays as it is if the key is a text. Most shells do not expand a
        `~` behind an equals sign.
        """
        texts = {option for parser in (self, *self._parsers_below()) for option in parser._text_options()}
        given = sys.argv[1:] if args is None else args
        found = [(word, WHOLE_NUMBER.match(word)) for word in given]
        whole = [f"{m[1]}={m[2]}" if m and m[1] not in texts else word for word, m in found]
        return in_home(super().parse_args(whole, *others, **options))

    def parse_path(self, path: str | os.PathLike[str], *others: Any, **options: Any) -> Any:
        """Reads a configuration; errors name it."""
        self._config = os.fspath(path)
        try:
            return super().parse_path(path, *others, **options)
        except (UnicodeError, OSError) as error:
            self.error(f"{path}: {error}")

    def parse_string(self, content: str, path: str | os.PathLike[str] = "", *others: Any, **options: Any) -> Any:
        """Also checks the contents of a file."""
        if path:
            self._check_config(content, self._config)
        return super().parse_string(content, path, *others, **options)

    def _check_config(self, content: str, path: str) -> None:
        """Ends the program if a file is no configuration; jsonargparse would not name the file."""
        try:
            held = _load_yaml(content)
        except yaml.YAMLError as error:
            self.error(f"{path}: {error}")
        if not isinstance(held, dict):
            self.error(f"{path} holds no configuration: its keys are sections such as data, model and trainer")
        dests = {action.dest for parser in (self, *self._parsers_below()) for action in parser._actions}
        sections = {dest.partition(".")[0] for dest in dests if "." in dest}
        for key in sections & held.keys():
            # A class, such as the model, may be given by its name alone.
            if not isinstance(held[key], dict) and not (key in dests and isinstance(held[key], str)):
                self.error(f"{path}: {key} must have keys of its own below it, and holds {held[key]!r}")

    def _parsers_below(self) -> Iterator["OneLineParser"]:
        for action in self._actions:
            if isinstance(action.choices, Mapping):
                yield from action.choices.values()

    def _text_options(self) -> Iterator[str]:
        for action in self._actions:
            if str in (action.type, getattr(action, "_typehint", None)):
                yield from action.option_strings

    def validate(self, namespace: Namespace, *args: Any, **kwargs: Any) -> None:
        """Also checks that a null stands only where the type allows it.

        Raises:
            TypeError: a value does not have the type of its key.
        """
        super().validate(namespace, *args, **kwargs)
        for action in self._actions:
            if hasattr(action, "_typehint") and action.default is not None and action.dest in namespace:
                value = namespace[action.dest]
                if value is None:
                    self._check_value_key(action, value, action.dest, namespace)

    def _explain(self, message: str) -> str:
        """Explains a wrong key or class: its name, the nearest right one, and what is accepted."""
        key = UNKNOWN_KEY.search(message)
        if key:
            name = next(filter(None, (key[1], key[3], key[4]))).lstrip("-").partition("=")[0]
            name = f"{key['group']}.{name}" if key["group"] else name
            dests = [action.dest for action in self._actions]
            alone = [action.dest for action in self._actions if not action.option_strings]
            if name in alone:
                return message.replace(key[0], f"{EXPLAINED}key {name}: it is positional, leave out --{name}=")
            keys = [dest for dest in dests if dest not in NO_KEYS and not dest.endswith(".help")]
            if "subcommand" in dests:  # the parser of a class in a configuration is of the same kind
                keys += self.subcommand_keys
            return message.replace(key[0], f"{EXPLAINED}key {name}{_suggestion(name, keys)}")
        wrong = UNKNOWN_CLASS.search(message)
        if wrong:
            place = re.findall(r'Parser key "([^"]+)"', message)[-1:]
            hints = [getattr(action, "_typehint", None) for action in self._actions if action.dest in place]
            number = next((kind for hint in hints for kind in get_args(hint) if kind in (int, float)), None)
            if number is not None:  # such as a learning rate, which may be a tensor too
                return message.replace(wrong[0], f"{EXPLAINED}number in {wrong[1]}: give a {number.__name__}")
            classes = sorted({name for hint in hints for name in class_names(hint)})
            return message.replace(wrong[0], f"{EXPLAINED}class {wrong[1]}{_suggestion(wrong[1], classes)}")
        unfinished = ABSTRACT_CLASS.search(message)
        if unfinished:
            return message.replace(unfinished[0], missing_methods(unfinished[2] or unfinished[3] or "the class"))
        return message


def in_home(value: Any) -> Any:
    """Returns a value, whose texts that begin with `~` or `~user` then begin with the path of that home folder.

    Args:
        value: plain values that do not contain themselves, or a namespace, which is changed in place.
    """
    if isinstance(value, str):
        return os.path.expanduser(value)
    if isinstance(value, Namespace):
        for key, item in vars(value).items():
            setattr(value, key, in_home(item))
    elif type(value) is dict:
        return {key: in_home(item) for key, item in value.items()}
    elif type(value) in (list, tuple):
        return type(value)(map(in_home, value))
    return value


def one_line(message: str) -> str:
    """Reduces a message of jsonargparse to the path of keys and the first informative complaint."""
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    complaints = [line for line in lines if line and not NOISE.match(line)]
    explained = [line for line in complaints if EXPLAINED in line or UNFINISHED in line]
    complaint = (explained or complaints or lines)[0]
    if EXPLAINED in complaint:
        complaint = complaint[complaint.index(EXPLAINED) :]
    complaint = re.sub(r"<class '([^']+)'>", r"\1", complaint.partition(". Got value: Namespace")[0])
    trail = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    complaint = complaint.replace("Expected a int", "Expected an int")
    complaint = NO_CLASS.sub(r"it is no class of \1: give class_path, and the options below init_args alone", complaint)
    return shortened(f"{trail}: {complaint}" if trail and not complaint.startswith("Parser key") else complaint)


def _suggestion(name: str, known: Iterable[str]) -> str:
    known = list(dict.fromkeys(known))
    head, dot, _ = name.partition(".")
    heads = list(dict.fromkeys(key.partition(".")[0] for key in known))
    # Of a path whose first word is wrong, that is the mistake.
    near = difflib.get_close_matches(*((head, heads) if dot and head not in heads else (name, known)), 1, 0.6)
    near = [key for key in near if key != head]  # which is right
    hint = f"; did you mean {near[0]}?" if near else ""
    if near and len(known) > MOST_KEYS:
        return hint
    more = ", …" if len(known) > MOST_KEYS else ""
    return f"{hint} (accepted: {', '.join(known[:MOST_KEYS])}{more})" if known else hint


def _load_yaml(text: str) -> Any:
    """Returns what jsonargparse's own loader reads from a YAML text, if that is a tree of limited size.

    W&B's sweeps write `None` for null on the command line. Where a string is wanted, jsonargparse keeps the word.

    Raises:
        yaml.YAMLError: the text is no YAML, contains itself, is nested too deeply or unfolds into too much.
    """
    if text == "None":
        return None
    try:
        value = _jsonargparse_yaml(text)
        check_plain(value, "the YAML")
    except yaml.MarkedYAMLError as error:
        # The message has three lines or more; the problem alone is informative.
        mark = error.problem_mark or error.context_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise yaml.YAMLError(f"no YAML{place}: {error.problem}") from error
    except UserError as error:
        raise yaml.YAMLError(str(error)) from None
    except RecursionError:
        raise yaml.YAMLError("the YAML is nested too deeply") from None
    except (ValueError, OverflowError) as error:
        raise yaml.YAMLError(f"the YAML cannot be read: {error}") from error
    return value


# config.yaml can then hold the enums among the defaults of other libraries, such as Lightning's Timer.
yaml.SafeDumper.add_multi_representer(enum.Enum, lambda dumper, member: dumper.represent_data(member.value))

_jsonargparse_yaml = get_loader("yaml")
set_loader("yaml", _load_yaml, exceptions=(yaml.YAMLError,))
