import unittest

from main import greet


class GreetTest(unittest.TestCase):
    def test_greets_the_world_by_default(self):
        self.assertRegex(greet(), r", World!$")

    def test_greets_by_name(self):
        self.assertRegex(greet("ada_lovelace"), r", Ada Lovelace!$")


if __name__ == "__main__":
    unittest.main()
