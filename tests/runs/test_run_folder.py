"""The folder that a new run is given."""

import subprocess
import sys

WITHOUT_ROOM = """
import resource, sys
from gen_experiments.errors import UserError
from gen_experiments.runs.folder import Run
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    Run("name").start(None, 0)
except UserError as error:
    sys.exit(str(error))
"""


def test_a_disk_without_room_is_left_as_it_was(tmp_path):
    done = subprocess.run([sys.executable, "-c", WITHOUT_ROOM], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "cannot write to runs/name: File too large; choose another place by --run.root\n"
    assert list((tmp_path / "runs" / "name").iterdir()) == []
