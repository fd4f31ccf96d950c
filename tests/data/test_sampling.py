import numpy as np
import pytest
import torch

import two_processes
from gen_experiments import distributed
from gen_experiments.data.cache import ImageArray
from gen_experiments.data.sampling import EvaluationBatches, TrainingBatches, epoch_order, own_part
from gen_experiments.errors import UserError


def numbered(count):
    """Images whose pixel is their number."""
    pixels = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return ImageArray(pixels, np.arange(count), np.arange(count), "f")


def numbers(batches):
    return [batch.images.flatten().tolist() for batch in batches]


def test_an_epoch_shows_every_image_once_up_to_the_last_incomplete_batch():
    batches = numbers(TrainingBatches(numbered(10), 3, seed=0, flip=False))
    assert [len(batch) for batch in batches] == [3, 3, 3]
    assert len({image for batch in batches for image in batch}) == 9


def test_epochs_differ_and_seeds_differ_and_repeat():
    loader = TrainingBatches(numbered(50), 10, seed=0, flip=False)
    first, second = numbers(loader), numbers(loader)
    assert len(first) == len(second) == 5
    assert first != second
    assert numbers(TrainingBatches(numbered(50), 10, seed=0, flip=False)) == first
    assert numbers(TrainingBatches(numbered(50), 10, seed=1, flip=False)) != first


def test_the_second_of_two_processes(monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    for size in (1, 3):
        with pytest.raises(UserError, match=f"data.batch_size={size} cannot be divided among 2 devices"):
            TrainingBatches(numbered(10), size, seed=0, flip=False)
    assert numbers(EvaluationBatches(numbered(3), 2)) == [[1]]
    assert numbers(EvaluationBatches(numbered(1), 2)) == [[]]  # Lightning takes no loader without a batch


def test_labels_belong_to_their_images():
    for batch in TrainingBatches(numbered(20), 5, seed=0, flip=False):
        assert batch.images.flatten().tolist() == batch.labels.tolist()


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_a_few_batches_are_every_epoch_also_after_a_resumption(stop):
    first, second = numbers(TrainingBatches(numbered(17), 4, seed=0, flip=False))[:2]
    part, resumed = (TrainingBatches(numbered(17), 4, seed=0, flip=False, limit=2, repeat=True) for _ in range(2))

    def endless(loader):
        # Lightning takes no more batches of an epoch than these.
        while True:
            left = 2 - loader.state_dict()["done"] % 2
            yield from (batch.images.flatten().tolist() for _, batch in zip(range(left), loader, strict=False))

    taken, rest = endless(part), endless(resumed)
    found = [next(taken) for _ in range(stop)]
    resumed.load_state_dict(part.state_dict())
    assert found + [next(rest) for _ in range(6 - stop)] == [first, second] * 3


@pytest.mark.parametrize("stop", [0, 1, 3, 4, 5, 9])
def test_a_loaded_state_goes_on_where_it_was_saved(stop):
    whole, part = (TrainingBatches(numbered(17), 4, seed=0, flip=True) for _ in range(2))

    def endless(loader):
        while True:
            for batch in loader:
                yield batch.images.flatten().tolist(), batch.mirrored.tolist()

    expected, taken = endless(whole), endless(part)
    for _ in range(stop):
        assert next(expected) == next(taken)
    resumed = TrainingBatches(numbered(17), 4, seed=0, flip=True)
    resumed.load_state_dict(part.state_dict())
    rest = endless(resumed)
    assert [next(rest) for _ in range(10)] == [next(expected) for _ in range(10)]


def test_half_of_the_images_are_mirrored():
    loader = TrainingBatches(numbered(200), 100, seed=0, flip=True)
    share = torch.cat([batch.mirrored for _ in range(10) for batch in loader]).float().mean()
    assert 0.45 < float(share) < 0.55
    assert all(batch.mirrored is None for batch in TrainingBatches(numbered(20), 5, seed=0, flip=False))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_parts_of_processes_are_the_global_batch_in_order(world):
    batch = epoch_order(12, seed=0, epoch=0)
    assert np.concatenate([own_part(batch, rank, world) for rank in range(world)]).tolist() == batch.tolist()


def batches_of_a_process():
    training = TrainingBatches(numbered(20), 4, seed=0, flip=True)
    evaluation = EvaluationBatches(numbered(11), 4)
    return {
        "training": numbers(training),
        "mirrored": [batch.mirrored.tolist() for batch in training],
        "evaluation": numbers(evaluation),
        "lengths": [len(training), len(evaluation)],
    }


def test_two_processes_share_the_batches_of_one(tmp_path):
    first, second = two_processes.run(batches_of_a_process, tmp_path)
    alone = batches_of_a_process()
    for key in ("training", "mirrored"):
        assert [a + b for a, b in zip(first[key], second[key], strict=True)] == alone[key]
    assert first["training"] != second["training"]
    seen = [image for process in (first, second) for batch in process["evaluation"] for image in batch]
    assert sorted(seen) == list(range(11))


def test_evaluation_keeps_the_order_and_loses_nothing():
    batches = numbers(EvaluationBatches(numbered(11), 4))
    assert [image for batch in batches for image in batch] == list(range(11))


def test_a_batch_may_be_the_whole_split_and_no_more():
    (batch,) = numbers(TrainingBatches(numbered(5), 5, seed=0, flip=False))
    assert sorted(batch) == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="more than the 5 training images"):
        TrainingBatches(numbered(5), 6, seed=0, flip=False)


@pytest.mark.parametrize(("count", "size"), [(10, 2), (8, 4)])
def test_a_state_of_other_batches_begins_the_next_epoch(count, size):
    before = TrainingBatches(numbered(10), 4, seed=0, flip=False)
    next(iter(before))
    batches = TrainingBatches(numbered(count), size, seed=0, flip=False)
    batches.load_state_dict(before.state_dict())
    assert numbers(batches) == epoch_order(count, 0, 1)[: len(batches) * size].reshape(-1, size).tolist()


def test_a_state_beyond_the_epoch_begins_the_next_one():
    """As a file that does not say what its batches were."""
    batches = TrainingBatches(numbered(10), 4, seed=0, flip=False)
    batches.load_state_dict({"epoch": 3, "done": 7})
    assert numbers(batches) == epoch_order(10, 0, 4)[:8].reshape(2, 4).tolist()
