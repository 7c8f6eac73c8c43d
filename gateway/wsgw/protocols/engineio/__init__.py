"""Engine.IO 4."""
