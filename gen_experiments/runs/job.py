"""What a launcher says of the processes that it started: which job they belong to, and which of them is the first."""

import os
import socket
import subprocess
import uuid

from gen_experiments.errors import UserError

MOST_PER_CORE, ALWAYS_ALLOWED = 2, 8  # processes that compute on a machine's CPU


def is_first_process() -> bool:
    """Returns whether this is the process that writes, as far as a launcher has said by environment variables."""
    if "RANK" in os.environ:  # of torchrun, which need not number the nodes of a SLURM job as SLURM does
        return os.environ["RANK"] == "0"
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "SLURM_PROCID", "NODE_RANK"))


def job_name() -> str | None:
    """Returns the name of the job that this process belongs to, which is the same after a restart; None outside of one.

    SLURM's job and array task, or the run id of torchrun (`--rdzv-id`); the UUID that `torchrun --standalone` draws is
    another one at the next start, and no name.
    """
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        return f"slurm-{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    if number := os.environ.get("SLURM_JOB_ID"):
        return f"slurm-{number}"
    run_id = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return None if run_id == "none" or _is_uuid(run_id) else f"torchrun-{run_id}"


def is_restart() -> bool:
    """Returns whether the launcher says that it has started this job before."""
    counts = (os.environ.get(name, "0") for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"))
    return any(count.isdigit() and int(count) > 0 for count in counts)


def renew_store() -> None:
    """After a restart by torchrun, gives the processes a new key-value store; all of them must call it.

    torchrun's own store still holds the addresses of the processes before the restart, so that the new ones would not
    find each other or wait for ever (pytorch#135712). It serves to agree on the port of the new one.
    """
    if not is_restart() or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    # Heavy, and the door imports this module.
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    old = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    key = f"gen_experiments/port_{os.environ['TORCHELASTIC_RESTART_COUNT']}"
    if is_first_process():
        with socket.socket() as free:
            free.bind(("", 0))
            old.set(key, str(free.getsockname()[1]))
    os.environ["MASTER_PORT"] = old.get(key).decode()
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"


def can_requeue() -> bool:
    """Returns whether this process belongs to a SLURM job, which can be put back into the queue."""
    return "SLURM_JOB_ID" in os.environ


def requeue() -> str:
    """Puts this process's SLURM job back into the queue, which ends its processes, and returns the job's number.

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


def check_processes(count: int) -> None:
    """Refuses to start more processes on this machine's CPU than it can bear.

    Raises:
        UserError: more than 8, and more than two for each core.
    """
    cores = os.cpu_count() or 1
    if count > max(ALWAYS_ALLOWED, MOST_PER_CORE * cores):
        raise UserError(f"trainer.devices={count} processes are too many for the {cores} CPU cores here: lower it")


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
