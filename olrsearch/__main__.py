"""`python -m olrsearch`."""

from olrsearch.cli import main

main()
