"""Each in a process of its own: a signal could end that of the tests."""

import os
import subprocess
import sys

import pytest

BLOCKED = """
import os, signal
from gen_experiments.runs.signals import Signals
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
os.kill(os.getpid(), signal.SIGUSR1)
signals = Signals()
signals.watch(signal.SIGUSR1)
assert signals.received == signal.SIGUSR1
signals.watch()
signals.watch()
signals.release()
os.kill(os.getpid(), signal.SIGUSR1)
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signals.release()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
"""

ENDED = """
import os, signal
from gen_experiments.cli.stopping import stopped_by_signals
from gen_experiments.runs.signals import Signals
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
with stopped_by_signals():
    signals = Signals()
    signals.watch(signal.SIGUSR1)
    signals.release()
os.kill(os.getpid(), signal.SIGUSR1)
"""

TWICE = """
import os, signal, sys
from gen_experiments.runs.signals import Signals
signals = Signals()
signals.watch()
os.kill(os.getpid(), signal.SIGINT)
assert signals.received == signal.SIGINT
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    sys.exit(7)
"""

START = """
import os, signal
from gen_experiments.__main__ import main
try:
    main(["fit", "--no-such-option"])
except SystemExit:
    pass
os.kill(os.getpid(), signal.SIGUSR1)
"""


def code(script, **variables):
    """The exit code of a process that runs a script."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    done = subprocess.run([sys.executable, "-c", script], env={**environment, **variables}, timeout=120, check=False)
    return done.returncode


def test_a_signal_that_was_blocked_is_noted_and_never_ends_the_process():
    assert code(BLOCKED) == 0
    assert code(ENDED) == 0


def test_who_presses_ctrl_c_twice_does_not_wait():
    assert code(TWICE) == 7


@pytest.mark.long
def test_what_slurm_sends_before_the_time_limit_does_not_end_a_process_that_starts():
    assert code(START, SLURM_JOB_ID="7") == 0
    assert code(START) < 0
