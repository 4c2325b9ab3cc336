"""What is said to users, and where: terminals, notebooks, and how more of the library is installed.

- `printing`: terminals that do not know every character.
- `text_table`: tables as text.
- `notebook`: films, results and errors in notebooks.
- `installation`: how more of the library is installed, from a clone or a wheel.
"""
