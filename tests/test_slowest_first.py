"""What takes longest begins first."""

import os
import subprocess
import sys

from processes import PYTHONPATH

MARKED = "import pytest\n\ndef test_1(): pass\n\n@pytest.mark.{}\ndef test_2(): pass\n"
FILES = {
    "room/test_a.py": "def test(): pass\n",
    "test_b.py": "def test(): pass\n",
    "room/test_c.py": MARKED.format("long"),
    "room/test_d.py": MARKED.format("timeout(900)"),
    "room/test_e.py": MARKED.format("timeout(2400)"),
    "room/test_f.py": MARKED.format("long") + "\ntest_3 = test_2\n",
}


def test_files_go_by_their_time_then_by_their_long_tests_then_by_their_place(tmp_path):
    (tmp_path / "room").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "slowest_first", "-p", "no:cacheprovider", "--collect-only", "-q"]
    environment = os.environ | {"PYTHONPATH": PYTHONPATH}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    found = [line.split("::")[0] for line in done.stdout.splitlines() if "::" in line]
    assert list(dict.fromkeys(found)) == [f"room/test_{name}.py" for name in "edfc"] + ["test_b.py", "room/test_a.py"]
    assert len(found) == 11
