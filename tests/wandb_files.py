"""Reads what the real Weights & Biases client wrote for an offline run."""

import json
import struct
from pathlib import Path

import numpy as np
from PIL import Image

HEADER, BLOCK = 7, 32 * 1024


def records(path):
    """The records of a `.wandb` file: a LevelDB log of protobuf messages after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, pending = Path(path).read_bytes(), HEADER, b""
    while position + 7 <= len(data):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        if kind == 0:
            position += left
            continue
        pending += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = Record()
            record.ParseFromString(pending)
            yield record
            pending = b""


def values(items):
    """The items of a record as a dict, nested where their keys are."""
    nested = {}
    for item in items:
        *path, last = item.nested_key or [item.key]
        place = nested
        for key in path:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)
    return nested


class OfflineRun:
    """An offline run.

    Attributes:
        config: the resolved config.
        history: the logged rows, without those that hold nothing but the client's own columns.
        metrics: for each defined metric, by name or glob, the metric it is drawn against.
    """

    def __init__(self, folder):
        (path,) = Path(folder).glob("wandb/offline-run-*/*.wandb")
        self.config, self.history, self.metrics = {}, [], {}
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.config |= values(record.run.config.update)
            elif kind == "config":
                self.config |= values(record.config.update)
            elif kind == "history":
                self.history.append(values(record.history.item))
            elif kind == "metric":
                self.metrics[record.metric.name or record.metric.glob_name] = record.metric.step_metric

    def logged(self, name):
        """All values logged under `name`, each with the images seen in the same row."""
        return [(row.get("images_seen"), row[name]) for row in self.history if name in row]


def table(folder, name, images_seen=64):
    """The columns and rows of a table that was logged once, at the end, with its pictures read."""
    assert [seen for seen, _ in OfflineRun(folder).logged(f"val/{name}_table")] == [images_seen]
    # The client keeps what it has not uploaded elsewhere.
    artifacts = [record.artifact for path in folder.rglob("*.wandb") for record in records(path)]
    (files,) = ({each.path: each.local_path for each in held.manifest.contents} for held in artifacts if held.type)
    held = json.loads(Path(next(files[path] for path in files if path.endswith(".table.json"))).read_text())

    def cell(value):
        return np.asarray(Image.open(files[value["path"]])) if isinstance(value, dict) else value

    return held["columns"], [[cell(value) for value in row] for row in held["data"]]
