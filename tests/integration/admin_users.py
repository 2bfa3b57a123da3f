"""Who logs in to the admin in these tests, and what they are told."""

from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client

DATABASES = ["default", "eventstore", "payments", "restaurant", "queries"]


def staff(*permissions: str) -> Client:
    """The browser of a member of staff with these permissions ("app.codename")."""
    user = User.objects.create_user("anna", is_staff=True)
    for name in permissions:
        label, codename = name.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=label, codename=codename)
        )
    return browser(user)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def told(response: HttpResponse) -> list[str]:
    """The messages that the response left for the user."""
    return [str(message) for message in get_messages(response.wsgi_request)]  # type: ignore[attr-defined]
