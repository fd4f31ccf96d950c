"""Whatever goes wrong is one line at the door, and a traceback for those who ask."""

import fcntl
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from conftest import CONFIGS
from gen_experiments.cli import printing, reporting
from gen_experiments.cli.reporting import error_line, report, warning_line
from gen_experiments.errors import UserError
from processes import python


def raised(function):
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - of any kind
        function()
    return caught.value


def buried():
    try:
        raise UserError("size must be >= 1, not 0")
    except UserError as error:
        try:
            raise ValueError("Problem with given class_path") from error
        except ValueError as middle:
            raise TypeError("does not validate") from middle


def test_the_sentence_of_a_constructor_is_found_under_what_a_library_wrapped_around_it():
    assert error_line(raised(buried)) == "size must be >= 1, not 0"


def test_what_an_error_hides_is_not_told():
    def hides():
        try:
            raise UserError("an attempt")
        except UserError:
            raise ValueError("what counts") from None

    assert error_line(raised(hides)).startswith("ValueError: what counts (")


def test_errors_that_are_each_others_reasons_are_told_once():
    first, second = ValueError("one"), KeyError("other")
    first.__cause__, second.__cause__ = second, first
    assert error_line(first).startswith("KeyError: 'other' (")
    first.__cause__ = second.__cause__ = None
    first.__context__, second.__context__ = second, first
    assert error_line(second).startswith("KeyError: 'other' (")


def test_a_foreign_error_is_told_with_its_class_and_place():
    message = error_line(raised(lambda: {}["missing"]))
    assert message.startswith("KeyError: 'missing' (in ")
    assert "test_reporting.py" in message
    assert "GEN_EXPERIMENTS_DEBUG=1" in message


def test_the_place_is_told_where_the_project_is_an_installed_package_too(monkeypatch):
    installed = os.path.dirname(reporting.PACKAGE)
    monkeypatch.setattr(reporting, "LIBRARIES", (*reporting.LIBRARIES, installed))
    message = error_line(raised(lambda: reporting.warning_line("", None, "", 0)))
    assert message.startswith("AttributeError: 'NoneType' object has no attribute '__name__' (in warning_line, report")


def test_what_is_nested_too_deeply_for_python_is_called_so():
    assert error_line(raised(lambda: json.loads("[" * 100_000))).startswith(
        "RecursionError: a value is nested too deeply; maximum recursion depth exceeded"
    )


def test_a_missing_file_is_named():
    assert error_line(raised(lambda: os.stat("nowhere"))).startswith(
        "FileNotFoundError: No such file or directory: nowhere"
    )


def test_memory_that_the_machine_lacks_is_called_so():
    assert "more memory than this machine has" in error_line(MemoryError())
    assert "more memory than this machine has" in error_line(raised(lambda: torch.empty(1 << 60)))
    assert "more memory than this machine has" in error_line(raised(lambda: torch.empty(1 << 62)))
    assert "more memory than this machine has" in error_line(raised(lambda: np.empty((1 << 45, 100))))


LEFT_ALONE = """
import os, signal, sys
import torch
import torch.distributed as dist
from gen_experiments.cli.reporting import report
dist.init_process_group("gloo", init_method=f"file://{os.getcwd()}/group", rank=int(sys.argv[1]), world_size=2)
dist.all_reduce(torch.zeros(1))
if dist.get_rank():
    os.kill(os.getpid(), signal.SIGKILL)
try:
    dist.all_reduce(torch.zeros(1))
except RuntimeError as error:
    report(error)
"""


def test_a_recipe_without_the_configuration_of_its_model_is_told_to_get_it(experiment, capsys):
    recipe = CONFIGS / "experiments" / "translation" / "cyclegan_digits.yaml"
    trainer = ("--trainer.max_steps=300", "--trainer.val_check_interval=150", "--trainer.logger=false")
    assert experiment("fit", f"--config={recipe}", *trainer, "--trainer.enable_model_summary=false") == 1
    said = capsys.readouterr().err
    assert "need trainer.check_val_every_n_epoch=null" in said
    assert "--config configs/gan.yaml, before the one of a recipe" in said


def test_who_is_left_alone_by_the_other_process_says_so(tmp_path):
    commands = [[sys.executable, "-c", LEFT_ALONE, str(rank)] for rank in range(2)]
    with subprocess.Popen(commands[1], cwd=tmp_path, stderr=subprocess.DEVNULL):
        done = subprocess.run(commands[0], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert "another process of this run has ended or cannot be reached" in lines[0]


@pytest.mark.parametrize(("value", "traced"), [("1", True), ("0", False), ("", False)])
def test_the_traceback_is_printed_on_request(capsys, monkeypatch, value, traced):
    monkeypatch.setenv("GEN_EXPERIMENTS_DEBUG", value)
    report(raised(buried))
    said = capsys.readouterr().err
    assert ("Traceback" in said) == traced
    assert said.splitlines()[-1] == "error: size must be >= 1, not 0"


def test_a_process_of_several_names_itself(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    report(UserError("no"))
    assert capsys.readouterr().err == "error (process 3): no\n"


@pytest.fixture
def prints(tmp_path, monkeypatch, capsys):
    """Has a process that torchrun has started print an error; returns what appears."""

    def write(rank, text):
        (tmp_path / "none_x" / "attempt_0" / str(rank)).mkdir(parents=True, exist_ok=True)
        error_file = tmp_path / "none_x" / "attempt_0" / str(rank) / "error.json"
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(error_file))
        monkeypatch.setenv("RANK", str(rank))
        report(UserError(text))
        return capsys.readouterr().err

    return write


def test_an_error_of_several_processes_is_printed_once_and_that_of_one_is_not_lost(prints):
    assert prints(1, "no data") == "error (process 1): no data\n"
    assert prints(0, "no data") == ""
    assert prints(0, "no disk") == "error: no disk\n"
    # The next command of a script has the same mistake.
    assert prints(0, "no data") == "error: no data\n"
    assert prints(1, "no data") == ""
    assert prints(1, "no data") == "error (process 1): no data\n"


def test_a_process_that_stands_still_with_an_error_does_not_keep_it_from_the_others(
    prints, tmp_path, monkeypatch, capsys
):
    assert prints(0, "no data") == "error: no data\n"
    (file,) = (tmp_path / "none_x" / "attempt_0").glob("error_*")
    monkeypatch.setattr(printing, "PATIENCE", 0.05)
    with file.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert prints(1, "no data") == "error (process 1): no data\n"
    shutil.rmtree(tmp_path / "none_x")
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "none_x" / "attempt_0" / "1" / "error.json"))
    report(UserError("no data"))
    assert capsys.readouterr().err == "error (process 1): no data\n"


def test_of_processes_that_fail_at_the_same_moment_one_prints_the_error(tmp_path):
    code = "import sys; from gen_experiments.cli.printing import print_error; sys.stdin.read(); print_error('no data')"
    begin, started = os.pipe(), []
    with (tmp_path / "said").open("w") as said:
        for rank in range(6):
            file = tmp_path / "none_x" / "attempt_0" / str(rank) / "error.json"
            file.parent.mkdir(parents=True)
            launched = {"RANK": str(rank), "TORCHELASTIC_ERROR_FILE": str(file)}
            started.append(
                subprocess.Popen([sys.executable, "-c", code], stdin=begin[0], stderr=said, env=os.environ | launched)
            )
        os.close(begin[0])
        os.close(begin[1])  # which lets all go on
        assert [process.wait(60) for process in started] == [0] * 6
    assert len((tmp_path / "said").read_text().splitlines()) == 1


def test_a_command_has_warnings_of_one_line():
    code = "from gen_experiments.__main__ import main\ntry: main(['sample', '--help'])\nexcept SystemExit: pass\n"
    # Lightning has a form of its own for its warnings.
    warning = "import lightning, warnings; warnings.warn_explicit('two\\nlines', UserWarning, lightning.__file__, 1)"
    assert python(code=f"{code}{warning}").stderr == "warning: two lines\n"


def test_a_warning_is_one_line_and_only_one_for_programmers_says_where_it_came_from():
    assert warning_line("no API\n  key", UserWarning, "/a/b.py", 7) == "warning: no API key\n"
    assert (
        warning_line("old name", DeprecationWarning, "/a/b.py", 7) == "warning: old name (DeprecationWarning, b.py:7)\n"
    )
