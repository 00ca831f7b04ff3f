"""Replacing the rows of windows that are done by those that the hot tier holds now, on an operator's word."""
