import os

import pytest
import torch

from gen_experiments import cores

VISIBLE = len(os.sched_getaffinity(0))
V1, V2 = "sys/fs/cgroup/cpu", "sys/fs/cgroup"
# As /proc/self/cgroup has it: in a container of version 2, under SLURM or systemd, in a container of version 1.
ROOT, NESTED = "0::/\n", "0::/system.slice/job_7/step_0\n"
HYBRID = "9:name=systemd:/docker/1a2b\n4:cpu,cpuacct:/docker/1a2b\n3:cpuset:/docker/1a2b\n0::/docker/1a2b\n"


@pytest.fixture
def system(tmp_path):
    """Writes files below the root of a file system, and returns the root."""

    def write(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        (None, {}, None),
        (ROOT, {}, None),
        (ROOT, {f"{V2}/cpu.max": "max 100000\n"}, None),
        (ROOT, {f"{V2}/cpu.max": "150000 100000\n"}, 1.5),
        (ROOT, {f"{V2}/cpu.max": "no numbers\n"}, None),
        (NESTED, {f"{V2}/system.slice/job_7/step_0/cpu.max": "max 100000\n"}, None),
        (NESTED, {f"{V2}/system.slice/job_7/step_0/cpu.max": "200000 50000\n"}, 4),
        (NESTED, {f"{V2}/system.slice/job_7/cpu.max": "300000 100000\n", f"{V2}/cpu.max": "max 100000\n"}, 3),
        (NESTED, {f"{V2}/system.slice/cpu.max": "200000 100000\n", f"{V2}/cpu.max": "900000 100000\n"}, 2),
        (HYBRID, {f"{V1}/cpu.cfs_quota_us": "-1\n", f"{V1}/cpu.cfs_period_us": "100000\n"}, None),
        (HYBRID, {f"{V1}/cpu.cfs_quota_us": "50000\n", f"{V1}/cpu.cfs_period_us": "100000\n"}, 0.5),
        (HYBRID, {f"{V1}/docker/1a2b/cpu.{name}_us": "80000\n" for name in ("cfs_quota", "cfs_period")}, 1),
    ],
)
def test_the_quota_is_the_smallest_of_the_groups_that_a_process_is_in(system, groups, files, quota):
    files = files if groups is None else {"proc/self/cgroup": groups, **files}
    assert cores.cpu_quota(system(files)) == quota


@pytest.mark.parametrize(
    ("limit", "usable"),
    [("max", VISIBLE), ("100000", 1), ("20000", 1), ("150000", min(2, VISIBLE)), (f"{VISIBLE + 1}00000", VISIBLE)],
)
def test_cores_are_those_of_the_quota_a_part_counting_as_one_where_they_are_fewer(system, limit, usable):
    files = {"proc/self/cgroup": ROOT, f"{V2}/cpu.max": f"{limit} 100000\n"}
    assert cores.usable_cores(system(files)) == usable


@pytest.mark.skipif(VISIBLE < 2, reason="a quota of one core is no limit")
def test_libraries_compute_with_as_many_threads_as_a_quota_allows_and_a_user_has_not_chosen(system, monkeypatch):
    monkeypatch.setattr(cores, "_set_here", False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    limited = system({"proc/self/cgroup": ROOT, f"{V2}/cpu.max": "100000 100000\n"})
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(7)
        cores.limit_threads(system=limited)
        assert (os.environ["OMP_NUM_THREADS"], torch.get_num_threads()) == ("7", 7)
        monkeypatch.delenv("OMP_NUM_THREADS")
        cores.limit_threads(system=limited)
        cores.limit_threads(2, limited)
        assert (os.environ["OMP_NUM_THREADS"], torch.get_num_threads()) == ("1", 1)
    finally:
        torch.set_num_threads(before)
