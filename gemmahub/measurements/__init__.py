"""What was measured on this machine."""
