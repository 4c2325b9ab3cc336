"""Copies of what a program uses, so that it runs without consequences."""
