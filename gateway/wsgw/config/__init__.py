"""The settings, and the file, environment and command line that they are read from."""
