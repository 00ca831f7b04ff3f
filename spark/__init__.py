"""What runs inside Spark: the session, the offload job and the unit writer."""
