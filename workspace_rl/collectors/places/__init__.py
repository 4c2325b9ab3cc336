"""Where collectors live.

- `place`: what drivers ask of a place.
- `in_process`: the learner's own process.
- `hosted`: a collector in a process that is its own.
- `local_processes`: processes of their own on this machine.
- `ray_actors`: actors of Ray, on this machine or on a cluster.
- `ray_cluster`: a Ray of our own, or one that runs already.
"""
