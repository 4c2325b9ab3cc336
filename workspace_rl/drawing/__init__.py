"""What tables, pictures and figures are drawn with, and how a workspace shows itself."""
