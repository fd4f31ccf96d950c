import pytest
import torch

import two_processes
from gen_experiments import distributed, randomness


def _collectives():
    rows = torch.arange(6.0).reshape(2, 3) + 10 * distributed.rank()
    source = randomness.generator("cpu", 7, 1)
    given = torch.full((2, 3), 1.0 + distributed.rank())
    transposed = distributed.all_reduce_sum(rows.t())
    distributed.barrier()
    waits: list[int] = []
    parts = [part.tolist() for part in map(torch.tensor, distributed.own_parts(20, 4, lambda: waits.append(1)))]
    return {
        "parts": (parts, len(waits)),
        "world": (distributed.is_distributed(), distributed.world_size(), distributed.rank()),
        "sum": distributed.all_reduce_sum(given),
        "given": given,
        "transposed": transposed,
        "rows": distributed.all_gather_rows(rows),
        "normal": randomness.randn_rows(3, 4, rng=source),
        "uniform": randomness.rand_rows(2, 1, 1, 1, rng=source),
        "integers": randomness.randint_rows(5, 100, rng=source),
        "in_parts": _in_parts(2, source),
    }


def _in_parts(count, source):
    """What a process draws for a batch of four rows in `count` parts, and behind them."""
    parts = []
    for number in range(count):
        with randomness.rows_of_part(number, count, source):
            parts.append(
                (randomness.randn_rows(4 // count, 3, rng=source), randomness.rand_rows(4 // count, 1, rng=source))
            )
    return [*map(torch.cat, zip(*parts, strict=True)), randomness.rand_rows(2, 1, rng=source)]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return two_processes.run(_collectives, tmp_path_factory.mktemp("gloo"))


def test_one_process_needs_no_group():
    tensor = torch.arange(4.0)
    assert not distributed.is_distributed()
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
    assert torch.equal(distributed.all_reduce_sum(tensor), tensor)
    assert torch.equal(distributed.all_gather_rows(tensor), tensor)
    distributed.barrier()


def test_work_is_divided_by_parts_and_all_wait_equally_often(results):
    first, second = [[0, 1, 2, 3], [8, 9, 10, 11], [16, 17, 18, 19]], [[4, 5, 6, 7], [12, 13, 14, 15]]
    assert [each["parts"] for each in results] == [(first, 2), (second, 2)]
    waits: list[int] = []
    assert list(distributed.own_parts(5, 3, lambda: waits.append(1))) == [range(3), range(3, 5)]
    assert len(waits) == 2
    assert list(distributed.own_parts(0, 3)) == []


def test_two_processes_know_each_other(results):
    assert [result["world"] for result in results] == [(True, 2, 0), (True, 2, 1)]


def test_sums_reach_both_and_leave_the_argument_alone(results):
    for rank, result in enumerate(results):
        assert torch.equal(result["sum"], torch.full((2, 3), 3.0))
        assert torch.equal(result["given"], torch.full((2, 3), 1.0 + rank))


def test_a_tensor_that_is_not_contiguous_is_summed_too(results):
    expected = (2 * torch.arange(6.0).reshape(2, 3) + 10).t()
    assert all(torch.equal(result["transposed"], expected) for result in results)


def test_rows_are_gathered_in_rank_order(results):
    first = torch.arange(6.0).reshape(2, 3)
    for result in results:
        assert torch.equal(result["rows"], torch.cat([first, first + 10]))


def test_two_processes_draw_what_one_draws(results):
    source = randomness.generator("cpu", 7, 1)
    whole = {
        "normal": randomness.randn_rows(6, 4, rng=source),
        "uniform": randomness.rand_rows(4, 1, 1, 1, rng=source),
        "integers": randomness.randint_rows(10, 100, rng=source),
    }
    for name, expected in whole.items():
        assert torch.equal(torch.cat([result[name] for result in results]), expected)
    in_parts = [torch.cat(each) for each in zip(*(result["in_parts"] for result in results), strict=True)]
    expected = [randomness.randn_rows(8, 3, rng=source), randomness.rand_rows(8, 1, rng=source)]
    assert all(map(torch.equal, in_parts, [*expected, randomness.rand_rows(4, 1, rng=source)]))
