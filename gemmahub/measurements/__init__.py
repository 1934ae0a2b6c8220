"""What was measured on this machine: speeds, and what a precision changes."""
