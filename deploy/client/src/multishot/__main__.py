"""`python -m multishot`."""

from multishot.app import main

main()
