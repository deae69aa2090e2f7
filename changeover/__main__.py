"""`python -m changeover`: the command line."""

from changeover.cli import main

main()
