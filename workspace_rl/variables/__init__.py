"""What a workspace is made of.

- `variable`: one variable, the tensors of its steps.
- `named_variables`: variables by name, read and written as a whole; their sizes.
- `slicing`: windows of steps, transitions, batch elements, batches side by side.
"""
