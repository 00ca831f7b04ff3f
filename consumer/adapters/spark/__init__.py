"""The batch engine on Spark."""
