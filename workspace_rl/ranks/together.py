"""One rank among several: what they agree on, by torch.distributed."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from workspace_rl.basics.seeding import RANK, episode_seeds
from workspace_rl.errors import ConfigError, RankError
from workspace_rl.machine.interrupts import Stopped, StopRequest
from workspace_rl.ranks.alone import Alone
from workspace_rl.ranks.farewell import Farewells
from workspace_rl.ranks.gradients import AVERAGING
from workspace_rl.ranks.weights import differences, digests

#: How long a rank waits for another one that is alive: as long as scoring a policy may take.
_PATIENCE = timedelta(days=30)
#: Trainings of this process so far: each has its own words in the store.
_TRAININGS = itertools.count()


class Together(Alone):
    """One of several ranks. Numbers and texts are exchanged by gloo, gradients of a GPU by nccl."""

    def __init__(self, rank: int, size: int, *, local_rank: int = 0) -> None:
        """Be number `rank` of `size`, and number `local_rank` on this machine."""
        self.rank, self.size, self._local_rank = rank, size, local_rank
        self._farewells: Farewells | None = None
        self._stop = StopRequest()

    def share(self, n: int, name: str) -> int:
        """Return a rank's share of `n`, which the option called `name` says."""
        if n % self.size:
            raise ConfigError(
                f"{name}: a multiple of {self.size} expected, since {self.size} ranks share it, {n} found. Another "
                f"--nproc-per-node, or {name}={-(-n // self.size) * self.size}."
            )
        return n // self.size

    def seed(self, seed: int) -> int:
        """Return what a rank's random numbers are derived from: for the first one the run's seed."""
        return seed if self.first else episode_seeds(seed, RANK, self.rank, n=1)[0]

    def device(self, name: str) -> str:
        """Return the rank's device: "cuda" is each one's own."""
        return f"cuda:{self._local_rank}" if name == "cuda" else name

    # ---- meeting and leaving --------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Meet the other ranks where torchrun says (MASTER_ADDR, MASTER_PORT)."""
        if self._farewells is None:
            cuda = torch.cuda.is_available() and dist.is_nccl_available()
            if cuda:
                torch.cuda.set_device(self._local_rank % torch.cuda.device_count())
            store = PrefixStore(f"workspace_rl/{next(_TRAININGS)}", _store(self.rank, self.size))
            backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
            dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size, timeout=_PATIENCE)
            self._farewells = Farewells(store, self.rank, self.size)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the other ranks: after an error at once, with a word, else when all have got here."""
        if self._farewells is None:
            return
        with contextlib.suppress(RuntimeError, Stopped):  # the others have left
            if error is not None:
                self._farewells.leave(error)
            else:
                self._sums(0)
        self._farewells = None
        dist.destroy_process_group()

    @property
    def joined(self) -> bool:
        """Whether the other ranks can be talked to."""
        return self._farewells is not None

    @contextlib.contextmanager
    def turns(self, stop: StopRequest) -> Iterator[None]:
        """Within the block, gradients are averaged, and a stop takes effect where `total` is called."""
        self._stop, stop.at_once = stop, False
        AVERAGING.append(self.size)
        try:
            yield
        except BaseException as error:
            if isinstance(error, Stopped) and stop.shared:
                raise  # all ranks do so at this place
            reason = self._farewells and self._farewells.reason_of(error)
            if isinstance(reason or error, Stopped):
                stop.requested = True
            self.__exit__(None, reason or error, None)
            if reason:
                raise reason from error
            raise
        finally:
            stop.at_once = True
            AVERAGING.clear()

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Within the block, which only one rank runs, a stop takes effect at once."""
        stop = self._stop
        stop.at_once = True
        stop.requested |= stop.heard
        yield
        # The block is over: the others are told at the next turn.
        stop.at_once, stop.requested = False, stop.shared

    # ---- agreeing -------------------------------------------------------------------------------------------------

    def total(self, n: int) -> int:
        """Return the sum of `n` over ranks; a stop that one of them was asked for becomes that of all."""
        total, stops = self._sums(n, self._stop.heard)
        if stops:
            self._stop.shared = self._stop.requested = True
        return total

    def all(self, one: bool) -> bool:
        """Return whether something holds for all ranks."""
        return self._sums(bool(one)) == [self.size]

    def _sums(self, *numbers: int) -> list[int]:
        return [int(one) for one in self._sum(torch.tensor(numbers, dtype=torch.int64)).tolist()]

    def _sum(self, numbers: Tensor) -> Tensor:
        with self._told():
            dist.all_reduce(numbers)
        return numbers

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, plain data, in order."""
        # As text, one behind the other: what torch offers for this unpickles what comes.
        text = json.dumps(value).encode()
        lengths = self._sums(*(len(text) if rank == self.rank else 0 for rank in range(self.size)))
        begin = [0, *itertools.accumulate(lengths)]
        every = torch.zeros(begin[-1], dtype=torch.uint8)
        every[begin[self.rank] : begin[self.rank + 1]] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        content = self._sum(every).numpy().tobytes()
        return [json.loads(content[start:stop]) for start, stop in itertools.pairwise(begin)]

    def check_equal(self, weights: Callable[[], Mapping[str, Tensor]], when: str) -> None:
        """Compare the weights of all ranks bit by bit."""
        found = differences(self.gather(digests(weights())))
        if found:
            raise RankError(
                f"{when}, {found}. Ranks begin with equal weights and take equal steps, unless `build` or `update` "
                "depends on something that differs between them: a clock, random numbers of another generator than "
                "Python's, NumPy's and torch's, files, an order of sets; or a step is not taken by `minimise`."
            )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            reason = self._farewells and self._farewells.reason_of(error)
            if reason:
                raise reason from error
            raise


@functools.cache
def _store(rank: int, size: int) -> Store:
    """Return where ranks leave notes for each other, which torchrun keeps."""
    try:
        store: Store = next(rendezvous("env://", rank, size))[0]
    except ValueError as error:  # an environment variable is missing
        raise ConfigError(
            f"RANK and WORLD_SIZE say that this is rank {rank} of {size}, but not where the others are: {error}. Start "
            "several ranks by torchrun, and a single one without these variables."
        ) from error
    return store
