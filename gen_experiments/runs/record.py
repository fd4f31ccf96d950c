"""The identity of a run: `run.json` in its folder, by which a restart finds the run."""

import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from gen_experiments.errors import UserError
from gen_experiments.storage import atomic_write, file_sha256

RECORD_FILE = "run.json"
ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class RunRecord:
    """The identity and the status of a run.

    Attributes:
        id: unique, by default eight letters and digits; also the run's id at Weights & Biases.
        name: the name of the experiment.
        seed: the seed of the run; None for none.
        job: the job that a scheduler started the run in, such as "slurm-17_2"; None outside of one.
        status: "running", also after a kill; "stopped" by a signal or an error; "finished" at its end.
        began_with: the files of the weights that it began with, by their absolute paths, and their SHA-256.
    """

    id: str
    name: str
    seed: int | None = None
    job: str | None = None
    status: Literal["running", "stopped", "finished"] = "running"
    began_with: dict[str, str] = field(default_factory=dict)

    @classmethod
    def new(cls, name: str, seed: int | None, job: str | None) -> "RunRecord":
        """Returns the record of a new run; a sweep's agent sets its id by `$WANDB_RUN_ID`."""
        chosen = os.environ.get("WANDB_RUN_ID")
        return cls(chosen or "".join(secrets.choice(ID_LETTERS) for _ in range(8)), name, seed, job)

    @classmethod
    def read(cls, folder: Path) -> "RunRecord | None":
        """Returns the record of the run in a folder; None without one.

        Raises:
            UserError: the file is damaged.
        """
        path = folder / RECORD_FILE
        try:
            contents = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{each.name: contents[each.name] for each in fields(cls) if each.name in contents})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise UserError(f"{path} is damaged ({error}): remove it, or name another run") from None

    def write(self, folder: Path) -> None:
        """Writes the record into the run's folder."""
        with atomic_write(folder / RECORD_FILE) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def update_record(folder: Path, **fields: Any) -> None:
    """Changes fields of the record in a folder; does nothing without a record."""
    record = RunRecord.read(folder)
    if record is not None:
        replace(record, **fields).write(folder)


def record_origin(folder: Path, files: Iterable[Path]) -> None:
    """Writes into the record of a new run which files of weights it begins with.

    Raises:
        UserError: a file cannot be read any more.
    """
    try:
        update_record(folder, began_with={str(file.absolute()): file_sha256(file) for file in files})
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror or error}") from error
