"""Objects that a file describes: built from classes of this project, torch's, or a package that the user trusts."""

import copy
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from jsonargparse import Namespace, set_parsing_settings
from jsonargparse._common import parsing_settings

from gen_experiments.cli.mistakes import one_line
from gen_experiments.cli.parser import OneLineParser
from gen_experiments.errors import UserError, quoted, shortened
from gen_experiments.untrusted.plain_values import check_plain
from gen_experiments.untrusted.unreadable import building

TRUST_VARIABLE = "GEN_EXPERIMENTS_TRUST"
# Only classes below these are built, never functions. None of them does more, when it is built, than a part must.
ALLOWED = (
    *(f"gen_experiments.{name}" for name in ("images", "losses", "models", "networks", "priors", "quantizers")),
    *(f"gen_experiments.{name}" for name in ("schedules", "data.sources")),
    *(f"gen_experiments.data.{name}" for name in ("damage", "damage_parts", "datamodule", "folder", "groups", "jpeg")),
    *(f"gen_experiments.data.{name}" for name in ("labels", "pair_folders", "pairs")),
    *(f"gen_experiments.metrics.{name}" for name in ("channels", "classifier_net", "features", "fidelity", "trained")),
    *("torch.optim", "torch.nn"),
)
# Packages of which only the parts above may be allowed: to trust one of them whole would be to trust everything.
NEVER_WHOLE = {"gen_experiments", "torch", "lightning", "jsonargparse", "numpy", *sys.stdlib_module_names}
DENIED = re.compile(r"Importing '([^']+)' is not allowed")
MAX_SIZE = 4096
# Keys of texts, which no parser takes for the name of a file with more of the description.
TEXTS = ("weights", "file", "path")

T = TypeVar("T")
_trusted: ContextVar[tuple[str, ...]] = ContextVar("trusted", default=())


@contextmanager
def trusting(packages: Sequence[str]) -> Iterator[None]:
    """While it lasts, files may name classes of these packages, besides those in `$GEN_EXPERIMENTS_TRUST`.

    Raises:
        UserError: a name is that of no package, or of one that cannot be trusted whole.
    """
    _check_packages(packages, "trust")
    token = _trusted.set(tuple(packages))
    try:
        yield
    finally:
        _trusted.reset(token)


def trusted_packages() -> list[str]:
    """Returns the packages in `$GEN_EXPERIMENTS_TRUST`, and those of `trusting`.

    Raises:
        UserError: the variable names something else, or a package that cannot be trusted whole.
    """
    packages = [name.strip() for name in os.environ.get(TRUST_VARIABLE, "").split(",") if name.strip()]
    _check_packages(packages, TRUST_VARIABLE)
    return [*packages, *_trusted.get()]


def _check_packages(names: Sequence[str], given: str) -> None:
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")) or name.partition(".")[0] in NEVER_WHOLE:
            separated = ", separated by commas" if given == TRUST_VARIABLE else ""
            raise UserError(f"{given} names your own packages{separated}; {quoted(name)} cannot be one")


@contextmanager
def described_by(path: str | Path) -> Iterator[None]:
    """While it lasts, jsonargparse imports only allowed classes; then its settings are what they were.

    Args:
        path: the file whose description is parsed and built, for messages.

    Raises:
        UserError: the description names what is not allowed, or cannot be built.
    """
    allowed = [*ALLOWED, *trusted_packages()]
    # jsonargparse has no public way to take a setting back.
    before, token = dict(parsing_settings), building.set(str(path))
    try:
        set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=allowed)
        yield
    # What a file says may be wrong in any way, and constructors fail in any way.
    except Exception as error:
        raise _one_line_of(error, path) from error
    finally:
        parsing_settings.update(before)
        building.reset(token)


def build(add: Callable[[OneLineParser], Any], description: Any, path: str | Path) -> Any:
    """Builds what a file describes; within `described_by`.

    Args:
        add: adds the argument "described" to a parser, typed as what is wanted.
        description: plain values.
        path: the file, for messages.

    Raises:
        UserError: the description is no plain value, or names a function.
        Exception: it does not describe what is wanted; `described_by` turns that into one line.
    """
    check_plain(description, path)
    _check_values(description, path)
    parser = OneLineParser(exit_on_error=False)
    add(parser)
    # The parser changes what it is given.
    parsed = parser.parse_object({"described": copy.deepcopy(description)})
    _check_classes(parsed, path)
    return parser.instantiate(parsed)["described"]


def _check_values(value: Any, path: str | Path, key: str = "") -> None:
    """Refuses what names another file, which the parser would read, and images larger than any network makes."""
    if isinstance(value, dict):
        for name, item in value.items():
            # A class may be called as a file is; as an item of a list it is read as nothing but text.
            if name != "class_names" or not isinstance(item, (list, tuple)):
                _check_values(item, path, str(name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_values(item, path, key if key == "size" else "")
    elif isinstance(value, str) and key not in TEXTS and len(value) < 4096 and "\0" not in value:
        if os.path.isfile(value) and not trusted_packages():
            raise UserError(f"{path} names another file, {value}, which is not read")
    elif key == "size" and isinstance(value, int) and not 1 <= value <= MAX_SIZE:
        raise UserError(f"{path} describes images of {value} pixels; possible are 1 to {MAX_SIZE}")


def _check_classes(value: Any, path: str | Path) -> None:
    """Refuses functions: classes were checked when they were found, but a function can do anything."""
    if isinstance(value, (dict, Namespace)):
        items = vars(value) if isinstance(value, Namespace) else value
        if isinstance(items.get("class_path"), str):
            module, _, name = items["class_path"].rpartition(".")
            if not isinstance(getattr(sys.modules.get(module), name, None), type):
                raise UserError(f"{path} names {items['class_path']}, which is no class")
        for item in items.values():
            _check_classes(item, path)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_classes(item, path)
    elif (callable(value) and not isinstance(value, type)) or isinstance(value, ModuleType):
        raise UserError(f"{path} names {getattr(value, '__qualname__', value)}, which is no class")


def _one_line_of(error: Exception, path: str | Path) -> UserError:
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        link = link.__cause__ or link.__context__
    for link in seen:
        if isinstance(link, UserError):
            text = shortened(link, 600)
            return UserError(text if str(path) in text else f"{path}: {text}")
    denied = next((match[1] for link in seen if (match := DENIED.search(str(link)))), None)
    if denied is not None:
        denied = quoted(denied)
        package = denied.partition(".")[0]
        if package in NEVER_WHOLE:
            return UserError(f"{path} names {denied}, which is no part of a model or its data: nothing was run")
        return UserError(
            f"{path} names {denied}, whose import would run code: if you trust it, set {TRUST_VARIABLE}={package} "
            f"(in Python, load(path, trust={package!r}))"
        )
    reason = one_line(str(error)) if str(error).strip() else type(error).__name__
    return UserError(f"{path} describes nothing that can be built: {quoted(reason)}")
