import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.artifacts.sample_ids import clean_id, id_problem, stored_name


@pytest.mark.parametrize(
    "sample_id", ["a", "A01_f1.2-x", "Müller 6", "well A1 (2)", "p 1/A #1/ß,;=&%", "細胞/一", "a\u00a0b", "_x", "-1"]
)
def test_printable_text_and_folders_are_valid_ids(sample_id: str) -> None:
    assert id_problem(sample_id) == ""


@pytest.mark.parametrize(
    ("sample_id", "problem"),
    [
        ("", "is empty"),
        ("a\tb", r"has the character U+0009 (a control character), which cannot be seen"),
        ("a\u200bb", r"has the character U+200B (ZERO WIDTH SPACE), which cannot be seen"),
        ("a\u2028b", r"has the character U+2028 (LINE SEPARATOR)"),
        ("a\udcfc", "is not in UTF-8: rename the file"),
        (r"plate1\A01", "has a backslash: expected '/' between folders"),
        ("../a", "begins with a dot"),
        ("/a", "has a part that is empty"),
        ("a//b", "has a part that is empty"),
        ("a/.b", "begins with a dot"),
    ],
)
def test_an_invalid_id_is_explained(sample_id: str, problem: str) -> None:
    assert problem in id_problem(sample_id)


def test_an_id_is_the_same_in_both_unicode_forms() -> None:
    assert clean_id(unicodedata.normalize("NFD", " Müller 6 ")) == "Müller 6"


@pytest.mark.parametrize("sample_id", ["a", "A01_f1.2-x", "0f9a-4d", "b" * 200])
def test_plain_ids_are_stored_under_their_own_names(sample_id: str) -> None:
    assert stored_name(sample_id) == sample_id


@pytest.mark.parametrize(
    ("sample_id", "readable"),
    [
        ("plate 1/A01", "_plate_1_A01-"),
        ("Müller (6)", "_Muller_6-"),
        ("細胞", "_-"),
        ("b" * 201, f"_{'b' * 80}-"),
        ("_a", "_a-"),
    ],
)
def test_other_ids_are_stored_under_a_readable_part_and_a_hash(sample_id: str, readable: str) -> None:
    name = stored_name(sample_id)
    assert name.startswith(readable)
    assert len(name) == len(readable) + 16


@given(st.lists(st.text(min_size=1).map(clean_id).filter(lambda one: not id_problem(one)), unique=True, min_size=2))
def test_stored_names_are_safe_and_differ(ids: list[str]) -> None:
    names = [stored_name(sample_id) for sample_id in ids]
    assert len(set(names)) == len(ids)
    for name in names:
        assert name.isascii()
        assert name.replace("_", "").replace("-", "").replace(".", "").isalnum()
        assert len(name) <= 200
