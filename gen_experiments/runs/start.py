"""Where a command starts: the folder of its run, and a checkpoint."""

import json
from dataclasses import dataclass
from pathlib import Path

from gen_experiments.checkpoints.paths import CHECKPOINTS
from gen_experiments.runs.checkpoint_files import readable_checkpoints


@dataclass(frozen=True)
class Start:
    """The folder that a command writes to, and the checkpoint that it starts from.

    Attributes:
        folder: the run's folder.
        checkpoint: the file to start from; None for a start without one.
        resumes: whether the run in the folder is resumed; else it is new.
    """

    folder: Path
    checkpoint: Path | None = None
    resumes: bool = False

    @property
    def is_new(self) -> bool:
        """Whether the run is new and has no checkpoint, so that its folder holds nothing until an iteration ends."""
        return not self.resumes and next(readable_checkpoints(self.folder), None) is None

    @property
    def begins_again(self) -> bool:
        """Whether the run was begun before and has no checkpoint of its own: it starts where it started then."""
        return self.resumes and (self.checkpoint is None or self.checkpoint.parent != self.folder / CHECKPOINTS)

    def to_json(self) -> str:
        """Returns the start as text, for other processes."""
        checkpoint = None if self.checkpoint is None else str(self.checkpoint)
        return json.dumps([str(self.folder), checkpoint, self.resumes])

    @classmethod
    def from_json(cls, text: str) -> "Start":
        """Returns the start that `to_json` has written."""
        folder, checkpoint, resumes = json.loads(text)
        return cls(Path(folder), None if checkpoint is None else Path(checkpoint), resumes)
