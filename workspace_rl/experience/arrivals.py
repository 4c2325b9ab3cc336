"""Which fragments have come, by the numbers that collectors give them."""

from __future__ import annotations

import warnings

from workspace_rl.experience.fragment import Fragment


class Arrivals:
    """Tells fragments that come again from new ones, and whether those before them have come.

    A collector's numbers go on as long as it lives, also where its environments begin anew; collectors beside each
    other have numbers of their own (`Fragment.collector`). Fragments without a number are taken as they come.
    """

    def __init__(self, *, warns: bool = True) -> None:
        """Expect the first fragment of each collector.

        Args:
            warns: of the first fragment that has come before; of several who look at the same ones, one does.
        """
        self._next: dict[int, int] = {}  # by collector
        self._told = not warns

    def came_before(self, fragment: Fragment) -> bool:
        """Return whether the fragment has come, or one of its collector with a higher number.

        The first fragment of all, once there were others, is that of a collector that has taken another one's place.
        """
        expected = self._next.get(fragment.collector, 0)
        if fragment.number is None or fragment.number >= expected:
            return False
        if fragment.number == 0 and fragment.begins_anew and expected > 1:
            del self._next[fragment.collector]
            return False
        if not self._told:
            self._told = True
            warnings.warn(
                f"fragment {fragment.number:,} of collector {fragment.collector} is dropped: it has come before, or a "
                "later one has. If it is another collector's, give each its own number: Collector(..., number=1).",
                stacklevel=4,
            )
        return True

    def follows(self, fragment: Fragment) -> bool:
        """Return whether the fragment's first frame follows the last one that came of its collector."""
        expected = self._next.get(fragment.collector, fragment.number)
        return not fragment.begins_anew and fragment.number in (None, expected)

    def note(self, fragment: Fragment) -> None:
        """Count the fragment as come."""
        if fragment.number is not None:
            self._next[fragment.collector] = fragment.number + 1
