"""Files that grow, after a full disk or a power cut has cut their last line."""

import subprocess
import sys

from gen_experiments.callbacks.wandb_rows import WandbRows
from gen_experiments.runs.table import CsvTable

# The limit lies in the middle of the second row.
FULL = """
import resource, sys
from pathlib import Path
from gen_experiments.callbacks.wandb_rows import WandbRows
from gen_experiments.errors import UserError
from gen_experiments.runs.table import CsvTable
append = CsvTable(Path("rows.csv")).append if sys.argv[1] == "csv" else WandbRows(Path()).append
append({"loss": 0.5, "step": 0})
written = max(path.stat().st_size for path in Path().rglob("rows.*"))
resource.setrlimit(resource.RLIMIT_FSIZE, (written + 3, resource.RLIM_INFINITY))
try:
    append({"loss": 0.25, "step": 1})
except UserError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
append({"loss": 0.125, "step": 2})
"""


def fill(folder, kind):
    command = [sys.executable, "-c", FULL, kind]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("cannot write ")
    assert done.stdout.endswith("File too large; make room or choose another place by --run.root\n")


def test_a_row_that_does_not_fit_leaves_nothing_of_itself(tmp_path):
    fill(tmp_path, "csv")
    assert (tmp_path / "rows.csv").read_text() == "loss,step\n0.5,0\n0.125,2\n"
    fill(tmp_path, "wandb")
    assert WandbRows(tmp_path).all() == [{"loss": 0.5, "step": 0}, {"loss": 0.125, "step": 2}]


def test_a_row_that_a_power_cut_has_cut_costs_no_other(tmp_path):
    table = CsvTable(tmp_path / "scores.csv")
    table.append({"fid": 3.5, "kid": 1.5})
    with table.path.open("a") as file:
        file.write("2.5,0.5,9\n2.")  # and a row of more values than there are columns
    CsvTable(table.path).append({"fid": 1.5, "kid": 0.5})
    assert CsvTable(table.path).rows() == [{"fid": "3.5", "kid": "1.5"}, {"fid": "1.5", "kid": "0.5"}]
    rows = WandbRows(tmp_path)
    rows.append({"loss": 0.5})
    with (tmp_path / "wandb" / "rows.jsonl").open("a") as file:
        file.write('{"lo')
    WandbRows(tmp_path).append({"loss": 0.25})
    assert rows.all() == [{"loss": 0.5}, {"loss": 0.25}]


def test_new_values_get_their_places_in_the_alphabet(tmp_path):
    table = CsvTable(tmp_path / "metrics.csv")
    for row in ({"step": 0}, {"loss": 0.5, "step": 1}, {"fid": 9.0, "step": 1}):
        table.append(row)
    assert table.path.read_text() == "fid,loss,step\n,,0\n,0.5,1\n9.0,,1\n"
    assert table.rows() == [{"step": "0"}, {"loss": "0.5", "step": "1"}, {"fid": "9.0", "step": "1"}]


def test_a_table_whose_rows_were_removed_begins_anew(tmp_path):
    table = CsvTable(tmp_path / "metrics.csv")
    table.append({"step": 0, "loss": 0.5})
    table.replace([])
    assert not table.path.exists()
    table.append({"step": 0})
    assert table.path.read_text() == "step\n0\n"


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
