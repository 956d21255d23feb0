#!/usr/bin/env python3
"""Runs the tests of the package; 77, which Meson calls skipped, where NumPy is missing."""

import importlib.util
import pathlib
import sys
import unittest

if __name__ == "__main__":
    if importlib.util.find_spec("numpy") is None:
        print("skipped: NumPy is not installed (python3-numpy)")
        sys.exit(77)
    folder = pathlib.Path(__file__).parent
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    found = unittest.defaultTestLoader.discover(str(folder)) if len(sys.argv) == 1 else unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:])
    sys.exit(0 if unittest.TextTestRunner(verbosity=2).run(found).wasSuccessful() else 1)
