"""`python -m embedded`."""

from embedded.app import main

main()
