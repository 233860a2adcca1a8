"""``python -m foreknow``."""

from foreknow.cli import main

if __name__ == "__main__":
    main()
