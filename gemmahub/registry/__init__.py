"""What models there are: files, stores and the catalogue joined into variants."""
