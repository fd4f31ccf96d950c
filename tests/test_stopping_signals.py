"""A signal ends a command also while its main thread is inside of a library, where Python runs no handler."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from PIL import Image

from conftest import CONFIGS
from processes import kill_all, said, start

# The main thread waits for a mutex of the system, as it waits for other processes within torch; another frees it late.
SCRIPT = """
import ctypes, os, signal, sys, threading
from gen_experiments import __main__
from gen_experiments.cli import stopping
from gen_experiments.runs.signals import Signals
system, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
def wait(arguments):
    print("begun")
    if "noted" in sys.argv:
        Signals().watch()
    system.pthread_mutex_lock(mutex)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    threading.Timer(1.0, system.pthread_mutex_unlock, (mutex,)).start()
    try:
        system.pthread_mutex_lock(mutex)
    finally:
        print("left in order", flush=True)
stopping.PATIENCE = 0.0
from gen_experiments.cli import dispatch
dispatch.run = wait
sys.exit(__main__.main(["fit"]))
"""

FORK = """
import os, signal, time
from gen_experiments.cli import stopping
stopping.PATIENCE = 0.0
with stopping.stopped_by_signals():
    child = os.fork()
    if child == 0:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except stopping.Terminated:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    time.sleep(1)
"""

# What a process does after a signal takes longer than the patience with one that does nothing.
IN_ORDER = """
import os, signal, time
from gen_experiments.cli import stopping
stopping.PATIENCE = 1.0
with stopping.stopped_by_signals():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    finally:
        time.sleep(2)
        print("left in order", flush=True)
"""

AS_BEFORE = """
import os, signal, socket, threading
from gen_experiments.cli.stopping import stopped_by_signals

def state():
    wakes = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakes)
    return [signal.getsignal(number) for number in handled], wakes, os.listdir("/proc/self/fd"), threading.enumerate()

handled = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell has it for commands in the background
signal.signal(signal.SIGUSR1, lambda *_: None)
ours, other = socket.socketpair()  # as asyncio has it
ours.setblocking(False)
signal.set_wakeup_fd(ours.fileno())
before = state()
with stopped_by_signals():
    (watching,) = set(threading.enumerate()) - set(before[-1])
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
watching.join(60)
assert state() == before, (state(), before)

def elsewhere():
    with stopped_by_signals():
        inside.append(signal.getsignal(signal.SIGTERM))

inside = []  # of another thread, which may set no handlers
thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
assert inside == [signal.SIG_DFL]
"""

# Each picture takes half a second.
SLOW = """
import time
from gen_experiments.data.sources import ImageFolder
class Slowly(list):
    def __getitem__(self, number):
        time.sleep(0.5)
        return super().__getitem__(number)
class Slow(ImageFolder):
    def pictures(self, split):
        return Slowly(super().pictures(split))
"""


def ended(script, *arguments, **variables):
    # What is printed waits in a buffer until it is flushed, as in a file of a user.
    left_out = ("SLURM", "PYTHONUNBUFFERED")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)} | variables
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a mutex")
@pytest.mark.parametrize(
    ("arguments", "variables", "code", "lines", "complaint"),
    [
        pytest.param(
            [], {"WORLD_SIZE": "2", "RANK": "1"}, 143, ["begun"], "stopped by SIGTERM (process 1): ", id="one of two"
        ),
        pytest.param([], {}, 143, ["begun", "left in order"], "stopped by SIGTERM: ", id="alone"),
        pytest.param(["noted"], {"WORLD_SIZE": "2"}, 0, ["begun", "left in order"], "", id="a run notes it"),
    ],
)
def test_one_of_several_processes_waits_for_no_other_after_a_signal(arguments, variables, code, lines, complaint):
    done = ended(SCRIPT, *arguments, **variables)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines() == lines
    assert done.stderr.startswith(complaint)
    assert len(done.stderr.splitlines()) == bool(complaint)


def test_a_signal_to_a_forked_process_is_not_one_to_its_parent():
    done = ended(FORK, WORLD_SIZE="2")
    assert done.returncode == 0, done.stderr


def test_who_leaves_in_order_is_given_the_time_it_takes():
    assert ended(IN_ORDER, WORLD_SIZE="2").stdout == "left in order\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the list of open files")
def test_a_command_leaves_the_process_as_it_was():
    done = ended(AS_BEFORE)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        *(pytest.param(*pair, marks=pytest.mark.long) for pair in ((signal.SIGINT, 130), (signal.SIGUSR1, 138))),
    ],
)
def test_a_command_whose_other_process_never_comes_can_be_stopped(tmp_path, number, code):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launched = {"TORCHELASTIC_RUN_ID": "a", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}
    store = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    process = start("stats", tmp_path, "--out=statistics.npz", folder=tmp_path, **launched, **store)
    try:
        while True:
            assert process.poll() is None, said(tmp_path)
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(60) == code
    finally:
        kill_all(process)
    (line,) = said(tmp_path)
    assert line == f"stopped by {number.name}: the files that were written so far are whole"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
def test_a_run_that_still_decodes_its_pictures_leaves_nothing_behind(tmp_path, number, code):
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "pictures").mkdir()
    for name in range(40):
        Image.new("RGB", (32, 32), (name, 0, 0)).save(tmp_path / "pictures" / f"{name}.png")
    cache = tmp_path / "cache"
    source = ["--data.source=slow.Slow", "--data.source.root=pictures", "--evaluation.extractor=null"]
    process = start(
        "fit",
        f"--config={CONFIGS}/vqvae.yaml",
        *source,
        folder=tmp_path,
        GEN_EXPERIMENTS_CACHE=str(cache),
        PYTHONPATH=os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]),
    )
    try:
        while not [*cache.glob("images/.*")]:
            assert process.poll() is None, (tmp_path / "output.txt").read_text()
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(60) == code
    finally:
        kill_all(process)
    *_, line = (tmp_path / "output.txt").read_text().splitlines()
    assert line == f"stopped by {number.name}: the files that were written so far are whole"
    assert [*cache.rglob("*.npy"), *(tmp_path / "runs").glob("*/*")] == []
