"""A run of several processes that fails ends with its own error, after those that Lightning has started for it."""

import subprocess
import sys
from types import SimpleNamespace

from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.trainer.states import TrainerFn

from gen_experiments.callbacks.resumption import Resumption
from gen_experiments.runs.start import Start


def test_what_watches_the_other_processes_does_not_kill_the_one_that_has_ended_them(tmp_path):
    def waiting():
        return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    run, other = waiting(), waiting()
    launcher = _SubprocessScriptLauncher(LightningEnvironment(), num_processes=2, num_nodes=1)
    launcher.procs = [other]
    observer = _ChildProcessObserver(run.pid, launcher.procs, sleep_period=0)
    trainer = SimpleNamespace(
        is_global_zero=True, state=SimpleNamespace(fn=TrainerFn.VALIDATING), strategy=SimpleNamespace(launcher=launcher)
    )
    try:
        assert not observer._run()
        Resumption(Start(tmp_path, resumes=False)).on_exception(trainer, None, ValueError())
        assert other.wait(60) == -9
        assert observer._run()
        run.communicate(b"\n", timeout=60)
        assert run.returncode == 0
    finally:
        run.kill()
        other.kill()
