"""Consumer groups of real processes, from one to four to one under load, with kills; and their throughput."""
