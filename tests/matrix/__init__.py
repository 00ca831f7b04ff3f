"""The crash matrix: every failpoint in every mode, end to end on real components (``make crash-matrix``)."""
