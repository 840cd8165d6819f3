"""Multi-label stratification of groups: every split gets its share of every class, and groups stay together."""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

# A class with at least this many groups should be in every split.
MIN_GROUPS_FOR_ALL_SPLITS = 3

_NOWHERE = -1
# It may be impossible to put every class into every split, as with seven classes of which any two share one of seven groups.
# Solutions are found within some tens of moves; 200 take at most a second.
_MOST_MOVES = 200
# A moved group stays in place for 1 to this many moves, in turn (a tabu tenure): with none, or a constant one, the search may
# cycle. Of 2800 random puzzles (9 to 60 groups, 6 to 28 classes), it failed on one that an exhaustive search solved.
_LONGEST_REST = 5


def stratify(
    members: Counts, fractions: NDArray[np.float64], placed_samples: Counts, placed_groups: Counts
) -> NDArray[np.int64]:
    """Assigns groups to splits.

    Uses iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD
    2011) on groups instead of samples. Two properties that it leaves to rounding are established afterwards: every class of at
    least three groups is in every split, and the splits have the requested sizes.

    Args:
        members: The number of samples of each class in each group; the last column counts all samples. Shape
            (groups, columns). The order of the rows breaks ties.
        fractions: The share of each split, of placed samples and groups together. They sum to 1.
        placed_samples: The samples that are already in the splits and stay there: shape (splits, columns).
        placed_groups: The groups of these samples, likewise.

    Returns:
        The position of the split of each group.
    """
    allotment = _Allotment(members, fractions, placed_samples, placed_groups)
    allotment.fill()
    allotment.cover()
    allotment.level()
    return allotment.split_of


class _Allotment:
    """The assignment of groups to splits in progress."""

    def __init__(self, members: Counts, fractions: NDArray[np.float64], placed_samples: Counts, placed_groups: Counts) -> None:
        self.members = members
        self.bears = members > 0
        self.split_of = np.full(len(members), _NOWHERE)
        self.totals = members.sum(axis=0) + placed_samples.sum(axis=0)
        self.wanted = np.outer(fractions, self.totals) - placed_samples
        self.num_groups = placed_groups.copy()
        self.spread = self.bears.sum(axis=0) + placed_groups.sum(axis=0) >= MIN_GROUPS_FOR_ALL_SPLITS

    def put(self, group: int, split: int) -> None:
        """Assigns a group to a split, for the first time or from another split."""
        before = self.split_of[group]
        if before != _NOWHERE:
            self.wanted[before] += self.members[group]
            self.num_groups[before] -= self.bears[group]
        self.split_of[group] = split
        self.wanted[split] -= self.members[group]
        self.num_groups[split] += self.bears[group]

    def fill(self) -> None:
        """Iterative stratification: the rarest class first, each of its groups to the split that needs it most."""
        while (waiting := self.split_of == _NOWHERE).any():
            left = self.members[waiting].sum(axis=0)
            rarest = min(np.flatnonzero(left), key=left.__getitem__)
            for group in np.flatnonzero(waiting & self.bears[:, rarest]).tolist():
                self.put(group, max(range(len(self.wanted)), key=lambda s: (self.wanted[s, rarest], self.wanted[s, -1])))

    def cover(self) -> None:
        """Moves groups until every class is in every split, or as close to that as possible.

        A min-conflicts search (Minton et al., "Minimizing Conflicts", Artificial Intelligence 58, 1992): each move is the one
        after which the fewest classes are missing from a split; ties go to the group that was moved least recently.
        """
        moved = np.full(len(self.members), -_LONGEST_REST - 1)
        fewest, best = int(self._lacking().sum()), self.split_of.copy()
        for step in range(_MOST_MOVES):
            if not fewest:
                break
            if moves := self._covering_moves(moved, step):
                *_, group, split = min(moves)
                self.put(group, split)
                moved[group] = step
            if (found := int(self._lacking().sum())) < fewest:
                fewest, best = found, self.split_of.copy()
        for group in np.flatnonzero(self.split_of != best).tolist():
            self.put(group, best[group])

    def _lacking(self) -> NDArray[np.bool_]:
        return self.spread & (self.num_groups == 0)

    def _covering_moves(self, moved: Counts, step: int) -> list[tuple[int, int, int, int, int]]:
        """The moves that bring a class to a split that lacks it.

        Each as: the change in the number of missing classes, the step of the group's last move, the size of the group, the
        group, the split.
        """
        lacking = self._lacking()
        last = self.spread & (self.num_groups == 1)
        rested = step - moved > 1 + step % _LONGEST_REST
        moves = []
        for split, column in np.argwhere(lacking).tolist():
            groups = np.flatnonzero(self.bears[:, column] & rested)
            lost = (self.bears[groups] & last[self.split_of[groups]]).sum(axis=1)
            gained = (self.bears[groups] & lacking[split]).sum(axis=1)
            keys = np.stack([lost - gained, moved[groups], self.members[groups, -1], groups], axis=1)
            moves += [(*key, split) for key in keys.tolist()]
        return moves

    def level(self) -> None:
        """Moves groups from splits with too many samples to splits with too few, while that improves the sizes."""
        while move := self._levelling_move():
            self.put(*move)

    def _levelling_move(self) -> tuple[int, int] | None:
        room = self.wanted[:, -1].round(6)  # so that a move and its reverse never both seem better
        for source, goal in sorted(permutations(range(len(room)), 2), key=lambda pair: room[pair[0]] - room[pair[1]]):
            last = self.spread & (self.num_groups[source] == 1)
            fits = (self.split_of == source) & (self.members[:, -1] < room[goal] - room[source])
            groups = np.flatnonzero(fits & ~self.bears[:, last].any(axis=1))
            if len(groups):
                members = self.members[groups]
                # Half of what the move adds to the sum, over classes and splits, of (found - wanted)^2 / total.
                cost = members * (members + self.wanted[source] - self.wanted[goal]) / np.maximum(self.totals, 1)
                return int(groups[cost.sum(axis=1).argmin()]), goal
        return None
