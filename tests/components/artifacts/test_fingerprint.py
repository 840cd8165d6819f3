import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.artifacts.fingerprint import fingerprint

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_mappings = st.dictionaries(st.text(), _values, max_size=4)


def _reversed(value: object) -> object:
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


@given(_mappings, _mappings)
def test_is_sixteen_hexadecimal_digits_and_the_same_in_any_order(
    inputs: dict[str, object], parameters: dict[str, object]
) -> None:
    one = fingerprint("convert", 1, inputs, parameters)
    other_order = fingerprint("convert", 1, _reversed(inputs), _reversed(parameters))  # type: ignore[arg-type]
    assert one == other_order
    assert len(one) == 16
    assert set(one) <= set("0123456789abcdef")


@given(_mappings, _mappings)
def test_differs_if_inputs_or_parameters_differ(one: dict[str, object], other: dict[str, object]) -> None:
    same_content = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint("convert", 1, one, {}) == fingerprint("convert", 1, other, {})) == same_content
    assert (fingerprint("convert", 1, {}, one) == fingerprint("convert", 1, {}, other)) == same_content


def test_differs_with_step_and_format_and_between_input_and_parameter() -> None:
    prints = {
        fingerprint("convert", 1, {}, {}),
        fingerprint("train", 1, {}, {}),
        fingerprint("convert", 2, {}, {}),
        fingerprint("convert", 1, {"a": 1}, {}),
        fingerprint("convert", 1, {}, {"a": 1}),
    }
    assert len(prints) == 5


def test_equals_that_of_earlier_versions() -> None:
    # Users' stored outputs are named by it. If this fails, all of them are recomputed.
    assert fingerprint("convert", 1, {"raw_images": "00"}, {"seed": 0, "channels": "rgb"}) == "9cf6dcd942816137"


def test_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        fingerprint("convert", 1, {}, {"learning_rate": float("nan")})
