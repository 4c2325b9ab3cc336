"""What surrounds a program: files that appear whole or not at all, processes, threads, interrupts, versions.

- `files`: files that appear whole or not at all, in folders that one process at a time writes.
- `processes`: processes that end with whoever started them.
- `interrupts`: stopping a long computation between two of its steps.
- `devices`: devices that this machine has.
- `threads`: how many threads torch uses.
- `provenance`: what made a run: versions of packages, and the commit of the code.
"""
