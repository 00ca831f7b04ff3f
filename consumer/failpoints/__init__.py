"""Failpoints: named places before and after side effects where a test can make a process fail."""
