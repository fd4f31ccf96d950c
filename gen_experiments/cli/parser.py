"""A parser that describes a mistake in one line: where it is, and what is accepted there."""

import enum
import inspect
import itertools
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, get_args

import yaml
from jsonargparse import ArgumentParser, Namespace, get_loader, set_dumper, set_loader, set_parsing_settings

from gen_experiments.cli.mistakes import NO_NAME, explain, one_line
from gen_experiments.cli.printing import print_error
from gen_experiments.errors import UserError
from gen_experiments.untrusted.plain_values import check_plain

WHOLE_NUMBER = re.compile(r"\A(--[^=]+)=([+-]?[0-9]+)\.0+\Z")


class OneLineParser(ArgumentParser):
    """jsonargparse's parser with mistakes described in one line."""

    def __init__(self, *args: Any, **options: Any) -> None:
        # jsonargparse names no program for the help of a class, and argparse would take that of the file.
        defaults: dict[str, Any] = {"allow_abbrev": False, "prog": "gen_experiments COMMAND"}
        super().__init__(*args, **defaults | options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Ends the program with code 2; a nested parser passes the explained mistake to the outer parser."""
        below = (action.dest for parser in self._parsers_below() for action in parser._actions)
        message = explain(message, ex, self._actions, below)
        if not self.exit_on_error:
            super().error(message, ex)
        print_error(one_line(message))
        sys.exit(2)

    def parse_args(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:  # type: ignore[override]
        """Reads `--key=32.0` as 32 and `~/folder`, here or in a file, as a path in the home folder.

        W&B's sweeps write whole numbers as 32.0, which stays as it is if the key is a text, and 1.0 if it is a number
        or a share: all batches are other than one. Most shells do not expand a `~` behind an equals sign.
        """
        parsers = (self, *self._parsers_below())
        texts = {option for parser in parsers for option in parser._options_of({str})}
        shares = {option for parser in parsers for option in parser._options_of({int, float})}
        arguments = sys.argv[1:] if args is None else args
        matches = [(word, WHOLE_NUMBER.match(word)) for word in arguments]
        kept = [m is None or m[1] in texts or (m[1] in shares and int(m[2]) == 1) for _, m in matches]
        whole = [word if m is None or keep else f"{m[1]}={m[2]}" for (word, m), keep in zip(matches, kept, strict=True)]
        words = [*itertools.starmap(self._with_name, itertools.pairwise([*whole, ""]))]
        try:
            return in_home(super().parse_args(words, *others, **options))
        except UnicodeDecodeError as error:
            self.error(str(error), error)

    def parse_path(self, path: str | os.PathLike[str], *others: Any, **options: Any) -> Any:
        """Reads a configuration; errors name it."""
        self._config = os.fspath(path)
        try:
            return super().parse_path(path, *others, **options)
        except UnicodeError:
            self.error(f"there is no text in {path}: name a YAML file")
        except OSError as error:
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

    def _with_name(self, word: str, following: str) -> str:
        """Returns a word; `--key.help` without a class gets a name of none, so that the answer is those that exist."""
        if not word.endswith(".help") or "=" in word or (following and not following.startswith("-")):
            return word
        actions = [action for parser in (self, *self._parsers_below()) for action in parser._actions]
        known = next((action for action in actions if word in action.option_strings), None)
        alone = (
            known is not None
            and known.nargs in (0, "?")
            and not any(map(inspect.isabstract, getattr(known, "_help_types", ())))
        )
        return word if alone else f"{word}={NO_NAME}"

    def _options_of(self, kinds: set[type]) -> Iterator[str]:
        """Yields the options of a type, or of a union of types and others; a text may stand in no union."""
        for action in self._actions:
            hint = getattr(action, "_typehint", action.type)
            if kinds == {hint} or (len(kinds) > 1 and all(kind in get_args(hint) for kind in kinds)):
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


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes YAML in C where PyYAML was built with it: a configuration is written part by part, over and over."""


def _dump_yaml(value: Any) -> str:
    """Returns a value as YAML, as jsonargparse writes it, except that emoji are escaped where it is written in C."""
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    return text


# config.yaml can then hold the enums among the defaults of other libraries, such as Lightning's Timer.
_Dumper.add_multi_representer(enum.Enum, lambda dumper, member: dumper.represent_data(member.value))
set_dumper("yaml", _dump_yaml)

_jsonargparse_yaml = get_loader("yaml")
# What a configuration of somebody else must not name: it is refused now, and not only from jsonargparse 5 on.
set_parsing_settings(import_path_denylist=[])
set_loader("yaml", _load_yaml, exceptions=(yaml.YAMLError,))
