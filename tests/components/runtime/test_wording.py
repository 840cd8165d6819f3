from components.runtime.wording import count_of, duration_of, shorten, size_of, time_of


def test_one_is_singular_and_thousands_are_separated() -> None:
    assert [count_of(number, "image") for number in (0, 1, 2000)] == ["0 images", "1 image", "2,000 images"]
    assert [count_of(number, "class", "classes") for number in (1, 2)] == ["1 class", "2 classes"]


def test_sizes_have_a_suitable_unit() -> None:
    sizes = [size_of(number) for number in (1, 999, 1500, 2_000_000, 17_000_000_000, 220_400_000)]
    assert sizes == ["1 byte", "999 bytes", "1.5 kB", "2.0 MB", "17.0 GB", "220 MB"]


def test_durations_have_their_two_largest_units() -> None:
    assert [duration_of(number) for number in (0.4, 59.5, 125, 6000)] == ["0 s", "1 min 0 s", "2 min 5 s", "1 h 40 min"]


def test_times_are_in_utc() -> None:
    assert time_of(1_000_000_000.5) == "2001-09-09 01:46 UTC"


def test_long_lists_are_cut_off() -> None:
    assert shorten([1, 2]) == "1, 2"
    assert shorten(["a" * 50, "b" * 50]) == f"{'a' * 40}…{'b' * 39}"
    assert shorten("0123456789", 9) == "0123…6789"
    assert shorten("0123456789", 10) == "0123456789"
