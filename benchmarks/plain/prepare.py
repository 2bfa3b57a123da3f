"""Makes the plain site's tables and prints the token of a user: `python -m ...plain.prepare`."""

import os

import django
from django.core.management import call_command

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.plain.site"
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    from django.contrib.auth import get_user_model
    from rest_framework.authtoken.models import Token

    user = get_user_model().objects.create_user("ada")
    print(Token.objects.create(user=user).key)
