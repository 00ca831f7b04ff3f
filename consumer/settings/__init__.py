"""Configuration: the models of the YAML file and the environment, and their loading."""
