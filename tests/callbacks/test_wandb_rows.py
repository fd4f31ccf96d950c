"""How many rows the files of a killed client hold: in LevelDB's log format, written here by its description."""

import struct
from types import SimpleNamespace

import pytest
from wandb.proto.wandb_internal_pb2 import Record

from gen_experiments.callbacks.wandb_rows import WandbRows

HEADER, BLOCK = 7, 32 * 1024


def row(size):
    """A record of one row whose bytes are `size`."""
    record = Record()
    item = record.history.item.add()
    item.key, item.value_json = "loss", "1" * (size - 40)
    item.value_json += "1" * (size - record.ByteSize())
    assert record.ByteSize() == size
    return record.SerializeToString()


def log(*contents):
    """A file of these records: split where a block of 32 KiB ends, whose last bytes stay empty if no header fits."""
    data = bytes(HEADER)
    for content in contents:
        first = True
        while first or content:
            left = BLOCK - len(data) % BLOCK
            if left < HEADER:
                data += bytes(left)
                continue
            part, content = content[: left - HEADER], content[left - HEADER :]
            kind = (1 if first else 4) if not content else (2 if first else 3)
            data += struct.pack("<IHB", 0, len(part), kind) + part
            first = False
    return data


other = Record()
other.output.line = "epoch 1"
# The first leaves three bytes of its block, and the second lies in four blocks.
FIRST, LONG, LAST = row(BLOCK - 2 * HEADER - 3), row(100_000), row(300)
WHOLE = log(FIRST, other.SerializeToString(), LONG, LAST)


@pytest.mark.parametrize(
    ("held", "arrived", "left"),
    [
        (WHOLE, 3, len(WHOLE)),
        (WHOLE[:-1], 2, len(WHOLE) - 300 - HEADER),
        (WHOLE + bytes(20), 3, len(WHOLE)),  # as after a power cut
        (WHOLE[:90_000], 1, len(log(FIRST, other.SerializeToString()))),
    ],
)
def test_the_rows_of_a_killed_client_are_counted_and_an_incomplete_end_is_removed(tmp_path, held, arrived, left):
    files = [tmp_path / "wandb" / f"offline-run-{number}" / "run-abc.wandb" for number in range(3)]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_bytes(log(LAST))
    files[0].write_bytes(held)
    # The last folder is that of the run as it goes on, which is being written.
    now = SimpleNamespace(id="abc", offline=True, dir=str(files[2].parent / "files"), starting_step=0)
    assert WandbRows(tmp_path).num_arrived(now) == arrived + 1
    assert [file.stat().st_size for file in files] == [left, *[len(log(LAST))] * 2]
