"""Which values of a row are new."""

from gen_experiments.runs.logged import LoggedValues


def test_a_row_is_new_once():
    logged = LoggedValues()
    row = {"loss": 0.5, "images_seen": 16.0, "epoch": 0, "step": 0}
    assert logged.new(row) == row
    assert logged.new(row) == {}
    assert logged.new({**row, "images_seen": 8.0}) == {}
    assert logged.new({**row, "images_seen": 17.0}) == {**row, "images_seen": 17.0}


def test_only_the_new_values_of_a_row_are_kept():
    logged = LoggedValues()
    logged.new({"loss": 0.5, "images_seen": 16.0})
    assert logged.new({"loss": 0.5, "speed": 3.0, "images_seen": 16.0}) == {"speed": 3.0, "images_seen": 16.0}


def test_steps_count_where_images_do_not():
    logged = LoggedValues()
    assert logged.new({"lr": 0.1, "step": 2})
    assert not logged.new({"lr": 0.1, "step": 2})
    assert logged.new({"lr": 0.1, "step": 3})


def test_the_first_position_of_a_curve_may_be_0():
    assert LoggedValues().new({"lr": 0.1, "step": 0})
    assert LoggedValues().new({"fid": 9.0, "images_seen": 0.0})


def test_rows_without_a_position_are_always_new():
    logged = LoggedValues()
    assert logged.new({"note": 1.0}) == logged.new({"note": 1.0}) == {"note": 1.0}


def test_what_an_earlier_part_has_logged_is_not_new():
    logged = LoggedValues()
    logged.advance(["loss", "images_seen"], 32.0)
    assert logged.new({"loss": 0.5, "images_seen": 32.0}) == {}
    assert logged.new({"loss": 0.5, "images_seen": 48.0})
