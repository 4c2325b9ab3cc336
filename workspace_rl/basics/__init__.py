"""What every room needs: checked arguments, plain data, classes by their names, seeds.

- `arguments`: arguments of public functions, held against their annotations.
- `plain_data`: numbers and paths of other libraries as plain data.
- `classes`: classes that configurations name.
- `old_names`: names that classes had in earlier versions, in files of those.
- `seeding`: seeds, and a random state of one's own.
"""
