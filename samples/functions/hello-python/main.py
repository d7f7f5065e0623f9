import os

import functions_framework
from slugify import slugify

GREETING = "Hello"


def greet(name=None):
    return f"{GREETING}, {slugify(name or 'world', separator=' ').title()}!"


@functions_framework.http
def hello(request):
    return f"{greet(request.args.get('name'))} ({os.environ.get('K_REVISION', 'local')})\n"
