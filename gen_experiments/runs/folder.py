"""The folder of a run, `root/name/version_N`: finds the one that a command writes to, and its checkpoint."""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gen_experiments.checkpoints.paths import CHECKPOINTS, file_of, is_exported, named_checkpoint
from gen_experiments.errors import UserError
from gen_experiments.runs.checkpoint_files import is_readable, readable_checkpoints
from gen_experiments.runs.job import is_lasting, is_restart, job_name
from gen_experiments.runs.lock import holder, is_locked, lock, release
from gen_experiments.runs.record import RECORD_FILE, RunRecord, update_record
from gen_experiments.runs.start import Start
from gen_experiments.temporaries import TEMPORARY


@dataclass
class Run:
    """The options that choose the run of a command.

    Attributes:
        name: the name of the experiment; each of its runs gets the next free `version_N`.
        root: the folder of all experiments.
        version: the number of the run that is resumed, scored or begun; None chooses the newest, or the next free one.
        resume: "auto" resumes the run that this job has begun before (SLURM's job and array task, torchrun's run id;
            outside of a job, the newest run of this name and seed that has not ended), and begins one if there is none:
            use it in scripts that may be started again. None does so only if the launcher says that it restarts the
            job.
        init_from: a checkpoint, for example of a model of other data, or its run (the best checkpoint), or weights of
            another program: a state dict of torch, safetensors, a published checkpoint
            (`gen_experiments.checkpoints.layouts`); FILE:NAME chooses among several sets in a file. A new run starts
            from those of its weights that fit; trainer.max_steps=0 only writes their checkpoint.
    """

    name: str = "run"
    root: str = "runs"
    version: int | None = None
    resume: Literal["auto"] | None = None
    init_from: str | None = None

    @property
    def home(self) -> Path:
        """The folder of all runs of this name."""
        return Path(self.root) / self.name

    def start(self, checkpoint: str | None, seed: int | None) -> Start:
        """Finds or makes the folder of a training run, and finds its checkpoint; on the first process only.

        Args:
            checkpoint: "last" resumes the newest run of this name and seed; "best" begins a new run from its best
                checkpoint; a file, or the folder of a run, begins a new run from it; None begins a new run without one.
            seed: the seed of the run.

        Raises:
            UserError: there is no such run or checkpoint, it is in use, or the folder cannot be made.
        """
        if self.init_from is not None and checkpoint not in (None, "last"):
            raise UserError(
                "--run.init_from and --ckpt_path exclude each other: --run.init_from takes only the weights"
            )
        if checkpoint is not None and is_exported(Path(checkpoint)):
            raise UserError(
                f"{checkpoint} is an export, without the optimizers' state: name the checkpoint it was made of"
            )
        try:
            if self.resume == "auto" or is_restart():
                folder = self._own_run(seed)
                if folder is not None:
                    return self._resume(folder, _checkpoint(folder, "last") or self._source(checkpoint, seed))
            if checkpoint == "last":
                return self._resume(*self._with_checkpoint("last", seed))
            return self._new(self._source(checkpoint, seed), seed)
        except OSError as error:
            raise UserError(
                f"cannot write to {self.home}: {error.strerror}; choose another place by --run.root"
            ) from None

    def scored(self, checkpoint: str | None) -> Start:
        """Finds the checkpoint to score or to predict from, and the folder of its run.

        For a file outside of a run, the folder is that of the file.

        Args:
            checkpoint: "last" or "best" of the newest run of this name, a file, or the folder of a run or an export.

        Raises:
            UserError: no checkpoint was named, or there is no such run or checkpoint.
        """
        if checkpoint is None:
            raise UserError("name the checkpoint: --ckpt_path=best, --ckpt_path=last or --ckpt_path=FILE")
        if checkpoint in ("last", "best"):
            return Start(*self._with_checkpoint(checkpoint, None, any_seed=True))
        path = named_checkpoint(checkpoint)
        place = file_of(path).parent
        return Start(place.parent if place.name == CHECKPOINTS else place, path)

    def discard(self, start: Start) -> None:
        """Removes the folder of a new run without a checkpoint, and with it the lock of this process."""
        if start.is_new:
            _remove(start.folder)

    def _source(self, checkpoint: str | None, seed: int | None) -> Path | None:
        """Returns the checkpoint that a new run begins from; None for none."""
        if checkpoint is None or checkpoint == "last":
            return None
        return named_checkpoint(self._with_checkpoint("best", seed)[1] if checkpoint == "best" else checkpoint)

    def _resume(self, folder: Path, path: Path | None) -> Start:
        if not lock(folder):
            raise _in_use(folder)
        for hidden in (folder / CHECKPOINTS).glob(".*"):
            # Left by a kill, as this process has the run. Notebooks and NFS have hidden files of their own there.
            if TEMPORARY.fullmatch(hidden.name) and hidden.is_file():
                hidden.unlink(missing_ok=True)
        if (job := job_name()) is not None:
            update_record(folder, job=job)  # a restart of this job finds the run that the job has resumed
        return Start(folder, path, resumes=True)

    def _new(self, source: Path | None, seed: int | None) -> Start:
        self.home.mkdir(parents=True, exist_ok=True)
        version = max(self._versions(), default=-1) + 1 if self.version is None else self.version
        while True:
            folder = self.home / f"version_{version}"
            try:
                folder.mkdir()
                break
            except FileExistsError:
                if self.version is not None:
                    if is_locked(folder):
                        raise _in_use(folder) from None
                    raise UserError(
                        f"{folder} exists: go on in it by --ckpt_path=last, or leave out --run.version"
                    ) from None
                version += 1  # another run has just taken it
        lock(folder)
        try:
            RunRecord.new(self.name, seed, job_name()).write(folder)
        except OSError:  # on a full disk there may be room for a folder alone
            _remove(folder)
            raise
        return Start(folder, source)

    def _own_run(self, seed: int | None) -> Path | None:
        """Returns the run that this job has begun or resumed; outside of a job, the newest that has not ended.

        A restart within a torchrun without a name returns the run of the start before it. The run is locked, so that no
        process that starts at the same moment returns it too. As the torchruns of a SLURM job share its name, a run
        that another process holds is returned only if there is no other.
        """
        job = job_name()
        held, waiting = None, []
        for folder in self._folders():
            record = RunRecord.read(folder)
            if record is None or record.seed != seed:
                continue
            if job is not None and record.job == job:
                if lock(folder):
                    return folder
                held = held or folder
            elif not is_lasting(record.job) and record.status != "finished":
                waiting.append(folder)
        if held or is_lasting(job) or (job is not None and is_restart()):
            return held
        return next(filter(lock, waiting), None)

    def _with_checkpoint(self, which: str, seed: int | None, any_seed: bool = False) -> tuple[Path, Path]:
        """Returns the newest run that has a checkpoint, and that checkpoint or, if it is unreadable, another one."""
        other_seed: RunRecord | None = None
        for folder in self._folders():
            record = RunRecord.read(folder)
            if not any_seed and record is not None and record.seed != seed:
                if other_seed is None and any(readable_checkpoints(folder)):
                    other_seed = record
                continue
            found = _checkpoint(folder, which)
            if found is not None:
                return folder, found
        named = self.home if self.version is None else self.home / f"version_{self.version}"
        if other_seed is not None:
            raise UserError(
                f"no run in {named} with seed {seed} has a checkpoint, but one with seed {other_seed.seed}: "
                f"set --seed_everything={other_seed.seed}, or name its file by --ckpt_path"
            )
        raise UserError(f"no run in {named} has a readable checkpoint; name another run by --run.name or --run.version")

    def _folders(self) -> Iterator[Path]:
        """Yields the folders of the runs that the options allow, the newest first."""
        versions = self._versions() if self.version is None else [self.version]
        yield from (self.home / f"version_{version}" for version in sorted(versions, reverse=True))

    def _versions(self) -> list[int]:
        found = (re.fullmatch(r"version_(\d+)", path.name) for path in self.home.glob("version_*"))
        return [int(match[1]) for match in found if match]


def _in_use(folder: Path) -> UserError:
    return UserError(f"{folder} is in use by {holder(folder)}: wait for its end, or name another run")


def _remove(folder: Path) -> None:
    """Removes the folder of a run that this process holds.

    The lock is released first: on NFS a folder with an open file cannot be removed. The record goes before it, so that
    no other process takes the run in between.
    """
    with suppress(OSError):
        (folder / RECORD_FILE).unlink()
    release(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _checkpoint(folder: Path, which: str) -> Path | None:
    """Returns a run's checkpoint or, if it is unreadable, another one, and prints so; None without a readable one."""
    wanted = folder / CHECKPOINTS / f"{which}.ckpt"
    if is_readable(wanted):
        return wanted
    instead = next(readable_checkpoints(folder), None)
    if instead is not None:
        state = "cannot be read" if wanted.exists() else "is not there"
        print(f"{wanted} {state}: {instead} is taken instead", flush=True)
    elif wanted.exists():
        print(f"{wanted} cannot be read, and no other checkpoint of that run can", flush=True)
    return instead
