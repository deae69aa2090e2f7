"""Metrics: what each daemon counts, under names that are defined once, and how it is asked for them."""
