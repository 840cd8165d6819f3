"""Multi-label stratification of groups: every side gets its share of every class, and no group is torn."""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

# From this many groups on, a class is wanted on every side.
MIN_GROUPS_FOR_ALL_SIDES = 3

_NOWHERE = -1
# That every class be on every side may be impossible, as with seven classes any two of which share one of seven groups. What
# can be found takes some tens of moves; 200 take a second at most.
_MOST_MOVES = 200
# A moved group stays where it is for one to so many moves, by turns: without, or always for as long, the search may go round
# in a circle. Of 2800 random puzzles (9 to 60 groups, 6 to 28 classes) it missed one of those that an exhaustive search solved.
_LONGEST_REST = 5


def stratify(
    members: Counts, fractions: NDArray[np.float64], placed_samples: Counts, placed_groups: Counts
) -> NDArray[np.int64]:
    """Puts groups on sides.

    By iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011),
    of groups instead of samples. Two things that it leaves to rounding are mended afterwards: that every class of three groups
    or more is on every side, and that the sides have the sizes asked for.

    Args:
        members: Samples of each class in each group, and in the last column all its samples: groups x columns. The order of the
            rows decides what classes and sizes leave open.
        fractions: The share of each side, of what is placed already and of the groups together. They sum to 1.
        placed_samples: The samples that are on the sides already, and stay there: sides x columns.
        placed_groups: The groups of these samples, in the same way.

    Returns:
        The position of the side of each group.
    """
    allotment = _Allotment(members, fractions, placed_samples, placed_groups)
    allotment.fill()
    allotment.cover()
    allotment.level()
    return allotment.sides


class _Allotment:
    """Groups on their way to the sides."""

    def __init__(self, members: Counts, fractions: NDArray[np.float64], placed_samples: Counts, placed_groups: Counts) -> None:
        self.members = members
        self.bears = members > 0
        self.sides = np.full(len(members), _NOWHERE)
        self.totals = members.sum(axis=0) + placed_samples.sum(axis=0)
        self.wanted = np.outer(fractions, self.totals) - placed_samples
        self.num_groups = placed_groups.copy()
        self.spread = self.bears.sum(axis=0) + placed_groups.sum(axis=0) >= MIN_GROUPS_FOR_ALL_SIDES

    def put(self, group: int, side: int) -> None:
        """Puts a group on a side, from nowhere or from another side."""
        before = self.sides[group]
        if before != _NOWHERE:
            self.wanted[before] += self.members[group]
            self.num_groups[before] -= self.bears[group]
        self.sides[group] = side
        self.wanted[side] -= self.members[group]
        self.num_groups[side] += self.bears[group]

    def fill(self) -> None:
        """Iterative stratification: the rarest class first, each of its groups to the side that wants it most."""
        while (waiting := self.sides == _NOWHERE).any():
            left = self.members[waiting].sum(axis=0)
            rarest = min(np.flatnonzero(left), key=left.__getitem__)
            for group in np.flatnonzero(waiting & self.bears[:, rarest]).tolist():
                self.put(group, max(range(len(self.wanted)), key=lambda s: (self.wanted[s, rarest], self.wanted[s, -1])))

    def cover(self) -> None:
        """Moves groups until every class is on every side, or as near to that as is found.

        The search by least conflicts (Minton et al., "Minimizing Conflicts", Artificial Intelligence 58, 1992): each move is
        the one after which the fewest classes lack a side; of several that of the group that has rested longest.
        """
        moved = np.full(len(self.members), -_LONGEST_REST - 1)
        fewest, best = int(self._lacking().sum()), self.sides.copy()
        for step in range(_MOST_MOVES):
            if not fewest:
                break
            if moves := self._covering_moves(moved, step):
                *_, group, side = min(moves)
                self.put(group, side)
                moved[group] = step
            if (found := int(self._lacking().sum())) < fewest:
                fewest, best = found, self.sides.copy()
        for group in np.flatnonzero(self.sides != best).tolist():
            self.put(group, best[group])

    def _lacking(self) -> NDArray[np.bool_]:
        return self.spread & (self.num_groups == 0)

    def _covering_moves(self, moved: Counts, step: int) -> list[tuple[int, int, int, int, int]]:
        """The moves that bring a class to a side that lacks it.

        Each as: classes that lack a side through it less those that no longer do, when its group was last moved, the size of
        the group, the group, the side.
        """
        lacking = self._lacking()
        last = self.spread & (self.num_groups == 1)
        rested = step - moved > 1 + step % _LONGEST_REST
        moves = []
        for side, column in np.argwhere(lacking).tolist():
            groups = np.flatnonzero(self.bears[:, column] & rested)
            lost = (self.bears[groups] & last[self.sides[groups]]).sum(axis=1)
            gained = (self.bears[groups] & lacking[side]).sum(axis=1)
            keys = np.stack([lost - gained, moved[groups], self.members[groups, -1], groups], axis=1)
            moves += [(*key, side) for key in keys.tolist()]
        return moves

    def level(self) -> None:
        """Moves groups from sides with too many samples to sides with too few, while that makes the sizes better."""
        while move := self._levelling_move():
            self.put(*move)

    def _levelling_move(self) -> tuple[int, int] | None:
        room = self.wanted[:, -1].round(6)  # so that no rounding error makes a move look better and its reverse as well
        for source, goal in sorted(permutations(range(len(room)), 2), key=lambda pair: room[pair[0]] - room[pair[1]]):
            last = self.spread & (self.num_groups[source] == 1)
            fits = (self.sides == source) & (self.members[:, -1] < room[goal] - room[source])
            groups = np.flatnonzero(fits & ~self.bears[:, last].any(axis=1))
            if len(groups):
                members = self.members[groups]
                # By how much the move raises the sum, over classes and sides, of (found - wanted)^2 / total; halved.
                cost = members * (members + self.wanted[source] - self.wanted[goal]) / np.maximum(self.totals, 1)
                return int(groups[cost.sum(axis=1).argmin()]), goal
        return None
