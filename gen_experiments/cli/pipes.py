"""Command lines that name pipes, for runs of several processes."""

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gen_experiments.errors import UserError


@contextmanager
def pipes_as_files(arguments: list[str]) -> Iterator[list[str]]:
    """Yields the arguments with temporary files in the place of pipes, such as the one of `--config <(…)`.

    A pipe can be read only once, and only by this process. Lightning starts the processes of the other devices with
    `sys.argv`, which also names the files inside this context.

    Args:
        arguments: the words of a command line.

    Raises:
        UserError: a pipe cannot be read.
    """
    paths = [word.rpartition("=")[2] for word in arguments]
    pipes = {path for path in paths if _is_pipe(path)}
    if not pipes:
        yield arguments
        return
    before = sys.argv
    with tempfile.TemporaryDirectory(prefix="gen_experiments-") as folder:
        # The names of the files end in those of the pipes, so that messages name the pipes.
        files = {pipe: Path(folder) / os.path.abspath(pipe).lstrip(os.sep) for pipe in pipes}
        for pipe, file in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                file.write_bytes(Path(pipe).read_bytes())
            except OSError as error:
                raise UserError(f"{pipe} cannot be read: {error.strerror}") from error
        words = [
            word.removesuffix(path) + str(files[path]) if path in files else word
            for word, path in zip(arguments, paths, strict=True)
        ]
        try:
            if arguments == sys.argv[1:]:
                sys.argv = [sys.argv[0], *words]
            yield words
        finally:
            sys.argv = before


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
