"""Applies each mutant to a copy of the package and says which test kills it.

    python tests/mutants/run.py                        all of them
    python tests/mutants/run.py fid_reference patience --jobs 2

The tests that are named must pass on the unchanged copy. The exit code is 0 if every mutant is killed: a test fails. A
mutant under which the tests do not run, or not in time, is not.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from table import ROOT, Mutant, mutants

COPIED = ("gen_experiments", "tests", "configs", "sweeps", "pyproject.toml", "README.md")
NOWHERE = "http://127.0.0.1:9"  # nothing listens at this port: what asks for the network fails at once
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::.+?)(?: - .*)?$", re.MULTILINE)


def verdict(code: int | None, output: str) -> str | None:
    """Returns the test that failed, or None if none did.

    Args:
        code: pytest's exit code; None if it did not end in time.
        output: what it printed.
    """
    failed = FAILED.search(output)
    return failed[1] if code == 1 and failed else None


def copied(folder: Path) -> Path:
    """Copies what the tests need into a folder, and returns it."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy2(source, folder)
    return folder


def run_tests(root: Path, nodes: Iterable[str], seconds: float | None) -> tuple[int | None, str]:
    """Runs tests of a copy; returns pytest's exit code, None if it did not end in time, and its output."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-m",
        "long or not long",
        *nodes,
    ]
    offline = {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "no_proxy": "localhost,127.0.0.1"}
    surroundings = os.environ | offline | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    # In a session of its own: what the tests have started ends with them.
    with subprocess.Popen(
        command,
        cwd=root,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return None, ""
    return process.returncode, output


def killer(mutant: Mutant, seconds: float) -> str | None:
    """Returns the test that kills a mutant; None if it survives."""
    with tempfile.TemporaryDirectory() as folder:
        root = copied(Path(folder))
        source = mutant.source(root)
        source.write_text(mutant.mutated(source.read_text(encoding="utf-8")), encoding="utf-8")
        return verdict(*run_tests(root, mutant.killed_by, seconds))


def main() -> int:
    """Runs the mutants that were named, or all; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="mutants; all without any")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--seconds", type=float, default=300, help="time limit of a mutant's tests")
    options = parser.parse_args()
    table = {mutant.name: mutant for mutant in mutants()}
    if unknown := set(options.names) - set(table):
        parser.error(f"there are no mutants {', '.join(sorted(unknown))}")
    chosen = [table[name] for name in options.names or table]
    with tempfile.TemporaryDirectory() as folder:
        nodes = sorted({node for mutant in chosen for node in mutant.killed_by})
        code, output = run_tests(copied(Path(folder)), nodes, None)
    if code != 0:
        print(output)
        print("the tests that are named do not pass without a mutant")
        return 2
    start, survivors = time.monotonic(), []
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutant, test in zip(chosen, pool.map(lambda mutant: killer(mutant, options.seconds), chosen), strict=True):
            if test is None:
                survivors.append(mutant.name)
            print(f"{mutant.name}: {f'killed by {test}' if test else f'SURVIVES: {mutant.breaks}'}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed in {time.monotonic() - start:.0f} s")
    if survivors:
        print(f"survivors: {' '.join(survivors)}")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
