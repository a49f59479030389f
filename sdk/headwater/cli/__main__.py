"""``python -m headwater.cli``."""

from headwater.cli.app import main

if __name__ == "__main__":
    main()
