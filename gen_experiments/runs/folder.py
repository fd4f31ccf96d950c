"""The folder of a run: `root/name/version_N`, with everything the run writes."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from gen_experiments.errors import UserError

# Carries the folder from the process that made it to those that Lightning starts for the other devices.
FOLDER_VARIABLE = "GEN_EXPERIMENTS_RUN_FOLDER"


@dataclass
class Run:
    """Where a run is written.

    Attributes:
        name: names the experiment; each run of it gets the next free `version_N`.
        root: the folder of all experiments.
    """

    name: str = "run"
    root: str = "runs"

    @property
    def home(self) -> Path:
        """The folder of all runs of this name."""
        return Path(self.root) / self.name

    def new_folder(self) -> Path:
        """Makes the next free folder, or, in a process other than the first, names the one that the first has made.

        Raises:
            UserError: the folder cannot be made.
        """
        if not _is_first_process():
            # Only the first process writes. Where no folder was handed down, this one needs none.
            return Path(os.environ.get(FOLDER_VARIABLE, self.home))
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            folder = self._claim(max(self._versions(), default=-1) + 1)
        except OSError as error:
            raise UserError(
                f"cannot write to {self.home}: {error.strerror}; choose another place by --run.root"
            ) from None
        os.environ[FOLDER_VARIABLE] = str(folder)
        return folder

    def checkpoint(self, which: str) -> Path:
        """The newest run's `best` or `last` checkpoint.

        Raises:
            UserError: no run of this name has one.
        """
        for version in sorted(self._versions(), reverse=True):
            path = self.home / f"version_{version}" / "checkpoints" / f"{which}.ckpt"
            if path.is_file():
                return path
        raise UserError(f"no run in {self.home} has a checkpoint named {which}.ckpt; name another run by --run.name")

    def _versions(self) -> list[int]:
        found = (re.fullmatch(r"version_(\d+)", path.name) for path in self.home.glob("version_*"))
        return [int(match[1]) for match in found if match]

    def _claim(self, version: int) -> Path:
        """Makes `version_N` or, where another run was quicker, the next one."""
        while True:
            folder = self.home / f"version_{version}"
            try:
                folder.mkdir()
            except FileExistsError:
                version += 1
            else:
                return folder


def _is_first_process() -> bool:
    """Whether this is the process that writes, as far as a launcher has said by environment variables."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK"))
