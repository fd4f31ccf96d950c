"""A CSV file that grows by rows and columns."""

import subprocess
import sys

WITHOUT_ROOM = """
import resource, sys
from pathlib import Path
from gen_experiments.errors import UserError
from gen_experiments.runs.table import CsvTable
table = CsvTable(Path("metrics.csv"))
table.append({"loss": 0.5, "step": 0})
resource.setrlimit(resource.RLIMIT_FSIZE, (16, resource.RLIM_INFINITY))
for write in (
    lambda: table.append({"loss": 0.25, "step": 1}),
    lambda: table.append({"loss": 0.25, "step": 1, "val/fid": 9.0}),
    lambda: table.replace([{"loss": 0.25, "step": step} for step in range(9)]),
):
    try:
        write()
    except UserError as error:
        print(error, file=sys.stderr)
print(CsvTable(Path("metrics.csv")).rows()[0])
"""


def test_a_disk_without_room_is_said_in_one_line_and_keeps_the_rows(tmp_path):
    done = subprocess.run([sys.executable, "-c", WITHOUT_ROOM], cwd=tmp_path, capture_output=True, text=True)
    line = "cannot write metrics.csv: File too large; make room or choose another place by --run.root"
    assert done.stderr.splitlines() == [line] * 3
    assert done.stdout == "{'loss': '0.5', 'step': '0'}\n"
