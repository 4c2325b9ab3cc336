"""What a workspace is made of.

- `variable`: one variable, the tensors of its steps.
- `named_variables`: variables by name, read and written as a whole; their sizes.
- `state_before`: what a state was before the first step.
- `slicing`: windows of steps, transitions, batch elements, batches side by side.
"""
