"""The state of modules and optimisers: by name, as files keep it, and on its way between modules.

- `module_state`: all of a module's state by name, and buffers put back.
- `training_state`: modules and optimisers as named tensors and plain data, for checkpoints.
- `plain_attributes`: what modules keep in plain attributes while they act.
- `transfer`: parameters and buffers from one module to another that is built alike.
- `packed_weights`: the weights of a module as bytes, for other processes.
"""
