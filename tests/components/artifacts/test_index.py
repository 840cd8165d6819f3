import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.artifacts.index import ImageFile, Sample, at_line, dump_index, kind_of, read_index
from components.artifacts.labels import FILTERS

# No carriage return: a source reads its text with every line end turned into a line feed, and csv before Python 3.13 would
# not quote it.
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20)
_files = st.builds(
    ImageFile, name=_texts.filter(bool), num_bytes=st.integers(0, 2**40), crc32c=st.from_regex(r"[0-9a-f]{8}", fullmatch=True)
)
_samples = st.builds(
    Sample,
    sample_id=_texts,
    labels=st.frozensets(st.integers(0, 99), max_size=5).map(lambda labels: tuple(sorted(labels))),
    batch=st.integers(0, 1000),
    reason=_texts,
    files=st.dictionaries(st.sampled_from(FILTERS), _files),
    group=_texts,
    columns=st.dictionaries(_texts.filter(bool), _texts.filter(bool), max_size=3),
)


@pytest.fixture(scope="module")
def index_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file to which each example of a property test writes its index."""
    return tmp_path_factory.mktemp("index") / "index.csv.gz"


@given(samples=st.lists(_samples, max_size=5))
def test_an_index_is_read_as_it_was_written(index_path: Path, samples: list[Sample]) -> None:
    index_path.write_bytes(dump_index(samples))
    assert read_index(str(index_path)) == samples


def test_bytes_do_not_depend_on_the_order_of_the_filters() -> None:
    files = {name: ImageFile(f"a_{name}.png", 7, "00c0ffee") for name in FILTERS}
    other_order = {name: files[name] for name in reversed(FILTERS)}
    assert dump_index([Sample("a", (1,), 0, "", files)]) == dump_index([Sample("a", (1,), 0, "", other_order)])


def test_an_index_is_a_table_that_a_spreadsheet_opens() -> None:
    files = {"green": ImageFile("a_green.png", 7, "00c0ffee")}
    assert gzip.decompress(dump_index([Sample("a", (0, 16), 2, "no, none", files)])).decode() == (
        "id,labels,batch,reason,red_file,red_bytes,red_crc32c,green_file,green_bytes,green_crc32c,"
        "blue_file,blue_bytes,blue_crc32c,yellow_file,yellow_bytes,yellow_crc32c\n"
        'a,0 16,2,"no, none",,,,a_green.png,7,00c0ffee,,,,,,\n'
    )


def test_groups_and_other_columns_are_written_if_present() -> None:
    samples = [Sample("a", (1,), 0, "", {}, "P1", {"Plate": "P1"}), Sample("b", (), 0, "", {}, "", {"Note": "x"})]
    header, *rows = gzip.decompress(dump_index(samples)).decode().splitlines()
    assert header.endswith("yellow_crc32c,group,column:Plate,column:Note")
    assert [row[-7:] for row in rows] == [",P1,P1,", ",,,,,,x"]


@pytest.mark.parametrize(("content", "header"), [(b"id,labels\na,0\n", "id,labels"), (b"", "")], ids=["other columns", "empty"])
def test_another_table_is_refused_with_the_file_name(tmp_path: Path, content: bytes, header: str) -> None:
    path = tmp_path / "index.csv.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=rf"{path}: expected an index of samples\. Received: {header}, not the columns"):
        read_index(str(path))


def test_kind_of_a_reason_ignores_lines() -> None:
    reasons = [at_line("Target is empty", *place) for place in (("train.csv", 2), ("train.csv", 33), ("my labels (2).csv", 4))]
    assert reasons[0] == "Target is empty (train.csv, line 2)"
    assert {kind_of(reason) for reason in reasons} == {kind_of("Target is empty")} == {"Target is empty"}


def test_kind_of_a_reason_ignores_numbers() -> None:
    reasons = [f"16-bit, with grey levels from {low} to {high}" for low, high in (("0", "4095"), ("-0.5", "1e+03"))]
    assert len({kind_of(reason) for reason in reasons}) == 1
    assert kind_of("the red filter is missing") != kind_of("the green filter is missing")
