"""Classes by name: imports the packages of those with short names, and says in one line why an import path is wrong."""

import difflib
import importlib
import pkgutil
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, get_args

from gen_experiments.errors import quoted

UNFINISHED = "is not finished"
IMPORT_PATH = "write it as package.module.Class"
NO_SUBCLASS = re.compile(
    r"Import path (?:(?P<named>\S+) )?does not correspond to a subclass of (?P<base>\w+)"
    r"(?=.*?(?:Given value: (?P<given>\S+)|$))"
    r"|Type \S+\[[^\n]*\] expects a function or a callable class:\s+"
    r"Expected '(?P<class>\S+)' to be a subclass of <class '(?P<family>\w+)'>\.*(?: Got value: [^\n]*)?",
    re.S,
)


def import_packages(packages: Iterable[ModuleType]) -> None:
    """Imports all modules of packages: jsonargparse finds a class by its short name only after its import."""
    for package in packages:
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                # Triton is not installed everywhere.
                if error.name is None or error.name.startswith("gen_experiments"):
                    raise


def explain_import(error: BaseException | None) -> str | None:
    """Returns why jsonargparse could not import a class, in one line; None if that is not what failed."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_name == "import_object" and isinstance(frame.f_locals.get("name"), str):
                return _explain(error, frame.f_locals["name"], frame.f_locals.get("parent"))
        error = error.__cause__ or error.__context__
    return None


def _explain(error: BaseException, path: str, parent: object) -> str | None:
    module, _, name = path.rpartition(".")
    if isinstance(error, ImportError) and str(error).startswith("Importing "):
        return f"{quoted(path)} is not imported: a configuration may not run commands or write files by it"
    if isinstance(error, ValueError) and str(error).startswith("Unexpected import path format"):
        return f"{quoted(path)} is no import path: {IMPORT_PATH}"
    if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
        return f"there is no module {error.name}: install its package, or start in the folder that holds it"
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, AttributeError) and frames[-1].name == "import_object":
        if not isinstance(parent, ModuleType):
            return f"there is no module {module}"
        classes = [key for key, value in vars(parent).items() if isinstance(value, type) and not key.startswith("_")]
        near = difflib.get_close_matches(name, classes, 1, 0.6)
        return f"there is no class {name} in {module}" + (f"; did you mean {near[0]}?" if near else "")
    by_module = isinstance(error, SyntaxError) or "jsonargparse" not in frames[-1].filename
    if by_module or isinstance(error, ModuleNotFoundError):
        reason = quoted(error)
        return f"{module} cannot be imported: {type(error).__name__}{f': {reason}' if reason else ''}"
    return None


def explain_family(message: str) -> str:
    """Returns a message of jsonargparse in which a class of the wrong family is named together with the right one."""
    match = NO_SUBCLASS.search(message)
    if match is None:
        return message
    name = match["class"] or match["named"] or match["given"] or "the class"
    family = match["family"] or match["base"]
    return message.replace(match[0], f"{name} is no {family}: derive it from {family}")


def missing_methods(class_path: str) -> str:
    """Explains that an abstract class cannot be built, and what it must define first."""
    module, _, name = class_path.rpartition(".")
    kind = getattr(importlib.import_module(module), name, None) if module in sys.modules else None
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    wanting = f"must define {', '.join(missing)}" if missing else "is abstract"
    return f"{class_path} {UNFINISHED}: it {wanting}"


def classes_of(hint: Any) -> Iterator[type]:
    """Returns the classes that a type hint accepts: its concrete classes and all their subclasses."""
    arguments = get_args(hint)
    if isinstance(hint, type) and not arguments:
        if hint.__module__ not in ("builtins", "typing", "collections.abc"):
            if not getattr(hint, "__abstractmethods__", None) and not hint.__name__.startswith("_"):
                yield hint
            subclasses: list[type] = hint.__subclasses__()
            for subclass in subclasses:
                yield from classes_of(subclass)
    elif hint is not None:
        # For a factory, Callable[[A, B], C], the class that it builds counts.
        for argument in arguments[-1:] if isinstance(arguments[0] if arguments else None, list) else arguments:
            yield from classes_of(argument)
