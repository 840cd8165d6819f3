"""Finds samples that show the same cells: their perceptual hashes differ little, directly or through other samples.

Neighbouring fields of one well cannot be found. They share the protein and the cell line, but no cells, and nothing in their
pixels distinguishes them from fields of another well with the same protein. A column of the source's table can link them: see
`link_groups`.
"""

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from components.convert.split.perceptual_hash import HASH_BITS

# Three tenths of the bits. By benchmarks/near_duplicates.py, synthetic siblings differ in at most 156 bits, and real images
# from themselves shifted by an eighth of their width in at most 199. Unrelated pairs differ in 375 +- 15 bits, like 650 coin
# tosses (the number of independent bits as in Daugman, "How Iris Recognition Works", 2004): none this close is expected among
# the 4.8e8 pairs of 31072 samples, or among many times as many. The closest of 2e7 unrelated synthetic pairs differ in 298
# bits, of 2016 real pairs in 324, and of 5e5 pairs of real crops of one or two cells, whose tail is heavier, in 266.
MAX_DISTANCE_BITS = 230

# The number of hashes that are compared with all earlier ones at a time: their distances fit into the processor's cache.
_BLOCK = 16

Link = tuple[str, str]


def link_near_duplicates(hashes: Mapping[str, bytes], batches: Mapping[str, int]) -> list[Link]:
    """Links near-duplicates.

    Takes about 5 s and 10 MB for 31072 hashes. All pairs are compared: at a distance this large, an index (Norouzi, Punjani and
    Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012) would need more lookups.

    Args:
        hashes: Perceptual hash by sample id.
        batches: The ingest that added each sample.

    Returns:
        The fewest pairs of ids that connect all near-duplicates, in the order of batch and id, not of the mapping. The pairs
        within the first batches connect their samples as if later batches did not exist.

    Raises:
        ValueError: If the hashes differ in length.
    """
    ids = sorted(hashes, key=lambda sample_id: (batches[sample_id], sample_id))
    num_bits = 8 * len(hashes[ids[0]]) if ids else HASH_BITS
    for sample_id in ids:
        if len(hashes[sample_id]) * 8 != num_bits:
            raise ValueError(f"Sample {sample_id}: expected a hash of {num_bits} bits. Received: {len(hashes[sample_id]) * 8}")
    max_distance = MAX_DISTANCE_BITS * num_bits // HASH_BITS  # the same share of the bits with fewer stains
    words = np.frombuffer(b"".join(hashes[sample_id] for sample_id in ids), np.uint64).reshape(len(ids), -1)
    words = np.ascontiguousarray(words.T)
    first = np.arange(len(ids))  # the first member of each sample's group so far
    links: list[Link] = []
    for start in range(0, len(ids), _BLOCK):
        stop = min(start + _BLOCK, len(ids))
        near = _distances(words[:, start:stop], words[:, :stop]) <= max_distance
        for row in np.flatnonzero(near.sum(axis=1) > 1):  # each hash matches itself
            sample = start + int(row)
            met = np.unique(first[:sample][near[row, :sample]])
            links += [(ids[earlier], ids[sample]) for earlier in met]
            if len(met):
                first[sample] = met[0]
                first[:sample][np.isin(first[:sample], met[1:])] = met[0]
    return links


def link_groups(groups: Mapping[str, str], batches: Mapping[str, int]) -> list[Link]:
    """Links the samples of each group in the source's table.

    Args:
        groups: The group by sample id; empty for none.
        batches: The ingest that added each sample.

    Returns:
        Each sample with the previous one of its group, in the order of batch and id. The links within the first batches
        therefore connect their samples as if later batches did not exist.
    """
    latest: dict[str, str] = {}
    links: list[Link] = []
    for sample_id in sorted((one for one in groups if groups[one]), key=lambda one: (batches[one], one)):
        group = groups[sample_id]
        if group in latest:
            links.append((latest[group], sample_id))
        latest[group] = sample_id
    return links


def _distances(rows: NDArray[np.uint64], columns: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """The Hamming distances between hashes, each of which is a column of words."""
    distances = np.zeros((rows.shape[1], columns.shape[1]), np.uint16)
    for row_words, column_words in zip(rows, columns, strict=True):
        distances += np.bitwise_count(row_words[:, None] ^ column_words)
    return distances


def group_samples(ids: Collection[str], links: Iterable[Link]) -> dict[str, str]:
    """The group of each sample: the alphabetically first id of all samples connected to it, or its own.

    Links to samples that are not among `ids` are ignored.
    """
    above = {sample_id: sample_id for sample_id in ids}

    def first(sample_id: str) -> str:
        while above[sample_id] != sample_id:
            above[sample_id] = above[above[sample_id]]  # halves the path for the next search
            sample_id = above[sample_id]
        return sample_id

    for one, other in links:
        if one in above and other in above:
            low, high = sorted((first(one), first(other)))
            above[high] = low
    return {sample_id: first(sample_id) for sample_id in ids}


def torn_groups(groups: Mapping[str, str], split_of: Mapping[str, str]) -> list[str]:
    """The groups with samples in more than one split, which cause leakage."""
    splits_of: dict[str, set[str]] = {}
    for sample_id, group in groups.items():
        splits_of.setdefault(group, set()).add(split_of[sample_id])
    return sorted(group for group, found in splits_of.items() if len(found) > 1)
