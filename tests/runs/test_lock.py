import fcntl
import subprocess
import sys

from conftest import SHORT, SMALL
from gen_experiments.runs.lock import LOCK_FILE, is_locked, lock, release

HOLD = """
import sys
from pathlib import Path
from gen_experiments.runs.lock import lock
print(lock(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_a_run_has_one_writer_for_as_long_as_that_lives(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "True\n"
        assert is_locked(tmp_path)
        assert not lock(tmp_path)
        holder.kill()
        holder.wait()
        assert not is_locked(tmp_path)
        assert lock(tmp_path)
        assert lock(tmp_path)  # this process has it already
    other = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert other.stdout == "False\n"
    release(tmp_path)
    assert not is_locked(tmp_path)


def test_a_run_that_has_ended_is_free_though_its_process_lives(experiment, tmp_path):
    assert experiment("fit", *SMALL["vqvae"], *SHORT, "--trainer.max_steps=1", "--trainer.limit_val_batches=0") == 0
    with (tmp_path / "runs" / "vqvae" / "version_0" / LOCK_FILE).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
