"""What the tests start does not outlive them."""

import subprocess
import sys
import time

import pytest

from processes import kill_all, runs, wait_until

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
