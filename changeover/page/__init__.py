"""The live page: one screen that says how far a pipeline is, read again each second, changing nothing."""
