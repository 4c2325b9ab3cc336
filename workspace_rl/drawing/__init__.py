"""What tables, pictures and figures are drawn with, and how a workspace shows itself.

- `figures`: figures that belong to nobody, and how they are kept and shown.
- `time_plots`: one variable of a workspace over time.
- `workspace_table`: a workspace as a table, in a terminal and in a notebook.
- `scales`: how numbers become colours.
- `svg`: drawings as SVG and as matplotlib figures.
- `text`: texts from a stranger's files, shown as they are.
"""
