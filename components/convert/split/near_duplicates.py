"""Which samples show the same cells: those whose perceptual hashes differ little, directly or through others.

What this cannot find: neighbouring fields of one well. They share the protein and the cell line, but not one cell, and nothing
in the pixels tells them from fields of another well with the same protein. The source's table may know it: `link_groups`.
"""

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from components.convert.split.perceptual_hash import HASH_BITS

# Three tenths of the bits. Measured with benchmarks/near_duplicates.py: synthetic siblings differ in at most 156 bits, real
# pictures from themselves shifted by an eighth of their width in at most 199. Unrelated pairs differ in 375 +- 15 bits, which
# is how 650 coin tosses scatter (Daugman, "How Iris Recognition Works", 2004, counts independent bits so): none this near is
# to be expected among the 4.8e8 pairs of 31072 samples, nor among many times as many. The nearest of 2e7 synthetic pairs
# differ in 298 bits, of 2016 real ones in 324, and of 5e5 pairs of real crops of one or two cells, with a heavier tail, in 266.
MAX_DISTANCE_BITS = 230

# Hashes that are compared with all before them in one go: their distances stay in the processor's cache.
_BLOCK = 16

Link = tuple[str, str]


def link_near_duplicates(hashes: Mapping[str, bytes], batches: Mapping[str, int]) -> list[Link]:
    """Links near-duplicates.

    Takes about 5 s and 10 MB for 31072 hashes. Each is compared with each: with a distance this large, an index (Norouzi,
    Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012) would look up more than that.

    Args:
        hashes: Perceptual hash by sample id.
        batches: Which ingest added each sample.

    Returns:
        Pairs of ids, as few as connect all near-duplicates, and sorted by batch and id, never by the mapping's order. Those
        among the samples of the first batches connect these as if later batches did not exist.

    Raises:
        ValueError: If a hash has another length.
    """
    ids = sorted(hashes, key=lambda sample_id: (batches[sample_id], sample_id))
    num_bits = 8 * len(hashes[ids[0]]) if ids else HASH_BITS
    for sample_id in ids:
        if len(hashes[sample_id]) * 8 != num_bits:
            raise ValueError(f"Sample {sample_id}: expected a hash of {num_bits} bits. Received: {len(hashes[sample_id]) * 8}")
    max_distance = MAX_DISTANCE_BITS * num_bits // HASH_BITS  # the same share of the bits with fewer stains
    words = np.frombuffer(b"".join(hashes[sample_id] for sample_id in ids), np.uint64).reshape(len(ids), -1)
    words = np.ascontiguousarray(words.T)
    first = np.arange(len(ids))  # of the group of each sample so far
    links: list[Link] = []
    for start in range(0, len(ids), _BLOCK):
        stop = min(start + _BLOCK, len(ids))
        near = _distances(words[:, start:stop], words[:, :stop]) <= max_distance
        for row in np.flatnonzero(near.sum(axis=1) > 1):  # each is near itself
            sample = start + int(row)
            met = np.unique(first[:sample][near[row, :sample]])
            links += [(ids[earlier], ids[sample]) for earlier in met]
            if len(met):
                first[sample] = met[0]
                first[:sample][np.isin(first[:sample], met[1:])] = met[0]
    return links


def link_groups(groups: Mapping[str, str], batches: Mapping[str, int]) -> list[Link]:
    """Links the samples that the source's table puts into one group.

    Args:
        groups: The group by sample id; empty for a sample of none.
        batches: Which ingest added each sample.

    Returns:
        Each sample with the one before it in its group, by batch and id. So the links among the first batches connect their
        samples as if later batches did not exist.
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
    """Hamming distances of hashes, each of which is a column of words."""
    distances = np.zeros((rows.shape[1], columns.shape[1]), np.uint16)
    for row_words, column_words in zip(rows, columns, strict=True):
        distances += np.bitwise_count(row_words[:, None] ^ column_words)
    return distances


def group_samples(ids: Collection[str], links: Iterable[Link]) -> dict[str, str]:
    """The connected samples: by sample id, the first id of its group, in alphabetical order; its own where it is alone.

    Links to samples that are not among `ids` are ignored.
    """
    above = {sample_id: sample_id for sample_id in ids}

    def first(sample_id: str) -> str:
        while above[sample_id] != sample_id:
            above[sample_id] = above[above[sample_id]]  # halves the way for the next search
            sample_id = above[sample_id]
        return sample_id

    for one, other in links:
        if one in above and other in above:
            low, high = sorted((first(one), first(other)))
            above[high] = low
    return {sample_id: first(sample_id) for sample_id in ids}


def torn_groups(groups: Mapping[str, str], sides: Mapping[str, str]) -> list[str]:
    """The groups with samples on more than one side of a split: those through which it leaks."""
    sides_of: dict[str, set[str]] = {}
    for sample_id, group in groups.items():
        sides_of.setdefault(group, set()).add(sides[sample_id])
    return sorted(group for group, found in sides_of.items() if len(found) > 1)
