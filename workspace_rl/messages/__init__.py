"""What is said to users, and where: terminals, notebooks, and how more of the library is installed."""
