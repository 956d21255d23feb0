"""`python -m rulegrad`: what the package adds to the command `rulegrad`: reports, and streams of many samples."""

import sys

if __name__ == "__main__":
    from rulegrad._command import main

    sys.exit(main(sys.argv[1:]))
