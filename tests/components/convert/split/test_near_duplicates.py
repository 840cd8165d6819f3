import itertools
import random
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.convert.split.near_duplicates import (
    MAX_DISTANCE_BITS,
    group_samples,
    link_groups,
    link_near_duplicates,
    torn_groups,
)
from components.convert.split.perceptual_hash import HASH_BITS


def _hash(base: int, turned_bits: range) -> bytes:
    """One of a few hashes that are far apart, with some bits flipped."""
    bits = random.Random(base).getrandbits(HASH_BITS) ^ sum(1 << bit for bit in turned_bits)
    return bits.to_bytes(HASH_BITS // 8)


def _groups_by_definition(hashes: Mapping[str, bytes]) -> set[frozenset[str]]:
    """Joins near-duplicates until no more can be joined."""
    groups = [{name} for name in hashes]
    while True:
        for one, other in itertools.combinations(groups, 2):
            pairs = itertools.product(one, other)
            if any((int.from_bytes(hashes[a]) ^ int.from_bytes(hashes[b])).bit_count() <= MAX_DISTANCE_BITS for a, b in pairs):
                one.update(other)
                groups.remove(other)
                break
        else:
            return {frozenset(group) for group in groups}


def _as_sets(groups: Mapping[str, str]) -> set[frozenset[str]]:
    return {frozenset(name for name in groups if groups[name] == group) for group in groups.values()}


# Hashes of one base whose flipped bits start 230 apart are near and form chains; those 231 apart are not.
_turns = st.builds(
    lambda step, extra: range(step * MAX_DISTANCE_BITS + extra), st.integers(0, 2), st.sampled_from([0, 0, 1, 2, 100])
)
_hashes = st.dictionaries(
    st.text("abcdef0123456789", min_size=1, max_size=4), st.builds(_hash, st.integers(0, 3), _turns), min_size=1, max_size=40
)


@given(hashes=_hashes, data=st.data())
def test_links_connect_exactly_the_near_duplicates_after_every_batch(hashes: dict[str, bytes], data: st.DataObject) -> None:
    batches = {name: data.draw(st.integers(0, 2)) for name in hashes}
    links = link_near_duplicates(hashes, batches)
    assert len(links) < len(hashes)
    for batch in range(3):
        so_far = {name: hashes[name] for name in hashes if batches[name] <= batch}
        assert _as_sets(group_samples(so_far, links)) == _groups_by_definition(so_far)


@given(hashes=_hashes, order=st.randoms(use_true_random=False))
def test_links_do_not_depend_on_the_order(hashes: dict[str, bytes], order: random.Random) -> None:
    batches = {name: len(name) % 2 for name in hashes}
    shuffled = list(hashes)
    order.shuffle(shuffled)
    assert link_near_duplicates({name: hashes[name] for name in shuffled}, batches) == link_near_duplicates(hashes, batches)


@given(
    table=st.dictionaries(
        st.text("abcdef", min_size=1, max_size=3), st.tuples(st.sampled_from(["", "P1", "P2"]), st.integers(0, 2))
    )
)
def test_links_connect_the_groups_of_the_table_after_every_batch(table: dict[str, tuple[str, int]]) -> None:
    batches = {name: batch for name, (_, batch) in table.items()}
    links = link_groups({name: group for name, (group, _) in table.items()}, batches)
    for last in range(3):
        so_far = {name: group for name, (group, batch) in table.items() if batch <= last}
        expected = {frozenset(name for name in so_far if so_far[name] == group) for group in so_far.values() if group}
        alone = {frozenset([name]) for name, group in so_far.items() if not group}
        assert _as_sets(group_samples(so_far, links)) == expected | alone


@pytest.mark.parametrize(("num_bits", "num_groups"), [(MAX_DISTANCE_BITS, 1), (MAX_DISTANCE_BITS + 1, 2)])
def test_samples_within_the_maximum_distance_are_near_duplicates(num_bits: int, num_groups: int) -> None:
    hashes = {"a": _hash(0, range(0)), "b": _hash(0, range(num_bits))}
    groups = group_samples(hashes, link_near_duplicates(hashes, {"a": 0, "b": 0}))
    assert len(set(groups.values())) == num_groups


def test_a_group_of_four_takes_three_links_even_if_a_sample_joins_two_parts() -> None:
    turned_bits = {"a": 0, "b": 2 * MAX_DISTANCE_BITS, "c": MAX_DISTANCE_BITS, "d": MAX_DISTANCE_BITS}
    hashes = {name: _hash(0, range(num_bits)) for name, num_bits in turned_bits.items()}
    assert link_near_duplicates(hashes, dict.fromkeys(hashes, 0)) == [("a", "c"), ("b", "c"), ("a", "d")]


def test_hundreds_of_copies_of_a_few_samples_form_as_few_groups() -> None:
    hashes = {f"{k:03d}": _hash(k % 7, range(k // 7)) for k in range(400)}
    groups = group_samples(hashes, link_near_duplicates(hashes, dict.fromkeys(hashes, 0)))
    assert {groups[name] for name in hashes} == {f"{k:03d}" for k in range(7)}
    assert all(groups[f"{k:03d}"] == f"{k % 7:03d}" for k in range(400))


def test_a_hash_of_another_length_names_its_sample() -> None:
    with pytest.raises(ValueError, match=r"Sample b: expected a hash of 768 bits\. Received: 64"):
        link_near_duplicates({"a": _hash(0, range(0)), "b": bytes(8)}, {"a": 0, "b": 0})


def test_a_group_is_named_by_its_first_id_and_unknown_ids_are_ignored() -> None:
    links = [("d", "c"), ("c", "b"), ("a", "stranger"), ("stranger", "d")]
    assert group_samples(["d", "c", "b", "a"], links) == {"a": "a", "b": "b", "c": "b", "d": "b"}


def test_torn_groups_are_those_in_more_than_one_split() -> None:
    groups = {"a": "a", "b": "a", "c": "c", "d": "c", "e": "e"}
    split_of = {"a": "train", "b": "test", "c": "train", "d": "train", "e": "validation"}
    assert torn_groups(groups, split_of) == ["a"]
