"""Records in files, as values of declared types."""
