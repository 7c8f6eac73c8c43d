"""What all clients share, and so each may have its part of only: the loop's time, memory, open files."""
