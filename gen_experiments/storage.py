"""Files that several processes may want at once: the cache folder, and writes that happen whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_root() -> Path:
    """The folder for what can be made again: `$GEN_EXPERIMENTS_CACHE`, else `~/.cache/gen_experiments`."""
    chosen = os.environ.get("GEN_EXPERIMENTS_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gen_experiments"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path` to write to, and renames it to `path` when the block ends without an error.

    A reader never sees half a file, and of several writers the last one wins.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Named before it exists: whatever interrupts this, at any moment, the file is found and removed.
    temporary = path.with_name(f".{path.stem[:40]}-{uuid.uuid4().hex}{path.suffix}")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
