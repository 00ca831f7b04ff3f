"""Pure core: values and rules, no clock, no randomness, no I/O."""
