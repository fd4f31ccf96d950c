"""How many cores this process may use: those that it may run on, or fewer where a container's share of time is limited.

Docker's `--cpus` and Kubernetes' `limits.cpu` leave all cores visible and limit the time of the container's control
group on them. With a thread for each visible core, the threads use up the time at once and then stand still together.
"""

import math
import os
import sys
from pathlib import Path, PurePosixPath

THREADS_VARIABLE = "OMP_NUM_THREADS"  # read by torch, OpenBLAS, MKL and Lightning
V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu"  # where the control groups of each version of the kernel's interface are

_set_here = False  # whether THREADS_VARIABLE is not the user's


def usable_cores(system: Path = Path("/")) -> int:
    """Returns the number of cores that this process may use: at least 1; a part of a core counts as one.

    Args:
        system: the root of the file system.
    """
    quota = cpu_quota(system)
    return _visible_cores() if quota is None else min(_visible_cores(), max(1, math.ceil(quota)))


def cpu_quota(system: Path = Path("/")) -> float | None:
    """Returns how many cores' time the control group of this process has, such as 1.5; None if it is not limited.

    The limit of a group holds for all groups below it. A container may see its own group as the root of all groups.

    Args:
        system: the root of the file system.
    """
    quotas = []
    for line in _lines(system / "proc/self/cgroup"):  # such as "4:cpu,cpuacct:/docker/1a2b", or "0::/" for version 2
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        own = PurePosixPath(group.lstrip("/"))
        for above in (own, *own.parents):
            if number == "0":
                numbers = " ".join(_lines(system / V2 / above / "cpu.max")).split()
            else:
                files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                numbers = [line for file in files for line in _lines(system / V1 / above / file)]
            # The microseconds in each period and the period's; "max" and "-1" stand for no limit.
            if len(numbers) == 2 and all(map(str.isdigit, numbers)) and int(numbers[1]):
                quotas.append(int(numbers[0]) / int(numbers[1]))
    return min(quotas, default=None)


def limit_threads(processes: int = 1, system: Path = Path("/")) -> None:
    """Has libraries compute with one thread for each core that the processes may use, where a quota makes these fewer.

    A number that the user has set in `$OMP_NUM_THREADS` is kept. Libraries other than torch look at it when they are
    imported; so do processes that this one starts.

    Args:
        processes: of this run on this machine, which share the cores.
        system: the root of the file system.
    """
    global _set_here
    cores = usable_cores(system)
    if cores == _visible_cores() or (THREADS_VARIABLE in os.environ and not _set_here):
        return
    threads, _set_here = max(1, cores // processes), True
    os.environ[THREADS_VARIABLE] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _visible_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
