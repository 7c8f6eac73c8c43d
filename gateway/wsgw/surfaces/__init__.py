"""The endpoints that clients and operators use."""
