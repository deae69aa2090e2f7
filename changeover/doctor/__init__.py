"""Doctor: one report on whether this source, log and target can carry the move; nothing is touched."""
