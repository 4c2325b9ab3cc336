"""Which fragments have come, by the numbers that collectors give them."""

from __future__ import annotations

from workspace_rl.experience.fragment import Fragment


class Arrivals:
    """Tells fragments that come again from new ones, and whether those before them have come.

    A collector's numbers go on as long as it lives, also where its environments begin anew; collectors beside each
    other have numbers of their own (`Fragment.collector`). Fragments without a number are taken as they come.
    """

    def __init__(self) -> None:
        self._next: dict[int, int] = {}  # by collector

    def came_before(self, fragment: Fragment) -> bool:
        """Return whether the fragment has come, or one of its collector with a higher number."""
        return fragment.number is not None and fragment.number < self._next.get(fragment.collector, 0)

    def follows(self, fragment: Fragment) -> bool:
        """Return whether the fragment's first frame follows the last one that came of its collector."""
        expected = self._next.get(fragment.collector, fragment.number)
        return not fragment.begins_anew and fragment.number in (None, expected)

    def note(self, fragment: Fragment) -> None:
        """Count the fragment as come."""
        if fragment.number is not None:
            self._next[fragment.collector] = fragment.number + 1
