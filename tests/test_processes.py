"""What the tests start does not outlive them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from processes import PYTHONPATH, kill_all, runs, wait_until

# As torchrun does it: a worker in a session of its own, which has started another process.
WORKER = """
import os, subprocess, sys
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open("written", "w") as file:
    file.write(f"{os.getpid()} {other.pid}")
os.rename("written", "started")
other.wait()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WORKER!r}], start_new_session=True)"


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_all_that_a_process_has_started_is_killed_with_it(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path)
    assert wait_until((tmp_path / "started").exists, process, 60)
    started = [int(number) for number in (tmp_path / "started").read_text().split()]
    assert all(runs(number) for number in started)
    kill_all(process)
    assert process.returncode == -9
    end = time.monotonic() + 30
    while any(runs(number) for number in started):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.long
def test_temporary_files_end_with_the_session(tmp_path):
    # As a process leaves them that is killed.
    left = "import pathlib, tempfile\ndef test(): pathlib.Path('left').write_text(tempfile.mkdtemp())\n"
    (tmp_path / "test_leaves.py").write_text(left)
    (tmp_path / "temporary").mkdir()
    paths = {"PYTHONPATH": PYTHONPATH, "TMPDIR": str(tmp_path / "temporary")}
    own = ("PYTEST_DEBUG_TEMPROOT", "TORCHINDUCTOR_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in own} | paths
    options = ["-p", "conftest", "-p", "no:cacheprovider", "-q"]
    command = [sys.executable, "-m", "pytest", *options, "test_leaves.py"]
    assert subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode == 0
    folder = Path((tmp_path / "left").read_text())
    assert (tmp_path / "temporary") in folder.parents
    assert not folder.exists()
    assert not list((tmp_path / "temporary").glob("gen-*"))
