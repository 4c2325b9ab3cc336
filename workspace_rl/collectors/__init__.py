"""Many collectors, wherever they live: what a section `collectors` in a run's configuration asks for.

- `driver`: what the loop asks of collectors, and the one collector of runs without such a section.
- `lockstep`: collectors in rounds, where nothing depends on time.
- `free_running`: collectors that run freely, as far as a limiter lets them.
- `stream`: what one of those was ordered, and what has come of it.
- `fleet`: puts collectors together as configured.
- `recipe`: what a collector is built from.
- `order`: what is asked of a collector, and what comes back.
- `worker`: a collector where its environments live.
- `faults`: collectors that fail.
- `scaling`: what many collectors can give, and where they cannot pay.
- `places`: where they live: in this process, in others of this machine, on a cluster.
"""

from workspace_rl.collectors.driver import Collectors, CollectorsStatus, OneCollector

__all__ = ["Collectors", "CollectorsStatus", "OneCollector"]
