"""What jsonargparse says of a mistake, reduced to one line: where it is, and what is accepted there."""

import argparse
import difflib
import inspect
import os
import re
import traceback
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from gen_experiments.cli.class_paths import (
    IMPORT_PATH,
    UNFINISHED,
    classes_of,
    explain_family,
    explain_import,
    missing_methods,
)
from gen_experiments.errors import shortened

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
# An option of a class, where no class was named.
NO_OWNER = re.compile(
    r"\AParser key \"[^\"]+\":(?:(?!Parser key).)*"
    r"(?:Not a valid subclass of |Expected an instantiatable class).*Given value: NestedArg\(",
    re.S,
)
NO_OPTIONS = re.compile(r"Got value: NestedArg\(key='([^']+)'[^\n]*")
HELP = re.compile(r"(--\S+\.help): Expected a dot import path string: (\S+)")
NO_NAME = "any"  # stands behind a `--key.help` that names no class
NO_FILE = re.compile(
    r"(?:Path is not a file|File does not exist): '(?P<path>[^']+)'|Unable to load config '(?P<value>[^']+)'.*", re.S
)
NO_TEXT = re.compile(r"'[\w-]+' codec can't decode [^\n]*")
PLACE = re.compile(r'Parser key "([^"]+)"')
NO_KEYS = ("help", "subcommand", "print_shtab")  # options that the libraries add
CLASS_KEYS = ("class_path", "init_args")  # accepted in a file beside the options of a class
EXPLAINED = "there is no "
MARKS = (EXPLAINED, UNFINISHED, IMPORT_PATH)  # of messages that a nested parser has explained
MOST_KEYS = 24  # accepted keys that a message lists
FILES = ("weights", "file", "root", "path", "a", "vqvae")  # names of options that are files or folders


def explain(message: str, error: BaseException | None, actions: Sequence[argparse.Action], keys: Iterable[str]) -> str:
    """Returns a message of jsonargparse with its mistake explained: a wrong key, class, file or import.

    Args:
        message: what jsonargparse says.
        error: what it raised, with the errors that led to it.
        actions: those of the parser that says it.
        keys: the keys of parsers below it, which it accepts in a file.
    """
    owner = NO_OWNER.search(message)
    if owner:
        classes = sorted({each.__name__ for hint in _hints(owner[0], actions) for each in classes_of(hint)})
        return f"{owner[0]}\n{EXPLAINED}class yet that has options: name one first{suggestion('', classes)}"
    if any(mark in message for mark in MARKS):
        return message
    importing = explain_import(error)
    if importing is not None:
        if importing.endswith(IMPORT_PATH):  # perhaps it is that of a file
            importing += _classes_and_files(_hints(message, actions))
        return "\n".join([*(f'Parser key "{place}"' for place in PLACE.findall(message)), importing])
    return explain_family(_explain(message, error, actions, keys))


def one_line(message: str) -> str:
    """Reduces a message of jsonargparse to the path of keys and the first informative complaint."""
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    complaints = [line for line in lines if line and not NOISE.match(line)]
    explained = [line for line in complaints if any(mark in line for mark in MARKS)]
    complaint = (explained or complaints or lines)[0]
    if EXPLAINED in complaint:
        complaint = complaint[complaint.index(EXPLAINED) :]
    complaint = re.sub(r"<class '([^']+)'>", r"\1", complaint.partition(". Got value: Namespace")[0])
    trail = ".".join(PLACE.findall(message))
    complaint = complaint.replace("Expected a int", "Expected an int")
    complaint = NO_CLASS.sub(r"it is no class of \1: give class_path, and the options below init_args alone", complaint)
    return shortened(f"{trail}: {complaint}" if trail and not complaint.startswith("Parser key") else complaint)


def suggestion(name: str, known: Iterable[str], unlisted: Sequence[str] = ()) -> str:
    """Returns the nearest right spelling of a wrong key, or class, and what is accepted in its place.

    Args:
        name: words between dots, of which the first that is wrong counts.
        known: what is accepted.
        unlisted: first words that are accepted too, and suggested but not listed.
    """
    known = list(dict.fromkeys(known))
    words, place = name.split("."), ""
    while len(words) > 1 and any(key.startswith(f"{place}{words[0]}.") for key in known):
        place += f"{words.pop(0)}."
    here = list(dict.fromkeys(key[len(place) :].partition(".")[0] for key in known if key.startswith(place)))
    near = _nearest(words[0], [option for option in [*here, *(() if place else unlisted)] if option != words[0]])
    if near is None:  # perhaps it is the key of a section: `max_steps` for `trainer.max_steps`
        near = next((key for key in known if key.endswith(f".{name}")), None)
    hint = f"; did you mean {place if near in here else ''}{near}?" if near else ""
    if not here or (near and len(here) > MOST_KEYS):
        return hint
    more = ", …" if len(here) > MOST_KEYS else ""
    return f"{hint} (accepted: {', '.join(here[:MOST_KEYS])}{more})"


def _nearest(word: str, known: Sequence[str]) -> str | None:
    """Returns the one that the word is the beginning of, else the nearest spelling, if there is one."""
    longer = [name for name in known if len(word) > 1 and name.startswith(word)]
    return longer[0] if len(longer) == 1 else next(iter(difflib.get_close_matches(word, known, 1, 0.6)), None)


def _explain(
    message: str, error: BaseException | None, actions: Sequence[argparse.Action], below: Iterable[str]
) -> str:
    key = UNKNOWN_KEY.search(message)
    if key:
        return message.replace(key[0], _of_key(key, actions, below))
    hints = _hints(message, actions)
    path = _file_without_text(error)
    if path is not None:
        accepted = _classes_and_files(hints)
        give = f"name a class{accepted}" if accepted else "name a YAML file"
        return NO_TEXT.sub(lambda _: f"{EXPLAINED}text in {path}: {give}", message)
    wrong = UNKNOWN_CLASS.search(message)
    if wrong:
        return message.replace(wrong[0], _of_class(wrong[1], hints))
    unread = NO_FILE.search(message)
    if unread:
        named = unread["path"] or unread["value"]
        what = f"file at {named}{', which is a folder' if os.path.isdir(named) else ''}: name a YAML file"
        return message.replace(unread[0], EXPLAINED + what)
    unfinished = ABSTRACT_CLASS.search(message)
    if unfinished:
        return message.replace(unfinished[0], missing_methods(unfinished[2] or unfinished[3] or "the class"))
    return NO_OPTIONS.sub(r"It has no option \1", message)


def _hints(message: str, actions: Sequence[argparse.Action]) -> list[Any]:
    """Returns the types of the values that a message is about."""
    asked, place = HELP.search(message), PLACE.findall(message)[-1:]
    chosen = [action for action in actions if action.dest in place or (asked and asked[1] in action.option_strings)]
    return [action._typehint for action in chosen if hasattr(action, "_typehint")]


def _of_key(key: re.Match[str], actions: Sequence[argparse.Action], below: Iterable[str]) -> str:
    name = next(filter(None, (key[1], key[3], key[4]))).lstrip("-").partition("=")[0]
    name = f"{key['group']}.{name}" if key["group"] else name
    if name in [action.dest for action in actions if not action.option_strings]:
        return f"{EXPLAINED}key {name}: it is positional, leave out --{name}="
    dests = (*(action.dest for action in actions), *below)
    keys = [dest for dest in dests if dest not in NO_KEYS and not dest.endswith(".help")]
    return f"{EXPLAINED}key {name}{suggestion(name, keys, CLASS_KEYS)}"


def _of_class(name: str, hints: Sequence[Any]) -> str:
    number = next((kind for hint in hints for kind in get_args(hint) if kind in (int, float)), None)
    if number is not None:  # such as a learning rate, which may be a tensor too
        return f"{EXPLAINED}number in {name}: give a {number.__name__}"
    if os.sep in name or os.path.exists(name):
        return f"{EXPLAINED}class {name}{_classes_and_files(hints)}"
    classes = sorted({candidate.__name__ for hint in hints for candidate in classes_of(hint)})
    if name == NO_NAME:
        return f"{EXPLAINED}help without a class: name one behind .help{suggestion('', classes)}"
    return f"{EXPLAINED}class {name}{suggestion(name, classes)}"


def _classes_and_files(hints: Sequence[Any]) -> str:
    """Returns the names of the classes that type hints accept, and the options of them that are files."""
    classes = {kind.__name__: kind for hint in hints for kind in classes_of(hint)}
    names = sorted(classes)
    files = [f"{name}.{key}" for name in names for key in inspect.signature(classes[name]).parameters if key in FILES]
    options = f"; options that are files: {', '.join(files)}" if files else ""
    return f" (accepted: {', '.join(names)}{options})" if names else ""


def _file_without_text(error: BaseException | None) -> str | None:
    """Returns the path of a file that jsonargparse could not read as text, if that is what failed."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__ if isinstance(error, UnicodeDecodeError) else None):
            if frame.f_code.co_name == "parse_value_or_config":
                return str(frame.f_locals["cfg_path"])
        error = error.__cause__ or error.__context__
    return None
