"""The register of streams: renaming, removing and moving them, each in one transaction."""
