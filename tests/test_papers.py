"""That everything which names a paper has a test that compares it with that paper."""

import ast
from pathlib import Path

import yaml

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "gen_experiments"
PAPER = "arxiv.org/abs/"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def documented(node, name=""):
    """Yields the names of a module ('' itself) and of what it defines, with their docstrings."""
    yield name, ast.get_docstring(node) or ""
    for part in node.body:
        if isinstance(part, DOCUMENTED):
            yield from documented(part, f"{name}.{part.name}" if name else part.name)


def test_what_names_a_paper_names_a_test_that_there_is():
    table = yaml.safe_load((TESTS / "papers.yaml").read_text())
    naming = {
        f"{file.relative_to(PACKAGE).as_posix()}{'::' if name else ''}{name}"
        for file in PACKAGE.rglob("*.py")
        for name, text in documented(ast.parse(file.read_text(encoding="utf-8")))
        if PAPER in text
    }
    assert naming == set(table)
    for node in table.values():
        file, _, test = node.partition("::")
        assert test in {name for name, _ in documented(ast.parse((TESTS.parent / file).read_text(encoding="utf-8")))}
