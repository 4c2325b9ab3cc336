"""Copies of an environment that are stepped together, in this process or in others."""
