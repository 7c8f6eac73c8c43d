"""The command line: ``wsgw`` with its commands, and ``easer``."""
