import pytest

from components.artifacts.image_names import ALL_CHANNELS, COMPETITION_NAMES, ImageNames, check_pattern, parse_filters

_OWN = "red=tubulin,green=antibody,blue=DAPI"


@pytest.mark.parametrize(
    ("pattern", "filters", "path", "expected"),
    [
        ("{id}_{filter}.png", "", "a_b_green.png", ("a_b", "green")),
        ("{id}_{filter}.png", "", "A_GREEN.PNG", ("A", "green")),
        ("{id}_{filter}.png", "", "plate1/A01_red.png", ("plate1/A01", "red")),
        ("{id}-{filter}.png", _OWN, "A01-dapi.png", ("A01", "blue")),
        ("{id}_ch{filter}.png", "red=0,green=1,blue=2", "plate 1/A01 f1_ch2.png", ("plate 1/A01 f1", "blue")),
        ("{filter}/{id}.png", _OWN, "antibody/A01.png", ("A01", "green")),
        ("{id}/{filter}.png", _OWN, "p1/A01/tubulin.png", ("p1/A01", "red")),
        ("{id}_{filter}_*.png", _OWN, "A01_DAPI_20240103.png", ("A01", "blue")),
        ("{id}_{filter}.png", "red=er,green=my_er,blue=x", "a_my_er.png", ("a", "green")),
        ("{id}_{filter}.png", "", "Mu\u0308ller (6)_red.png", ("Müller (6)", "red")),
        ("{id}.ome.tif", "", "p1/A01.OME.TIF", ("p1/A01", ALL_CHANNELS)),
        ("{id}/*.jpg", "red=0,green=1,blue=2", "A01/composite.jpg", ("A01", ALL_CHANNELS)),
        ("{id}.{filter}.png", "red=a+b,green=(c),blue=d", "s.(c).png", ("s", "green")),
    ],
)
def test_a_path_is_parsed_to_sample_and_filter(pattern: str, filters: str, path: str, expected: tuple[str, str]) -> None:
    assert ImageNames(pattern, filters).parse(path) == expected


@pytest.mark.parametrize(
    "path", ["a_pink.png", "a_red.jpg", "_red.png", "red.png", "._a_red.png", "p/._a_red.png", ".cache/a_red.png", "train.csv"]
)
def test_other_and_hidden_files_are_ignored(path: str) -> None:
    assert COMPETITION_NAMES.parse(path) is None


def test_a_file_with_all_channels_is_parsed() -> None:
    assert ImageNames("{id}_{filter}.tif", _OWN).channels == {}
    assert ImageNames("{id}.tif", _OWN).channels == {"red": "tubulin", "green": "antibody", "blue": "DAPI"}
    assert ImageNames("{id}.tif").channels == {"red": "red", "green": "green", "blue": "blue", "yellow": "yellow"}


def test_two_files_with_all_channels_of_a_sample_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^Two files are sample a: a\.tif and a\.TIF\. Rename"):
        ImageNames("{id}.tif").by_sample(["a.tif", "a.TIF"])


def test_yellow_is_unknown_if_it_was_left_out() -> None:
    assert ImageNames(filters=_OWN).parse("a_yellow.png") is None


def test_two_files_of_the_same_filter_are_refused_with_their_names() -> None:
    with pytest.raises(ValueError, match=r"Two files are the red filter of sample a: a_red\.png and a_RED\.png\. Rename"):
        COMPETITION_NAMES.by_sample(["a_red.png", "a_RED.png"])
    with pytest.raises(ValueError, match=r"of sample ü: .* \(the same text in two Unicode forms\)\. Rename"):
        COMPETITION_NAMES.by_sample(["\u00fc_red.png", "u\u0308_red.png"])


def test_a_folder_and_an_underscore_give_different_ids() -> None:
    assert COMPETITION_NAMES.by_sample(["p/a_red.png", "p_a_red.png"]).keys() == {"p/a", "p_a"}


def test_the_example_name_can_be_parsed() -> None:
    names = ImageNames("{filter}/{id}.png", _OWN)
    assert names.example("A01") == "antibody/A01.png"
    assert names.parse(names.example("A01")) == ("A01", "green")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "{filter}.png",
        "{id}_{id}_{filter}.png",
        "{id}_{filter}.gif",
        "{id}_{filter}_{filter}.png",
        "/{id}_{filter}.png",
        "../{id}_{filter}.png",
    ],
)
def test_an_ambiguous_pattern_or_one_outside_the_folder_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"^expected"):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ("red=a,green=b", "blue missing"),
        ("red=a,green=A,blue=c", "one name twice"),
        ("red=a,green=b,blue=", "'blue=' is not one"),
        ("red=a,green=b,blue=c,pink=d", "'pink=d' is not one"),
        ("tubulin,antibody,DAPI", "'tubulin' is not one"),
        ("red=a,red=b,green=c,blue=d", "'red=b' is not one"),
    ],
)
def test_wrong_stains_are_refused_with_the_received_value(filters: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_filters(filters)


def test_stains_may_be_given_in_any_order_and_with_spaces() -> None:
    assert list(parse_filters("blue = DAPI, green=GFP ,red=tubulin").items()) == [
        ("red", "tubulin"),
        ("green", "GFP"),
        ("blue", "DAPI"),
    ]


def test_a_name_with_a_comma_is_quoted_with_its_stain() -> None:
    assert parse_filters('"red=Alexa 568, far", green=2,blue=DAPI') == {"red": "Alexa 568, far", "green": "2", "blue": "DAPI"}
