"""Whatever a command line or a configuration holds: an exit code, at most one line of error, no traceback, an end."""

import contextlib
import faulthandler
import gc
import io
import os
import signal
import sys
import traceback
from collections import Counter

import pytest

from fuzzing import Fuzzer
from pictures_on_disk import write_pictures

CASES = int(os.environ.get("GEN_EXPERIMENTS_FUZZ_CASES", "60"))
SEED = int(os.environ.get("GEN_EXPERIMENTS_FUZZ_SEED", "0"))
PATIENCE = 2.0  # seconds after which a case is interrupted, as by Ctrl-C: some ask for a billion images
LIMIT = 60.0  # seconds after which the whole test is given up


@pytest.fixture
def fuzzer(tmp_path, monkeypatch, checkpoints):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    write_pictures(tmp_path / "pictures", 3, size=(32, 32))
    (tmp_path / "out").mkdir()
    from gen_experiments.__main__ import main

    assert main(["encode", str(checkpoints["vqvae"]), "--images=pictures"]) == 0
    return lambda seed: Fuzzer(seed, tmp_path, checkpoints)


def outcome(arguments):
    """The exit code of a command line, what it wrote to stderr, and the exception that came out of it, if one did."""
    from gen_experiments.__main__ import main

    # Strict, as a terminal's are.
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    code, escaped = None, ""
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    faulthandler.dump_traceback_later(LIMIT, exit=True, file=sys.__stderr__)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:
        escaped = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
    err.flush()
    return code, err.buffer.getvalue().decode(errors="replace"), escaped


def complaint(arguments):
    """The exit code of a case, and what is wrong with how it ended, or None."""
    code, said, escaped = outcome(arguments)
    return code, _complaint(code, said, escaped)


def _complaint(code, said, escaped):
    if escaped:
        return escaped.splitlines()[-1]
    if code == 130:
        return None if "stopped by SIGINT" in said else f"130 without a word: {said}"
    if code not in (0, 1, 2, None):
        return f"code {code}: {said}"
    errors = [line for line in said.splitlines() if line.startswith("error")]
    if "Traceback" in said or len(errors) > 1:
        return said
    if code and not errors:
        return f"code {code} without a word: {said}"
    return None if not errors or len(errors[0]) < 1200 else f"too long: {errors[0]}"


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:\\s*(Importing .* is not allowed|Option .* was expanded to)")
@pytest.mark.parametrize(("cases", "seed"), [(CASES, SEED), pytest.param(2000, 1, marks=pytest.mark.long)])
def test_any_command_line_ends_with_a_code_and_at_most_one_line(fuzzer, cases, seed):
    drawn = fuzzer(seed)
    before, handler = dict(os.environ), signal.signal(signal.SIGALRM, signal.default_int_handler)
    failed, codes = [], Counter()
    gc.collect()
    gc.freeze()  # each collection would go through all imported modules again, for a third of the time
    try:
        for number in range(cases):
            arguments = drawn.case()
            code, wrong = complaint(arguments)
            codes[code] += 1
            if wrong:
                failed.append(f"{number}: {arguments}\n    {wrong}")
            os.environ.clear()
            os.environ.update(before)
    finally:
        signal.signal(signal.SIGALRM, handler)
    print(f"{cases} cases, {len(failed)} failures; exit codes {dict(codes)}")
    assert not failed, ascii("\n".join(failed)).replace("\\n", "\n")
    # Mistakes are met at every depth: some cases run, some are refused by the parser and some by what it builds.
    assert all(codes[code] > cases // 50 for code in (0, 1, 2))
    assert codes[130] < cases // 20
