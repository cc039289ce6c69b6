"""Handing the chosen model of a finished study on, in files that others can load."""
