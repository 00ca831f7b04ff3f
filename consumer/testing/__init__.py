"""Stand-ins for the ports, held to the same contract tests as what they stand for."""
