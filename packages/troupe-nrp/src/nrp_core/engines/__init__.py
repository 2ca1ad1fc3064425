"""What engine scripts import."""
