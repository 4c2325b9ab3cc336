"""What surrounds a program: files that appear whole or not at all, processes, threads, interrupts, versions.

- `files`: files that appear whole or not at all, in folders that one process at a time writes.
- `processes`: processes that end with whoever started them.
- `worker_process`: a process of its own that makes an object and answers calls of its methods.
- `worker_loop`: what runs in that process.
- `channel`: whole messages between two processes, over a socket that nobody need wait for.
- `interrupts`: stopping a long computation between two of its steps.
- `devices`: devices that this machine has.
- `threads`: how many threads torch uses.
- `provenance`: what made a run: versions of packages, and the commit of the code.
"""
