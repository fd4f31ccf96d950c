"""That the table of mutants is in order; `python tests/mutants/run.py` says whether tests kill them."""

import ast

import pytest

from run import verdict
from table import ROOT, Mutant, mutants

ROOMS = {path.parent.name for path in (ROOT / "gen_experiments").glob("*/__init__.py")}


def test_there_are_many_of_all_rooms():
    names = [mutant.name for mutant in mutants()]
    assert len(names) == len(set(names)) >= 60
    assert {mutant.room for mutant in mutants()} == {*ROOMS, "top level"}


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_line_and_names_tests_that_there_are(mutant):
    text = mutant.source(ROOT).read_text(encoding="utf-8")
    changed = mutant.mutated(text)
    assert changed != text
    assert "\n" not in mutant.old + mutant.new
    compile(changed, mutant.file, "exec")
    for node in mutant.killed_by:
        path, _, name = node.partition("::")
        tests = {part.name for part in ast.parse((ROOT / path).read_text()).body if isinstance(part, ast.FunctionDef)}
        assert not name or name in tests, node


def test_a_part_that_stands_twice_is_refused():
    mutant = Mutant("twice", "a.py", "1", "2", "nothing", ())
    assert mutant.mutated("x = 1") == "x = 2"
    with pytest.raises(ValueError, match=r"twice: '1' stands 2 times in a\.py"):
        mutant.mutated("x = 1 + 1")


@pytest.mark.parametrize(
    ("code", "output", "expected"),
    [
        (0, "3 passed", None),
        (1, "FAILED tests/test_a.py::test_b[1-x y] - assert 1 == 2\n1 failed", "tests/test_a.py::test_b[1-x y]"),
        (1, "ERROR tests/test_a.py::test_b - assert main() == 0", "tests/test_a.py::test_b"),
        (2, "ERROR tests/test_a.py - ImportError", None),
        (1, "no line that names a test", None),
        (None, "", None),
    ],
)
def test_only_a_failed_test_is_a_kill(code, output, expected):
    assert verdict(code, output) == expected
