"""Who reads and writes which variable at which step, noted while a program runs.

- `recorder`: takes the notes.
- `accesses`: the words of the notes: calls, reads and writes, where values come from.
- `recorded_variables`: variables that report, and know where their steps come from.
- `callers`: who is asking, by the frames of the interpreter.
- `whole_reads`: reads of whole variables, and the steps that are used of them.
- `loops`: what agents write at a step and read at the next one.
- `steps`: watches which steps these are.
- `changes`: tensors that are changed in place.
"""
