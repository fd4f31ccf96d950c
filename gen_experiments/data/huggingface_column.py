"""The column of pictures in a data set of Hugging Face's library."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from gen_experiments.data.picture_decoding import Encoded
from gen_experiments.errors import UserError, quoted

BYTES = ("binary", "large_binary")  # as Arrow calls them


class Column:
    """The pictures of a split by the numbers of their rows, in memory-mapped files of the library.

    The column holds the library's images, which it does not decode here; the bytes of files of pictures or of .npy
    files; or arrays, `Array2D` and `Array3D`, which are returned as the bytes of .npy files.

    Args:
        rows: the split.
        name: of the column.
        path: of the data set, for messages.
        split: of the rows, for messages.

    Raises:
        UserError: the column holds something else.
    """

    def __init__(self, rows: Any, name: str, path: str, split: str) -> None:
        import datasets

        kind = rows.features[name]
        rows = rows.with_format(None).select_columns([name])
        self._arrays = isinstance(kind, (datasets.Array2D, datasets.Array3D))
        if isinstance(kind, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
        elif self._arrays:
            rows = rows.with_format("arrow")  # a hundred times faster than numbers of Python
        elif not isinstance(kind, datasets.Value) or kind.dtype not in BYTES:
            raise UserError(
                f"column {name} of {path} holds no pictures but {quoted(kind)}: images, bytes of encoded ones, or "
                "Array2D and Array3D are"
            )
        self._rows, self._column, self._name = rows, name, f"{path} {split} row"

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self._rows)

    def __getitem__(self, number: int, /) -> Path | Encoded:
        """Returns the picture of a row.

        Raises:
            UserError: there is none.
        """
        cell = self._rows[number][self._column]
        if self._arrays:
            cell = None if cell.null_count else _file_of(cell)
        if isinstance(cell, dict):
            cell = cell["path"] if cell["bytes"] is None else cell["bytes"]
        if cell is None:
            raise UserError(f"{self._name} {number} holds no picture: remove it")
        return Path(cell) if isinstance(cell, str) else Encoded(f"{self._name} {number}", cell)


def _file_of(cell: Any) -> bytes:
    """Returns the bytes of a .npy file with the only array of an Arrow column."""
    file = io.BytesIO()
    np.save(file, cell.chunk(0).to_numpy(zero_copy_only=False)[0], allow_pickle=False)
    return file.getvalue()
