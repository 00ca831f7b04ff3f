"""The audit: everything that has to be true of a stream, checked in one go; nothing is changed."""
