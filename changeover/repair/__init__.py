"""Repair: keys at which the target differs are brought in step again, and judged again."""
