"""The words in which a mistake on the command line is explained: what was meant, and what is accepted."""

import pytest

from gen_experiments.cli.mistakes import one_line, suggestion

MANY = [f"key_{letter}" for letter in "abcdefghijklmnopqrstuvwxy"]


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("nam", ["name", "root"], "; did you mean name? (accepted: name, root)"),
        ("zzz", ["name", "root"], " (accepted: name, root)"),
        # The beginning of one key, and that of several.
        ("val_s", ["val_size", "cache"], "; did you mean val_size? (accepted: val_size, cache)"),
        ("v", ["val_size", "cache"], " (accepted: val_size, cache)"),
        ("val", ["val_size", "val_share"], " (accepted: val_size, val_share)"),
        # The first wrong word counts, and only what may stand in its place.
        ("run.nam", ["run.name", "run.root", "data.names"], "; did you mean run.name? (accepted: name, root)"),
        ("run.nam.x", ["run.name.x", "run.root"], "; did you mean run.name? (accepted: name, root)"),
        # A key of a section, without the section.
        (
            "max_steps",
            ["trainer.max_steps", "data.size"],
            "; did you mean trainer.max_steps? (accepted: trainer, data)",
        ),
        # A right word, with keys below it that it has not.
        ("size.x", ["size", "crop"], " (accepted: size, crop)"),
        # Of many keys the nearest is enough; without one the first are listed.
        ("key", ["key_a"] * 30, "; did you mean key_a? (accepted: key_a)"),
        ("key_aa", MANY, "; did you mean key_a?"),
        ("zzz", MANY, f" (accepted: {', '.join(MANY[:24])}, …)"),
        ("zzz", [], ""),
    ],
)
def test_what_was_meant_and_what_is_accepted(name, known, said):
    assert suggestion(name, known) == said


def test_words_that_are_accepted_too_are_suggested_and_not_listed():
    assert suggestion("clas_path", ["size"], ["class_path"]) == "; did you mean class_path? (accepted: size)"
    assert suggestion("run.clas_path", ["run.size"], ["class_path"]) == " (accepted: size)"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Does not validate:\n  - Expected a int. Got value: x", "Expected an int. Got value: x"),
        ("Some other complaint\n- there is no class A; did you mean B?", "there is no class A; did you mean B?"),
        ('Parser key "model":\n  Parser key "width":\n    Expected a int', "model.width: Expected an int"),
        ("Expected a <class 'float'>. Got value: Namespace(a=1, b=2)", "Expected a float"),
        (
            "Not a valid subclass of Source. More",
            "it is no class of Source: give class_path, and the options below init_",
        ),
        ("Given value: 3", "Given value: 3"),
        ('Parser key "model":', 'Parser key "model":'),
    ],
)
def test_of_a_message_of_many_lines_the_mistake_is_told(message, said):
    assert one_line(message).startswith(said)
    assert "Namespace" not in one_line(message)
