"""The doctor: everything that has to be right before icehaul works well, checked without stopping at the first."""
