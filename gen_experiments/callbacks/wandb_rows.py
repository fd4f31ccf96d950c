"""The rows that a run logged to Weights & Biases, and how many of them a killed client has kept."""

import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gen_experiments.runs.table import named_errors
from gen_experiments.storage import append_line

if TYPE_CHECKING:
    from wandb import Run

# The client's files: a header, and blocks of records in LevelDB's log format, each a checksum, a length and a kind.
FILE_HEADER, BLOCK, RECORD_HEADER = 7, 32 * 1024, struct.Struct("<IHB")
WHOLE, LAST_PART = 1, 4


class WandbRows:
    """The file `wandb/rows.jsonl` in a run's folder: a line for each row that was passed to the client.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "wandb"
        self._path = self._folder / "rows.jsonl"

    def append(self, row: Mapping[str, Any]) -> None:
        """Appends a row; media are stored by name only.

        Raises:
            UserError: the file cannot be written.
        """
        noted = {name: float(value) if isinstance(value, (int, float)) else None for name, value in row.items()}
        with named_errors(self._path):
            self._folder.mkdir(parents=True, exist_ok=True)
            append_line(self._path, json.dumps(noted) + "\n")

    def all(self) -> list[dict[str, float | None]]:
        """Returns all rows in order, without those that a power cut has left incomplete."""
        rows = []
        with suppress(FileNotFoundError):
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError):
                    rows.append(json.loads(line))
        return rows

    def num_arrived(self, run: "Run") -> int:
        """Returns how many rows have arrived at the server or in files that can be uploaded.

        An incomplete end of these files is removed, because `wandb sync` would stop there.
        """
        pattern = "*run-*" if run.offline else "offline-run-*"
        now = Path(run.dir).parent.name
        files = [file for file in self._folder.glob(f"{pattern}/run-{run.id}.wandb") if file.parent.name != now]
        return max(run.starting_step, sum(map(_rows_in, files)))


def _rows_in(path: Path) -> int:
    """Returns the number of history rows in a file of the client; removes an incomplete end."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    data, rows, end = path.read_bytes(), 0, FILE_HEADER
    for content, reached in _records(data):
        end = reached
        rows += Record.FromString(content).HasField("history")
    if end < len(data):
        os.truncate(path, end)
    return rows


def _records(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yields the complete records of such a file, and where each ends."""
    position, parts = FILE_HEADER, b""
    while position + RECORD_HEADER.size <= len(data):
        left_in_block = BLOCK - position % BLOCK
        if left_in_block < RECORD_HEADER.size:
            position += left_in_block
            continue
        _, length, kind = RECORD_HEADER.unpack_from(data, position)
        position += RECORD_HEADER.size
        content = data[position : position + length]
        if not kind or len(content) < length:
            return
        position += length
        parts += content
        if kind in (WHOLE, LAST_PART):
            yield parts, position
            parts = b""
