from components.artifacts.counting import count_of


def test_one_is_singular_and_thousands_are_set_apart() -> None:
    assert [count_of(number, "image") for number in (0, 1, 2000)] == ["0 images", "1 image", "2,000 images"]
    assert [count_of(number, "class", "classes") for number in (1, 2)] == ["1 class", "2 classes"]
