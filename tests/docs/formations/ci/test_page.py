"""What stands in for the tests of an application."""

import unittest


class TestPage(unittest.TestCase):
    def test_nothing(self):
        assert unittest is not None
