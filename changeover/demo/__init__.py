"""Everything a demonstration needs: a private server, sample records, a busy application, and an oracle."""
