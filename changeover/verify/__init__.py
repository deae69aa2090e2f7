"""Verification: every row of source and target compared both ways, while everything runs."""
