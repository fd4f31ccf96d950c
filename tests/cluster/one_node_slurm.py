"""A SLURM of two small nodes on this machine, for tests: `with Slurm() as slurm: slurm.submit(...)`.

Debian's packages are enough: `apt-get install slurm-wlm slurmctld slurmd slurm-client munge`. The daemons run without
systemd, in a temporary folder with their own configuration, key and ports, and end with the `with` block.
Started as a script, it keeps the cluster up until Ctrl-C and prints the line that points SLURM's commands to it.
"""

import contextlib
import getpass
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol")
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
NODES = ("node1", "node2")
CPUS = 4  # of each node; SLURM believes it, however many the machine has
PATIENCE = 600  # seconds after which a wait is a hang; a slow machine starts eight ranks in more than two minutes
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL"}

CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits for as long as its old credential lives: 120 s by default, and no less than 5 s.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
JobRequeue=1
KillWait={kill_wait}
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,batch_sched_delay=0,sched_interval=1
MinJobAge=3600
# Lightning derives the port of a job's processes from the job's id: two clusters must not count alike.
FirstJobId={first_job}
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing():
    """Why no cluster can be started here, in one sentence; an empty string where one can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]
    if absent:
        return f"SLURM is not installed: {', '.join(absent)} not found (Debian: slurm-wlm slurmd slurmctld munge)"
    return "" if os.geteuid() == 0 else "SLURM's daemons start jobs for their users, which takes root"


class Slurm:
    """The cluster; a context manager.

    Attributes:
        folder: holds configuration, state and logs of the daemons; removed at the end.
    """

    def __init__(self, kill_wait=30):
        """Takes the seconds between SIGTERM and SIGKILL for a job that is cancelled or requeued."""
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.environment = {**_plain_environment(), "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": _path()}
        self._kill_wait = kill_wait
        self._daemons = []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()

    def _start(self):
        controller, *ports = _free_ports(1 + len(NODES))
        nodes = "\n".join(
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} State=UNKNOWN"
            for node, port in zip(NODES, ports, strict=True)
        )
        Path(self.environment["SLURM_CONF"]).write_text(
            CONFIGURATION.format(
                user=getpass.getuser(),
                folder=self.folder,
                controller=controller,
                kill_wait=self._kill_wait,
                first_job=random.randrange(1000, 9000),
                nodes=nodes,
            )
        )
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={self.folder}/munge.{end}" for option, end in files.items()]
        # It would refuse to run below a folder that others may write to, as /tmp is.
        self._daemon("munged", "--foreground", "--force", *options)
        wait_until((self.folder / "munge.socket").exists, "munged's socket")
        self._daemon("slurmctld", "-D")
        for node in NODES:
            (self.folder / f"spool-{node}").mkdir()
            self._daemon("slurmd", "-D", "-N", node, log=node)
        wait_until(lambda: self.command("sinfo", "-h", "-o", "%T") == "idle\n", "the nodes to be idle")

    def _daemon(self, *command, log=None):
        with (self.folder / f"{log or command[0]}.log").open("w") as file:
            self._daemons.append(
                subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=self.environment, cwd=self.folder)
            )

    def stop(self):
        """Ends the jobs, the daemons and whatever they have started, and removes the folder."""
        for daemon in reversed(self._daemons):
            daemon.kill()
        # The processes that watch over jobs outlive the daemons, and so do the jobs. All of them carry this variable.
        mark = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        while found := _processes_with(mark):
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.1)
        for daemon in self._daemons:
            daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *command, cwd=None, environment=()):
        """What one of SLURM's commands prints; empty where it fails."""
        done = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=cwd or self.folder,
            env={**self.environment, **dict(environment)},
        )
        return done.stdout if done.returncode == 0 else ""

    def submit(self, *arguments, cwd, environment=()):
        """The id of a job that `sbatch` queues from a folder, with variables beside those of this process."""
        job = self.command("sbatch", "--parsable", *arguments, cwd=cwd, environment=environment).strip()
        assert job, f"sbatch refused {arguments}"
        return job

    def job(self, job):
        """What `scontrol show job` knows of a job or of one array task, such as JobState and Restarts."""
        words = self.command("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)


def wait_until(true, what, log=None):
    """Waits for a condition.

    Raises:
        AssertionError: `PATIENCE` is over; names `what` was waited for and shows the file `log`.
    """
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            shown = log.read_text() if log and log.exists() else ""
            raise AssertionError(f"waited {PATIENCE} s for {what}\n{shown}")
        time.sleep(0.1)


def _path():
    return f"{os.environ['PATH']}:{SYSTEM_FOLDERS}"


def _plain_environment():
    """The environment without what a job of another SLURM, around the tests, would hand down."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _processes_with(variable):
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if variable in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    with Slurm() as cluster:
        print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
