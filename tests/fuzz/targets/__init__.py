"""One module for each part of the gateway that is fuzzed."""
