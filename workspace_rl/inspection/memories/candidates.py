"""Which variables may be memory, by who reads and writes what while a policy acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workspace_rl.inspection.recording.accesses import Access


@dataclass(frozen=True)
class Candidates:
    """What a policy writes and may remember."""

    #: Variables that are read at a later step than that at which they were written, or as a whole.
    earlier: tuple[str, ...]
    #: Variables that their writer reads at the step at which it runs.
    present: tuple[str, ...]


def candidates(accesses: Sequence[Access]) -> Candidates:
    """Return the variables that may be memory, of those that agents write while they act."""
    acting = [one for one in accesses if not one.call.part.startswith("update") and not one.call.is_function]
    own = [one for one in acting if not one.call.environment]
    written = dict.fromkeys((one.call.name, one.variable) for one in own if one.writes)
    reads = [one for one in own if not one.writes]
    earlier = {one.variable for one in reads if _is_earlier(one)}
    present = {(one.call.name, one.variable) for one in reads if one.step == one.call.t}
    return Candidates(
        tuple(dict.fromkeys(name for _, name in written if name in earlier)),
        tuple(dict.fromkeys(one[1] for one in written if one in present and one[1] not in earlier)),
    )


def _is_earlier(read: Access) -> bool:
    return read.step is None or read.call.t is None or read.step < read.call.t
