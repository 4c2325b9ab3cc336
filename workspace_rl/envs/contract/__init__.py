"""What environments must return, checked at each step without costing one."""
