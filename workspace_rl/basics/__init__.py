"""What every room needs: checked arguments, plain data, classes by their names, seeds."""
