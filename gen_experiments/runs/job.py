"""Reads from the launcher's environment variables which job this process belongs to, and whether it is the first."""

import os
import socket
import subprocess
import uuid
from pathlib import Path

from gen_experiments.cores import usable_cores
from gen_experiments.errors import UserError

TORCHRUN = "torchrun-"
UNNAMED = "unnamed-torchrun-"  # without `--rdzv-id`
MAX_PER_CORE, ALWAYS_ALLOWED = 2, 8  # processes that compute on a machine's CPU


def is_first_process() -> bool:
    """Returns whether this is the process that writes files, by the launcher's environment variables."""
    if "RANK" in os.environ:  # torchrun's, whose numbers of the nodes may differ from SLURM's
        return os.environ["RANK"] == "0"
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "SLURM_PROCID", "NODE_RANK"))


def process_suffix() -> str:
    """Returns what tells the messages of this process from those of others, such as " (process 3)"; "" for the first.

    Where Lightning starts the processes of each node, only the node of each is known beside its number there.
    """
    if is_first_process():
        return ""
    numbered = "RANK" in os.environ or os.environ.get("SLURM_PROCID", "0") != "0"
    node = "0" if numbered else os.environ.get("NODE_RANK", "0")
    return f" (process {process_rank()}{'' if node == '0' else f' of node {node}'})"


def process_rank() -> str:
    """Returns the number of this process in its run, by the launcher's environment variables."""
    # SLURM numbers the processes that Lightning starts in a batch script all alike.
    names = ("RANK",) if "RANK" in os.environ else ("SLURM_PROCID", "LOCAL_RANK")
    return next((rank for name in names if (rank := os.environ.get(name, "0")) != "0"), "0")


def has_peers() -> bool:
    """Returns whether this is one of several processes, whether a launcher or Lightning has started them."""
    return os.environ.get("WORLD_SIZE", "1") != "1" or _tasks_of_srun() > 1


def num_processes() -> int:
    """Returns the number of processes that torchrun has started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) if _by_torchrun() else 1


def job_name() -> str | None:
    """Returns the name of this process's job, which stays the same after a restart; None outside of a job.

    It is SLURM's job and array task, or torchrun's run id (`--rdzv-id`). Without one every torchrun has the id "none":
    the folder of its logs, which it makes for itself and keeps when it starts the processes again, stands for it.
    """
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"slurm-{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    if number := os.environ.get("SLURM_JOB_ID"):
        return f"slurm-{number}"
    run_id = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if run_id != "none":
        return f"{TORCHRUN}{run_id}"
    logs = log_folder()
    return None if logs is None else f"{UNNAMED}{logs.parent.name}"


def log_folder() -> Path | None:
    """Returns the folder of torchrun's logs of this start of the processes of this machine; None without torchrun."""
    file = Path(os.environ.get("TORCHELASTIC_ERROR_FILE", ""))  # LOGS/none_XXXXXXXX/attempt_N/RANK/error.json
    return file.parents[1] if len(file.parts) > 3 else None


def is_lasting(job: str | None) -> bool:
    """Returns whether a job keeps its name at its next start.

    A torchrun without `--rdzv-id` has another one each time; with `--standalone` that is a UUID.
    """
    if job is None or job.startswith(UNNAMED):
        return False
    try:
        uuid.UUID(job.removeprefix(TORCHRUN))
    except ValueError:
        return True
    return False


def is_restart() -> bool:
    """Returns whether the launcher has started this job before."""
    counts = (os.environ.get(name, "0") for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"))
    return any(count.isdigit() and int(count) > 0 for count in counts)


def renew_store() -> None:
    """Gives the processes a new key-value store after a restart by torchrun; all of them must call it.

    torchrun's own store still holds the addresses of the processes before the restart, so that the new ones would wait
    forever (pytorch#135712). They use it only to agree on the port of the new store.
    """
    if not is_restart() or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    # Slow to import, and `__main__` imports this module.
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    old = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    key = f"gen_experiments/port_{os.environ['TORCHELASTIC_RESTART_COUNT']}"
    if is_first_process():
        with socket.socket() as free:
            free.bind(("", 0))
            old.set(key, str(free.getsockname()[1]))
    os.environ["MASTER_PORT"] = old.get(key).decode()
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"


def launched_externally() -> bool:
    """Returns whether torchrun, or srun with several tasks, has started the processes, rather than Lightning."""
    return _by_torchrun() or _tasks_of_srun() > 1


def name_job_for_lightning() -> None:
    """Renames SLURM's job in the environment of this process where its name would mislead Lightning.

    Lightning waits for the tasks of any job that is not called `bash` or `interactive`, also if srun has not started
    them; in a job of these names it starts processes itself, also if srun has started them.
    """
    by_srun = _tasks_of_srun() > 1
    if "SLURM_NTASKS" in os.environ and by_srun == (os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")):
        os.environ["SLURM_JOB_NAME"] = "srun" if by_srun else "interactive"


def can_requeue() -> bool:
    """Returns whether this process belongs to a SLURM job, which can be requeued."""
    return "SLURM_JOB_ID" in os.environ


def requeue() -> str:
    """Requeues this process's SLURM job, which ends its processes; returns the job's number.

    Raises:
        UserError: `scontrol requeue` failed.
    """
    number = (job_name() or "").removeprefix("slurm-")
    try:
        done = subprocess.run(["scontrol", "requeue", number], capture_output=True, text=True, timeout=60, check=False)
        failure = (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else None
    except (OSError, subprocess.TimeoutExpired) as error:
        failure = str(error)
    if failure:
        raise UserError(f"`scontrol requeue {number}` failed: {' '.join(failure.split())}; submit the job again")
    return number


def check_processes(devices: int, nodes: int, on_cpu: bool) -> None:
    """Refuses to train by other processes than were started: each would train alone, or wait forever for the others.

    Args:
        devices: of each node, by the trainer.
        nodes: their number, by the trainer.
        on_cpu: whether the processes compute on the CPU.

    Raises:
        UserError: the launcher has started more or fewer processes, a job of SLURM has several nodes and no launcher,
            or Lightning would start more than 8 processes, and more than two for each core, on the CPU of this machine.
    """
    if not launched_externally():
        cores = usable_cores()
        if on_cpu and devices > max(ALWAYS_ALLOWED, MAX_PER_CORE * cores):
            raise UserError(
                f"trainer.devices={devices} processes are too many for the {cores} CPU cores here: lower it"
            )
        if nodes > 1 and "SLURM_JOB_ID" in os.environ and "MASTER_ADDR" not in os.environ:
            raise UserError(f"trainer.num_nodes={nodes} takes processes on each node: start them by srun or torchrun")
        return
    launcher, started = ("torchrun", num_processes()) if _by_torchrun() else ("srun", _tasks_of_srun())
    if started != devices * nodes:
        raise UserError(
            f"{launcher} has started {started} processes, but trainer.devices={devices} "
            f"times trainer.num_nodes={nodes} is {devices * nodes}: set them to the processes of a node and the nodes"
        )


def _by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def _tasks_of_srun() -> int:
    """Returns how many processes srun has started; 1 without it. SLURM_NTASKS may be those of the allocation."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
